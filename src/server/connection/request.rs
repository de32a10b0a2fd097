//! Decides what to do with a request, from its head; `exchange` does it. Knows the limits, the routes and how long the request has
//! waited; no socket and no connection.

use std::time::Duration;

use ::http::StatusCode;

use super::asked::Asked;
use super::body::{refusal_of, Bounds, Expectation, Reader};
use crate::http::request_head::{BodyLength, Line};
use crate::http::response::Response;
use crate::http::response_head::Persistence;
use crate::http::Refusal;
use crate::limits::limit::Limit;
use crate::limits::streams::Full;
use crate::limits::Limits;
use crate::router::endpoint::Called;
use crate::router::routes::{Found, Matched};
use crate::router::Router;
use crate::server::clock::Millis;
use crate::server::turn::Handlers;

pub(crate) const NOT_LET_IN: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "the certificate that was shown for this connection is no longer accepted",
);
pub(crate) const READERS_BUSY: Refusal = Refusal::over(
    Limit::ReserveWorkers,
    StatusCode::SERVICE_UNAVAILABLE,
    "as many responses are being streamed as may be at a time; try again",
);
pub(crate) const HEAD_LATE: Refusal = Refusal::over(
    Limit::HeadTimeout,
    StatusCode::REQUEST_TIMEOUT,
    "the request's head did not arrive in time",
);
const WAITED_TOO_LONG: Refusal = Refusal::over(
    Limit::QueueTimeout,
    StatusCode::SERVICE_UNAVAILABLE,
    "all workers are busy and the request has waited too long; try again",
);
const QUEUE_FULL: Refusal = Refusal::over(
    Limit::QueueRequests,
    StatusCode::SERVICE_UNAVAILABLE,
    "all workers are busy and as many requests as may wait for one do so; try again",
);
const TOO_OFTEN: Refusal = Refusal::over(
    Limit::RequestsPerAddress,
    StatusCode::TOO_MANY_REQUESTS,
    "too many requests come from this address; try again",
);
const STREAMS_BUSY: Refusal = Refusal::over(
    Limit::StreamingBodies,
    StatusCode::SERVICE_UNAVAILABLE,
    "too many large bodies are being received; try again",
);
const STREAMS_OF_ADDRESS: Refusal = Refusal::over(
    Limit::StreamingBodiesPerAddress,
    StatusCode::TOO_MANY_REQUESTS,
    "too many large bodies are being received from this address; try again",
);

/// The circumstances when a request's head has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    /// How long the request has waited for a worker.
    pub waited: Millis,
    /// How many bytes have come after its head.
    pub arrived: usize,
    pub now: Millis,
    /// Whether its address is within its rate.
    pub rate: RateLimit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RateLimit {
    Within,
    Exceeded,
}

/// What to do with a request whose head has come.
pub(crate) enum Decision {
    /// Its body, of this many bytes, is complete: answer it by its route.
    Answer(usize),
    Instead(Instead),
}

/// What to do with a request whose route is not followed now.
pub(crate) enum Instead {
    /// Its body, of this many bytes, is complete: refuse it, and keep the connection.
    AnswerRefused(usize, Refusal),
    /// Collect its body first, or what has come of it.
    Collect(Called, Reader),
    /// Answer it without its body. If the connection is kept, the body is read and dropped.
    AnswerUnread(Response, Unread),
    /// No route serves it, and its layers have to be called, without its body. Else as before.
    CallUnread(Unread),
    /// Refuse it and close the connection, because the end of the request is unknown or not worth finding.
    Refuse(Refusal),
}

/// A body that no handler reads.
pub(crate) struct Unread {
    pub reader: Reader,
    /// Whether the connection is kept after the response.
    pub persistence: Persistence,
}

/// What answers a request.
pub(crate) enum Route<'s, 'h> {
    Call(Matched<'s, 'h>),
    Response(Response),
    Refused(Refusal),
    /// A worker that calls handlers.
    OtherWorker,
}

/// The largest body that is kept in memory before its handler is called, in bytes.
pub(crate) fn kept_bytes(limits: &Limits) -> u64 {
    (limits.body_buffer_bytes as u64).min(limits.body_bytes)
}

/// Decides what to do with a request whose head has come.
#[inline(always)]
pub(crate) fn decide(
    limits: &Limits,
    router: &Router,
    asked: &Asked<'_>,
    circumstances: Circumstances,
) -> Decision {
    let Circumstances { arrived, rate, .. } = circumstances;
    let kept = kept_bytes(limits);
    match (rate, asked.line.body) {
        (RateLimit::Within, BodyLength::Fixed(length)) if length <= kept.min(arrived as u64) => {
            Decision::Answer(length as usize)
        }
        (RateLimit::Exceeded, BodyLength::Fixed(length)) if length <= arrived as u64 => {
            Decision::Instead(Instead::AnswerRefused(length as usize, TOO_OFTEN))
        }
        (RateLimit::Exceeded, _) => Decision::Instead(Instead::Refuse(TOO_OFTEN)),
        (RateLimit::Within, _) => {
            Decision::Instead(decide_before_the_body(limits, router, asked, circumstances))
        }
    }
}

/// Decides what to do with a request whose body has not come whole, or is not kept in memory.
#[inline(never)]
fn decide_before_the_body(
    limits: &Limits,
    router: &Router,
    asked: &Asked<'_>,
    Circumstances { waited, arrived, now, .. }: Circumstances,
) -> Instead {
    let expectation =
        if asked.line.expects_continue && arrived == 0 { Expectation::Continue } else { Expectation::None };
    let found = router.routes.find(&asked.line.method, asked.raw_path());
    let bounds = match &found {
        Found::Call(matched) => Bounds::of(limits, matched.call.limits()),
        Found::Answer(_) | Found::Refused(_) => Bounds::of(limits, None),
    };
    let reader = match Reader::new(asked.line.body, bounds, now, expectation) {
        Ok(reader) => reader,
        Err(fault) => return Instead::Refuse(refusal_of(&fault)),
    };
    // If no handler will read the body, the client need not send it.
    match route(limits, found, waited, Handlers::Call) {
        Route::Call(matched) if matched.call.is_without_handler() => {
            Instead::CallUnread(Unread::of(asked, reader, limits))
        }
        Route::Call(matched) => Instead::Collect(matched.call.called(), reader),
        Route::OtherWorker => Instead::Collect(Called::WithBody, reader),
        Route::Refused(refusal) => Instead::Refuse(refusal),
        Route::Response(response) => Instead::AnswerUnread(response, Unread::of(asked, reader, limits)),
    }
}

impl Unread {
    #[inline(never)]
    fn of(asked: &Asked<'_>, reader: Reader, limits: &Limits) -> Unread {
        let persistence = persistence_unread(&asked.line, &reader, limits);
        Unread { reader, persistence }
    }
}

/// Whether the connection is kept after the response to a request whose body has not come whole.
pub(crate) fn persistence_unread(line: &Line, reader: &Reader, limits: &Limits) -> Persistence {
    // Reading past a large body costs more than a new connection. A client that waits for 100 Continue may or may not send
    // the body (RFC 9110 §10.1.1).
    let is_short = match line.body {
        BodyLength::Fixed(_) => reader.straight_bytes() <= kept_bytes(limits),
        BodyLength::Chunked => true,
    };
    match line.keep_alive && is_short && reader.expectation() == Expectation::None {
        true => Persistence::Idle,
        false => Persistence::Close,
    }
}

/// Decides what answers a request that has waited for `waited`, when the router has `found` this for it.
#[inline]
pub(crate) fn route<'s, 'h>(
    limits: &Limits,
    found: Found<'s, 'h>,
    waited: Millis,
    handlers: Handlers,
) -> Route<'s, 'h> {
    let matched = match found {
        Found::Call(matched) => matched,
        Found::Answer(response) => return Route::Response(response),
        Found::Refused(refusal) => return Route::Refused(refusal),
    };
    let is_in_time = Duration::from_millis(waited) <= limits.queue_timeout;
    match handlers {
        Handlers::Call if is_in_time => Route::Call(matched),
        Handlers::Refuse if is_in_time => Route::Refused(QUEUE_FULL),
        Handlers::Call | Handlers::Refuse => Route::Refused(WAITED_TOO_LONG),
        Handlers::Defer => Route::OtherWorker,
    }
}

/// Whether the connection is kept after the response, when this many bytes have come after the request.
#[inline]
pub(crate) fn persistence(line: &Line, behind: usize) -> Persistence {
    match (line.keep_alive, behind) {
        (false, _) => Persistence::Close,
        (true, 0) => Persistence::Idle,
        (true, _) => Persistence::Busy,
    }
}

/// The refusal of a request with a large body when all places for those are taken.
pub(crate) fn refusal_of_stream(full: Full) -> Refusal {
    match full {
        Full::OfAddress => STREAMS_OF_ADDRESS,
        Full::OfAll => STREAMS_BUSY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Request;
    use crate::http::request_head;
    use crate::http::span::Field;

    struct Head {
        bytes: String,
        fields: Vec<Field>,
    }

    impl Head {
        fn new(request_line: &str, fields: &str) -> Head {
            Head { bytes: format!("{request_line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), fields: Vec::new() }
        }

        fn asked(&mut self) -> Asked<'_> {
            let line = request_head::parse(self.bytes.as_bytes(), 64, &mut self.fields).unwrap();
            Asked { head: self.bytes.as_bytes(), fields: &self.fields, line }
        }
    }

    fn router() -> Router {
        Router::new().get("/", |_: &mut Request<'_>| "get").post("/{id}", |_: &mut Request<'_>| "post")
    }

    fn limits() -> Limits {
        Limits { body_buffer_bytes: 100, body_bytes: 1_000, ..Limits::default() }
    }

    /// The decision, in a word, when `arrived` bytes have come after the head.
    fn decided(request_line: &str, fields: &str, arrived: usize, rate: RateLimit) -> String {
        decided_by(&router(), request_line, fields, arrived, rate)
    }

    fn decided_by(
        router: &Router,
        request_line: &str,
        fields: &str,
        arrived: usize,
        rate: RateLimit,
    ) -> String {
        let mut head = Head::new(request_line, fields);
        let circumstances = Circumstances { waited: 0, arrived, now: 7, rate };
        let instead = match decide(&limits(), router, &head.asked(), circumstances) {
            Decision::Answer(body) => return format!("answer {body}"),
            Decision::Instead(instead) => instead,
        };
        match instead {
            Instead::AnswerRefused(body, refusal) => format!("answer {body} {}", refusal.status.as_u16()),
            Instead::Collect(_, mut reader) => {
                format!("collect {}", if reader.take_continue().is_some() { "after 100" } else { "" })
            }
            Instead::AnswerUnread(response, Unread { persistence, .. }) => {
                format!("{} unread {persistence:?}", response.status().as_u16())
            }
            Instead::CallUnread(Unread { persistence, .. }) => format!("layers unread {persistence:?}"),
            Instead::Refuse(refusal) => format!("refuse {}", refusal.status.as_u16()),
        }
    }

    #[test]
    fn what_is_done_with_a_request_follows_from_its_head_and_from_what_has_come() {
        let chunked = "Transfer-Encoding: chunked\r\n";
        let expecting = "Content-Length: 5\r\nExpect: 100-continue\r\n";
        for (request_line, fields, arrived, expected) in [
            ("GET /", "", 0, "answer 0"),
            ("GET /", "", 50, "answer 0"),
            ("POST /1", "Content-Length: 5\r\n", 5, "answer 5"),
            ("POST /1", "Content-Length: 5\r\n", 4, "collect "),
            ("POST /1", "Content-Length: 100\r\n", 200, "answer 100"),
            ("POST /1", "Content-Length: 101\r\n", 200, "collect "),
            ("POST /1", "Content-Length: 1000\r\n", 0, "collect "),
            ("POST /1", "Content-Length: 1001\r\n", 0, "refuse 413"),
            ("POST /1", chunked, 50, "collect "),
            ("POST /1", expecting, 0, "collect after 100"),
            ("POST /1", expecting, 1, "collect "),
            ("POST /no/where", "Content-Length: 5\r\n", 0, "404 unread Idle"),
            ("POST /no/where", "Content-Length: 5\r\nConnection: close\r\n", 0, "404 unread Close"),
            ("POST /no/where", "Content-Length: 101\r\n", 0, "404 unread Close"),
            ("POST /no/where", chunked, 0, "404 unread Idle"),
            ("POST /no/where", expecting, 0, "404 unread Close"),
            ("POST /%zz", "Content-Length: 5\r\n", 0, "refuse 400"),
        ] {
            let decision = decided(request_line, fields, arrived, RateLimit::Within);
            assert_eq!(decision, expected, "{request_line} {fields:?} {arrived}");
        }
        for (fields, arrived, expected) in [
            ("", 0, "answer 0 429"),
            ("Content-Length: 500\r\n", 500, "answer 500 429"),
            ("Content-Length: 500\r\n", 499, "refuse 429"),
            (chunked, 500, "refuse 429"),
        ] {
            assert_eq!(decided("POST /1", fields, arrived, RateLimit::Exceeded), expected, "{fields:?}");
        }
    }

    #[test]
    fn layers_are_called_for_what_no_route_serves_and_its_body_is_not_collected() {
        let router = router().with(|request: &mut Request<'_>, next: crate::Next<'_>| next.run(request));
        let expecting = "Content-Length: 5\r\nExpect: 100-continue\r\n";
        for (request_line, fields, arrived, expected) in [
            ("POST /no/where", "Content-Length: 5\r\n", 5, "answer 5"),
            ("POST /no/where", "Content-Length: 5\r\n", 0, "layers unread Idle"),
            ("POST /no/where", "Content-Length: 101\r\n", 0, "layers unread Close"),
            ("POST /no/where", expecting, 0, "layers unread Close"),
            ("POST /%zz", "Content-Length: 5\r\n", 0, "layers unread Idle"),
            ("POST /1", "Content-Length: 5\r\n", 4, "collect "),
        ] {
            let decision = decided_by(&router, request_line, fields, arrived, RateLimit::Within);
            assert_eq!(decision, expected, "{request_line} {fields:?} {arrived}");
        }
        let mut head = Head::new("DELETE /", "");
        let asked = head.asked();
        let found = router.routes.find(&asked.line.method, asked.raw_path());
        // They are the program's code, so a worker calls them.
        assert!(matches!(route(&limits(), found, 0, Handlers::Defer), Route::OtherWorker));
    }

    #[test]
    fn the_limits_of_a_route_are_known_before_its_body_is_read() {
        let nothing = |_: &mut Request<'_>| ();
        let large = Router::new().put("/large", nothing).put("/most", nothing).body_bytes(5_000);
        let router = Router::new().put("/small", nothing).body_bytes(10).merge(large).nest(
            "/in",
            Router::new()
                .put("/small", nothing)
                .with(|r: &mut Request<'_>, next: crate::Next<'_>| next.run(r)),
        );
        let expecting = "Expect: 100-continue\r\n";
        let chunked = "Transfer-Encoding: chunked\r\n";
        for (request_line, fields, arrived, expected) in [
            ("PUT /small", "Content-Length: 10\r\n", 0, "collect "),
            ("PUT /small", "Content-Length: 11\r\n", 0, "refuse 413"),
            ("PUT /small", &format!("Content-Length: 11\r\n{expecting}"), 0, "refuse 413"),
            ("PUT /in/small", "Content-Length: 11\r\n", 0, "refuse 413"),
            ("PUT /small", chunked, 0, "collect "),
            ("PUT /large", "Content-Length: 5000\r\n", 0, "collect "),
            ("PUT /large", &format!("Content-Length: 5000\r\n{expecting}"), 0, "collect after 100"),
            ("PUT /large", "Content-Length: 5001\r\n", 0, "refuse 413"),
            // What is not served has the server's limit, and is not read.
            ("PUT /none", "Content-Length: 1000\r\n", 0, "404 unread Close"),
            ("PUT /none", "Content-Length: 1001\r\n", 0, "refuse 413"),
            ("PUT /in/none", "Content-Length: 5\r\n", 0, "layers unread Idle"),
        ] {
            let decision = decided_by(&router, request_line, fields, arrived, RateLimit::Within);
            assert_eq!(decision, expected, "{request_line} {fields:?} {arrived}");
        }
    }

    #[test]
    fn a_handler_is_called_by_a_worker_that_may_and_in_time() {
        let (limits, router) = (limits(), router());
        let late = limits.queue_timeout.as_millis() as Millis + 1;
        let routed = |request_line: &str, waited, handlers| {
            let mut head = Head::new(request_line, "");
            let asked = head.asked();
            let found = router.routes.find(&asked.line.method, asked.raw_path());
            match route(&limits, found, waited, handlers) {
                Route::Call(call) => format!("call {}", call.path),
                Route::Response(response) => response.status().as_u16().to_string(),
                Route::Refused(refusal) => refusal.what().to_string(),
                Route::OtherWorker => "other".to_string(),
            }
        };
        assert_eq!(routed("GET /", late - 1, Handlers::Call), "call /");
        assert_eq!(routed("GET /", late, Handlers::Call), "queue_timeout");
        assert_eq!(routed("GET /", late - 1, Handlers::Refuse), "queue_requests");
        assert_eq!(routed("GET /", late, Handlers::Refuse), "queue_timeout");
        assert_eq!(routed("GET /", late, Handlers::Defer), "other");
        assert_eq!(routed("POST /a%20b", 0, Handlers::Call), "call /a b");
        // A request that needs no handler does not wait for one.
        for handlers in [Handlers::Call, Handlers::Defer, Handlers::Refuse] {
            assert_eq!(routed("GET /no/where", late, handlers), "404");
            assert_eq!(routed("DELETE /", late, handlers), "405");
        }
    }

    #[test]
    fn a_connection_goes_on_as_its_client_and_what_has_come_say() {
        let line = |fields| Head::new("GET /", fields).asked().line;
        assert_eq!(persistence(&line(""), 0), Persistence::Idle);
        assert_eq!(persistence(&line(""), 1), Persistence::Busy);
        assert_eq!(persistence(&line("Connection: close\r\n"), 1), Persistence::Close);
    }
}
