//! A request's body as a handler reads it: bytes in memory, or a reader that the server gives. Knows no framing and no limit.

use std::borrow::Cow;
use std::io::{self, Read};

use crate::error::{BodyFault, Error};

/// A request's body: in memory already, or still on its way.
pub(crate) enum Body<'a> {
    Buffered { bytes: Cow<'a, [u8]>, read: usize },
    Streaming(&'a mut (dyn Read + 'a)),
}

impl Body<'_> {
    pub(crate) const EMPTY: Body<'static> = Body::Buffered { bytes: Cow::Borrowed(&[]), read: 0 };

    pub(super) fn bytes_in_memory(&self) -> u64 {
        match self {
            Body::Buffered { bytes, .. } => bytes.len() as u64,
            Body::Streaming(_) => 0,
        }
    }

    /// All that has not been read yet.
    pub(super) fn read_whole(&mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(|error| Error::Body(BodyFault::of(error)))?;
        Ok(bytes)
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
