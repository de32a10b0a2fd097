//! The body of a backend's response, passed on as it comes and only as fast as the client takes it. Knows the framing that the
//! response's head has said, and no client. `exchange` makes it, and the server asks it for bytes.

use std::time::{Duration, Instant};

use super::connection::{Connection, Read};
use super::shared::InUse;
use crate::http::chunked::Decoder;
use crate::http::live_body::{Call, Given, LiveBody, Then};
use crate::wake_list::{SideInterest, Waker};

const CUT: &str = "the backend has ended its connection in the middle of the response";
const SILENT: &str = "the backend has sent nothing more of the response for too long";
const MALFORMED: &str = "the backend's response has broken chunks";

/// How the rest of a body is framed.
#[derive(Debug)]
pub(super) enum Rest {
    Fixed(u64),
    Chunked(Decoder),
    UntilClose,
}

/// A response's body on its way.
pub(super) struct PassedOn {
    pub connection: Option<Connection>,
    pub rest: Rest,
    /// The length of the whole body, if the backend has told it.
    pub length: Option<u64>,
    /// What has come of it with its head: data, and whether it has ended.
    pub early: Early,
    /// What is left of the request. A backend may answer before it has read all.
    pub unsent: Vec<u8>,
    /// Whether the connection can be used again, and how long it is kept.
    pub again: Option<Option<Duration>>,
    /// How long the backend may send nothing.
    pub silence: Duration,
    pub heard: Instant,
    pub waker: Waker,
    pub in_use: InUse,
}

/// What has come of a body with its head.
#[derive(Debug, Default)]
pub(super) struct Early {
    pub data: Vec<u8>,
    pub given: usize,
    pub has_ended: bool,
}

/// What was read.
enum Step {
    Data(usize),
    /// The last data.
    Last(usize),
    Nothing,
    Cut(&'static str),
}

impl Rest {
    /// Takes the data out of `bytes`, to its front. `None` if they break the framing. Otherwise how many bytes of data there are,
    /// and, if the body has ended, how many bytes follow it.
    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> Option<(usize, Option<usize>)> {
        match self {
            Rest::UntilClose => Some((bytes.len(), None)),
            Rest::Fixed(left) => {
                let data = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= data as u64;
                Some((data, (*left == 0).then_some(bytes.len() - data)))
            }
            Rest::Chunked(decoder) => {
                let decoded = decoder.decode_in_place(bytes).ok()?;
                Some((decoded.data, decoded.rest))
            }
        }
    }
}

impl PassedOn {
    fn step(&mut self, out: &mut [u8]) -> Step {
        let early = &mut self.early;
        if early.given < early.data.len() {
            let rest = early.data.get(early.given..).unwrap_or_default();
            let some = rest.len().min(out.len());
            out[..some].copy_from_slice(&rest[..some]);
            early.given += some;
            return match early.given == early.data.len() {
                true if early.has_ended => Step::Last(some),
                true => {
                    early.data = Vec::new();
                    early.given = 0;
                    Step::Data(some)
                }
                false => Step::Data(some),
            };
        }
        if early.has_ended {
            return Step::Last(0);
        }
        let Some(connection) = &mut self.connection else { return Step::Cut(CUT) };
        if !self.unsent.is_empty() {
            match connection.send(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(_) => self.unsent = Vec::new(),
            }
            let interest = if self.unsent.is_empty() { SideInterest::Readable } else { SideInterest::Both };
            if connection.watch(&self.waker, interest).is_err() {
                return Step::Cut(CUT);
            }
            // Whether all of it has arrived is not known.
            self.again = None;
        }
        let most = match self.rest {
            // Never a byte of what follows the body.
            Rest::Fixed(left) => usize::try_from(left).map_or(out.len(), |left| left.min(out.len())),
            Rest::Chunked(_) | Rest::UntilClose => out.len(),
        };
        match connection.read(&mut out[..most]) {
            Ok(Read::Bytes(read)) => match self.rest.decode(&mut out[..read]) {
                Some((data, None)) => Step::Data(data),
                Some((data, Some(after))) => {
                    if after > 0 {
                        self.again = None;
                    }
                    Step::Last(data)
                }
                None => Step::Cut(MALFORMED),
            },
            Ok(Read::Nothing) => Step::Nothing,
            Ok(Read::End) if matches!(self.rest, Rest::UntilClose) => Step::Last(0),
            Ok(Read::End) | Err(_) => Step::Cut(CUT),
        }
    }

    /// The connection to the backend is not needed any more.
    fn finish(&mut self, now: Instant) {
        if let (Some(connection), Some(told)) = (self.connection.take(), self.again) {
            self.in_use.shared().kept.put(connection, told, now);
        }
    }
}

impl LiveBody for PassedOn {
    fn begin(&mut self, _: Waker) {
        // The connection to the backend wakes the client's since the request was sent.
    }

    fn length(&self) -> Option<u64> {
        self.length
    }

    fn give(&mut self, out: &mut [u8], call: Call) -> Given {
        let step = self.step(out);
        let now = Instant::now();
        match step {
            Step::Data(bytes) => {
                self.heard = now;
                Given { bytes, then: Then::More }
            }
            Step::Last(bytes) => {
                self.finish(now);
                Given { bytes, then: Then::End }
            }
            Step::Nothing => {
                let left = self.silence.saturating_sub(now.saturating_duration_since(self.heard));
                let then = match call {
                    Call::Due if left.is_zero() => Then::Cut(SILENT),
                    _ => Then::Wait(left),
                };
                Given { bytes: 0, then }
            }
            Step::Cut(why) => {
                self.connection = None;
                Given { bytes: 0, then: Then::Cut(why) }
            }
        }
    }
}
