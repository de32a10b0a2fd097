//! Which content codings a client accepts (RFC 9110 §12.5.3). Knows requests. `files` and `compression` call it.

use crate::backports::Trim;
use crate::http::request::Request;

/// A content coding that a response may have, in the order of our preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    pub(crate) const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    /// Its name in `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    /// What follows the name of a file that has it.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Zstd => ".zst",
            Coding::Gzip => ".gz",
        }
    }
}

/// The weights that a client gives, in thousandths. A coding of weight 0 is not accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    codings: [Option<u16>; 3],
    identity: Option<u16>,
    /// Of `*`: whatever is not named.
    others: Option<u16>,
}

impl Accepted {
    /// What a request accepts. Without the field, nothing but `identity`: RFC 9110 allows any coding then, but such a client
    /// may know none.
    pub(crate) fn of(request: &Request<'_>) -> Accepted {
        let mut accepted = Accepted::default();
        request.field_lines("accept-encoding").for_each(|line| accepted.read(line));
        accepted
    }

    /// Reads one line of the field. An element that is not understood is passed over.
    fn read(&mut self, line: &[u8]) {
        for element in line.split(|&byte| byte == b',') {
            let mut parts = element.split(|&byte| byte == b';').map(Trim::trimmed);
            let name = parts.next().unwrap_or_default();
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            let place = match () {
                () if is("br") => &mut self.codings[0],
                () if is("zstd") => &mut self.codings[1],
                () if is("gzip") || is("x-gzip") => &mut self.codings[2],
                () if is("identity") => &mut self.identity,
                () if is("*") => &mut self.others,
                () => continue,
            };
            *place = Some(parts.next().map_or(1_000, weight));
        }
    }

    fn weight(&self, coding: Coding) -> u16 {
        self.codings[coding as usize].or(self.others).unwrap_or(0)
    }

    /// The codings that the client accepts and does not like less than none, the best first. Of equal ones ours comes first.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = Coding> {
        let least = self.identity.or(self.others).unwrap_or(0).max(1);
        let mut codings = Coding::ALL;
        // The sort is stable.
        codings.sort_by_key(|coding| std::cmp::Reverse(self.weight(*coding)));
        let accepted = *self;
        codings.into_iter().filter(move |coding| accepted.weight(*coding) >= least)
    }

    /// Whether the client accepts a coding, and does not like it less than none.
    #[cfg(any(feature = "compression", test, fuzzing))]
    pub(crate) fn accepts(&self, coding: Coding) -> bool {
        self.in_order().any(|known| known == coding)
    }
}

/// A weight in thousandths: `q=0.5` is 500 (RFC 9110 §12.4.2). What is not a weight is 0.
fn weight(text: &[u8]) -> u16 {
    let (Some(b'q' | b'Q'), Some(b'=')) = (text.first(), text.get(1)) else { return 0 };
    let (whole, digits) = match &text[2..] {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return 0,
    };
    let mut thousandths = u16::from(*whole - b'0') * 1_000;
    for (digit, unit) in digits.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return 0;
        }
        thousandths += u16::from(digit - b'0') * unit;
    }
    if thousandths > 1_000 {
        0
    } else {
        thousandths
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod properties {
    use super::*;

    /// Holds for any field: a coding is chosen only if it is named, or `*` is; and never one that is refused by its name alone.
    pub(crate) fn hold(input: &[u8]) {
        let mut accepted = Accepted::default();
        accepted.read(input);
        let chosen: Vec<Coding> = accepted.in_order().collect();
        let lower = input.to_ascii_lowercase();
        for coding in chosen {
            let is_named = memchr::memmem::find(&lower, coding.name().as_bytes()).is_some();
            assert!(is_named || lower.contains(&b'*'), "{coding:?}");
            let mut refusing = input.to_vec();
            refusing.extend_from_slice(format!(",{};q=0", coding.name()).as_bytes());
            let mut refused = Accepted::default();
            refused.read(&refusing);
            assert!(!refused.accepts(coding), "{coding:?}");
        }
        for text in input.split(|&byte| byte == b';') {
            assert!(weight(text) <= 1_000);
        }
    }

    #[cfg(test)]
    #[test]
    fn properties_hold_of_random_fields() {
        let pieces = &[
            "gzip", "br", "zstd", "identity", "*", "x-gzip", ";q=", ";", "q=0.5", "0", "1", ".", ", ", ",",
            "1.000", "=", "GZIP",
        ];
        for input in crate::fuzzing::inputs(50_000, pieces) {
            hold(&input);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(fields: &[&str]) -> Vec<&'static str> {
        let request = fields
            .iter()
            .fold(Request::get("/"), |request, value| request.with_header("accept-encoding", value));
        Accepted::of(&request).in_order().map(Coding::name).collect()
    }

    #[test]
    fn the_client_chooses_by_weight_and_we_choose_among_equals() {
        for (field, expected) in [
            ("gzip, deflate, br, zstd", &["br", "zstd", "gzip"][..]),
            ("gzip", &["gzip"]),
            ("GZip", &["gzip"]),
            ("x-gzip", &["gzip"]),
            ("br;q=0.5, gzip;q=0.8", &["gzip", "br"]),
            ("br ; q=0.001", &["br"]),
            ("*", &["br", "zstd", "gzip"]),
            ("*;q=0.5, gzip", &["gzip", "br", "zstd"]),
            ("*, gzip;q=0", &["br", "zstd"]),
            ("identity;q=0, *;q=0", &[]),
            ("identity;q=0, gzip", &["gzip"]),
            ("identity;q=1, gzip;q=0.5", &[]),
            ("identity, gzip", &["gzip"]),
            ("gzip;q=0", &[]),
            ("gzip;q=0.000", &[]),
            ("gzip;Q=1.000", &["gzip"]),
            ("gzip;q=1.5", &[]),
            ("gzip;q=0.0001", &[]),
            ("gzip;q=-1", &[]),
            ("gzip;q=", &[]),
            ("gzip;q", &[]),
            ("gzip;level=9", &[]),
            ("gzipx, xgzip, pack200-gzip", &[]),
            ("", &[]),
            (",,gzip,", &["gzip"]),
        ] {
            assert_eq!(names(&[field]), expected, "{field}");
        }
        assert_eq!(names(&[]), [""; 0]);
        assert_eq!(names(&["br", "gzip"]), ["br", "gzip"]);
    }
}
