//! Sends a body that has bytes later. While it has none, its connection is parked like an idle one, until the body wakes it.
//! `response` calls it.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use super::transport::{Stream, Transport};
use crate::handler_call;
use crate::http::live_body::{Call, Given, LiveBody, Then};
#[cfg(feature = "proxy")]
use crate::http::passing::TakesBody;
use crate::http::response_head::{chunk_size_line, Framing};
#[cfg(feature = "proxy")]
use crate::http::response_head::{title_case, FieldNames};
use crate::server::buffers::{Buffers, PIECE_BYTES};
use crate::server::clock::{whole_millis, Millis};
use crate::wake_list::Waker;

/// A body is not asked more often while it gives nothing. So a deadline does not pass in the turn that sets it.
const LEAST_WAIT: Duration = Duration::from_secs(1);

pub(crate) struct Live {
    body: Box<dyn LiveBody>,
    chunked: bool,
    /// When the body is asked for bytes although it has not woken its connection.
    asked_at: Millis,
    has_begun: bool,
    /// Whether the rest of the request's body goes to it.
    #[cfg(feature = "proxy")]
    pub takes_body: bool,
}

/// What follows the queued bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    More,
    /// Nothing, until the body wakes its connection, or this time.
    Wait(Millis),
    End,
}

impl Live {
    /// Begins with a body. `key` is the connection's.
    pub(crate) fn begin(
        mut body: Box<dyn LiveBody>,
        framing: Framing,
        key: usize,
        buffers: &Buffers<'_>,
    ) -> Live {
        body.begin(Waker { list: buffers.scheduler.wake_list(), key });
        Live {
            #[cfg(feature = "proxy")]
            takes_body: body.taker().is_some(),
            body,
            chunked: framing == Framing::Chunked,
            asked_at: Millis::MAX,
            has_begun: false,
        }
    }

    /// Whether it is a client's end of a feed.
    #[cfg(feature = "operations")]
    pub(crate) fn is_subscription(&self) -> bool {
        self.body.is_subscription()
    }

    /// What takes the rest of the request's body.
    #[cfg(feature = "proxy")]
    pub(crate) fn taker(&mut self) -> Option<&mut dyn TakesBody> {
        self.body.taker()
    }

    /// The end of the chunks.
    #[cfg_attr(not(feature = "proxy"), allow(unused_variables))]
    fn last(&mut self, buffers: &Buffers<'_>) -> Cow<'static, [u8]> {
        #[cfg(feature = "proxy")]
        {
            let trailers = self.body.trailers();
            if !trailers.is_empty() {
                let mut last = [b"0\r\n", &*trailers, b"\r\n"].concat();
                if buffers.context.field_names == FieldNames::TitleCase {
                    title_case(&mut last);
                }
                return Cow::Owned(last);
            }
        }
        Cow::Borrowed(b"0\r\n\r\n")
    }

    /// Encrypts what the body gives now, as one piece. Returns how many bytes of the body it is.
    pub(crate) fn queue<S: Stream>(
        &mut self,
        transport: &mut Transport<S>,
        buffers: &mut Buffers<'_>,
    ) -> io::Result<(usize, Next)> {
        if !std::mem::replace(&mut self.has_begun, true) {
            // When the system holds all that was sent, only the system knows whether the client takes it.
            transport.limit_silence(buffers.limits().write_timeout.saturating_mul(2));
        }
        let now = buffers.millis();
        // Only a backend's answer goes on in a stop.
        const GOES_ON: bool = cfg!(feature = "proxy");
        let call = match self.asked_at <= now {
            _ if !GOES_ON && buffers.context.is_draining() => Call::Stopping,
            true => Call::Due,
            false if GOES_ON && buffers.context.is_draining() => Call::Stopping,
            false => Call::Ready,
        };
        // A body that gives nothing, however often it is woken, is still asked when its time is up.
        if call == Call::Due {
            self.asked_at = Millis::MAX;
        }
        let Given { bytes, then } = self.ask(call, buffers)?;
        if bytes > 0 {
            self.asked_at = Millis::MAX;
        }
        let next = match then {
            Then::More => Next::More,
            // It still has to hear of the stop.
            Then::Wait(_) if GOES_ON && call == Call::Due && buffers.context.is_draining() => Next::More,
            Then::Wait(time) => {
                let at = now.saturating_add(whole_millis(time.max(LEAST_WAIT)));
                self.asked_at = self.asked_at.min(at);
                Next::Wait(self.asked_at)
            }
            Then::End => Next::End,
            Then::Cut(why) => {
                buffers.log_refusal(why, format_args!("a response was cut, because {why}"));
                return Err(io::ErrorKind::Other.into());
            }
        };
        let Some(piece) = buffers.scratch.get(..bytes) else { return Err(io::ErrorKind::Other.into()) };
        let last =
            if next == Next::End && self.chunked { self.last(buffers) } else { Cow::Borrowed(&b""[..]) };
        match (self.chunked, bytes) {
            (_, 0) => transport.queue(&last)?,
            (true, _) => transport.queue_all(&[chunk_size_line(bytes).as_ref(), piece, b"\r\n", &last])?,
            (false, _) => transport.queue(piece)?,
        }
        Ok((bytes, next))
    }

    /// Asks the body, which may call code of the program.
    fn ask(&mut self, call: Call, buffers: &mut Buffers<'_>) -> io::Result<Given> {
        // With its framing the piece fits into a TLS record.
        let most = PIECE_BYTES - 16;
        buffers.enter_handler(None);
        let given = handler_call::run("a panic in a live response", || {
            self.body.give(&mut buffers.scratch[..most], call)
        });
        buffers.leave_handler(None, Duration::ZERO);
        if handler_call::went_wrong() {
            buffers.log_faults(format_args!("a live response"));
        }
        given.ok_or_else(|| io::ErrorKind::Other.into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use super::super::testing::{End, Talk, World};
    use super::*;
    use crate::http::request::Request;
    use crate::http::response::{Payload, Response};
    use crate::limits::limit::Limit;
    use crate::server::turn::Idle;
    use crate::wake_list::KeySet;
    use crate::{Router, StatusCode};

    const WAIT: Then = Then::Wait(Duration::from_secs(15));

    /// What a body gives at its calls, and the calls so far.
    #[derive(Default)]
    struct Script {
        gives: VecDeque<(&'static str, Then)>,
        calls: Vec<Call>,
        waker: Option<Waker>,
        is_dropped: bool,
    }

    #[derive(Clone, Default)]
    struct Body(Arc<Mutex<Script>>);

    impl Body {
        fn gives(&self, text: &'static str, then: Then) -> &Body {
            self.0.lock().unwrap().gives.push_back((text, then));
            self
        }

        fn calls(&self) -> Vec<Call> {
            std::mem::take(&mut self.0.lock().unwrap().calls)
        }

        fn is_dropped(&self) -> bool {
            self.0.lock().unwrap().is_dropped
        }
    }

    struct Scripted(Body);

    impl LiveBody for Scripted {
        fn begin(&mut self, waker: Waker) {
            self.0 .0.lock().unwrap().waker = Some(waker);
        }

        fn give(&mut self, out: &mut [u8], call: Call) -> Given {
            let mut script = self.0 .0.lock().unwrap();
            script.calls.push(call);
            let (text, then) = script.gives.pop_front().unwrap_or(("", WAIT));
            out[..text.len()].copy_from_slice(text.as_bytes());
            Given { bytes: text.len(), then }
        }
    }

    impl Drop for Scripted {
        fn drop(&mut self) {
            self.0 .0.lock().unwrap().is_dropped = true;
        }
    }

    fn world(body: &Body) -> World {
        let body = body.clone();
        let router = Router::new().get("/quick", |_: &mut Request<'_>| "quick").get(
            "/live",
            move |_: &mut Request<'_>| {
                let mut response = Response::new(StatusCode::OK);
                response.body = Payload::Live(Box::new(Scripted(body.clone())));
                response
            },
        );
        World::new(router)
    }

    const ASK: &str = "GET /live HTTP/1.1\r\nHost: a\r\n\r\n";

    /// A connection whose body has nothing more now.
    fn open(body: &Body) -> (World, Talk) {
        let world = world(body);
        let mut talk = world.open();
        let (end, heard) = talk.ask(ASK);
        assert!(matches!(end, End::Parked(None, Idle::Moving { bytes: 0, .. })), "{end:?}");
        assert!(heard.starts_with("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n"), "{heard}");
        body.calls();
        (world, talk)
    }

    #[test]
    fn what_a_body_gives_goes_out_in_chunks_until_it_waits_and_again_when_it_has_more() {
        let body = Body::default();
        body.gives("one", Then::More).gives("two", WAIT);
        let world = world(&body);
        let mut talk = world.open();
        let (end, heard) = talk.ask(ASK);
        assert!(matches!(end, End::Parked(None, _)), "{end:?}");
        assert!(heard.ends_with("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n"), "{heard}");
        assert_eq!(
            body.calls(),
            [Call::Ready, Call::Ready],
            "it is not asked again after it has said that it waits"
        );
        body.gives("three", Then::End);
        talk.settle();
        assert_eq!(talk.hear(), "5\r\nthree\r\n0\r\n\r\n");
        assert!(body.is_dropped());
        assert!(talk.ask("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n").1.ends_with("quick"));
    }

    #[test]
    fn a_body_that_waits_is_asked_when_its_time_is_up_however_often_it_was_woken_for_nothing() {
        let body = Body::default();
        let (_world, mut talk) = open(&body);
        talk.pass(Duration::from_secs(10));
        talk.settle();
        assert_eq!(body.calls(), [Call::Ready]);
        body.gives("beat", WAIT);
        talk.expire_after(Duration::from_secs(6));
        assert_eq!((body.calls(), talk.hear().as_str()), (vec![Call::Due], "4\r\nbeat\r\n"));
        // From there on anew.
        talk.pass(Duration::from_secs(10));
        talk.settle();
        talk.expire_after(Duration::from_secs(4));
        assert_eq!(body.calls(), [Call::Ready, Call::Ready]);
        assert!(matches!(talk.expire_after(Duration::from_secs(2)), End::Parked(..)));
        assert_eq!(body.calls(), [Call::Due]);
    }

    #[test]
    fn a_body_that_never_wants_to_wait_does_not_end_its_connection() {
        let body = Body::default();
        let (_world, mut talk) = open(&body);
        body.gives("a", Then::Wait(Duration::ZERO));
        assert!(matches!(talk.settle(), End::Parked(None, _)));
        assert!(matches!(talk.expire_after(Duration::from_millis(1_001)), End::Parked(None, _)));
        assert_eq!(body.calls(), [Call::Ready, Call::Due]);
    }

    #[test]
    fn a_body_that_passes_over_much_lets_others_have_their_turn() {
        let body = Body::default();
        let (_world, mut talk) = open(&body);
        body.gives("", Then::More).gives("a", WAIT);
        assert_eq!(talk.turn(), End::Again);
        talk.settle();
        assert_eq!(talk.hear(), "1\r\na\r\n");
    }

    #[test]
    fn a_client_that_does_not_read_is_given_no_more_and_is_cut_in_time() {
        let body = Body::default();
        let (_world, mut talk) = open(&body);
        talk.takes(0);
        body.gives("one", WAIT).gives("two", WAIT);
        assert!(matches!(talk.settle(), End::Parked(Some(Limit::WriteTimeout), _)));
        talk.settle();
        assert_eq!(body.calls(), [Call::Ready], "what it has not taken goes first");
        talk.takes(None);
        assert!(matches!(talk.settle(), End::Parked(None, _)));
        assert_eq!((body.calls(), talk.hear().as_str()), (vec![Call::Ready], "3\r\none\r\n3\r\ntwo\r\n"));
        talk.takes(0);
        body.gives("three", WAIT);
        talk.settle();
        assert_eq!(talk.expire(), End::Closed);
        assert!(body.is_dropped());
    }

    #[test]
    fn a_client_that_has_closed_its_side_has_left() {
        let body = Body::default();
        let (_world, mut talk) = open(&body);
        talk.close();
        assert_eq!((talk.turn(), body.calls().len(), body.is_dropped()), (End::Closed, 0, true));
    }

    #[test]
    fn a_body_that_cannot_give_all_ends_without_the_end_of_its_chunks() {
        let body = Body::default();
        let (_world, mut talk) = open(&body);
        body.gives("half", Then::Cut("it has lost the rest"));
        assert_eq!((talk.turn(), talk.hear().as_str()), (End::Closed, ""));
    }

    #[test]
    fn a_stop_asks_the_body_for_its_end() {
        let body = Body::default();
        let (world, mut talk) = open(&body);
        world.drain();
        body.gives("bye", Then::End);
        assert_eq!(talk.turn(), End::Closed);
        assert_eq!((body.calls(), talk.hear().as_str()), (vec![Call::Stopping], "3\r\nbye\r\n0\r\n\r\n"));
    }

    /// As a backend's answer does; no other body goes on in a stop.
    #[cfg(feature = "proxy")]
    #[test]
    fn a_body_that_flows_in_a_stop_has_its_time_anew_and_one_that_does_not_hears_that_it_is_up() {
        let body = Body::default();
        let (world, mut talk) = open(&body);
        world.drain();
        for _ in 0..3 {
            body.gives("more", Then::More).gives("", WAIT);
            talk.pass(Duration::from_secs(10));
            assert!(matches!(talk.settle(), End::Parked(None, _)));
            assert_eq!((body.calls(), talk.hear().as_str()), (vec![Call::Stopping; 2], "4\r\nmore\r\n"));
        }
        assert!(matches!(talk.expire_after(Duration::from_secs(14)), End::Parked(None, _)));
        assert_eq!(body.calls(), [Call::Stopping]);
        talk.expire_after(Duration::from_secs(2));
        assert!(matches!(talk.settle(), End::Parked(None, _)));
        assert_eq!(body.calls()[..2], [Call::Due, Call::Stopping]);
    }

    #[test]
    fn a_body_wakes_its_connection_through_the_poller() {
        let body = Body::default();
        let (world, talk) = open(&body);
        let waker = body.0.lock().unwrap().waker.clone().unwrap();
        let poller = &world.shared.poller;
        assert_eq!(waker.key, crate::server::places::Parked::key(talk.connection.as_ref().unwrap()));
        let mut keys = KeySet::default();
        keys.insert(waker.key);
        assert!(waker.list.mark(&mut keys));
        waker.list.wake();
        // A worker has the connection, so the signal is kept for it.
        let places = poller.watch(poller.lock(), &mut poller.clock(), None);
        assert!(places.ready.is_empty());
        drop(places);
        assert!(poller.await_signals(waker.key, std::time::Instant::now()).readable);
    }
}
