//! One request and its answer at a backend: connects, sends, and reads the answer's head, without ever waiting. What happens after
//! a failure is decided by value ([`after`]). Knows the backend's connection, and no client's. `pending` lets a server wait for it,
//! and `blocking` a thread.

use std::io;
use std::time::{Duration, Instant};

use ::http::header::UPGRADE;
use ::http::{HeaderValue, Method, StatusCode};

use super::body::{Early, PassedOn, Rest};
use super::connection::{is_refused, Connection, Read};
use super::kept::For;
use super::response;
use super::shared::InUse;
use super::tunnel::Tunnel;
use crate::http::chunked::Decoder;
use crate::http::incoming_response::{self, BodyLength, Found, Head};
use crate::http::into_response::IntoResponse;
use crate::http::problem::Problem;
use crate::http::response::{Payload, Response};
use crate::limits::body_memory::Share;
use crate::wake_list::{SideInterest, Waker};

/// How long a stream of events may be silent: a year.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How soon a backend that refuses connections is asked again.
const AGAIN: Duration = Duration::from_millis(200);
/// How much is read at a time while the head has not come whole, in bytes.
const STEP_BYTES: usize = 8 * 1024;
/// The most interim responses (1xx) before the final one. Go takes 5, which servers with early hints have exceeded.
const MOST_INTERIM: u32 = 32;

/// A request on its way to a backend.
pub(super) struct Exchange {
    in_use: InUse,
    asked: Asked,
    /// The head and the body.
    request: Vec<u8>,
    /// The memory that the request takes.
    _memory: Share,
    stage: Stage,
    /// Whether it was sent, at least in part, and got no answer.
    was_tried: bool,
    /// When a backend that refuses connections is given up.
    patient_until: Instant,
}

/// What matters of the client's request for the answer.
pub(super) struct Asked {
    pub method: Method,
    /// The host, as `Host` says it.
    pub authority: Option<String>,
    /// Whether the client asks for a WebSocket.
    pub wants_tunnel: bool,
}

enum Stage {
    /// The next connection is to be taken from the kept ones if that is allowed, or else opened to this address.
    Connect {
        kept: bool,
        address: usize,
    },
    /// Nobody listened. It is tried again then.
    Refused {
        again: Instant,
    },
    Open(Box<Open>),
}

/// With a connection.
struct Open {
    connection: Connection,
    address: usize,
    sent: usize,
    /// What has come of the answer, and how much of it was searched for the head's end.
    come: Vec<u8>,
    searched: usize,
    interim: u32,
    deadline: Instant,
}

/// What is to be done after an exchange was advanced.
pub(super) enum Progress {
    /// Nothing, until the connection wakes its waker, or this time.
    Wait(Instant),
    Made(Response),
}

/// Why there is no answer.
#[derive(Debug)]
enum Failure {
    /// No connection. Nothing was sent.
    Connect(io::Error),
    ConnectTimeout,
    /// The connection ended before an answer began.
    Ended(Option<io::Error>),
    /// The backend has begun an answer and not ended its head.
    CutHead,
    Malformed(&'static str),
    Silent,
    Own(&'static str),
}

/// What is known of a request that has failed.
#[derive(Debug, Clone, Copy)]
struct Tried {
    is_safe: bool,
    was_tried: bool,
    /// How much of it was sent on this connection.
    sent: usize,
    /// Whether there are further addresses.
    more_addresses: bool,
    /// Whether there is time to wait for a backend that starts.
    is_patient: bool,
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The same once more, on a new connection.
    Again,
    OtherAddress,
    /// Once more in a moment.
    Wait,
    GiveUp,
}

/// A request is sent again only if it is safe or nothing of it was sent, and once (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
fn after(failure: &Failure, tried: Tried) -> Next {
    match failure {
        Failure::Connect(_) | Failure::ConnectTimeout if tried.more_addresses => Next::OtherAddress,
        Failure::Connect(error) if is_refused(error) && tried.is_patient => Next::Wait,
        Failure::Ended(_) if tried.sent == 0 || tried.is_safe => match tried.was_tried {
            true => Next::GiveUp,
            false => Next::Again,
        },
        _ => Next::GiveUp,
    }
}

impl Exchange {
    /// A request of these bytes.
    pub(super) fn new(
        in_use: InUse,
        asked: Asked,
        request: Vec<u8>,
        memory: Share,
        now: Instant,
    ) -> Exchange {
        let patient_until = now + in_use.shared().patience();
        Exchange {
            in_use,
            asked,
            request,
            _memory: memory,
            stage: Stage::Connect { kept: true, address: 0 },
            was_tried: false,
            patient_until,
        }
    }

    /// Does what can be done without waiting. After a response was made it is not called again.
    pub(super) fn advance(&mut self, waker: &Waker, now: Instant) -> Progress {
        loop {
            let failure = match &mut self.stage {
                Stage::Refused { again } if now < *again => return Progress::Wait(*again),
                Stage::Refused { .. } => {
                    self.stage = Stage::Connect { kept: false, address: 0 };
                    continue;
                }
                Stage::Connect { kept, address } => {
                    let (kept, address) = (*kept, *address);
                    match self.connect(kept, address, waker, now) {
                        Ok(open) => {
                            self.stage = Stage::Open(Box::new(open));
                            continue;
                        }
                        Err(error) => (Failure::Connect(error), address, 0),
                    }
                }
                Stage::Open(open) => match open.advance(&self.request, &self.asked, waker) {
                    Ok(Step::Wait) if now >= open.deadline => {
                        let failure = match open.sent {
                            0 => Failure::ConnectTimeout,
                            _ => Failure::Silent,
                        };
                        (failure, open.address, open.sent)
                    }
                    Ok(Step::Wait) => return Progress::Wait(open.deadline),
                    Ok(Step::Sent) => {
                        open.deadline = now + self.in_use.shared().settings.first_byte;
                        self.in_use.shared().is_up();
                        continue;
                    }
                    Ok(Step::Head(head, end)) => return Progress::Made(self.pass_on(head, end, waker, now)),
                    Err(failure) => (failure, open.address, open.sent),
                },
            };
            let (failure, address, sent) = failure;
            let tried = Tried {
                is_safe: self.asked.method.is_safe(),
                was_tried: self.was_tried,
                sent,
                more_addresses: address + 1 < self.in_use.shared().target.addresses.len(),
                is_patient: now < self.patient_until,
            };
            self.stage = match after(&failure, tried) {
                Next::Again => {
                    self.was_tried = true;
                    Stage::Connect { kept: false, address: 0 }
                }
                Next::OtherAddress => Stage::Connect { kept: false, address: address + 1 },
                Next::Wait => Stage::Refused { again: now + AGAIN },
                Next::GiveUp => return Progress::Made(self.give_up(&failure, now)),
            };
        }
    }

    fn connect(&mut self, kept: bool, address: usize, waker: &Waker, now: Instant) -> io::Result<Open> {
        let shared = self.in_use.shared();
        let wanted = if self.asked.method.is_safe() { For::Safe } else { For::Unsafe };
        let taken = kept.then(|| shared.kept.take(waker, wanted, now)).flatten();
        let connection = match taken {
            Some(kept) => kept,
            None => match shared.target.addresses.get(address) {
                Some(address) => Connection::open(address, now)?,
                None => return Err(io::ErrorKind::AddrNotAvailable.into()),
            },
        };
        let deadline = now + shared.settings.connect;
        Ok(Open { connection, address, sent: 0, come: Vec::new(), searched: 0, interim: 0, deadline })
    }

    /// Makes the response for the client of the backend's.
    fn pass_on(&mut self, head: Head, end: usize, waker: &Waker, now: Instant) -> Response {
        let taken = std::mem::replace(&mut self.stage, Stage::Connect { kept: false, address: 0 });
        let Stage::Open(open) = taken else {
            return self.give_up(&Failure::Own("its connection is lost"), now);
        };
        let Open { connection, sent, come, .. } = *open;
        let shared = self.in_use.shared().clone();
        let mut fields = Vec::new();
        // It was read once; what is kept of it until then is only whether it is right.
        let read = incoming_response::find(&come, 0, &self.asked.method, &mut fields);
        let rules = response::Rules {
            asked: self.asked.authority.as_deref(),
            backend: &shared.target.authority,
            secure_cookies: shared.settings.secure_cookies,
        };
        let (Ok(_), Some(map)) = (read, response::fields(&come, &fields, rules)) else {
            return self.give_up(&Failure::Malformed("has a field that cannot be passed on"), now);
        };
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let is_websocket = fields.iter().any(|field| {
                field.name.of(&come).eq_ignore_ascii_case(b"upgrade")
                    && field.value.of(&come).eq_ignore_ascii_case(b"websocket")
            });
            if !is_websocket {
                return self
                    .give_up(&Failure::Malformed("changes to a protocol that nobody has asked for"), now);
            }
            let early = come.get(end..).unwrap_or_default().to_vec();
            let mut answer = Response::new(head.status);
            *answer.headers_mut() = map;
            answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
            answer.body = Payload::Upgrade(Box::new(Tunnel::new(connection, early, self.in_use.clone())));
            return answer;
        }
        let is_events = map
            .get(::http::header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        let mut answer = Response::new(head.status);
        *answer.headers_mut() = map;
        let (mut rest, length) = match head.body {
            BodyLength::None { told } => {
                let is_all = come.len() == end && sent == self.request.len();
                if head.keep_alive && is_all {
                    shared.kept.put(connection, head.kept_for, now);
                }
                answer.body = Payload::Reader { reader: Box::new(io::empty()), length: told };
                return answer;
            }
            BodyLength::Fixed(length) => (Rest::Fixed(length), Some(length)),
            BodyLength::Chunked => (Rest::Chunked(Decoder::new()), None),
            BodyLength::UntilClose => (Rest::UntilClose, None),
        };
        let mut early = come.get(end..).unwrap_or_default().to_vec();
        let Some((data, after)) = rest.decode(&mut early) else {
            return self.give_up(&Failure::Malformed("has broken chunks"), now);
        };
        early.truncate(data);
        // A body of no bytes has ended although nothing of it has come.
        let has_ended = after.is_some() || length == Some(0);
        let unsent = self.request.get(sent..).unwrap_or_default().to_vec();
        let again =
            (head.keep_alive && after.unwrap_or(0) == 0 && unsent.is_empty()).then_some(head.kept_for);
        if has_ended && unsent.is_empty() {
            if let Some(told) = again {
                shared.kept.put(connection, told, now);
            }
            answer.body = Payload::Bytes(early);
            return answer;
        }
        let silence = if is_events { FOR_EVER } else { shared.settings.between_bytes };
        answer.body = Payload::Live(Box::new(PassedOn {
            connection: Some(connection),
            rest,
            length,
            early: Early { data: early, given: 0, has_ended },
            unsent,
            again,
            silence,
            heard: now,
            waker: waker.clone(),
            in_use: self.in_use.clone(),
        }));
        answer
    }

    /// The answer instead of the backend's, and the log's line.
    fn give_up(&mut self, failure: &Failure, now: Instant) -> Response {
        let shared = self.in_use.shared();
        let (status, detail) = match failure {
            Failure::Connect(error) => {
                if is_refused(error) {
                    shared.is_down();
                }
                (StatusCode::BAD_GATEWAY, "The server behind this one cannot be reached.")
            }
            Failure::ConnectTimeout => {
                (StatusCode::GATEWAY_TIMEOUT, "The server behind this one does not accept connections.")
            }
            Failure::Silent => {
                (StatusCode::GATEWAY_TIMEOUT, "The server behind this one has not answered in time.")
            }
            Failure::Ended(_) | Failure::CutHead => (
                StatusCode::BAD_GATEWAY,
                "The server behind this one has ended the connection without an answer.",
            ),
            Failure::Malformed(_) => (
                StatusCode::BAD_GATEWAY,
                "The server behind this one has given an answer that is not right HTTP.",
            ),
            Failure::Own(_) => (StatusCode::BAD_GATEWAY, "The server behind this one cannot be asked."),
        };
        let why = match failure {
            Failure::Connect(error) => format!("it cannot be reached: {error}"),
            Failure::ConnectTimeout => format!("no connection within {:?}", shared.settings.connect),
            Failure::Silent => format!("no answer within {:?}", shared.settings.first_byte),
            Failure::Ended(None) => "it has closed the connection without an answer".to_string(),
            Failure::Ended(Some(error)) => format!("the connection has broken without an answer: {error}"),
            Failure::CutHead => "it has ended the connection within the head of its answer".to_string(),
            Failure::Malformed(fault) => format!("its answer {fault}"),
            Failure::Own(fault) => (*fault).to_string(),
        };
        let name = &shared.target.name;
        shared.log(now, format_args!("the backend {name} has given no answer: {why}"));
        let mut answer = Problem::new(status).detail(detail).into_response();
        if status == StatusCode::BAD_GATEWAY && matches!(failure, Failure::Connect(_)) {
            answer = answer.with_field(::http::header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}

/// What a turn with a connection has led to.
enum Step {
    Wait,
    /// Bytes of the request were sent: the backend takes it.
    Sent,
    /// The head of the final response, which ends at this offset of what has come.
    Head(Head, usize),
}

impl Open {
    fn advance(&mut self, request: &[u8], asked: &Asked, waker: &Waker) -> Result<Step, Failure> {
        let unsent = request.get(self.sent..).unwrap_or_default();
        let mut broken = None;
        if !unsent.is_empty() {
            match self.connection.send(unsent) {
                Ok(0) => {}
                Ok(sent) => {
                    self.sent += sent;
                    return Ok(Step::Sent);
                }
                Err(error) if self.sent == 0 && !self.connection.is_kept => {
                    return Err(Failure::Connect(error))
                }
                // It may have answered before it has read all.
                Err(error) => broken = Some(error),
            }
        }
        let is_whole = self.sent == request.len();
        let interest = if is_whole || broken.is_some() { SideInterest::Readable } else { SideInterest::Both };
        self.connection.watch(waker, interest).map_err(|error| Failure::Ended(Some(error)))?;
        if self.sent == 0 && broken.is_none() {
            return Ok(Step::Wait);
        }
        match self.read_head(asked)? {
            Step::Wait => match broken {
                Some(error) => Err(Failure::Ended(Some(error))),
                None => Ok(Step::Wait),
            },
            step => Ok(step),
        }
    }

    fn read_head(&mut self, asked: &Asked) -> Result<Step, Failure> {
        let mut piece = [0; STEP_BYTES];
        let mut fields = Vec::new();
        loop {
            match self.connection.read(&mut piece) {
                Ok(Read::Bytes(read)) => self.come.extend_from_slice(&piece[..read]),
                Ok(Read::Nothing) => return Ok(Step::Wait),
                Ok(Read::End) if self.come.is_empty() => return Err(Failure::Ended(None)),
                Err(error) if self.come.is_empty() => return Err(Failure::Ended(Some(error))),
                Ok(Read::End) | Err(_) => return Err(Failure::CutHead),
            }
            while !self.come.is_empty() {
                match incoming_response::find(&self.come, self.searched, &asked.method, &mut fields) {
                    Err(fault) => return Err(Failure::Malformed(fault)),
                    Ok(Found::Part(searched)) => {
                        self.searched = searched;
                        break;
                    }
                    Ok(Found::Whole(head, end)) if head.status.is_informational() => {
                        self.interim += 1;
                        if head.status == StatusCode::SWITCHING_PROTOCOLS {
                            if asked.wants_tunnel {
                                return Ok(Step::Head(head, end));
                            }
                            return Err(Failure::Malformed(
                                "changes the protocol, and nobody has asked for that",
                            ));
                        }
                        if self.interim > MOST_INTERIM {
                            return Err(Failure::Malformed("does not come behind 32 interim responses"));
                        }
                        self.come.drain(..end);
                        self.searched = 0;
                    }
                    Ok(Found::Whole(head, end)) => return Ok(Step::Head(head, end)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_sent_again_only_if_it_is_safe_or_nothing_of_it_was_sent_and_once() {
        let refused = || Failure::Connect(io::ErrorKind::ConnectionRefused.into());
        let unreachable = || Failure::Connect(io::ErrorKind::Unsupported.into());
        let reset = || Failure::Ended(Some(io::ErrorKind::ConnectionReset.into()));
        let none =
            Tried { is_safe: false, was_tried: false, sent: 0, more_addresses: false, is_patient: false };
        let safe = Tried { is_safe: true, sent: 9, ..none };
        let sent = Tried { sent: 1, ..none };
        for (failure, tried, expected) in [
            (Failure::Ended(None), none, Next::Again),
            (reset(), none, Next::Again),
            (Failure::Ended(None), sent, Next::GiveUp),
            (reset(), sent, Next::GiveUp),
            (Failure::Ended(None), safe, Next::Again),
            (reset(), safe, Next::Again),
            (Failure::Ended(None), Tried { was_tried: true, ..safe }, Next::GiveUp),
            (reset(), Tried { was_tried: true, ..none }, Next::GiveUp),
            // Part of an answer has come, or the time is up: once is enough.
            (Failure::CutHead, safe, Next::GiveUp),
            (Failure::Malformed(""), safe, Next::GiveUp),
            (Failure::Silent, safe, Next::GiveUp),
            // Without a connection nothing was sent.
            (refused(), none, Next::GiveUp),
            (refused(), Tried { is_patient: true, ..none }, Next::Wait),
            (refused(), Tried { is_patient: true, was_tried: true, ..safe }, Next::Wait),
            (unreachable(), Tried { is_patient: true, ..none }, Next::GiveUp),
            (refused(), Tried { more_addresses: true, is_patient: true, ..none }, Next::OtherAddress),
            (Failure::ConnectTimeout, Tried { more_addresses: true, ..none }, Next::OtherAddress),
            (Failure::ConnectTimeout, Tried { is_patient: true, ..none }, Next::GiveUp),
        ] {
            assert_eq!(after(&failure, tried), expected, "{failure:?} {tried:?}");
        }
    }
}
