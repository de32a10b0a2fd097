//! The byte ranges that a request asks for (RFC 9110 §14): the field's text and the length of what is sent become the parts to
//! send. Bytes and numbers only. `representation` calls it.

use crate::backports::Trim;

/// The most ranges that one request may ask for. A field with more is ignored, as RFC 9110 §14.2 allows: it comes from a broken
/// client, or from one that wants to keep the server busy.
const MOST_RANGES: usize = 16;

/// The first and the last byte of a part, both of them in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteRange {
    pub first: u64,
    pub last: u64,
}

impl ByteRange {
    pub(crate) fn length(self) -> u64 {
        self.last - self.first + 1
    }
}

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All of it: the field asks for something that is not understood, or for too many ranges.
    Whole,
    /// These parts, one or more. No two of them overlap or touch.
    Parts(Vec<ByteRange>),
    /// The field is right, and asks for nothing that is there: 416.
    Unsatisfiable,
}

/// Reads the value of a `Range` field, for content of `length` bytes.
///
/// Ranges that overlap or touch become one, in the place of the first of them, so no byte is sent twice (RFC 9110 §15.3.7.2).
/// Empty content has no ranges: it is sent whole, because some clients ask for a range in every request.
pub(crate) fn select(field: &[u8], length: u64) -> Selection {
    let Some(set) = ranges_of_bytes(field) else { return Selection::Whole };
    let mut parts: Vec<ByteRange> = Vec::new();
    let mut specs = 0;
    for spec in set.split(|&byte| byte == b',').map(Trim::trimmed) {
        if spec.is_empty() {
            // RFC 9110 §5.6.1.2: empty elements of a list are passed over.
            continue;
        }
        specs += 1;
        let Some(spec) = Spec::parse(spec).filter(|_| specs <= MOST_RANGES) else { return Selection::Whole };
        if let Some(range) = spec.within(length) {
            add(&mut parts, range);
        }
    }
    match (specs, parts.is_empty()) {
        (0, _) => Selection::Whole,
        _ if length == 0 => Selection::Whole,
        (_, true) => Selection::Unsatisfiable,
        (_, false) => Selection::Parts(parts),
    }
}

/// What follows `bytes=`. The unit's case does not matter.
fn ranges_of_bytes(field: &[u8]) -> Option<&[u8]> {
    let equals = field.iter().position(|&byte| byte == b'=')?;
    let (unit, set) = field.split_at(equals);
    unit.eq_ignore_ascii_case(b"bytes").then_some(&set[1..])
}

/// One range as it is asked for.
#[derive(Debug, Clone, Copy)]
enum Spec {
    /// From this byte to that, or to the end.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Last(u64),
}

impl Spec {
    fn parse(text: &[u8]) -> Option<Spec> {
        let hyphen = text.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (&text[..hyphen], &text[hyphen + 1..]);
        match (first.is_empty(), last.is_empty()) {
            (true, true) => None,
            (true, false) => Some(Spec::Last(number(last)?)),
            (false, true) => Some(Spec::From(number(first)?, None)),
            (false, false) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Spec::From(first, Some(last)))
            }
        }
    }

    /// The bytes that are there; none when the range begins behind the end, or is empty.
    fn within(self, length: u64) -> Option<ByteRange> {
        let end = length.checked_sub(1)?;
        let (first, last) = match self {
            Spec::From(first, last) => (first, last.unwrap_or(end).min(end)),
            Spec::Last(0) => return None,
            Spec::Last(count) => (length.saturating_sub(count), end),
        };
        (first <= end).then_some(ByteRange { first, last })
    }
}

/// A decimal number. One that is too large for any file becomes the largest.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |sum, digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(sum.saturating_mul(10).saturating_add(value))
    })
}

/// Adds a range to the parts, as one with those that it overlaps or touches.
fn add(parts: &mut Vec<ByteRange>, mut range: ByteRange) {
    let mut place = parts.len();
    // A range that has grown may reach further parts, so all are looked at again.
    while let Some(at) = parts.iter().position(|part| {
        range.first <= part.last.saturating_add(1) && part.first <= range.last.saturating_add(1)
    }) {
        let part = parts.remove(at);
        place = place.min(at);
        range = ByteRange { first: part.first.min(range.first), last: part.last.max(range.last) };
    }
    parts.insert(place.min(parts.len()), range);
}

#[cfg(any(test, fuzzing))]
pub(crate) mod properties {
    use super::*;

    /// Holds for any field and any length: the first eight bytes of the input are the length.
    pub(crate) fn hold(input: &[u8]) {
        let Some(field) = input.get(8..) else { return };
        let length = u64::from_le_bytes(std::array::from_fn(|at| input[at]));
        let Selection::Parts(parts) = select(field, length) else { return };
        assert!(!parts.is_empty() && parts.len() <= MOST_RANGES);
        let mut sorted = parts;
        sorted.sort_by_key(|part| part.first);
        for part in &sorted {
            assert!(part.first <= part.last && part.last < length, "{part:?} of {length}");
        }
        for two in sorted.windows(2) {
            assert!(two[0].last + 1 < two[1].first, "{two:?} overlap or touch");
        }
        // The same, byte by byte, for a length that allows it.
        if length <= 64 {
            let asked = naive(field, length);
            let sent: Vec<bool> = (0..length)
                .map(|at| sorted.iter().any(|part| (part.first..=part.last).contains(&at)))
                .collect();
            assert_eq!(sent, asked);
        }
    }

    /// Which bytes a field that is right asks for.
    fn naive(field: &[u8], length: u64) -> Vec<bool> {
        let text = String::from_utf8_lossy(field);
        let set = text.split_once('=').map_or("", |(_, set)| set);
        let mut asked = vec![false; length as usize];
        for (first, last) in set
            .split(',')
            .filter_map(|spec| spec.trim_matches(|c: char| c.is_ascii_whitespace()).split_once('-'))
        {
            let value = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
            for at in 0..length {
                let is_in = match (first, last) {
                    ("", last) => length - at <= value(last),
                    (first, "") => at >= value(first),
                    (first, last) => at >= value(first) && at <= value(last),
                };
                asked[at as usize] |= is_in;
            }
        }
        asked
    }

    #[cfg(test)]
    #[test]
    fn properties_hold_of_random_fields() {
        let pieces = &[
            "\n\0\0\0\0\0\0\0bytes=",
            "?\0\0\0\0\0\0\0bytes=",
            "\0\0\0\0\0\0\0\0bytes=",
            "0-",
            "-5",
            "9",
            "5-6",
            "0-0,",
            "7-8, ",
            ",",
            "-",
            "18446744073709551615",
            "99999999999999999999",
        ];
        for input in crate::fuzzing::inputs(50_000, pieces) {
            hold(&input);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(field: &str, length: u64) -> Vec<(u64, u64)> {
        match select(field.as_bytes(), length) {
            Selection::Parts(parts) => parts.into_iter().map(|part| (part.first, part.last)).collect(),
            other => panic!("{field}: {other:?}"),
        }
    }

    #[test]
    fn the_examples_of_rfc_9110_select_what_they_say() {
        for (field, expected) in [
            ("bytes=0-499", vec![(0, 499)]),
            ("bytes=500-999", vec![(500, 999)]),
            ("bytes=-500", vec![(9_500, 9_999)]),
            ("bytes=9500-", vec![(9_500, 9_999)]),
            ("bytes=0-0,-1", vec![(0, 0), (9_999, 9_999)]),
            ("bytes= 0-999, 4500-5499, -1000", vec![(0, 999), (4_500, 5_499), (9_000, 9_999)]),
            ("bytes=500-600,601-999", vec![(500, 999)]),
            ("bytes=500-700,601-999", vec![(500, 999)]),
            ("Bytes=0-0", vec![(0, 0)]),
            ("bytes=0-99999", vec![(0, 9_999)]),
            ("bytes=-99999", vec![(0, 9_999)]),
            ("bytes=0-18446744073709551616", vec![(0, 9_999)]),
            ("bytes=,,0-0,", vec![(0, 0)]),
            ("bytes=20000-,0-0,-0", vec![(0, 0)]),
        ] {
            assert_eq!(parts(field, 10_000), expected, "{field}");
        }
    }

    #[test]
    fn what_is_no_range_of_bytes_is_ignored() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=5-4",
            "bytes=0-0,5-4",
            "bytes=a-b",
            "bytes=0x1-2",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes=0--1",
            "bytes 0-1",
            "bytes =0-1",
            " bytes=0-1",
            "items=0-1",
            "none",
        ] {
            assert_eq!(select(field.as_bytes(), 100), Selection::Whole, "{field:?}");
        }
    }

    #[test]
    fn a_range_behind_the_end_is_416_but_not_of_nothing() {
        for field in
            ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=18446744073709551616-", "bytes=100-,200-"]
        {
            assert_eq!(select(field.as_bytes(), 100), Selection::Unsatisfiable, "{field}");
        }
        for field in ["bytes=0-", "bytes=-1", "bytes=0-0", "bytes=5-"] {
            assert_eq!(select(field.as_bytes(), 0), Selection::Whole, "{field}");
        }
    }

    #[test]
    fn no_set_of_ranges_makes_more_of_the_content_than_there_is() {
        let many = |spec: &str, count: usize| format!("bytes={}", vec![spec; count].join(","));
        assert_eq!(parts(&many("0-", 16), 1_000), [(0, 999)]);
        assert_eq!(select(many("0-", 17).as_bytes(), 1_000), Selection::Whole);
        assert_eq!(select(many("5000-", 17).as_bytes(), 1_000), Selection::Whole);
        let small: Vec<String> = (0..17).map(|at| format!("{0}-{0}", at * 2)).collect();
        assert_eq!(select(format!("bytes={}", small.join(",")).as_bytes(), 1_000), Selection::Whole);
        assert_eq!(parts("bytes=5-10,0-2,3-4", 1_000), [(0, 10)]);
        assert_eq!(parts("bytes=90-,0-1,50-91", 100), [(50, 99), (0, 1)]);
    }
}
