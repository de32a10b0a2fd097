//! A response that comes later, and the request that waits for it. The connection is parked meanwhile, and what the client sends
//! is not read. Also runs the work that makes such a response, once its connection is parked. `exchange` makes and answers it.

use std::net::SocketAddr;

use ::http::{Extensions, StatusCode};

use super::asked::{Asked, Held};
use super::link::Link;
use super::log_lines::{self, Record};
use super::on_response;
use super::transport::Stream;
use crate::handler_call;
use crate::http::into_response::IntoResponse;
use crate::http::pending::{Begun, Call, Lent, PendingResponse, Polled, Work};
use crate::http::response::{Payload, Response};
use crate::http::response_head::Persistence;
use crate::limits::body_memory::Share;
use crate::server::buffers::{Buffers, LeftWork};
use crate::server::clock::{whole_millis, Millis};
use crate::server::deadline::Deadline;
use crate::wake_list::Waker;

/// The server's part in responses that come later. Only what makes such a response knows it, so a program without any does not link
/// it.
pub(crate) struct Part {
    /// Begins to wait for a response, until the returned time at first. Work for it is left in the buffers. `usize` is the
    /// connection's key.
    pub begin: Begin,
}

type Begin = fn(
    &mut Response,
    &Asked<'_>,
    Persistence,
    Option<Box<Record>>,
    usize,
    &mut Buffers<'_>,
) -> Option<(Box<Waiting>, Millis)>;

pub(crate) static PART: Part = Part { begin };

/// A request that waits for its response. Only [`Pending`] implements it.
pub(crate) trait Waits: Send {
    /// Asks for the response to this client.
    fn poll(&mut self, peer: SocketAddr, side: Side, buffers: &mut Buffers<'_>) -> Answer;

    /// The request, whose response is there.
    fn request(&mut self) -> (Asked<'_>, Persistence, Option<Box<Record>>);
}

/// As large as one pointer in its box, so that no stage of a connection is larger for it.
pub(crate) struct Waiting(pub Box<dyn Waits>);

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
    /// It is asked for again at this time, or when it has woken the connection.
    Later(Millis),
    /// The client does not wait for it.
    Never,
}

struct Pending {
    response: Box<dyn PendingResponse<Response>>,
    held: Held,
    persistence: Persistence,
    record: Option<Box<Record>>,
    /// The program's values in the request, for its `on_response`.
    values: Extensions,
    /// When it is polled although it has not woken its connection.
    due: Millis,
    /// Whether it is waited for no longer when the client has closed its sending side.
    ends_with_client: bool,
}

/// Whether this response is waited for.
#[inline]
pub(crate) fn is_for(response: &Response) -> bool {
    matches!(response.body, Payload::Pending(_))
}

/// Waits for a response. `None` if nobody here can.
#[cold]
#[inline(never)]
pub(crate) fn wait<S: Stream>(
    link: &mut Link<S>,
    response: &mut Response,
    asked: &Asked<'_>,
    persistence: Persistence,
    record: Option<Box<Record>>,
    buffers: &mut Buffers<'_>,
) -> Option<Box<Waiting>> {
    let Payload::Pending(pending) = &response.body else { return None };
    let part = pending.server_part().and_then(|part| part.downcast_ref::<Part>());
    #[cfg(feature = "proxy")]
    let part = part.or(Some(&PART));
    let (waiting, due) = (part?.begin)(response, asked, persistence, record, link.key, buffers)?;
    link.deadline = Deadline::own(due);
    Some(waiting)
}

fn begin(
    response: &mut Response,
    asked: &Asked<'_>,
    persistence: Persistence,
    record: Option<Box<Record>>,
    key: usize,
    buffers: &mut Buffers<'_>,
) -> Option<(Box<Waiting>, Millis)> {
    let body = std::mem::replace(&mut response.body, Payload::Bytes(Vec::new()));
    let Payload::Pending(mut pending) = body else { return None };
    pending.surround(response.fields.take());
    let Begun { wait, work, ends_with_client } =
        pending.begin(Waker { list: buffers.scheduler.wake_list(), key });
    buffers.work = work.map(|work| -> Box<dyn LeftWork> { Box::new(WorkOfHandler { work, memory: None }) });
    let due = buffers.after(wait);
    let values = std::mem::take(&mut buffers.values);
    let Asked { head, fields, line } = asked;
    let held = Held::new(Asked { head, fields, line: line.clone() });
    let waits =
        Box::new(Pending { response: pending, held, persistence, record, values, due, ends_with_client });
    Some((Box::new(Waiting(waits)), due))
}

impl Waits for Pending {
    fn poll(&mut self, peer: SocketAddr, side: Side, buffers: &mut Buffers<'_>) -> Answer {
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
        match self.response.poll(call) {
            Polled::Wait(time) => {
                self.due = self.due.min(now.saturating_add(whole_millis(time).max(1)));
                Answer::Later(self.due)
            }
            Polled::Made(response, values) => {
                self.pass_values(values, buffers);
                Answer::Now(response)
            }
            Polled::Refused(refusal) => {
                self.pass_values(Extensions::new(), buffers);
                log_lines::refusal(peer, refusal, buffers);
                Answer::Now(refusal.into_response())
            }
        }
    }

    fn request(&mut self) -> (Asked<'_>, Persistence, Option<Box<Record>>) {
        let record = self.record.take();
        (self.held.asked(), self.persistence, record)
    }
}

impl Pending {
    /// Keeps the program's values for its `on_response`: these, or those that the request has left.
    fn pass_values(&mut self, values: Extensions, buffers: &mut Buffers<'_>) {
        let values = if values.is_empty() { std::mem::take(&mut self.values) } else { values };
        on_response::keep_values(values, buffers);
    }
}

/// A request that gets no answer, because its client is gone or the server ends, has its line in the access log too.
impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            // As nginx writes it.
            record.status = StatusCode::from_u16(499).unwrap_or_default();
            record.write(0, " cut");
        }
    }
}

/// A handler's work for a response that comes later.
struct WorkOfHandler {
    work: Work,
    memory: Option<Share>,
}

impl LeftWork for WorkOfHandler {
    fn cover(&mut self, memory: Share) {
        self.memory = Some(memory);
    }

    fn run(self: Box<Self>, buffers: &mut Buffers<'_>) {
        let WorkOfHandler { work, memory } = *self;
        let handler = Some(work.handler);
        let began = buffers.look();
        buffers.enter_handler(handler);
        let service = buffers.scheduler.service();
        let fault = &mut |what, line| buffers.context.log_fault(what, buffers.now(), format_args!("{line}"));
        // The work reports what went wrong in the handler.
        let _: Option<()> = handler_call::run("a panic in a handler", || (work.run)(Lent { service, fault }));
        let took = buffers.look().saturating_sub(began);
        buffers.leave_handler(handler, took);
        drop(memory);
    }
}

#[cfg(test)]
mod tests {
    use std::any::Any;
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
        buffers.work.take().unwrap().run(buffers);
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
        fn server_part(&self) -> Option<&'static (dyn Any + Send + Sync)> {
            Some(&PART)
        }

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
