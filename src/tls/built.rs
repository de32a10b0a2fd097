//! When this program was built, for what a clock is compared with. A value only.

/// 2026-05-01: none of this was there before. To be moved on with each release.
const RELEASED: i64 = 1_777_593_600;

/// No clock that is right stands before this: the day above, or when the program was built if `SOURCE_DATE_EPOCH` said so
/// and that is later.
pub(crate) const BUILT: i64 = {
    let built = match option_env!("SOURCE_DATE_EPOCH") {
        Some(text) => match i64::from_str_radix(text, 10) {
            Ok(seconds) => seconds,
            Err(_) => RELEASED,
        },
        None => RELEASED,
    };
    if built > RELEASED {
        built
    } else {
        RELEASED
    }
};
