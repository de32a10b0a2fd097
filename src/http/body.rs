//! A request's body as a handler reads it: bytes in memory, or a reader that the server gives. Knows no framing.

use std::borrow::Cow;
use std::io::{self, Read};

#[cfg(feature = "proxy")]
use super::passing::OnItsWay;
use crate::error::{BodyFault, Error};

/// A request's body: in memory already, or still on its way.
pub(crate) enum Body<'a> {
    Buffered { bytes: Cow<'a, [u8]>, read: usize },
    Streaming(&'a mut (dyn Source + 'a)),
}

/// Where a body comes from that is still on its way.
pub(crate) trait Source: Read {
    /// Counts what is kept of the body in memory, in bytes, until the handler returns. Returns false when there is no room for it.
    fn cover(&mut self, bytes: usize) -> bool;

    /// Takes the body over for the response, which comes later and gets the rest ([`TakesBody`](super::passing::TakesBody)).
    /// `None` if a part has been read.
    #[cfg(feature = "proxy")]
    fn pass_on(&mut self) -> Option<OnItsWay> {
        None
    }
}

/// How much of a body is read at a time, and memory taken for it at first, in bytes.
const STEP_BYTES: usize = 16 * 1024;

impl Body<'_> {
    pub(crate) const EMPTY: Body<'static> = Body::Buffered { bytes: Cow::Borrowed(&[]), read: 0 };

    pub(super) fn bytes_in_memory(&self) -> u64 {
        match self {
            Body::Buffered { bytes, .. } => bytes.len() as u64,
            Body::Streaming(_) => 0,
        }
    }

    /// All that has not been read yet, if it has at most so many bytes. `promised` is the least length that the head tells.
    pub(super) fn read_text(&mut self, most: u64, promised: u64) -> Result<Cow<'_, [u8]>, BodyFault> {
        let too_large = BodyFault::TooLargeForText { limit: most };
        match self {
            Body::Buffered { bytes, read } => {
                let rest = bytes.get(*read..).unwrap_or_default();
                if rest.len() as u64 > most {
                    return Err(too_large);
                }
                *read = bytes.len();
                Ok(Cow::Borrowed(rest))
            }
            Body::Streaming(_) if promised > most => Err(too_large),
            Body::Streaming(source) => collect(*source, most)?.map(Cow::Owned).ok_or(too_large),
        }
    }

    /// All that has not been read yet.
    pub(super) fn read_whole(&mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(|error| Error::Body(BodyFault::of(error)))?;
        Ok(bytes)
    }
}

/// Reads a body to its end. `None` when it has more than `most` bytes.
fn collect(source: &mut dyn Source, most: u64) -> Result<Option<Vec<u8>>, BodyFault> {
    let mut bytes = Vec::new();
    loop {
        if bytes.len() == bytes.capacity() {
            let more = STEP_BYTES.max(bytes.len());
            if !source.cover(bytes.len() + more) {
                return Err(BodyFault::MemoryBusy);
            }
            bytes.reserve_exact(more);
        }
        let have = bytes.len();
        bytes.resize(bytes.capacity().min(have + STEP_BYTES), 0);
        let read = source.read(&mut bytes[have..]);
        bytes.truncate(have + read.as_ref().map_or(0, |read| *read));
        match read {
            Ok(0) => return Ok(Some(bytes)),
            Ok(_) if bytes.len() as u64 > most => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(BodyFault::of(error)),
        }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Body::Buffered { bytes, read } => {
                let mut rest = bytes.get(*read..).unwrap_or_default();
                let taken = rest.read(out)?;
                *read += taken;
                Ok(taken)
            }
            Body::Streaming(source) => source.read(out),
        }
    }
}
