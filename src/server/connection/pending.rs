//! A response that comes later, and the request that waits for it. The connection is parked meanwhile, and what the client sends
//! is not read. `exchange` makes it, `later` answers it, and `buffers` has the work that makes such a response.

#[cfg(feature = "proxy")]
use std::io;
use std::net::SocketAddr;

use ::http::{Extensions, StatusCode};

use super::asked::{Asked, Held};
use super::link::Link;
use super::log_lines::{self, Record};
use super::on_response;
#[cfg(feature = "proxy")]
use super::passing::{self, Passed};
#[cfg(feature = "proxy")]
use super::transport::Flushed;
use super::transport::Stream;
use crate::http::into_response::IntoResponse;
use crate::http::pending::{Begun, Call, PendingResponse, Polled};
#[cfg(feature = "proxy")]
use crate::http::request_head::Version;
use crate::http::response::{Payload, Response};
#[cfg(feature = "proxy")]
use crate::http::response_head::write_interim;
use crate::http::response_head::Persistence;
use crate::http::Refusal;
use crate::limits::limit::Limit;
use crate::server::buffers::{Buffers, LeftWork};
use crate::server::clock::{whole_millis, Millis};
use crate::server::deadline::Deadline;
#[cfg(feature = "proxy")]
use crate::server::input::Input;
use crate::server::turn::Idle;
use crate::wake_list::Waker;

const STOPPING: Refusal = Refusal::over(
    Limit::DrainTimeout,
    StatusCode::SERVICE_UNAVAILABLE,
    "the server stops, and the response has not come in time; try again",
);

/// The client's side of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Open,
    /// It sends nothing more.
    Closed,
    Broken,
}

pub(crate) enum Answer {
    Now(Response),
    /// It is sent, and the response is asked for again.
    #[cfg(feature = "proxy")]
    Interim(Response),
    /// It is asked for again at this time, or when it has woken the connection.
    Later(Millis),
    /// The client does not wait for it.
    Never,
}

/// A request that waits for its response.
pub(crate) struct Pending {
    response: Box<dyn PendingResponse<Response>>,
    held: Held,
    persistence: Persistence,
    record: Option<Box<Record>>,
    /// The handler that is to answer, and since when. It counts as unanswered if this is dropped before.
    #[cfg(feature = "operations")]
    counted: Option<Counted>,
    /// The program's values in the request, for its `on_response`.
    values: Extensions,
    /// When it is polled although it has not woken its connection.
    due: Millis,
    /// Whether it is waited for no longer when the client has closed its sending side.
    ends_with_client: bool,
    /// The rank when the server needs room: that of an upload, while the rest of the request's body is waited for.
    #[cfg(feature = "proxy")]
    rank: Rank,
}

#[cfg(feature = "proxy")]
type Rank = Option<(Millis, u64)>;

#[cfg(feature = "operations")]
struct Counted {
    counters: std::sync::Arc<crate::operations::counters::Counters>,
    handler: usize,
    began: std::time::Duration,
}

/// As nginx logs a request whose client has left.
const CLIENT_LEFT: u16 = 499;

/// Whether this response is waited for.
#[inline]
pub(crate) fn is_for(response: &Response) -> bool {
    matches!(response.body, Payload::Pending(_))
}

/// Waits for a response. Work for it is left in the buffers. `None` if it is there already.
#[cold]
#[inline(never)]
pub(crate) fn wait<S: Stream>(
    link: &mut Link<S>,
    response: &mut Response,
    asked: &Asked<'_>,
    persistence: Persistence,
    record: Option<Box<Record>>,
    buffers: &mut Buffers<'_>,
) -> Option<Box<Pending>> {
    let body = std::mem::replace(&mut response.body, Payload::Bytes(Vec::new()));
    let Payload::Pending(mut later) = body else { return None };
    later.surround(response.fields.take());
    let waker = Waker { list: buffers.scheduler.wake_list(), key: link.key };
    let Begun { wait, work, ends_with_client } = later.begin(waker);
    buffers.work = work.map(|work| LeftWork { work, memory: None });
    let due = buffers.after(wait);
    link.deadline = Deadline::own(due);
    let values = std::mem::take(&mut buffers.values);
    let Asked { head, fields, line } = asked;
    let held = Held::new(Asked { head, fields, line: line.clone() });
    Some(Box::new(Pending {
        response: later,
        held,
        persistence,
        record,
        #[cfg(feature = "operations")]
        counted: Some(Counted {
            counters: buffers.context.counts.counters.clone(),
            handler: buffers.made_by.0,
            began: buffers.clock.elapsed(),
        }),
        values,
        due,
        ends_with_client,
        #[cfg(feature = "proxy")]
        rank: None,
    }))
}

impl Pending {
    /// Asks for the response to this client.
    pub(crate) fn poll(&mut self, peer: SocketAddr, side: Side, buffers: &mut Buffers<'_>) -> Answer {
        if side == Side::Broken || side == Side::Closed && self.ends_with_client {
            return Answer::Never;
        }
        let now = buffers.millis();
        let call = match self.due <= now {
            true => Call::Due,
            false if buffers.context.is_draining() => Call::Stopping,
            false => Call::Ready,
        };
        if call == Call::Due {
            self.due = Millis::MAX;
        }
        let refusal = match self.response.poll(call) {
            Polled::Wait(_) if buffers.context.stopping.has_given_up() => STOPPING,
            Polled::Wait(time) => {
                self.due = self.due.min(now.saturating_add(whole_millis(time).max(1)));
                return Answer::Later(self.due);
            }
            #[cfg(feature = "proxy")]
            Polled::Interim(response) => return Answer::Interim(response),
            Polled::Made(response, values) => {
                self.pass_values(values, buffers);
                return Answer::Now(response);
            }
            Polled::Refused(refusal) => refusal,
        };
        self.pass_values(Extensions::new(), buffers);
        log_lines::refusal(peer, refusal, buffers);
        Answer::Now(refusal.into_response())
    }

    /// The rank of its connection when the server needs room for another.
    pub(crate) fn idle(&self, min_rate: u64) -> Idle {
        #[cfg(feature = "proxy")]
        if let Some((since, bytes)) = self.rank {
            return Idle::Moving { since, bytes, min_rate };
        }
        let _ = min_rate;
        Idle::No
    }

    /// Passes on what has come of the rest of the request's body.
    #[cfg(feature = "proxy")]
    pub(crate) fn pass_body<S: Stream>(
        &mut self,
        link: &mut Link<S>,
        input: &mut Input,
        buffers: &mut Buffers<'_>,
    ) -> io::Result<Passed> {
        self.rank = None;
        let Some(taker) = self.response.taker() else { return Ok(Passed::Waits(None)) };
        let passed = passing::go_on(link, taker, input, buffers)?;
        if let (Passed::Waits(Some(_)), Some(reader)) = (&passed, &link.unread) {
            self.rank = Some((reader.began(), reader.received()));
        }
        Ok(passed)
    }

    /// Sends an interim response. A client of HTTP/1.0 knows none (RFC 9110 §15.2).
    #[cfg(feature = "proxy")]
    pub(crate) fn send_interim<S: Stream>(
        &self,
        link: &mut Link<S>,
        response: &Response,
        buffers: &mut Buffers<'_>,
    ) -> io::Result<()> {
        if response.status == StatusCode::CONTINUE {
            if let Some(reader) = &mut link.unread {
                // It is told once.
                reader.take_continue();
            }
        }
        // One that does not take what was sent before gets no hints either, so that they take no memory.
        let takes_hints = response.status == StatusCode::CONTINUE || !link.transport.is_blocked();
        if self.held.asked().line.version == Version::Http11 && takes_hints {
            write_interim(&mut buffers.output, response, buffers.context.field_names);
            let _: Flushed = link.transport.send_output(&mut buffers.output)?;
        }
        Ok(())
    }

    /// The request, whose response is there.
    pub(crate) fn request(
        &mut self,
        buffers: &mut Buffers<'_>,
    ) -> (Asked<'_>, Persistence, Option<Box<Record>>) {
        #[cfg(feature = "operations")]
        if let Some(Counted { handler, began, .. }) = self.counted.take() {
            buffers.note_call(handler, buffers.clock.elapsed().saturating_sub(began));
        }
        #[cfg(not(feature = "operations"))]
        let _ = buffers;
        let record = self.record.take();
        (self.held.asked(), self.persistence, record)
    }

    /// Keeps the program's values for its `on_response`: these, or those that the request has left.
    fn pass_values(&mut self, values: Extensions, buffers: &mut Buffers<'_>) {
        let values = if values.is_empty() { std::mem::take(&mut self.values) } else { values };
        on_response::keep_values(values, buffers);
    }
}

/// A request that gets no answer, because its client is gone or the server ends, has its line in the access log too.
impl Drop for Pending {
    fn drop(&mut self) {
        #[cfg(feature = "operations")]
        if let Some(Counted { counters, handler, .. }) = &self.counted {
            counters.unanswered(*handler, CLIENT_LEFT);
        }
        if let Some(mut record) = self.record.take() {
            record.status = StatusCode::from_u16(CLIENT_LEFT).unwrap_or_default();
            record.write(0, " cut");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::super::testing::{End, Talk, World};
    use super::*;
    use crate::http::request::Request;
    use crate::server::turn::Idle;
    use crate::Router;

    fn do_work(buffers: &mut Buffers<'_>) {
        assert!(buffers.has_left_work());
        buffers.do_left_work();
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// What a response gives at its polls, and the polls so far.
    #[derive(Default)]
    struct Script {
        gives: VecDeque<Polled<Response>>,
        calls: Vec<Call>,
        is_dropped: bool,
    }

    #[derive(Clone, Default)]
    struct Later(Arc<Mutex<Script>>);

    impl Later {
        fn gives(&self, polled: Polled<Response>) {
            self.0.lock().unwrap().gives.push_back(polled);
        }

        fn calls(&self) -> Vec<Call> {
            std::mem::take(&mut self.0.lock().unwrap().calls)
        }

        fn is_dropped(&self) -> bool {
            self.0.lock().unwrap().is_dropped
        }
    }

    struct Scripted(Later);

    impl PendingResponse<Response> for Scripted {
        fn begin(&mut self, _: Waker) -> Begun {
            Begun { wait: SECOND, work: None, ends_with_client: false }
        }

        fn poll(&mut self, call: Call) -> Polled<Response> {
            let mut script = self.0 .0.lock().unwrap();
            script.calls.push(call);
            script.gives.pop_front().unwrap_or(Polled::Wait(SECOND))
        }
    }

    impl Drop for Scripted {
        fn drop(&mut self) {
            self.0 .0.lock().unwrap().is_dropped = true;
        }
    }

    fn made(text: &str) -> Polled<Response> {
        Polled::Made(Response::text(text), Extensions::new())
    }

    /// A connection whose response is still to come.
    fn open() -> (World, Later, Talk) {
        let later = Later::default();
        let given = later.clone();
        let pending = move |_: &mut Request<'_>| Response::pending(Scripted(given.clone()));
        let world =
            World::new(Router::new().get("/quick", |_: &mut Request<'_>| "quick").get("/later", pending));
        let mut talk = world.open();
        let (end, heard) = talk.ask("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((end, heard.as_str()), (End::Parked(None, Idle::No), ""));
        assert_eq!(later.calls(), []);
        (world, later, talk)
    }

    #[test]
    fn a_response_that_comes_later_is_answered_as_any_other() {
        let (_world, later, mut talk) = open();
        assert_eq!(talk.settle(), End::Parked(None, Idle::No));
        later.gives(made("here"));
        assert!(matches!(talk.settle(), End::Parked(Some(_), Idle::Since(_))));
        let heard = talk.hear();
        assert!(heard.starts_with("HTTP/1.1 200 OK\r\n") && heard.ends_with("\r\n\r\nhere"), "{heard}");
        assert_eq!(later.calls(), [Call::Ready, Call::Ready]);
        assert!(later.is_dropped());
        assert!(talk.ask("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n").1.ends_with("quick"));
    }

    #[test]
    fn what_the_client_sends_meanwhile_is_answered_after_it_and_prolongs_nothing() {
        let (_world, later, mut talk) = open();
        talk.pass(SECOND / 2);
        let (end, heard) =
            talk.ask("GET /quick HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((end, heard.as_str()), (End::Parked(None, Idle::No), ""));
        later.gives(made("here"));
        talk.expire_after(SECOND / 2 + Duration::from_millis(2));
        assert_eq!(later.calls(), [Call::Ready, Call::Due]);
        let heard = talk.hear();
        let at = |text: &str| heard.find(text).unwrap_or_else(|| panic!("{text}: {heard}"));
        assert!(at("here") < at("quick") && at("quick") < at("HTTP/1.1 404"), "{heard}");
    }

    #[test]
    fn a_response_that_is_never_ready_is_polled_when_its_time_is_up_and_then_anew() {
        let (_world, later, mut talk) = open();
        later.gives(Polled::Wait(Duration::ZERO));
        assert!(matches!(talk.expire_after(SECOND + Duration::from_millis(2)), End::Parked(None, _)));
        assert!(matches!(talk.expire_after(Duration::from_millis(2)), End::Parked(None, _)));
        assert_eq!(later.calls(), [Call::Due, Call::Due]);
        later.gives(Polled::Refused(crate::server::connection::request::READERS_BUSY));
        talk.settle();
        assert!(talk.hear().starts_with("HTTP/1.1 503 "));
    }

    #[test]
    fn a_client_that_is_gone_is_waited_for_no_longer() {
        let (_world, later, mut talk) = open();
        talk.close();
        assert_eq!(talk.turn(), End::Parked(None, Idle::No), "it may still read");
        talk.break_off();
        assert_eq!((talk.turn(), later.is_dropped()), (End::Closed, true));
        assert_eq!(later.calls(), [Call::Ready]);
    }

    #[test]
    fn a_stop_is_told_and_waits() {
        let (world, later, mut talk) = open();
        world.drain();
        assert_eq!(talk.turn(), End::Parked(None, Idle::No));
        later.gives(made("bye"));
        talk.settle();
        let heard = talk.hear();
        assert!(heard.contains("connection: close\r\n") && heard.ends_with("bye"), "{heard}");
        assert_eq!(later.calls(), [Call::Stopping, Call::Stopping]);
    }

    #[test]
    fn a_response_that_has_not_come_when_a_stop_ends_is_refused() {
        let (world, later, mut talk) = open();
        world.drain();
        assert_eq!(talk.turn(), End::Parked(None, Idle::No));
        world.give_up();
        talk.settle();
        let heard = talk.hear();
        assert!(heard.starts_with("HTTP/1.1 503 "), "{heard}");
        assert!(heard.contains("connection: close\r\n") && heard.contains("retry-after: 1\r\n"), "{heard}");
        assert!(later.is_dropped());
        // One that is there is sent.
        let (world, later, mut talk) = open();
        world.drain();
        world.give_up();
        later.gives(made("bye"));
        talk.settle();
        assert!(talk.hear().ends_with("bye"));
    }

    #[cfg(feature = "websocket")]
    #[test]
    fn a_websocket_is_opened_by_a_handler_with_a_time_limit() {
        let socket =
            |_: &mut Request<'_>| Ok(crate::Socket::on_message(|socket, message| socket.send(message)));
        let world = World::new(Router::new().websocket("/socket", socket).handler_timeout(SECOND));
        let (mut talk, mut worker) = (world.open(), world.open());
        let hello = "GET /socket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        // "a", with a mask of zeros.
        let (end, heard) = talk.ask([hello.as_bytes(), b"\x81\x81\0\0\0\0a"].concat());
        assert_eq!((end, heard.as_str()), (End::Parked(None, Idle::No), ""));
        worker.buffers.work = talk.buffers.work.take();
        do_work(&mut worker.buffers);
        assert!(matches!(talk.settle(), End::Parked(None, Idle::Moving { .. })));
        let heard = talk.hear();
        assert!(heard.starts_with("HTTP/1.1 101 ") && heard.ends_with("\r\n\r\n\u{fffd}\u{1}a"), "{heard}");
    }

    thread_local! {
        /// The connection, while its handler runs.
        static MEANWHILE: RefCell<Option<(Talk, Random)>> = const { RefCell::new(None) };
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, end: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % end
        }
    }

    /// Something happens to a connection that waits. Returns false when it is closed.
    fn happens(talk: &mut Talk, random: &mut Random) -> bool {
        let end = match random.below(3) {
            0 => talk.expire_after(SECOND / 3),
            1 => talk.turn(),
            _ => {
                talk.pass(SECOND / 2);
                talk.turn()
            }
        };
        end != End::Closed
    }

    #[test]
    fn whenever_a_handler_runs_and_returns_each_request_has_one_answer_in_its_order() {
        let (mut in_time, mut late) = (0, 0);
        for seed in 0..400 {
            let handler = |request: &mut Request<'_>| {
                for _ in 0..3 {
                    // Work that waits in another worker's hands is not in the way of the connection.
                    let mut meanwhile = MEANWHILE.take();
                    if let Some((talk, random)) = &mut meanwhile {
                        if talk.connection.is_some() && random.below(2) == 0 {
                            happens(talk, random);
                        }
                    }
                    MEANWHILE.set(meanwhile);
                }
                request.param("number").map(String::from)
            };
            let world = World::new(Router::new().get("/{number}", handler).handler_timeout(SECOND));
            let mut random = Random(seed);
            let (mut talk, mut worker) = (world.open(), world.open());
            let (mut work, mut asked) = (VecDeque::new(), 0);
            let breaks = random.below(4) == 0;
            for step in 0..40 {
                if talk.connection.is_none() {
                    break;
                }
                match random.below(4) {
                    0 if asked < 6 => {
                        for _ in 0..=random.below(2) {
                            talk.say(format!("GET /{asked} HTTP/1.1\r\nHost: a\r\n\r\n"));
                            asked += 1;
                        }
                        talk.settle();
                    }
                    1 => {
                        happens(&mut talk, &mut random);
                    }
                    _ if !work.is_empty() => {
                        worker.buffers.work = work.pop_front();
                        MEANWHILE.set(Some((talk, random)));
                        do_work(&mut worker.buffers);
                        (talk, random) = MEANWHILE.take().unwrap();
                    }
                    _ => {
                        talk.settle();
                    }
                }
                work.extend(talk.buffers.work.take());
                if breaks && step == 30 && talk.connection.is_some() {
                    talk.break_off();
                    talk.close();
                    talk.settle();
                }
            }
            while talk.connection.is_some() && !matches!(talk.settle(), End::Parked(Some(_), _)) {
                work.extend(talk.buffers.work.take());
                talk.expire_after(SECOND);
                work.extend(talk.buffers.work.take());
            }
            let heard = talk.hear();
            let answers: Vec<_> = heard.split("HTTP/1.1 ").skip(1).collect();
            assert!(answers.len() == asked || breaks, "{seed}: {asked} {heard}");
            for (number, answer) in answers.iter().enumerate() {
                match &answer[..3] {
                    "200" => {
                        assert!(answer.ends_with(&format!("\r\n\r\n{number}")), "{seed}: {heard}");
                        in_time += 1;
                    }
                    "503" => late += 1,
                    other => panic!("{seed}: {other} {heard}"),
                }
            }
            for left in work {
                worker.buffers.work = Some(left);
                do_work(&mut worker.buffers);
            }
            assert_eq!(talk.hear(), "", "{seed}: a late answer");
            assert_eq!(world.shared.router.routes.late_handlers(), 0, "{seed}");
        }
        assert!(in_time > 0 && late > 0, "{in_time} {late}");
    }
}
