//! Tests of a request's head: how it comes, its refusals, its deadlines, and which worker calls the handler.

use super::*;

#[test]
fn requests_follow_each_other_on_one_connection() {
    let world = world();
    let mut talk = world.open();
    for _ in 0..3 {
        let (end, answer) = talk.ask(get("/"));
        assert_eq!(parts(&answer), (200, "hello"));
        assert!(is_idle(end), "{end:?}");
    }
}

#[test]
fn one_that_comes_byte_by_byte_is_answered_when_the_last_has_come() {
    let world = world();
    let mut talk = world.open();
    // An empty line before it is passed over.
    let request = format!("\r\n{}", get("/"));
    let (last, first) = request.as_bytes().split_last().unwrap();
    for byte in first {
        talk.say([*byte]);
        assert_eq!(limit(talk.settle()), Some(Limit::HeadTimeout));
    }
    let (end, answer) = talk.ask([*last]);
    assert_eq!(parts(&answer), (200, "hello"));
    assert!(is_idle(end));
}

#[test]
fn pipelined_requests_are_answered_in_one_turn_up_to_a_bound() {
    let world = world();
    let mut talk = world.open();
    talk.say(get("/").repeat(70));
    assert_eq!(talk.turn(), End::Again);
    assert_eq!(talk.hear().matches("HTTP/1.1 200 OK").count(), 64);
    assert!(is_idle(talk.turn()));
    let rest = talk.hear();
    assert_eq!(rest.matches("HTTP/1.1 200 OK").count(), 6);
    // The last one alone leaves the connection idle.
    assert_eq!(rest.matches("keep-alive: timeout=").count(), 1);
}

#[test]
fn a_client_that_wants_to_close_and_a_handler_that_does_are_obeyed() {
    let world = world();
    let closing = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for request in [closing, &get("/close"), "GET / HTTP/1.0\r\n\r\n"] {
        let mut talk = world.open();
        let (end, answer) = talk.ask(request);
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert_lingers(&mut talk, end);
    }
}

#[test]
fn what_cannot_be_served_is_refused_with_its_status_and_the_connection_ends() {
    let world = World::with(router(), |limits| {
        limits.head_bytes = 300;
        limits.head_fields = 3;
    });
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(300));
    let fields = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(3));
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}", "x".repeat(300));
    for (request, status) in [
        ("GET / HTTP/1.1\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (&long, 414),
        (&large, 431),
        (&fields, 431),
    ] {
        let mut talk = world.open();
        let (end, answer) = talk.ask(request);
        assert_eq!(parts(&answer).0, status, "{request:?}: {answer}");
        assert!(answer.contains("connection: close\r\n"));
        assert_lingers(&mut talk, end);
    }
}

#[test]
fn one_that_does_not_come_in_time_is_told_so_when_it_has_begun() {
    let world = world();
    let mut silent = world.open();
    assert_eq!(limit(silent.turn()), Some(Limit::HeadTimeout));
    assert_eq!(silent.expire(), End::Closed);
    silent.receive();
    assert_eq!(silent.hear(), "");
    let mut begun = world.open();
    begun.say("GET / HTTP/1.1\r\n");
    begun.turn();
    let end = begun.expire();
    assert_eq!(parts(&begun.hear()).0, 408);
    assert_lingers(&mut begun, end);
    let mut served = world.open();
    served.ask(get("/"));
    served.say("GET");
    assert!(matches!(served.turn(), End::Parked(Some(Limit::HeadTimeout), Idle::Head(_))));
    served.expire();
    assert_eq!(parts(&served.hear()).0, 408);
}

#[test]
fn bytes_that_waited_with_the_deadline_count_before_it() {
    let world = world();
    let mut talk = world.open();
    talk.turn();
    talk.say(get("/"));
    let end = talk.expire();
    assert_eq!(parts(&talk.hear()), (200, "hello"));
    assert!(is_idle(end), "{end:?}");
}

#[test]
fn an_idle_connection_is_closed_with_a_goodbye() {
    let world = world();
    let mut talk = world.open();
    talk.ask(get("/"));
    assert_eq!(talk.expire(), End::Closed);
    talk.receive();
    assert!(talk.client.process_new_packets().unwrap().peer_has_closed());
}

#[test]
fn a_client_that_closes_is_gone_whatever_it_was_at() {
    let world = world();
    for begun in ["", "GET / HTTP/1.1\r\n", &post("/length", 10)] {
        let mut talk = world.open();
        talk.say(begun);
        talk.turn();
        talk.say_goodbye();
        assert_eq!(talk.settle(), End::Closed, "{begun:?}");
    }
}

#[test]
fn a_connection_that_makes_room_says_goodbye_unless_it_is_in_a_response() {
    let world = world();
    let mut idle = world.open();
    idle.ask(get("/"));
    idle.connection.take().unwrap().close_for_another(world.shared);
    idle.receive();
    assert!(idle.client.process_new_packets().unwrap().peer_has_closed());
    let mut sending = world.open();
    sending.takes(10_000);
    sending.say(get("/large"));
    sending.turn();
    sending.takes(None);
    sending.connection.take().unwrap().close_for_another(world.shared);
    sending.receive();
    assert!(!sending.client.process_new_packets().unwrap().peer_has_closed());
}

#[test]
fn another_worker_calls_the_handler_when_this_one_may_not() {
    let world = world();
    let mut talk = world.open();
    talk.handlers = Handlers::Defer;
    talk.say(get("/"));
    assert_eq!(talk.turn(), End::Queued);
    assert_eq!(talk.hear(), "");
    talk.handlers = Handlers::Call;
    assert!(is_idle(talk.turn()));
    assert_eq!(parts(&talk.hear()), (200, "hello"));
    // One that has left meanwhile has no handler called for it.
    talk.handlers = Handlers::Defer;
    talk.say(get("/panic"));
    assert_eq!(talk.turn(), End::Queued);
    talk.break_off();
    talk.handlers = Handlers::Call;
    assert_eq!(talk.turn(), End::Closed);
}

#[test]
fn a_worker_without_a_permit_leaves_requests_to_others() {
    let world = world();
    let mut talk = world.open();
    talk.buffers.me = Some(1);
    talk.say(get("/"));
    assert_eq!(talk.turn(), End::Again);
    assert_eq!(talk.hear(), "");
}

#[test]
fn a_request_that_may_not_wait_gets_a_503_and_the_connection_is_kept() {
    let world = world();
    let mut talk = world.open();
    talk.handlers = Handlers::Refuse;
    let (end, answer) = talk.ask(get("/"));
    assert_eq!(parts(&answer).0, 503);
    assert!(is_idle(end), "{end:?}");
}

#[test]
fn an_address_that_asks_too_often_is_told_so_once_for_each_request() {
    let world = World::with(router(), |limits| limits.requests_per_address = 2);
    let mut talk = world.open();
    // A deferred request counts once, however often it is looked at.
    talk.handlers = Handlers::Defer;
    talk.say(get("/"));
    assert_eq!(talk.turn(), End::Queued);
    assert_eq!(talk.turn(), End::Queued);
    talk.handlers = Handlers::Call;
    assert_eq!((talk.turn(), parts(&talk.hear())).1, (200, "hello"));
    assert_eq!(parts(&talk.ask(get("/")).1).0, 200);
    let (end, answer) = talk.ask(post("/length", 3) + "abc");
    assert_eq!(parts(&answer).0, 429);
    assert!(is_idle(end));
    // Where the rest of a body is still to come, the connection ends.
    let (end, answer) = talk.ask(post("/length", 3));
    assert_eq!(parts(&answer).0, 429);
    assert_lingers(&mut talk, end);
}
