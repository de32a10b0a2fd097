//! When this program was built. Clocks are compared with this time.

/// 2026-05-01, before which this program did not exist. Update it with each release.
const RELEASED: i64 = 1_777_593_600;

/// A correct clock is never before this time: the day above, or the build's `SOURCE_DATE_EPOCH` if that is given and later.
pub(crate) const BUILT: i64 = {
    let built = match option_env!("SOURCE_DATE_EPOCH") {
        Some(text) => decimal(text.as_bytes()),
        None => 0,
    };
    if built > RELEASED {
        built
    } else {
        RELEASED
    }
};

/// The number that these digits are, or 0 for anything else. (`i64::from_str_radix` is const since Rust 1.82.)
const fn decimal(digits: &[u8]) -> i64 {
    let mut number: i64 = 0;
    let mut at = 0;
    while at < digits.len() {
        let digit = digits[at].wrapping_sub(b'0') as i64;
        match number.checked_mul(10) {
            Some(tens) if digit <= 9 && tens <= i64::MAX - digit => number = tens + digit,
            _ => return 0,
        }
        at += 1;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_date_epoch_is_a_number_or_ignored() {
        let largest = i64::MAX.to_string();
        for (text, number) in [("0", 0), ("1777593601", 1_777_593_601), (largest.as_str(), i64::MAX)] {
            assert_eq!(decimal(text.as_bytes()), number, "{text}");
        }
        for text in ["", "-5", "+5", " 5", "5s", "now", "9223372036854775808", "99999999999999999999"] {
            assert_eq!(decimal(text.as_bytes()), 0, "{text}");
        }
    }
}
