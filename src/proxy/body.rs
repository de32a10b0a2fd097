//! The body of a backend's response, passed on as it comes and only as fast as the client takes it. Knows the framing that the
//! response's head has said, and no client. `exchange` makes it, and the server asks it for bytes.

use std::time::{Duration, Instant};

use super::chosen::Chosen;
use super::connection::{Connection, Read};
use super::ejection::Kind;
use super::outgoing::Outgoing;
use super::trailers;
use crate::http::chunked::Decoder;
use crate::http::live_body::{Call, Given, LiveBody, Then};
use crate::http::passing::TakesBody;
use crate::limits::route::Permit;
use crate::wake_list::{SideInterest, Waker};

const CUT: &str = "the backend has ended its connection in the middle of the response";
const SILENT: &str = "the backend has sent nothing more of the response for too long";
const MALFORMED: &str = "the backend's response has broken chunks";

/// How the rest of a body is framed.
#[derive(Debug)]
pub(super) enum BodyFraming {
    Fixed(u64),
    /// With the lines of the trailer fields, if they are kept.
    Chunked(Decoder, Option<Vec<u8>>),
    UntilClose,
}

/// A response's body on its way.
pub(super) struct PassedOn {
    pub connection: Option<Connection>,
    pub rest: BodyFraming,
    /// The length of the whole body, if the backend has told it.
    pub length: Option<u64>,
    /// What has come of it with its head: data, and whether it has ended.
    pub early: Early,
    /// What is left of the request. A backend may answer before it has read all, or before the client has sent all.
    pub request: Outgoing,
    /// Whether the connection can be used again, and how long it is kept.
    pub again: Option<Option<Duration>>,
    /// How long the backend may send nothing.
    pub silence: Duration,
    pub heard: Instant,
    pub waker: Waker,
    pub chosen: Chosen,
    /// What it holds of the client's router, until it is dropped.
    pub places: Vec<Permit>,
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

impl BodyFraming {
    /// Whether trailers have come, and are kept.
    pub(super) fn has_trailers(&self) -> bool {
        matches!(self, BodyFraming::Chunked(_, Some(trailers)) if !trailers.is_empty())
    }

    /// Takes the data out of `bytes`, to its front. `None` if they break the framing. Otherwise how many bytes of data there are,
    /// and, if the body has ended, how many bytes follow it.
    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> Option<(usize, Option<usize>)> {
        match self {
            BodyFraming::UntilClose => Some((bytes.len(), None)),
            BodyFraming::Fixed(left) => {
                let data = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= data as u64;
                Some((data, (*left == 0).then_some(bytes.len() - data)))
            }
            BodyFraming::Chunked(decoder, trailers) => {
                let keep = |byte| {
                    if let Some(trailers) = trailers {
                        trailers.push(byte);
                    }
                };
                let decoded = decoder.decode_in_place(bytes, keep).ok()?;
                Some((decoded.data, decoded.rest))
            }
        }
    }
}

impl PassedOn {
    fn step(&mut self, out: &mut [u8], now: Instant) -> Step {
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
        if self.request.has_unsent() {
            match self.request.send(connection) {
                Ok(0) => {}
                Ok(_) => self.heard = now,
                Err(_) => self.request.give_up(),
            }
            let interest = match self.request.has_unsent() {
                true => SideInterest::Both,
                false => SideInterest::Readable,
            };
            if connection.watch(&self.waker, interest).is_err() {
                return Step::Cut(CUT);
            }
            // Whether all of it has arrived is not known.
            self.again = None;
        }
        let most = match self.rest {
            // Never a byte of what follows the body.
            BodyFraming::Fixed(left) => usize::try_from(left).map_or(out.len(), |left| left.min(out.len())),
            BodyFraming::Chunked(..) | BodyFraming::UntilClose => out.len(),
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
            Ok(Read::End) if matches!(self.rest, BodyFraming::UntilClose) => Step::Last(0),
            Ok(Read::End) | Err(_) => Step::Cut(CUT),
        }
    }

    /// The answer ends before its end. Of a backend that waits for the rest of its request, that says nothing: a client that sends it
    /// too slowly, or not at all, makes the best one give up.
    fn cut(&mut self, why: &'static str, now: Instant) -> Given {
        self.connection = None;
        if self.request.is_whole() || why == MALFORMED {
            self.chosen.failed(Kind::Cut, now);
        }
        self.chosen.tell_of_cut("an answer of", why, now);
        Given { bytes: 0, then: Then::Cut(why) }
    }

    /// The connection to the backend is not needed any more.
    fn finish(&mut self, now: Instant) {
        if let (Some(connection), Some(told)) = (self.connection.take(), self.again) {
            self.chosen.kept().put(connection, told, now);
        }
        self.chosen.completed();
    }
}

impl LiveBody for PassedOn {
    fn trailers(&mut self) -> Vec<u8> {
        match &mut self.rest {
            BodyFraming::Chunked(_, Some(trailers)) => trailers::passed_on(trailers),
            _ => Vec::new(),
        }
    }

    fn taker(&mut self) -> Option<&mut dyn TakesBody> {
        match self.request.goes_on() {
            true => Some(&mut self.request),
            false => None,
        }
    }

    fn begin(&mut self, _: Waker) {
        // The connection to the backend wakes the client's since the request was sent.
    }

    fn length(&self) -> Option<u64> {
        self.length
    }

    fn hold(&mut self, places: Vec<Permit>) {
        self.places = places;
    }

    fn give(&mut self, out: &mut [u8], call: Call) -> Given {
        let now = Instant::now();
        let step = self.step(out, now);
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
                match call {
                    Call::Due if left.is_zero() => self.cut(SILENT, now),
                    _ => Given { bytes: 0, then: Then::Wait(left) },
                }
            }
            Step::Cut(why) => self.cut(why, now),
        }
    }
}
