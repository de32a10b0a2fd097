//! The chunked transfer coding (RFC 9112 §7.1), read strictly and in constant memory. The decoder is shown bytes and says which
//! of them are data. It copies nothing, and keeps only its state.

use std::ops::Range;

use crate::error::BodyFault;

/// The longest size line in bytes, extensions included. Extensions are ignored here, and attacks have used them to waste CPU
/// time.
const SIZE_LINE_BYTES: u32 = 256;
/// The most bytes of extensions in one body of a request.
const EXTENSION_BYTES: u32 = 16 * 1024;
/// The most bytes of the trailer section, which is read and dropped (RFC 9112 §7.1.2).
const TRAILER_BYTES: u32 = 4 * 1024;

/// What the decoder found in the bytes it was shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Data of the body. The caller takes as much as it wants and says so with [`Decoder::take`].
    Data(Range<usize>),
    /// All bytes were framing. They are consumed, and more are needed.
    More,
    /// The body ended; the next message begins at this offset.
    End(usize),
}

/// What was decoded in its place.
#[cfg(feature = "proxy")]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// How many bytes of data there are.
    pub data: usize,
    /// If the body has ended: how many of the bytes come after it.
    pub rest: Option<usize>,
}

/// The decoder of one chunked body.
#[derive(Debug)]
#[cfg_attr(feature = "proxy", derive(Clone))]
pub(crate) struct Decoder {
    state: State,
    extension_bytes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size { value: u64, digits: u32 },
    Extension { value: u64, line: u32 },
    SizeLineFeed { value: u64 },
    Data { left: u64 },
    DataReturn,
    DataLineFeed,
    TrailerStart { used: u32 },
    TrailerName { used: u32 },
    TrailerValue { used: u32 },
    TrailerLineFeed { used: u32 },
    FinalLineFeed,
    Ended,
}

impl Decoder {
    pub(crate) fn new() -> Decoder {
        Decoder { state: State::Size { value: 0, digits: 0 }, extension_bytes: 0 }
    }

    /// Whether the whole body, its last CRLF included, has been seen.
    pub(crate) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Reads framing up to the next data, the end, or the end of `input`.
    pub(crate) fn next(&mut self, input: &[u8]) -> Result<Found, BodyFault> {
        self.scan(input, |_| {})
    }

    /// The same. The bytes of trailer fields, whose number is bounded, go to `keep`: a name, a colon, a value and CRLF each.
    #[inline(always)]
    fn scan(&mut self, input: &[u8], mut keep: impl FnMut(u8)) -> Result<Found, BodyFault> {
        for (offset, &byte) in input.iter().enumerate() {
            match self.state {
                State::TrailerStart { .. } if byte == b'\r' => {}
                State::TrailerStart { .. }
                | State::TrailerName { .. }
                | State::TrailerValue { .. }
                | State::TrailerLineFeed { .. } => keep(byte),
                _ => {}
            }
            self.state = match self.state {
                State::Data { left } => {
                    let available = (input.len() - offset) as u64;
                    return Ok(Found::Data(offset..offset + left.min(available) as usize));
                }
                State::Ended => return Ok(Found::End(offset)),
                State::Size { value, digits } => match (byte, digits) {
                    (b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F', 0..=15) => {
                        let digit = (byte as char).to_digit(16).unwrap_or_default();
                        State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
                    }
                    (b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F', _) => {
                        return Err(BodyFault::Malformed("a chunk's size has more than 16 digits"));
                    }
                    (_, 0) => {
                        return Err(BodyFault::Malformed(
                            "a chunk does not begin with its size in hexadecimal",
                        ))
                    }
                    (b'\r', _) => State::SizeLineFeed { value },
                    (b';', _) => State::Extension { value, line: digits },
                    _ => {
                        return Err(BodyFault::Malformed(
                            "a chunk's size is followed by neither CRLF nor an extension",
                        ))
                    }
                },
                State::Extension { value, line } => {
                    self.extension_bytes += 1;
                    if line >= SIZE_LINE_BYTES || self.extension_bytes > EXTENSION_BYTES {
                        return Err(BodyFault::Malformed("the chunk extensions are too long"));
                    }
                    match byte {
                        b'\r' => State::SizeLineFeed { value },
                        _ if is_field_byte(byte) => State::Extension { value, line: line + 1 },
                        _ => return Err(BodyFault::Malformed("a chunk extension holds a control character")),
                    }
                }
                State::SizeLineFeed { value } => match (byte, value) {
                    (b'\n', 0) => State::TrailerStart { used: 0 },
                    (b'\n', left) => State::Data { left },
                    _ => return Err(BodyFault::Malformed("a chunk's size line does not end in CRLF")),
                },
                State::DataReturn if byte == b'\r' => State::DataLineFeed,
                State::DataLineFeed if byte == b'\n' => State::Size { value: 0, digits: 0 },
                State::DataReturn | State::DataLineFeed => {
                    return Err(BodyFault::Malformed("a chunk's data is not followed by CRLF"));
                }
                State::TrailerStart { used } => match byte {
                    b'\r' => State::FinalLineFeed,
                    _ if is_token_byte(byte) => State::TrailerName { used: trailer(used)? },
                    _ => return Err(BodyFault::Malformed("a trailer field does not begin with a name")),
                },
                State::TrailerName { used } => match byte {
                    b':' => State::TrailerValue { used: trailer(used)? },
                    _ if is_token_byte(byte) => State::TrailerName { used: trailer(used)? },
                    _ => return Err(BodyFault::Malformed("a trailer field has no colon after its name")),
                },
                State::TrailerValue { used } => match byte {
                    b'\r' => State::TrailerLineFeed { used: trailer(used)? },
                    _ if is_field_byte(byte) => State::TrailerValue { used: trailer(used)? },
                    _ => return Err(BodyFault::Malformed("a trailer field holds a control character")),
                },
                State::TrailerLineFeed { used } if byte == b'\n' => {
                    State::TrailerStart { used: trailer(used)? }
                }
                State::FinalLineFeed if byte == b'\n' => {
                    self.state = State::Ended;
                    return Ok(Found::End(offset + 1));
                }
                State::TrailerLineFeed { .. } | State::FinalLineFeed => {
                    return Err(BodyFault::Malformed("the trailer section does not end in CRLF"));
                }
            };
        }
        Ok(if self.is_ended() { Found::End(input.len()) } else { Found::More })
    }

    /// Decodes all of `bytes`: their data stand at their front afterwards. The lines of trailer fields go to `keep`. Each size line is
    /// bounded, and all extensions together are not: a stream of chunks that are signed one by one may last for days.
    #[cfg(feature = "proxy")]
    pub(crate) fn decode_in_place(
        &mut self,
        bytes: &mut [u8],
        mut keep: impl FnMut(u8),
    ) -> Result<Decoded, BodyFault> {
        let (mut at, mut data) = (0, 0);
        while at < bytes.len() {
            match self.scan(&bytes[at..], &mut keep)? {
                Found::Data(range) => {
                    let found = at + range.start..at + range.end;
                    self.take(range.len());
                    self.extension_bytes = 0;
                    at = found.end;
                    bytes.copy_within(found, data);
                    data += range.len();
                }
                Found::More => break,
                Found::End(length) => return Ok(Decoded { data, rest: Some(bytes.len() - at - length) }),
            }
        }
        Ok(Decoded { data, rest: self.is_ended().then_some(0) })
    }

    /// Notes that `length` bytes of the data last found were taken.
    pub(crate) fn take(&mut self, length: usize) {
        if let State::Data { left } = self.state {
            let left = left.saturating_sub(length as u64);
            self.state = if left == 0 { State::DataReturn } else { State::Data { left } };
        }
    }
}

fn trailer(used: u32) -> Result<u32, BodyFault> {
    if used < TRAILER_BYTES {
        Ok(used + 1)
    } else {
        Err(BodyFault::Malformed("the trailer section is too long"))
    }
}

/// What may stand in a field value (RFC 9110 §5.5).
fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

/// What may stand in a token (RFC 9110 §5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input` in pieces of `step` bytes: the data, and the bytes left after the end.
    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, Option<Vec<u8>>), BodyFault> {
        let mut decoder = Decoder::new();
        let mut data = Vec::new();
        for (piece_index, piece) in input.chunks(step).enumerate() {
            let mut rest = piece;
            loop {
                match decoder.next(rest)? {
                    Found::More => break,
                    Found::Data(range) => {
                        data.extend_from_slice(&rest[range.clone()]);
                        decoder.take(range.len());
                        rest = &rest[range.end..];
                    }
                    Found::End(at) => {
                        let after = piece_index * step + (piece.len() - rest.len()) + at;
                        return Ok((data, Some(input[after..].to_vec())));
                    }
                }
            }
        }
        Ok((data, None))
    }

    #[test]
    fn data_and_end_are_the_same_at_every_split() {
        let input = b"4\r\nWiki\r\n6;a=b\r\npedia \r\nC\r\nin \r\n\r\nchunk\r\n0\r\nX: y\r\n\r\nGET";
        for step in 1..=input.len() {
            let (data, rest) = decode(input, step).unwrap();
            assert_eq!(data, b"Wikipedia in \r\n\r\nchunk", "step {step}");
            assert_eq!(rest.as_deref(), Some(&b"GET"[..]), "step {step}");
        }
    }

    #[test]
    fn broken_framing_is_refused() {
        let long_extension = format!("1;{}\r\nx\r\n", "e".repeat(300));
        let long_trailer = format!("0\r\nA: {}\r\n\r\n", "e".repeat(5000));
        let many_trailers = format!("0\r\n{}\r\n", "A:\r\n".repeat(1025));
        let many_extensions = "1;eeeeeeee\r\nx\r\n".repeat(3000);
        for input in [
            "\r\n",
            "-2\r\n",
            "+2\r\n",
            "0x2\r\n",
            " 2\r\n",
            "2 \r\n",
            "2\n",
            "g\r\n",
            "11111111111111111\r\n",
            "2\r\nab\n",
            "2\r\nabc\r\n",
            "2\r\nab\r\r",
            "2\rab",
            "1;\n",
            "1;a\0\r\n",
            "0\r\n\n",
            "0\r\n: x\r\n",
            "0\r\nA x\r\n",
            "0\r\nA: x\n",
            "0\r\n A: x\r\n",
            &long_extension,
            &long_trailer,
            &many_trailers,
            &many_extensions,
        ] {
            for step in [1, input.len()] {
                assert!(decode(input.as_bytes(), step).is_err(), "{:?}", &input[..input.len().min(40)]);
            }
        }
    }

    #[cfg(feature = "proxy")]
    #[test]
    fn what_is_decoded_in_its_place_is_the_same_at_every_split() {
        let input = b"4\r\nWiki\r\n6;a=b\r\npedia \r\n0\r\nX: y\r\n\r\nGET";
        for step in 1..=input.len() {
            let (mut decoder, mut data, mut after) = (Decoder::new(), Vec::new(), None);
            for piece in input.chunks(step) {
                let mut piece = piece.to_vec();
                if let Some(after) = &mut after {
                    *after += piece.len();
                    continue;
                }
                let decoded = decoder.decode_in_place(&mut piece, |_| {}).unwrap();
                data.extend_from_slice(&piece[..decoded.data]);
                after = decoded.rest;
            }
            assert_eq!((&*data, after), (&b"Wikipedia "[..], Some(3)), "step {step}");
        }
        assert!(Decoder::new().decode_in_place(&mut b"x\r\n".to_vec(), |_| {}).is_err());
    }

    #[cfg(feature = "proxy")]
    #[test]
    fn a_long_stream_in_its_place_may_have_an_extension_in_each_chunk_but_no_long_one() {
        let mut decoder = Decoder::new();
        for _ in 0..1_000 {
            let mut chunk = format!("1;{}\r\nx\r\n", "e".repeat(200)).into_bytes();
            assert_eq!(decoder.decode_in_place(&mut chunk, |_| {}).unwrap(), Decoded { data: 1, rest: None });
        }
        let mut long = format!("1;{}", "e".repeat(300)).into_bytes();
        assert!(decoder.decode_in_place(&mut long, |_| {}).is_err());
    }

    #[test]
    fn the_largest_size_is_no_overflow() {
        let mut decoder = Decoder::new();
        assert_eq!(decoder.next(b"ffffffffffffffff\r\nab").unwrap(), Found::Data(18..20));
    }

    #[test]
    fn an_unfinished_body_is_not_an_end() {
        let whole = b"3\r\nabc\r\n0\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length], 1).unwrap().1, None, "{length}");
        }
    }
}
