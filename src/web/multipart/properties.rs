//! Properties that hold for any bytes that come in place of a form.

use super::*;

/// The sizes of the pieces in which a form comes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pieces {
    Whole,
    Bytes,
    /// Sizes that follow from the bytes themselves; and what is read of a part is read in small pieces too.
    Mixed,
}

/// Gives bytes in pieces.
struct Source<'s> {
    bytes: &'s [u8],
    at: usize,
    pieces: Pieces,
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.at..];
        let most = match self.pieces {
            Pieces::Whole => usize::MAX,
            Pieces::Bytes => 1,
            Pieces::Mixed => 1 + usize::from(rest.first().copied().unwrap_or(0)) % 23,
        };
        let length = rest.len().min(most).min(out.len());
        out[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}

/// The status and the text of an error.
pub(super) fn told(error: &Error) -> (u16, String) {
    match error {
        Error::Answer { status, source } => (status.as_u16(), source.to_string()),
        other => panic!("an error that no form makes: {other}"),
    }
}

type Parts = Vec<(Head, Vec<u8>)>;

/// Reads a form to its end or to its first error. Returns also how many bytes of parts were read before an error.
pub(super) fn read(input: &[u8], boundary: &str, pieces: Pieces) -> (usize, Result<Parts, (u16, String)>) {
    let mut source = Source { bytes: input, at: 0, pieces };
    let mut form = Multipart::new(&mut source, boundary);
    let (mut parts, mut bytes) = (Vec::new(), 0);
    loop {
        let mut part = match form.next_part() {
            Ok(Some(part)) => part,
            Ok(None) => {
                drop(form);
                assert_eq!(source.at, input.len(), "the body is read to its end");
                return (bytes, Ok(parts));
            }
            Err(error) => return (bytes, Err(told(&error))),
        };
        let mut content = Vec::new();
        let mut out = [0; 4096];
        let most = if matches!(pieces, Pieces::Mixed) { 3 } else { out.len() };
        loop {
            match part.read(&mut out[..most]) {
                Ok(0) => break,
                Ok(read) => {
                    content.extend_from_slice(&out[..read]);
                    bytes += read;
                }
                Err(error) => return (bytes, Err(told(&error.into()))),
            }
        }
        parts.push((std::mem::take(&mut part.head), content));
    }
}

pub(crate) fn hold(input: &[u8]) {
    for boundary in ["b", "AaB03x", "a b", "-"] {
        let whole = read(input, boundary, Pieces::Whole);
        assert_eq!(read(input, boundary, Pieces::Bytes), whole);
        assert_eq!(read(input, boundary, Pieces::Mixed), whole);
        assert!(whole.0 <= input.len());
        let Ok(parts) = whole.1 else { continue };
        let written = write(&parts, boundary);
        assert_eq!(read(&written, boundary, Pieces::Mixed).1, Ok(parts));
    }
}

/// Writes a form as browsers do.
fn write(parts: &Parts, boundary: &str) -> Vec<u8> {
    let escaped = |name: &str| name.replace('\r', "%0D").replace('\n', "%0A").replace('"', "%22");
    let mut form = Vec::new();
    for (head, content) in parts {
        let mut lines =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", escaped(&head.name));
        if let Some(file_name) = &head.file_name {
            lines += &format!("; filename=\"{}\"", escaped(file_name));
        }
        if let Some(media_type) = &head.media_type {
            lines += &format!("\r\nContent-Type: {media_type}");
        }
        form.extend_from_slice(lines.as_bytes());
        form.extend_from_slice(b"\r\n\r\n");
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    form
}

#[cfg(test)]
#[test]
fn properties_hold_of_random_forms() {
    let pieces = &[
        "--b\r\n",
        "\r\n--b\r\n",
        "\r\n--b--",
        "\r\n--AaB03x\r\n",
        "\r\n--AaB03x--\r\n",
        "Content-Disposition: form-data; name=\"a\"\r\n",
        "Content-Disposition: form-data; name=\"a\"; filename=\"%22.bin\"\r\n\r\n",
        "Content-Type: text/plain\r\n",
        "\r\n",
        "\r\n\r\n",
        "content",
        "--",
    ];
    for input in crate::fuzzing::inputs(6_000, pieces) {
        hold(&input);
    }
}
