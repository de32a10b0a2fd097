//! Decoding of requests' bodies that come with `Content-Encoding: gzip`, for routes that ask for it, within a limit of its own: a
//! few bytes can be made of very many. Knows requests. Handlers call it, with the feature `compression`.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use crate::backports::Trim;
use crate::error::{BodyFault, Error};
use crate::http::request::Request;

/// How much is read of the coded body at a time, in bytes.
const PIECE_BYTES: usize = 8 * 1024;

/// A request's body without its content coding, as [`Request::decoded_body`] gives it. It needs about 80 KiB of memory.
pub struct DecodedBody<'b> {
    source: Source<'b>,
    /// How many decoded bytes may still come.
    left: u64,
    limit: u64,
}

enum Source<'b> {
    Plain(&'b mut dyn Read),
    Gzip(Box<MultiGzDecoder<BufReader<&'b mut dyn Read>>>),
}

impl<'b> DecodedBody<'b> {
    /// See [`Request::decoded_body`].
    pub(super) fn of(request: &'b mut Request<'_>, limit: u64) -> Result<DecodedBody<'b>, Error> {
        let is_gzip = {
            let lines = request.field_lines("content-encoding");
            let codings = lines.flat_map(|line| line.split(|&byte| byte == b',')).map(Trim::trimmed);
            let mut codings =
                codings.filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"));
            match (codings.next(), codings.next()) {
                (None, _) => false,
                (Some(one), None)
                    if [&b"gzip"[..], b"x-gzip"].iter().any(|known| one.eq_ignore_ascii_case(known)) =>
                {
                    true
                }
                _ => return Err(Error::Body(BodyFault::ContentCoding)),
            }
        };
        let body = request.body();
        let source = if is_gzip {
            Source::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(PIECE_BYTES, body))))
        } else {
            Source::Plain(body)
        };
        Ok(DecodedBody { source, left: limit, limit })
    }
}

impl Read for DecodedBody<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        // One byte more than is left tells whether there is more.
        let most = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX).saturating_add(1));
        let read = match &mut self.source {
            Source::Plain(body) => body.read(&mut out[..most])?,
            Source::Gzip(decoder) => decoder.read(&mut out[..most]).map_err(gzip_fault)?,
        };
        if read as u64 > self.left {
            return Err(BodyFault::TooLarge { limit: self.limit }.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// The decoder's own errors are about the client's bytes. What the body says, a timeout for example, passes through.
fn gzip_fault(error: io::Error) -> io::Error {
    let is_of_body = error.get_ref().is_some_and(|inner| inner.is::<Error>());
    match error.kind() {
        io::ErrorKind::Interrupted => error,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            if !is_of_body =>
        {
            BodyFault::Gzip(error).into()
        }
        _ => error,
    }
}

impl std::fmt::Debug for DecodedBody<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DecodedBody").field("left", &self.left).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use ::http::StatusCode;
    use flate2::write::GzEncoder;
    use flate2::Compression;

    use super::*;
    use crate::http::into_response::IntoResponse;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The length of what comes out, or the status of the answer.
    fn decoded(coding: &str, body: &[u8], limit: u64) -> Result<usize, StatusCode> {
        let mut request = Request::post("/").with_header("content-encoding", coding).with_body(body);
        let mut out = Vec::new();
        let read = request.decoded_body(limit).and_then(|mut body| Ok(body.read_to_end(&mut out)?));
        read.map_err(|error| error.into_response().status())
    }

    #[test]
    fn a_coded_body_is_decoded_and_other_codings_are_415() {
        let text = b"reading ".repeat(1_000);
        let coded = gzip(&text);
        for coding in ["gzip", "GZIP", "x-gzip", "identity, gzip"] {
            assert_eq!(decoded(coding, &coded, 10_000), Ok(8_000), "{coding}");
        }
        assert_eq!(decoded("gzip", &[coded.clone(), coded.clone()].concat(), 16_000), Ok(16_000));
        assert_eq!(decoded("", &text, 8_000), Ok(8_000));
        for coding in ["br", "deflate", "gzip, gzip", "gzip, br", "zstd"] {
            assert_eq!(decoded(coding, &coded, 10_000), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{coding}");
        }
    }

    #[test]
    fn a_bomb_is_413_after_the_limit_and_not_after_all_of_it() {
        // A gigabyte in one megabyte; most of it is never made.
        let piece = gzip(&vec![0; 10 * 1024 * 1024]);
        let bomb = piece.repeat(100);
        assert!(bomb.len() < 2 * 1024 * 1024);
        for limit in [0, 1, 1_000, 1_000_000] {
            assert_eq!(decoded("gzip", &bomb, limit), Err(StatusCode::PAYLOAD_TOO_LARGE), "{limit}");
        }
        assert_eq!(decoded("gzip", &gzip(b"12345"), 5), Ok(5));
        assert_eq!(decoded("gzip", &gzip(b"123456"), 5), Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(decoded("", b"123456", 5), Err(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[test]
    fn a_body_that_is_no_gzip_or_is_damaged_is_400() {
        let coded = gzip(&b"reading ".repeat(1_000));
        let mut damaged = coded.clone();
        let last = damaged.len() - 5;
        damaged[last] ^= 1;
        let bodies = [&b"plain text"[..], &coded[..coded.len() - 1], &coded[..5], &damaged, &[0x1f, 0x8b]];
        for body in bodies {
            assert_eq!(decoded("gzip", body, 10_000), Err(StatusCode::BAD_REQUEST), "{} bytes", body.len());
        }
    }
}
