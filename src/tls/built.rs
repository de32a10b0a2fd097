//! When this program was built. Clocks are compared with this time.

/// 2026-05-01, before which this program did not exist. Update it with each release.
const RELEASED: i64 = 1_777_593_600;

/// A correct clock is never before this time: the day above, or the build's `SOURCE_DATE_EPOCH` if that is given and later.
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
