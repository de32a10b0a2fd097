//! One request and its answer at a backend: connects, sends, and reads the answer's head, without ever waiting. What happens after
//! a failure is decided in `failure`. Knows the backend's connection, and no client's. `pending` lets a server wait for it,
//! and `blocking` a thread.

use std::io;
use std::time::{Duration, Instant};

use ::http::header::{CONTENT_TYPE, TRAILER, UPGRADE};
use ::http::{HeaderMap, HeaderValue, StatusCode};
#[cfg(not(feature = "operations"))]
use log::Level;

use super::asked::Asked;
use super::body::{BodyFraming, Early, PassedOn};
use super::chosen::{Chosen, Taken, Waiting};
use super::connection::{Connection, Read};
use super::ejection::{Answer, Kind, AGAIN};
use super::failure::{after, Failure, Next, Tried};
use super::kept::For;
use super::outgoing::Outgoing;
use super::response;
use super::trailers;
use super::tunnel::Tunnel;
use crate::http::chunked::Decoder;
use crate::http::incoming_response::{self, BodyLength, Found, Head};
use crate::http::passing::TakesBody;
use crate::http::response::{Payload, Response};
use crate::http::span::Field;
use crate::wake_list::{SideInterest, Waker};

/// Stands for no limit where a time is needed: a year.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// To how many further targets a request goes that was not sent.
const MOST_TARGETS: u32 = 16;
/// How much is read at a time while the head has not come whole, in bytes.
const STEP_BYTES: usize = 8 * 1024;
/// How long a client waits for `100 Continue` of a backend that says nothing: as long as curl waits for it.
const CONTINUE_AFTER: Duration = Duration::from_secs(1);

/// A request on its way to a backend.
pub(super) struct Exchange {
    /// Its place at a target, once it has one.
    chosen: Option<Chosen>,
    waiting: Waiting,
    asked: Asked,
    request: Outgoing,
    stage: Stage,
    /// Whether the next connection is a new one, because one has ended without an answer.
    needs_new: bool,
    /// Whether a new connection has. A kept one may have been closed just before, and does not count.
    was_tried: bool,
    /// How many targets it has gone to in vain.
    gone: u32,
}

enum Stage {
    /// A target is to be chosen, or waited for.
    Choose,
    /// The next connection is to be taken from the kept ones if that is allowed, or else opened to this address.
    Connect {
        kept: bool,
        address: usize,
    },
    /// The target accepts no more connections now. It is tried again then.
    Busy {
        again: Instant,
    },
    Open(Box<Open>),
}

/// With a connection.
struct Open {
    connection: Connection,
    address: usize,
    /// How many bytes were sent on it.
    sent: usize,
    /// Whether it waits for more of the client's body. The backend's time begins anew then.
    waits_for_client: bool,
    /// When a client that waits for `100 Continue` is told so.
    continues: Option<Instant>,
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
    /// An interim response (1xx), which the client gets at once.
    Interim(Response),
    Made(Response),
}

impl Exchange {
    pub(super) fn new(waiting: Waiting, asked: Asked, request: Outgoing) -> Exchange {
        Exchange {
            chosen: None,
            waiting,
            asked,
            request,
            stage: Stage::Choose,
            needs_new: false,
            was_tried: false,
            gone: 0,
        }
    }

    /// What takes the rest of the request's body, if that comes later.
    pub(super) fn taker(&mut self) -> Option<&mut dyn TakesBody> {
        match self.request.goes_on() {
            true => Some(&mut self.request),
            false => None,
        }
    }

    /// Does what can be done without waiting. After a response was made it is not called again.
    pub(super) fn advance(&mut self, waker: &Waker, now: Instant) -> Progress {
        loop {
            let chosen = self.chosen.as_ref();
            let failure = match &mut self.stage {
                Stage::Choose => match self.waiting.take(waker, now) {
                    Taken::Target(chosen) => {
                        self.chosen = Some(chosen);
                        self.stage = Stage::Connect { kept: !self.needs_new, address: 0 };
                        continue;
                    }
                    Taken::Wait(until) => return Progress::Wait(until),
                    Taken::None(why) => return Progress::Made(self.give_up(&Failure::NoTarget(why), now)),
                },
                Stage::Busy { again } if now < *again => return Progress::Wait(*again),
                // With the place that it has: others may wait for one.
                Stage::Busy { .. } => {
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
                        Err(error) => (Failure::connect(error), address, 0, false),
                    }
                }
                Stage::Open(open) if open.waits_for_client => {
                    open.waits_for_client = false;
                    open.deadline = now + self.waiting.shared().settings.first_byte;
                    continue;
                }
                Stage::Open(open) => match open.advance(&mut self.request, &self.asked, waker) {
                    // The client has its own time for its body, and the backend waits for it too.
                    Ok(Step::Wait) if open.sent > 0 && self.request.room() > 0 => {
                        open.waits_for_client = true;
                        match open.continues.filter(|_| self.request.expects_continue) {
                            None => return Progress::Wait(now + NO_LIMIT),
                            Some(at) if now < at => return Progress::Wait(at),
                            Some(_) => return Progress::Interim(self.tell_to_continue()),
                        }
                    }
                    Ok(Step::Wait) if now >= open.deadline => {
                        let failure = match open.sent {
                            0 if open.connection.shakes_hands() => Failure::HandshakeTimeout,
                            0 => Failure::ConnectTimeout,
                            _ => Failure::Silent,
                        };
                        (failure, open.address, open.sent, open.connection.is_kept)
                    }
                    Ok(Step::Wait) => return Progress::Wait(open.deadline),
                    Ok(Step::Sent) => {
                        open.deadline = now + self.waiting.shared().settings.first_byte;
                        if self.request.expects_continue {
                            let is_old = chosen.is_some_and(Chosen::is_old);
                            open.continues.get_or_insert(if is_old { now } else { now + CONTINUE_AFTER });
                        }
                        continue;
                    }
                    Ok(Step::Interim(StatusCode::CONTINUE, _)) if self.request.expects_continue => {
                        return Progress::Interim(self.tell_to_continue());
                    }
                    Ok(Step::Interim(StatusCode::CONTINUE, _)) => continue,
                    Ok(Step::Interim(status, map)) => {
                        let names = chosen.map(|chosen| self.asked.names(chosen));
                        return Progress::Interim(response::interim(status, map, names));
                    }
                    Ok(Step::Head(head, fields, end)) => {
                        return Progress::Made(self.pass_on(head, &fields, end, waker, now))
                    }
                    Err(failure) => (failure, open.address, open.sent, open.connection.is_kept),
                },
            };
            let (failure, address, sent, was_kept) = failure;
            if let Some(next) = self.failed(&failure, address, sent, was_kept, now) {
                self.stage = next;
            } else {
                return Progress::Made(self.give_up(&failure, now));
            }
        }
    }

    /// Where it goes on after a failure, unless it is given up.
    fn failed(
        &mut self,
        failure: &Failure,
        address: usize,
        sent: usize,
        was_kept: bool,
        now: Instant,
    ) -> Option<Stage> {
        let chosen = self.chosen.as_ref()?;
        let waits_until = match failure.is_for_now() {
            true => self.waiting.room_deadline(),
            false => self.waiting.restart_deadline(),
        };
        let tried = Tried {
            is_safe: self.asked.method.is_safe(),
            was_tried: self.was_tried,
            was_kept,
            is_whole: self.request.is_whole(),
            is_replayable: self.request.is_replayable,
            sent,
            more_addresses: chosen.has_address(address + 1),
            more_targets: self.gone < MOST_TARGETS && chosen.has_other(),
            has_time_to_wait: now < waits_until,
        };
        let next = after(failure, tried);
        if next == Next::OtherAddress {
            return Some(Stage::Connect { kept: false, address: address + 1 });
        }
        if let Some(kind) = failure.kind(tried) {
            chosen.failed_because(failure.reason(), kind, now);
        }
        if let Failure::Shortage(shortage) = failure {
            self.waiting.shared().meet(*shortage, &chosen.target().name, now);
        }
        match next {
            Next::GiveUp => {
                // Only a request that was sent whole may be answered late.
                let is_sent = matches!(failure, Failure::Silent) && tried.is_whole;
                match std::mem::replace(&mut self.stage, Stage::Choose) {
                    Stage::Open(open) if is_sent => chosen.await_late_answer(open.connection, now),
                    _ => {}
                }
                return None;
            }
            // It keeps its place until it is asked again, so that those that wait do not find the same.
            Next::WaitHere => return Some(Stage::Busy { again: waits_until.min(now + AGAIN) }),
            Next::Again => {
                self.needs_new = true;
                self.was_tried |= !was_kept;
            }
            Next::OtherTarget | Next::OtherAddress | Next::Wait => self.gone += 1,
        }
        if let Some(chosen) = self.chosen.take() {
            chosen.avoid(&mut self.waiting);
        }
        Some(Stage::Choose)
    }

    /// Tells the client once to send its body (RFC 9110 §10.1.1).
    fn tell_to_continue(&mut self) -> Response {
        self.request.expects_continue = false;
        Response::new(StatusCode::CONTINUE)
    }

    fn connect(&mut self, kept: bool, address: usize, waker: &Waker, now: Instant) -> io::Result<Open> {
        let Some(chosen) = &self.chosen else { return Err(io::ErrorKind::NotFound.into()) };
        let wanted = if self.asked.method.is_safe() { For::Safe } else { For::Unsafe };
        let taken = kept.then(|| chosen.kept().take(waker, wanted, now)).flatten();
        let connection = match taken {
            Some(kept) => kept,
            None => chosen.open(address, now)?,
        };
        let deadline = now + chosen.shared().settings.connect;
        self.request.begin_again();
        if self.request.expects_continue && chosen.is_old() {
            self.request.expect_nothing();
        }
        Ok(Open {
            connection,
            address,
            sent: 0,
            waits_for_client: false,
            continues: None,
            come: Vec::new(),
            searched: 0,
            interim: 0,
            deadline,
        })
    }

    /// Makes the response for the client of the backend's.
    fn pass_on(&mut self, head: Head, fields: &[Field], end: usize, waker: &Waker, now: Instant) -> Response {
        let taken = std::mem::replace(&mut self.stage, Stage::Choose);
        let (Stage::Open(open), Some(mut chosen)) = (taken, self.chosen.take()) else {
            return self.give_up(&Failure::Own("its connection is lost"), now);
        };
        let Open { connection, come, .. } = *open;
        let shared = self.waiting.shared().clone();
        let names = self.asked.names(&chosen);
        // A client in clear refuses cookies that are for HTTPS.
        let secure_cookies = shared.settings.secure_cookies && names.scheme == "https";
        let (status, tell_of_cookies) = (head.status, &|| shared.tell_of_cookies());
        let rules = response::Rules { names, secure_cookies, tell_of_cookies, status };
        let Some(map) = response::fields(&come, fields, rules) else {
            return self.malformed(chosen, "has a field that cannot be passed on", now);
        };
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let is_websocket = fields.iter().any(|field| {
                field.name.of(&come).eq_ignore_ascii_case(b"upgrade")
                    && field.value.of(&come).eq_ignore_ascii_case(b"websocket")
            });
            if !is_websocket {
                return self.malformed(chosen, "changes to a protocol that nobody has asked for", now);
            }
            chosen.answered(&head, Answer::Endless, now);
            let early = come.get(end..).unwrap_or_default().to_vec();
            let mut answer = Response::new(head.status);
            *answer.headers_mut() = map;
            answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
            answer.body =
                Payload::Upgrade(Box::new(Tunnel::new(connection, early, chosen, shared.settings.tunnel)));
            return answer;
        }
        let is_events = map.get(CONTENT_TYPE).is_some_and(|value| response::is_events(value.as_bytes()));
        let mut answer = Response::new(head.status);
        *answer.headers_mut() = map;
        let (mut rest, length) = match head.body {
            BodyLength::None { told } => {
                let is_all = come.len() == end && self.request.keeps_connection();
                if head.keep_alive && is_all {
                    chosen.kept().put(connection, head.kept_for, now);
                }
                chosen.answered(&head, Answer::Bounded, now);
                chosen.completed();
                answer.body = Payload::Reader { reader: Box::new(io::empty()), length: told };
                return answer;
            }
            BodyLength::Fixed(length) => (BodyFraming::Fixed(length), Some(length)),
            BodyLength::Chunked if self.asked.wants_trailers => {
                let is_it =
                    |field: &&Field| field.name.of(&come).eq_ignore_ascii_case(TRAILER.as_str().as_bytes());
                let announced = fields.iter().filter(is_it).map(|field| field.value.of(&come));
                trailers::announce(announced, answer.headers_mut());
                (BodyFraming::Chunked(Decoder::new(), Some(Vec::new())), None)
            }
            BodyLength::Chunked => (BodyFraming::Chunked(Decoder::new(), None), None),
            BodyLength::UntilClose => (BodyFraming::UntilClose, None),
        };
        let mut early = come.get(end..).unwrap_or_default().to_vec();
        let Some((data, after)) = rest.decode(&mut early) else {
            return self.malformed(chosen, "has broken chunks", now);
        };
        let ends = if is_events { Answer::Endless } else { Answer::Bounded };
        chosen.answered(&head, ends, now);
        early.truncate(data);
        // A body of no bytes has ended although nothing of it has come.
        let has_ended = after.is_some() || length == Some(0);
        let is_good = head.keep_alive && after.unwrap_or(0) == 0 && self.request.keeps_connection();
        let again = is_good.then_some(head.kept_for);
        if has_ended && !rest.has_trailers() {
            if let Some(told) = again {
                chosen.kept().put(connection, told, now);
            }
            chosen.completed();
            answer.body = Payload::Bytes(early);
            return answer;
        }
        let silence = if is_events { NO_LIMIT } else { shared.settings.between_bytes };
        answer.body = Payload::Live(Box::new(PassedOn {
            connection: Some(connection),
            rest,
            length,
            early: Early { data: early, given: 0, has_ended },
            request: self.request.leave(),
            again,
            silence,
            heard: now,
            waker: waker.clone(),
            chosen,
            places: Vec::new(),
        }));
        answer
    }

    /// Gives up because of the answer.
    fn malformed(&mut self, chosen: Chosen, fault: &'static str, now: Instant) -> Response {
        chosen.failed(Kind::Malformed, now);
        self.chosen = Some(chosen);
        self.give_up(&Failure::Malformed(fault), now)
    }

    /// The answer instead of the backend's, and the log's line.
    fn give_up(&mut self, failure: &Failure, now: Instant) -> Response {
        let shared = self.waiting.shared();
        if let Some(line) = failure.line(self.chosen.as_ref(), shared) {
            #[cfg(feature = "operations")]
            shared.targets.log_about(&self.asked.id, "no answer of a backend", now, format_args!("{line}"));
            #[cfg(not(feature = "operations"))]
            shared.targets.log(Level::Error, "no answer of a backend", now, format_args!("{line}"));
        }
        failure.answer(self.asked.shows, shared.targets.are_several())
    }
}

/// What a turn with a connection has led to.
enum Step {
    Wait,
    /// Bytes of the request were sent: the backend takes it.
    Sent,
    /// An interim response with its fields.
    Interim(StatusCode, HeaderMap),
    /// The head of the final response with its fields, which ends at this offset of what has come.
    Head(Head, Vec<Field>, usize),
}

impl Open {
    fn advance(&mut self, request: &mut Outgoing, asked: &Asked, waker: &Waker) -> Result<Step, Failure> {
        let mut broken = None;
        if request.has_unsent() {
            match request.send(&mut self.connection) {
                Ok(0) => {}
                Ok(sent) => {
                    self.sent += sent;
                    return Ok(Step::Sent);
                }
                // It may have answered before it has read all. What has come before anything was sent is no answer.
                Err(error) if self.sent > 0 => broken = Some(error),
                Err(error) if self.connection.is_kept => return Err(Failure::Ended(Some(error))),
                Err(error) => return Err(Failure::connect(error)),
            }
        }
        let interest = match request.has_unsent() && broken.is_none() {
            true => SideInterest::Both,
            false => SideInterest::Readable,
        };
        self.connection.watch(waker, interest).map_err(Failure::broken)?;
        if self.sent == 0 && broken.is_none() {
            return Ok(Step::Wait);
        }
        match (self.read_head(asked)?, broken) {
            (Step::Wait, Some(error)) => Err(self.ended(Some(error))),
            (step, _) => Ok(step),
        }
    }

    /// The backend has ended the connection. Once some of an answer has come, it had the request.
    fn ended(&self, error: Option<io::Error>) -> Failure {
        match self.come.is_empty() && self.interim == 0 {
            true => Failure::Ended(error),
            false => Failure::CutHead,
        }
    }

    fn read_head(&mut self, asked: &Asked) -> Result<Step, Failure> {
        let mut piece = [0; STEP_BYTES];
        let mut fields = Vec::new();
        loop {
            if !self.come.is_empty() {
                match incoming_response::find(&self.come, self.searched, &asked.method, &mut fields) {
                    Err(fault) => return Err(Failure::Malformed(fault)),
                    Ok(Found::Part(searched)) => self.searched = searched,
                    Ok(Found::Whole(head, end)) if head.status.is_informational() => {
                        self.interim += 1;
                        if head.status == StatusCode::SWITCHING_PROTOCOLS && asked.wants_tunnel {
                            return Ok(Step::Head(head, fields, end));
                        }
                        if let Some(fault) = incoming_response::interim_fault(head.status, self.interim) {
                            return Err(Failure::Malformed(fault));
                        }
                        let map = response::interim_fields(&self.come, &fields);
                        self.come.drain(..end);
                        self.searched = 0;
                        return match map {
                            Some(map) => Ok(Step::Interim(head.status, map)),
                            None => Err(Failure::Malformed("has a field that cannot be passed on")),
                        };
                    }
                    Ok(Found::Whole(head, end)) => return Ok(Step::Head(head, fields, end)),
                }
            }
            match self.connection.read(&mut piece) {
                Ok(Read::Bytes(read)) => self.come.extend_from_slice(&piece[..read]),
                Ok(Read::Nothing) => return Ok(Step::Wait),
                Ok(Read::End) => return Err(self.ended(None)),
                Err(error) => return Err(self.ended(Some(error))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    use super::super::connection::Secure;
    use super::super::outgoing;
    use super::super::shared::{Settings, Shared};
    use super::super::target::{Address, Target};
    use super::*;
    use crate::wake_list::WakeList;

    /// A connection that breaks when something is sent, and holds an answer that nobody has asked for.
    #[derive(Debug)]
    struct Unasked {
        is_sent: bool,
    }

    impl Secure for Unasked {
        fn send(&mut self, _: &OwnedFd, _: &[u8]) -> io::Result<usize> {
            self.is_sent = true;
            Err(ErrorKind::BrokenPipe.into())
        }

        fn read(&mut self, _: &OwnedFd, out: &mut [u8]) -> io::Result<Read> {
            if !self.is_sent {
                return Ok(Read::Nothing);
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            out[..answer.len()].copy_from_slice(answer);
            Ok(Read::Bytes(answer.len()))
        }

        fn finish(&mut self, _: &OwnedFd) -> io::Result<bool> {
            Ok(true)
        }

        fn has_unsent(&self) -> bool {
            false
        }
    }

    #[test]
    fn what_a_kept_connection_holds_before_anything_is_sent_is_no_answer_to_the_request() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = Target::parse(&format!("http://{address}")).unwrap();
        let shared = Arc::new(Shared::new(vec![target], Settings::default()));
        let now = Instant::now();
        let connection = Connection::open(&Address::Internet(address), now).unwrap();
        listener.accept().unwrap();
        let kept = connection.secured(Box::new(Unasked { is_sent: false }));
        shared.targets.state(0).kept.put(kept, None, now);

        let mut poll = mio::Poll::new().unwrap();
        let woken = mio::Waker::new(poll.registry(), mio::Token(usize::MAX)).unwrap();
        let list = Arc::new(WakeList::new(woken, poll.registry().try_clone().unwrap()));
        let waker = Waker { list, key: 7 };
        // Not safe, so that it would not be sent twice.
        let asked = Asked {
            method: ::http::Method::POST,
            scheme: "https",
            authority: None,
            wants_tunnel: false,
            wants_trailers: false,
            shows: super::super::error_page::Shows::Problem,
            #[cfg(feature = "operations")]
            id: crate::operations::request_id::RequestId::of_connection(),
        };
        let head = b"POST / HTTP/1.1\r\n\r\n".to_vec();
        let request = Outgoing::new(head, outgoing::BodyToCome::Nothing, b"", false, shared.memory.share());
        let mut exchange = Exchange::new(Waiting::new(shared.clone(), false, now), asked, request);
        let advanced = exchange.advance(&waker, now);
        assert!(matches!(advanced, Progress::Wait(_)), "it was taken for the answer");
        // It goes on on a new connection.
        let (mut backend, _) = listener.accept().unwrap();
        backend.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood").unwrap();
        let mut events = mio::Events::with_capacity(8);
        let response = loop {
            match exchange.advance(&waker, Instant::now()) {
                Progress::Made(response) => break response,
                _ => poll.poll(&mut events, None).unwrap(),
            }
        };
        let Payload::Bytes(body) = response.body else { panic!("the body comes later") };
        assert_eq!(body, b"good");
        assert_eq!(shared.targets.health().targets[0].failures_in_a_row, 0);
    }
}
