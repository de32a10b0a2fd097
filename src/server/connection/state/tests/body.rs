//! Tests of a request's body: framings and limits, collected and streamed bodies, and bodies that no handler reads.

use super::*;

#[test]
fn one_that_comes_with_its_head_or_behind_it_or_in_pieces_is_the_same() {
    let world = world();
    let mut talk = world.open();
    assert_eq!(parts(&talk.ask(post("/length", 5) + "12345").1), (200, "5"));
    assert_eq!(limit(talk.ask(post("/length", 5)).0), Some(Limit::BodyTimeout));
    assert_eq!(limit(talk.ask("123").0), Some(Limit::BodyTimeout));
    assert_eq!(parts(&talk.ask("45").1), (200, "5"));
    let request = chunked("/length") + &chunks(5, 2);
    let (last, first) = request.as_bytes().split_last().unwrap();
    for byte in first {
        assert_eq!(talk.ask([*byte]).1, "");
    }
    let (end, answer) = talk.ask([*last]);
    assert_eq!(parts(&answer), (200, "5"));
    assert!(is_idle(end));
}

#[test]
fn the_request_behind_it_is_the_next_one() {
    let world = world();
    let mut talk = world.open();
    for first in [post("/length", 3) + "abc", chunked("/length") + &chunks(3, 3)] {
        let (end, answers) = talk.ask(first + &get("/none"));
        assert!(answers.starts_with("HTTP/1.1 200 ") && answers.contains("HTTP/1.1 204 "), "{answers}");
        assert!(is_idle(end));
    }
}

#[test]
fn the_limit_is_the_same_for_every_framing_and_every_way_to_read_it() {
    // Read before the handler is called, and by the handler.
    for kept in [100_000, 1_000] {
        let world = World::with(router(), |limits| {
            limits.body_bytes = 40_000;
            limits.body_buffer_bytes = kept;
        });
        for (length, expected) in [(39_999, 200), (40_000, 200), (40_001, 413)] {
            let body = "b".repeat(length);
            let whole = chunked("/length") + &chunks(length, 7_000);
            for request in [post("/length", length) + &body, whole] {
                let mut talk = world.open();
                let (_, answer) = talk.ask(request);
                let (status, content) = parts(&answer);
                assert_eq!(status, expected, "{kept} {length}: {answer}");
                assert!(expected != 200 || content == length.to_string(), "{answer}");
            }
        }
    }
}

#[test]
fn one_at_the_bound_of_what_is_kept_in_memory_and_one_over_it_are_read_alike() {
    let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
    let mut talk = world.open();
    for length in [999, 1_000, 1_001, 5_000] {
        let body = "b".repeat(length);
        for request in [post("/length", length) + &body, chunked("/length") + &chunks(length, 10)] {
            let (end, answer) = talk.ask(request);
            assert_eq!(parts(&answer), (200, &*length.to_string()));
            assert!(is_idle(end), "{length} {end:?}");
        }
    }
}

#[test]
fn a_client_that_waits_for_a_word_gets_it_once() {
    let expecting = |path: &str, length: usize| {
        post(path, length).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n")
    };
    let world = world();
    let mut talk = world.open();
    let (end, interim) = talk.ask(expecting("/length", 3));
    assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(limit(end), Some(Limit::BodyTimeout));
    assert_eq!(talk.ask("a").1, "");
    assert_eq!(parts(&talk.ask("bc").1), (200, "3"));
    // Not when the body is there, nor when nobody wants it.
    assert_eq!(parts(&talk.ask(expecting("/length", 1) + "a").1), (200, "1"));
    let (end, answer) = talk.ask(expecting("/nowhere", 3));
    assert_eq!(parts(&answer).0, 404);
    assert_lingers(&mut talk, end);
}

#[test]
fn one_that_nobody_wants_is_read_past_when_it_is_short() {
    let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
    let mut talk = world.open();
    for body in [None, Some(chunks(900, 90))] {
        let head = body.as_ref().map_or(post("/nowhere", 900), |_| chunked("/nowhere"));
        let (end, answer) = talk.ask(head);
        assert_eq!(parts(&answer).0, 404);
        assert!(matches!(end, End::Parked(Some(Limit::BodyTimeout), Idle::Since(_))), "{end:?}");
        let (end, answer) = talk.ask(body.unwrap_or("b".repeat(900)) + &get("/"));
        assert_eq!(parts(&answer), (200, "hello"));
        assert!(is_idle(end));
    }
}

#[test]
fn one_that_nobody_wants_ends_the_connection_in_every_other_case() {
    let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
    // Larger than is read past, as its head says.
    let mut talk = world.open();
    let (end, _) = talk.ask(post("/nowhere", 1_001));
    assert_lingers(&mut talk, end);
    // Larger, as it turns out; and malformed.
    for rest in [&chunks(1_001, 100)[..], "zz\r\n"] {
        let mut talk = world.open();
        assert_eq!(parts(&talk.ask(chunked("/nowhere")).1).0, 404);
        let (end, more) = talk.ask(rest);
        assert_eq!(more, "");
        assert_lingers(&mut talk, end);
    }
    // It does not come.
    let mut talk = world.open();
    talk.ask(post("/nowhere", 3));
    assert_eq!(talk.expire(), End::Closed);
    let mut talk = world.open();
    talk.ask(post("/nowhere", 3));
    talk.say_goodbye();
    assert_eq!(talk.settle(), End::Closed);
    // The server stops.
    let mut talk = world.open();
    talk.ask(post("/nowhere", 3));
    world.drain();
    let end = talk.turn();
    assert_lingers(&mut talk, end);
}

#[test]
fn one_that_is_refused_ends_the_connection() {
    let world = World::with(router(), |limits| limits.body_memory_bytes = 2_000);
    for (request, status) in [
        (chunked("/length") + "zz\r\n", 400),
        (post("/length", 5_000) + &"b".repeat(4_000), 503),
        (post("/length", 5_000_000), 413),
    ] {
        let mut talk = world.open();
        let (end, answer) = talk.ask(&request);
        assert_eq!(parts(&answer).0, status, "{answer}");
        assert_lingers(&mut talk, end);
    }
}

#[test]
fn one_that_does_not_come_in_time_is_told_so() {
    let world = world();
    let mut talk = world.open();
    let (end, _) = talk.ask(post("/length", 10) + "123");
    assert!(matches!(end, End::Parked(Some(Limit::BodyTimeout), Idle::Moving { bytes: 3, .. })), "{end:?}");
    let end = talk.expire();
    assert_eq!(parts(&talk.hear()).0, 408);
    assert_lingers(&mut talk, end);
}

#[test]
fn another_worker_gets_it_when_this_one_calls_no_handlers() {
    let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
    for length in [900, 1_100] {
        let mut talk = world.open();
        talk.handlers = Handlers::Defer;
        talk.say(post("/length", length));
        talk.turn();
        talk.say("b".repeat(length));
        assert_eq!(talk.settle(), End::Queued);
        assert_eq!(talk.settle(), End::Queued);
        talk.handlers = Handlers::Call;
        assert!(is_idle(talk.settle()));
        assert_eq!(parts(&talk.hear()), (200, &*length.to_string()));
    }
}

#[test]
fn a_streamed_one_that_is_not_read_whole_ends_the_connection() {
    let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
    for (path, content) in [("/ignore", "ignored"), ("/part", "10")] {
        for request in [post(path, 2_000) + &"b".repeat(2_000), chunked(path) + &chunks(2_000, 500)] {
            let mut talk = world.open();
            let (end, answer) = talk.ask(request);
            assert_eq!(parts(&answer), (200, content));
            assert_lingers(&mut talk, end);
        }
    }
}

#[test]
fn a_streamed_one_that_breaks_off_is_an_error_for_the_handler() {
    let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
    let mut talk = world.open();
    let (_, answer) = talk.ask(chunked("/length") + &format!("7d0\r\n{}zz", "b".repeat(2_000)));
    assert_eq!(parts(&answer).0, 400, "{answer}");
    let mut talk = world.open();
    talk.say(post("/length", 2_000) + &"b".repeat(1_500));
    talk.say_goodbye();
    talk.settle();
    assert_eq!(parts(&talk.hear()).0, 400);
    // It does not come, and the time for it is over before the handler asks.
    let world = World::with(router(), |limits| {
        limits.body_buffer_bytes = 1_000;
        limits.body_timeout = Duration::from_millis(1);
        limits.body_min_rate = 1_000_000_000;
    });
    let mut talk = world.open();
    let (_, answer) = talk.ask(post("/length", 2_000) + "b");
    assert_eq!(parts(&answer).0, 408);
    // The server has stopped.
    let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
    let mut talk = world.open();
    world.stop();
    let (_, answer) = talk.ask(post("/length", 2_000) + "b");
    assert_eq!(parts(&answer).0, 400);
}

#[test]
fn the_places_for_streamed_ones_are_bounded_in_all_and_for_an_address() {
    for (change, status) in [(1, 503), (5, 429)] {
        let world = World::with(router(), |limits| {
            limits.body_buffer_bytes = 10;
            limits.streaming_bodies = change;
            limits.streaming_bodies_per_address = 6 - change;
        });
        let other = [192, 0, 2, if status == 503 { 8 } else { 7 }];
        let _held = world.shared.streams.enter(other.into()).ok().unwrap();
        let mut talk = world.open();
        let (end, answer) = talk.ask(post("/length", 20) + &"b".repeat(20));
        assert_eq!(parts(&answer).0, status, "{answer}");
        assert_lingers(&mut talk, end);
    }
}

#[test]
fn a_request_that_may_not_wait_is_refused_from_its_head_or_when_its_body_is_there() {
    let world = World::with(router(), |limits| limits.body_buffer_bytes = 1_000);
    let mut talk = world.open();
    talk.handlers = Handlers::Refuse;
    let (end, answer) = talk.ask(post("/length", 900));
    assert_eq!((limit(end), &*answer), (Some(Limit::BodyTimeout), ""));
    let (end, answer) = talk.ask("b".repeat(900));
    assert_eq!(parts(&answer).0, 503);
    assert!(is_idle(end), "{end:?}");
    let (end, answer) = talk.ask(post("/length", 1_100));
    assert_eq!(parts(&answer).0, 503);
    assert_lingers(&mut talk, end);
}
