//! The parts of DER (ITU-T X.690) that webpki does not expose: a strict reader, and a certificate's validity.
//!
//! Knows the outer structure of a certificate (RFC 5280 §4.1); `x509` reads the contents with the same reader. The input can be
//! anything: it is read here before webpki sees it.

use crate::calendar::days_from_civil;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`, the tag of a certificate's version.
pub(super) const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate is valid: from the first second to the last, both included. Seconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

/// The three parts of a certificate (RFC 5280 §4.1.1).
pub(super) struct Signed<'a> {
    /// The signed part with its tag and length, as the signature covers it.
    pub(super) tbs: &'a [u8],
    /// The content of the signature's AlgorithmIdentifier.
    pub(super) algorithm: &'a [u8],
    /// The signature's bits.
    pub(super) signature: &'a [u8],
}

/// The parts of an X.509 certificate of any version. All of `certificate` must be that one certificate.
pub(super) fn signed(certificate: &[u8]) -> Result<Signed<'_>, &'static str> {
    let mut outer = Reader::new(certificate);
    let mut signed = Reader::new(outer.expect(SEQUENCE)?);
    outer.end()?;
    let (tbs, _) = signed.whole(SEQUENCE)?;
    let algorithm = signed.expect(SEQUENCE)?;
    let signature = signed.bits()?;
    signed.end()?;
    Ok(Signed { tbs, algorithm, signature })
}

/// The validity of an X.509 certificate of any version. All of `certificate` must be that one certificate.
pub(super) fn validity(certificate: &[u8]) -> Result<Validity, &'static str> {
    let mut tbs = Reader::new(Reader::new(signed(certificate)?.tbs).expect(SEQUENCE)?);
    tbs.optional(VERSION)?;
    tbs.expect(INTEGER)?; // serialNumber
    tbs.expect(SEQUENCE)?; // signature
    tbs.expect(SEQUENCE)?; // issuer
    tbs.validity()
}

/// Whether all of `der` is one SEQUENCE, as the encoding of every private key is. The contents are not checked.
pub(super) fn is_one_sequence(der: &[u8]) -> bool {
    let mut reader = Reader::new(der);
    reader.expect(SEQUENCE).is_ok() && reader.end().is_ok()
}

/// Reads one element after the other.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Reader { rest: input }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<&'a [u8], &'static str> {
        let (found, content) = self.element()?;
        if found == tag {
            Ok(content)
        } else {
            Err("its DER has another structure than a certificate")
        }
    }

    /// The next element with its tag and length, and its content.
    pub(super) fn whole(&mut self, tag: u8) -> Result<(&'a [u8], &'a [u8]), &'static str> {
        let before = self.rest;
        let content = self.expect(tag)?;
        // The rest is the end of what was there before.
        let length = before.len() - self.rest.len();
        Ok((&before[..length], content))
    }

    /// The content of the next element if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, &'static str> {
        if self.rest.first() == Some(&tag) {
            self.expect(tag).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The next element, a BIT STRING of whole bytes.
    pub(super) fn bits(&mut self) -> Result<&'a [u8], &'static str> {
        match self.expect(BIT_STRING)?.split_first() {
            Some((0, bits)) => Ok(bits),
            _ => Err("its DER has a bit string that is not of whole bytes"),
        }
    }

    /// RFC 5280 §4.1.2.5.
    pub(super) fn validity(&mut self) -> Result<Validity, &'static str> {
        let mut times = Reader::new(self.expect(SEQUENCE)?);
        let not_before = times.time()?;
        let not_after = times.time()?;
        times.end()?;
        Ok(Validity { not_before, not_after })
    }

    pub(crate) fn end(&self) -> Result<(), &'static str> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err("its DER has bytes left over")
        }
    }

    /// The next element's tag and content.
    pub(crate) fn element(&mut self) -> Result<(u8, &'a [u8]), &'static str> {
        let tag = self.byte()?;
        if tag & 0x1f == 0x1f {
            return Err("its DER has a tag that no certificate has");
        }
        let length = self.length()?;
        if length > self.rest.len() {
            return Err("its DER is cut off");
        }
        let (content, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok((tag, content))
    }

    /// X.690 §10.1: lengths are definite, and have as few bytes as possible. Three bytes hold 16 MiB, more than any certificate
    /// has.
    fn length(&mut self) -> Result<usize, &'static str> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        let bytes = first & 0x7f;
        if !(1..=3).contains(&bytes) {
            return Err("its DER has a length that no certificate has");
        }
        let mut length = 0;
        for _ in 0..bytes {
            length = length << 8 | usize::from(self.byte()?);
        }
        let least = if bytes == 1 { 0x80 } else { 1 << (8 * (bytes - 1)) };
        if length < least {
            return Err("its DER has a length in more bytes than needed");
        }
        Ok(length)
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let (first, rest) = self.rest.split_first().ok_or("its DER is cut off")?;
        self.rest = rest;
        Ok(*first)
    }

    /// RFC 5280 §4.1.2.5: seconds are mandatory, the zone is always Z, and there are no fractions of seconds.
    pub(super) fn time(&mut self) -> Result<i64, &'static str> {
        const FAULT: &str = "its validity is not written as RFC 5280 wants it";
        let (tag, text) = self.element()?;
        let digits = text.strip_suffix(b"Z").ok_or(FAULT)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(FAULT);
        }
        let number = |digits: &[u8]| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        let (year, fields) = match (tag, digits.len()) {
            // RFC 5280 §4.1.2.5.1: two digits are a year from 1950 to 2049.
            (UTC_TIME, 12) => match number(&digits[..2]) {
                year @ 50.. => (1900 + year, &digits[2..]),
                year => (2000 + year, &digits[2..]),
            },
            (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
            _ => return Err(FAULT),
        };
        let (month, day) = (number(&fields[..2]), number(&fields[2..4]));
        let (hour, minute, second) = (number(&fields[4..6]), number(&fields[6..8]), number(&fields[8..]));
        if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
            return Err(FAULT);
        }
        if hour > 23 || minute > 59 || second > 59 {
            return Err(FAULT);
        }
        let days = days_from_civil(year, month as u32, day as u32);
        Ok(days * 86_400 + hour * 3_600 + minute * 60 + second)
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(tag: u8, text: &str) -> Result<i64, &'static str> {
        let mut der = vec![tag, text.len() as u8];
        der.extend_from_slice(text.as_bytes());
        Reader::new(&der).time()
    }

    fn certificate() -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2051, 3, 1);
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for (tag, text, seconds) in [
            (UTC_TIME, "700101000000Z", 0),
            (UTC_TIME, "491231235959Z", 2_524_607_999),
            (UTC_TIME, "500101000000Z", -631_152_000),
            (UTC_TIME, "240229235959Z", 1_709_251_199),
            (GENERALIZED_TIME, "20500101000000Z", 2_524_608_000),
            (GENERALIZED_TIME, "20000229000000Z", 951_782_400),
            // RFC 5280 §4.1.2.5: "no well-defined expiration date".
            (GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(time(tag, text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn times_of_any_other_form_are_refused() {
        for (tag, text) in [
            (UTC_TIME, "7001010000Z"),
            (UTC_TIME, "700101000000"),
            (UTC_TIME, "700101000000+0000"),
            (UTC_TIME, "20500101000000Z"),
            (UTC_TIME, "7001010000-1Z"),
            (UTC_TIME, "700001000000Z"),
            (UTC_TIME, "701301000000Z"),
            (UTC_TIME, "700100000000Z"),
            (UTC_TIME, "230229000000Z"),
            (UTC_TIME, "700431000000Z"),
            (UTC_TIME, "700101240000Z"),
            (UTC_TIME, "700101006000Z"),
            (UTC_TIME, "700101000060Z"),
            (GENERALIZED_TIME, "700101000000Z"),
            (GENERALIZED_TIME, "19000229000000Z"),
            (GENERALIZED_TIME, "20500101000000.5Z"),
            (SEQUENCE, "700101000000Z"),
            (UTC_TIME, "Z"),
            (UTC_TIME, ""),
        ] {
            assert!(time(tag, text).is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_in_any_other_form_than_der_are_refused() {
        for (input, why) in [
            (&[0x30, 0x80, 0, 0][..], "indefinite"),
            (&[0x30, 0x81, 0x01, 0], "one byte would do without 0x81"),
            (&[0x30, 0x82, 0x00, 0x80], "leading zero"),
            (&[0x30, 0x84, 0, 0, 0, 1, 0], "four bytes"),
            (&[0x30, 0xff], "reserved"),
            (&[0x30, 0x02, 0], "longer than the input"),
            (&[0x30, 0x81], "cut off in the length"),
            (&[0x30], "cut off before the length"),
            (&[0x3f, 0x00], "high tag number"),
            (&[0x30, 0x00, 0x00], "a byte left over"),
            (&[], "nothing"),
        ] {
            assert!(!is_one_sequence(input), "{why}");
        }
        assert!(is_one_sequence(&[0x30, 0x00]));
        let long = [&[0x30, 0x81, 0x80][..], &[0; 0x80]].concat();
        assert!(is_one_sequence(&long));
    }

    #[test]
    fn a_certificates_validity_is_found() {
        assert_eq!(
            validity(&certificate()),
            Ok(Validity { not_before: 1_709_164_800, not_after: 2_561_241_600 })
        );
    }

    #[test]
    fn a_damaged_certificate_is_an_error_and_never_a_panic() {
        let good = certificate();
        for length in 0..good.len() {
            assert!(validity(&good[..length]).is_err(), "cut off at {length}");
        }
        assert!(validity(&[&good[..], &[0]].concat()).is_err());
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let _ = validity(&bad);
            }
        }
    }
}
