//! Times as authorities write them: HTTP dates and seconds in `Retry-After` (RFC 9110 §10.2.3), and RFC 3339 in JSON.
//! All are seconds since 1970-01-01 UTC. Knows no clock.

use std::time::Duration;

use crate::calendar::{days_from_civil, parse_imf_fixdate};

/// How long a `Retry-After` requests to wait from `now` on. A date in the past means no wait.
pub(super) fn retry_after(value: &str, now: i64) -> Option<Duration> {
    let value = value.trim();
    let seconds = match value.parse::<u64>() {
        Ok(seconds) => i64::try_from(seconds).unwrap_or(i64::MAX),
        Err(_) => parse_imf_fixdate(value)?.saturating_sub(now),
    };
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// `2026-11-23T08:49:37Z`, with a fraction of a second, which is dropped, and with an offset from UTC (RFC 3339 §5.6).
pub(super) fn rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let start = day_start(number(year, 4)?, number(month, 2)?, number(day, 2)?)?;
    let seconds = clock(time.get(..8)?)?;
    let rest = time.get(8..)?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return None;
            }
            zone
        }
        None => rest,
    };
    let offset = match rest.as_bytes().first()? {
        b'Z' | b'z' if rest.len() == 1 => 0,
        sign @ (b'+' | b'-') => {
            let (hours, minutes) = rest.get(1..)?.split_once(':')?;
            let offset = number(hours, 2)? * 3_600 + number(minutes, 2)? * 60;
            if *sign == b'+' {
                offset
            } else {
                -offset
            }
        }
        _ => return None,
    };
    Some(start + seconds - offset)
}

/// `08:49:37`, with room for a leap second.
fn clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute, second) =
        (number(parts.next()?, 2)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let fits = parts.next().is_none() && hour < 24 && minute < 60 && second <= 60;
    fits.then_some(hour * 3_600 + minute * 60 + second)
}

fn day_start(year: i64, month: i64, day: i64) -> Option<i64> {
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day);
    fits.then(|| days_from_civil(year, month as u32, day as u32) * 86_400)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = 784_111_700;
        for (text, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("4294967296", Some(1 << 32)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(77)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("Sun, 06 nov 1994 08:49:37 GMT", None),
            ("Sun, 06 anF 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 UTC", None),
            ("Sun, 36 Nov 1994 08:49:37 GMT", None),
            ("99999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn times_in_json_are_read() {
        for (text, seconds) in [
            ("1994-11-06T08:49:37Z", Some(784_111_777)),
            ("1994-11-06t08:49:37.123456789z", Some(784_111_777)),
            ("1994-11-06T09:49:37+01:00", Some(784_111_777)),
            ("1994-11-06T03:19:37-05:30", Some(784_111_777)),
            ("1994-11-06T08:49:37", None),
            ("1994-11-06T08:49:37.Z", None),
            ("1994-11-06T08:49Z", None),
            ("1994-13-06T08:49:37Z", None),
            ("1994-11-06 08:49:37Z", None),
            ("1994-11-06T08:49:37Zulu", None),
            ("1994-11-06T08:49:3ä", None),
            ("", None),
        ] {
            assert_eq!(rfc3339(text), seconds, "{text:?}");
        }
    }
}
