//! What is sent of a file: all of it, one part, or several parts with a line between them (`multipart/byteranges`, RFC 9110 §14.6).
//! Bytes of the program are sent where they stand; a file is read as the client takes it, straight into the buffer that is
//! encrypted. Knows files and the bodies of responses. `representation` calls it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::range::ByteRange;
use crate::http::response::Payload;

/// A part of a file up to this length is read at once, in bytes: it goes out in one record with the head, and needs no reader.
pub(crate) const READ_AT_ONCE_BYTES: u64 = 16 * 1024;

/// The bytes of a file.
#[derive(Debug)]
pub(crate) enum Content {
    /// In the program itself.
    Static(&'static [u8]),
    /// Read already.
    Memory(Vec<u8>),
    /// To be read. The length is that at opening: what is appended later is not sent.
    File { file: File, length: u64 },
}

impl Content {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Content::Static(bytes) => bytes.len() as u64,
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File { length, .. } => *length,
        }
    }

    /// All of it.
    pub(crate) fn whole(self) -> Payload {
        match self.length().checked_sub(1) {
            Some(last) => self.part(ByteRange { first: 0, last }),
            None => Payload::Static(b""),
        }
    }

    /// One part of it.
    pub(crate) fn part(self, range: ByteRange) -> Payload {
        match self {
            Content::Static(bytes) => Payload::Static(slice(bytes, range)),
            Content::Memory(bytes) if range.length() == bytes.len() as u64 => Payload::Bytes(bytes),
            Content::Memory(bytes) => Payload::Bytes(slice(&bytes, range).to_vec()),
            Content::File { file, .. } => {
                if range.length() <= READ_AT_ONCE_BYTES {
                    let mut bytes = vec![0; range.length() as usize];
                    if file.read_exact_at(&mut bytes, range.first).is_ok() {
                        return Payload::Bytes(bytes);
                    }
                }
                // The reader says what is wrong with a file that could not be read, and the connection is cut.
                let reader = FileReader { file, at: range.first, left: range.length() };
                Payload::Reader { reader: Box::new(reader), length: Some(range.length()) }
            }
        }
    }

    /// Several parts, each after its head, and the end.
    pub(crate) fn parts(self, parts: Vec<(Vec<u8>, ByteRange)>, end: Vec<u8>) -> Payload {
        let length = parts.iter().map(|(head, range)| head.len() as u64 + range.length()).sum::<u64>();
        let length = length + end.len() as u64;
        let mut pieces: Vec<Piece> = Vec::with_capacity(2 * parts.len() + 1);
        for (head, range) in parts {
            pieces.push(Piece::Text(head));
            pieces.push(Piece::Part(range));
        }
        pieces.push(Piece::Text(end));
        // They are taken from the end.
        pieces.reverse();
        let reader = PartsReader { content: self, pieces, at: 0 };
        Payload::Reader { reader: Box::new(reader), length: Some(length) }
    }

    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        let bytes = match self {
            Content::Static(bytes) => *bytes,
            Content::Memory(bytes) => bytes,
            Content::File { file, .. } => return file.read_at(out, at),
        };
        let mut rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        rest.read(out)
    }
}

fn slice(bytes: &[u8], range: ByteRange) -> &[u8] {
    bytes.get(range.first as usize..=range.last as usize).unwrap_or_default()
}

/// Fails where a file has become shorter: then the connection is cut, and the client does not take the part for the whole.
fn shortened() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent")
}

/// Reads a part of a file. Each call is one system call.
struct FileReader {
    file: File,
    at: u64,
    left: u64,
}

impl Read for FileReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut out[..most], self.at)?;
        if read == 0 && most > 0 {
            return Err(shortened());
        }
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Reads several parts and the text between them.
struct PartsReader {
    content: Content,
    /// What is left, the next piece last.
    pieces: Vec<Piece>,
    /// How much of the next piece was given.
    at: u64,
}

enum Piece {
    Text(Vec<u8>),
    Part(ByteRange),
}

impl Read for PartsReader {
    /// Fills the buffer, so that a small part does not become a record of its own.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            let Some(piece) = self.pieces.last() else { break };
            let room = &mut out[filled..];
            let (read, length) = match piece {
                Piece::Text(text) => ((&text[self.at as usize..]).read(room)?, text.len() as u64),
                Piece::Part(range) => {
                    let left = usize::try_from(range.length() - self.at).unwrap_or(usize::MAX);
                    let most = room.len().min(left);
                    let read = self.content.read_at(&mut room[..most], range.first + self.at)?;
                    if read == 0 {
                        return Err(shortened());
                    }
                    (read, range.length())
                }
            };
            filled += read;
            self.at += read as u64;
            if self.at == length {
                self.pieces.pop();
                self.at = 0;
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::http::response::Response;
    use ::http::StatusCode;

    fn bytes(payload: Payload) -> io::Result<Vec<u8>> {
        let mut response = Response::new(StatusCode::OK);
        response.body = payload;
        response.into_bytes()
    }

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn each(content: &[u8]) -> [Content; 3] {
        let length = content.len() as u64;
        [
            Content::Static(content.to_vec().leak()),
            Content::Memory(content.to_vec()),
            Content::File { file: file(content), length },
        ]
    }

    #[test]
    fn a_part_is_the_same_wherever_the_content_stands() {
        let large: Vec<u8> = (0..70_000_u32).map(|at| at as u8).collect();
        for (first, last) in [(0, 0), (5, 20_000), (69_999, 69_999), (0, 69_999)] {
            for content in each(&large) {
                let part = bytes(content.part(ByteRange { first, last })).unwrap();
                assert_eq!(part, large[first as usize..=last as usize]);
            }
        }
        for content in each(b"") {
            assert_eq!(bytes(content.whole()).unwrap(), b"");
        }
    }

    #[test]
    fn parts_have_their_heads_between_them_and_the_length_that_was_said() {
        let large: Vec<u8> = (0..70_000_u32).map(|at| at as u8).collect();
        let ranges = [ByteRange { first: 60_000, last: 69_999 }, ByteRange { first: 0, last: 0 }];
        let expected = [b"one", &large[60_000..], b"two", &large[..1], b"end"].concat();
        for content in each(&large) {
            let parts = vec![(b"one".to_vec(), ranges[0]), (b"two".to_vec(), ranges[1])];
            let payload = content.parts(parts, b"end".to_vec());
            assert_eq!(payload.length(), Some(expected.len() as u64));
            assert_eq!(bytes(payload).unwrap(), expected);
        }
    }

    #[test]
    fn a_file_that_becomes_shorter_is_an_error_and_one_that_grows_keeps_its_length() {
        for length in [1_000, 100_000] {
            let whole = |file: File| Content::File { file, length: length as u64 };
            let range = ByteRange { first: 0, last: length as u64 - 1 };
            let short = file(&vec![1; length - 1]);
            assert_eq!(bytes(whole(short).whole()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            let short = whole(file(&vec![1; length - 1])).parts(vec![(Vec::new(), range)], Vec::new());
            assert_eq!(bytes(short).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            let grown = file(&vec![1; length + 1]);
            assert_eq!(bytes(whole(grown).whole()).unwrap().len(), length);
        }
    }
}
