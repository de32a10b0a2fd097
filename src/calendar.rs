//! Seconds since 1970, and dates made of them: as HTTP writes them (RFC 9110 §5.6.7) and for people (ISO 8601).
//!
//! Knows the system's clock and nothing of this crate. Called wherever the date is needed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The length of an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) const IMF_FIXDATE_LENGTH: usize = 29;

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// The time from 1970-01-01 UTC to this one; none for an earlier time.
///
/// A clock before 1970 counts as 1970 everywhere in this crate. Such a clock was never set, so its date means nothing. With
/// 1970 no certificate, answer or log line has to handle negative times, and a device's provisional certificate, which is valid
/// from 1970 on, is valid.
pub(crate) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Seconds since 1970-01-01 UTC, never negative: see [`since_1970`].
pub(crate) fn unix(time: SystemTime) -> i64 {
    i64::try_from(since_1970(time).as_secs()).unwrap_or(i64::MAX)
}

/// Seconds since 1970-01-01 UTC, negative for an earlier time: a certificate may hold one.
pub fn signed_unix(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(_) => unix(time),
        Err(earlier) => {
            let before = earlier.duration();
            -i64::try_from(before.as_secs() + u64::from(before.subsec_nanos() > 0)).unwrap_or(i64::MAX)
        }
    }
}

/// The time that is `seconds` after 1970-01-01 UTC, or before it when negative. A time that the system cannot represent becomes
/// 1970.
pub(crate) fn from_unix(seconds: i64) -> SystemTime {
    let away = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(away) } else { UNIX_EPOCH.checked_add(away) };
    time.unwrap_or(UNIX_EPOCH)
}

/// What the system's clock says now, in seconds since 1970-01-01 UTC.
pub(crate) fn unix_now() -> i64 {
    unix(SystemTime::now())
}

/// An IMF-fixdate, the only form a sender may generate (RFC 9110 §5.6.7).
pub(crate) fn imf_fixdate(unix_seconds: i64) -> [u8; IMF_FIXDATE_LENGTH] {
    let time = Civil::from_unix(unix_seconds);
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    out[0..3].copy_from_slice(DAYS[time.weekday]);
    two_digits(&mut out[5..7], time.day);
    out[8..11].copy_from_slice(MONTHS[time.month as usize - 1]);
    two_digits(&mut out[12..14], (time.year / 100) as u32);
    two_digits(&mut out[14..16], (time.year % 100) as u32);
    two_digits(&mut out[17..19], time.hour);
    two_digits(&mut out[20..22], time.minute);
    two_digits(&mut out[23..25], time.second);
    out
}

/// Seconds since 1970 of an IMF-fixdate, the form that all senders use. The weekday is not compared with the date.
pub(crate) fn parse_imf_fixdate(text: &str) -> Option<i64> {
    let bytes = text.trim().as_bytes();
    let [_, _, _, b',', b' ', rest @ ..] = bytes else { return None };
    let [d1, d2, b' ', m1, m2, m3, b' ', y1, y2, y3, y4, b' ', time @ .., b' ', b'G', b'M', b'T'] = rest
    else {
        return None;
    };
    seconds_of(number(&[*y1, *y2, *y3, *y4])?, &[*m1, *m2, *m3], &[*d1, *d2], time)
}

/// Seconds since 1970 of an HTTP date in any of the three forms that a recipient must accept (RFC 9110 §5.6.7): an IMF-fixdate,
/// the date of RFC 850 (`Sunday, 06-Nov-94 08:49:37 GMT`) and that of asctime (`Sun Nov  6 08:49:37 1994`). `now`, in seconds
/// since 1970, tells the century of the second.
pub(crate) fn parse_http_date(text: &str, now: i64) -> Option<i64> {
    if let Some(seconds) = parse_imf_fixdate(text) {
        return Some(seconds);
    }
    let text = text.trim();
    if let Some((_, rest)) = text.split_once(", ") {
        let [d1, d2, b'-', m1, m2, m3, b'-', y1, y2, b' ', time @ .., b' ', b'G', b'M', b'T'] =
            rest.as_bytes()
        else {
            return None;
        };
        let this_year = Civil::from_unix(now).year;
        let year = this_year / 100 * 100 + number(&[*y1, *y2])?;
        // A date of more than 50 years ahead is one of the past.
        let year = if year > this_year + 50 { year - 100 } else { year };
        return seconds_of(year, &[*m1, *m2, *m3], &[*d1, *d2], time);
    }
    let [_, _, _, b' ', m1, m2, m3, b' ', d1, d2, b' ', time @ .., b' ', y1, y2, y3, y4] = text.as_bytes()
    else {
        return None;
    };
    let d1 = if *d1 == b' ' { b'0' } else { *d1 };
    seconds_of(number(&[*y1, *y2, *y3, *y4])?, &[*m1, *m2, *m3], &[d1, *d2], time)
}

/// Seconds since 1970 of a date whose month is a name and whose time is `08:49:37`.
fn seconds_of(year: i64, month: &[u8; 3], day: &[u8; 2], time: &[u8]) -> Option<i64> {
    let [h1, h2, b':', n1, n2, b':', s1, s2] = time else { return None };
    let month = MONTHS.iter().position(|known| *known == month)? as u32 + 1;
    let day = number(day)?;
    let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*n1, *n2])?, number(&[*s1, *s2])?);
    // 60 is a leap second.
    if !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_from_civil(year, month, day as u32) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// A number of decimal digits.
fn number(digits: &[u8]) -> Option<i64> {
    let add = |sum, digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + i64::from(*digit - b'0'));
    digits.iter().try_fold(0_i64, add)
}

/// A time for people and logs: `2026-11-23T08:49:37Z` (ISO 8601), in UTC. A time before the year 1 becomes its first second,
/// and a time after the year 9999 becomes its last.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_423_777);
/// assert_eq!(lockgate::iso8601(time), "2026-11-23T08:49:37Z");
/// ```
pub fn iso8601(time: SystemTime) -> String {
    iso8601_of(signed_unix(time))
}

/// As [`iso8601`], for a time in seconds since 1970-01-01 UTC.
pub(crate) fn iso8601_of(unix_seconds: i64) -> String {
    let t = Civil::from_unix(unix_seconds);
    format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", t.year, t.month, t.day, t.hour, t.minute, t.second)
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
pub(crate) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    // Years are counted from March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

struct Civil {
    year: i64,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    weekday: usize,
}

impl Civil {
    fn from_unix(unix_seconds: i64) -> Civil {
        // The formats here have years of four digits.
        let unix_seconds = unix_seconds.clamp(-62_135_596_800, 253_402_300_799);
        let days = unix_seconds.div_euclid(86_400);
        let second_of_day = unix_seconds.rem_euclid(86_400) as u32;
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Civil {
            year,
            month,
            day,
            hour: second_of_day / 3_600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
            weekday: days.rem_euclid(7) as usize,
        }
    }
}

fn two_digits(out: &mut [u8], value: u32) {
    out[0] = b'0' + (value / 10 % 10) as u8;
    out[1] = b'0' + (value % 10) as u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_1970_counts_as_1970() {
        for (time, seconds) in [
            (UNIX_EPOCH - Duration::from_millis(1), 0),
            (UNIX_EPOCH - Duration::from_secs(86_400), 0),
            (UNIX_EPOCH, 0),
            (UNIX_EPOCH + Duration::from_millis(1_999), 1),
        ] {
            assert_eq!(unix(time), seconds, "{time:?}");
        }
        assert_eq!(since_1970(UNIX_EPOCH + Duration::from_millis(1_999)).subsec_millis(), 999);
        assert!(unix_now() > 1_777_593_600);
    }

    #[test]
    fn the_example_of_rfc_9110_is_written_as_it_stands_there() {
        assert_eq!(&imf_fixdate(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn a_date_is_read_in_the_three_forms_of_http() {
        let now = 1_795_423_777;
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse_http_date(text, now), Some(784_111_777), "{text}");
        }
        // 2026 and 50 years are 2076; one year more is 1977.
        assert_eq!(parse_http_date("Friday, 06-Nov-76 08:49:37 GMT", now), Some(3_371_878_177));
        assert_eq!(parse_http_date("Sunday, 06-Nov-77 08:49:37 GMT", now), Some(247_654_177));
        for text in [
            "",
            "0",
            ", ",
            "Sun, 06 Nov 1994 08:49:37",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun Nov  6 08:49 1994",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Sun Nov 66 08:49:37 1994",
            "784111777",
        ] {
            assert_eq!(parse_http_date(text, now), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_other_forms_are_refused() {
        for seconds in [0, 784_111_777, 951_782_400, 253_402_300_799] {
            let text = String::from_utf8(imf_fixdate(seconds).to_vec()).unwrap();
            assert_eq!(parse_imf_fixdate(&text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nox 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:4x:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
        ] {
            assert_eq!(parse_imf_fixdate(text), None, "{text}");
        }
    }

    #[test]
    fn leap_days_and_ends_of_centuries_are_right() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(iso8601_of(seconds), text);
            let shown = seconds.clamp(-62_135_596_800, 253_402_300_799);
            assert_eq!(iso8601(from_unix(shown)), text);
            assert_eq!(signed_unix(from_unix(shown)), shown);
        }
    }

    #[test]
    fn every_day_survives_the_way_there_and_back() {
        for day in -200_000..200_000 {
            let civil = Civil::from_unix(day * 86_400);
            assert_eq!(days_from_civil(civil.year, civil.month, civil.day), day);
        }
    }
}
