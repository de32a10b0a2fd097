//! Tests of a response: whole and streamed ones, and clients that read little or nothing.

use super::*;

#[test]
fn what_a_handler_may_not_send_is_an_error_of_its_own() {
    let world = world();
    let mut talk = world.open();
    assert_eq!(parts(&talk.ask(get("/interim")).1).0, 500);
    assert_eq!(parts(&talk.ask(get("/panic")).1).0, 500);
    assert_eq!(parts(&talk.ask(get("/none")).1), (204, ""));
    assert_eq!(parts(&talk.ask(get("/").replace("GET", "HEAD")).1), (200, ""));
    assert_eq!(parts(&talk.ask(get("/nowhere")).1).0, 404);
    assert_eq!(parts(&talk.ask(get("/%2e%2e/")).1).0, 400);
}

#[test]
fn a_large_one_goes_out_as_the_client_takes_it() {
    let world = world();
    let mut talk = world.open();
    talk.takes(10_000);
    talk.say(get("/large"));
    let end = talk.turn();
    assert!(matches!(end, End::Parked(Some(Limit::WriteTimeout), Idle::Moving { .. })), "{end:?}");
    let mut heard = talk.hear();
    while heard.len() < LARGE {
        talk.takes(50_000);
        talk.settle();
        heard += &talk.hear();
    }
    talk.takes(None);
    let end = talk.settle();
    heard += &talk.hear();
    assert_eq!(parts(&heard).1.len(), LARGE);
    assert!(is_idle(end), "{end:?}");
    assert_eq!(parts(&talk.ask(get("/")).1), (200, "hello"));
}

#[test]
fn a_client_that_takes_nothing_is_cut_and_one_that_takes_too_little_too() {
    let world = world();
    let mut talk = world.open();
    talk.takes(0);
    talk.say(get("/large"));
    assert_eq!(limit(talk.turn()), Some(Limit::WriteTimeout));
    assert_eq!(talk.expire(), End::Closed);
    // A little each time is progress, and less than the least rate all the same.
    let world = World::with(router(), |limits| limits.write_min_rate = 1_000_000_000);
    let mut talk = world.open();
    talk.takes(10_000);
    talk.say(get("/large"));
    talk.turn();
    talk.takes(10);
    talk.pass(Duration::from_secs(20));
    let end = talk.turn();
    assert_eq!(limit(end), Some(Limit::WriteMinRate), "{end:?}");
    assert_eq!(talk.expire(), End::Closed);
}

#[test]
fn a_client_that_does_not_read_answers_gets_no_further_ones() {
    let world = world();
    let mut talk = world.open();
    talk.takes(0);
    talk.say(get("/").repeat(3));
    let end = talk.turn();
    assert_eq!(limit(end), Some(Limit::WriteTimeout), "{end:?}");
    talk.say(get("/"));
    assert_eq!(limit(talk.turn()), Some(Limit::WriteTimeout));
    talk.takes(None);
    assert!(is_idle(talk.settle()));
    assert_eq!(talk.hear().matches("hello").count(), 4);
    // Many that are not taken are not kept in memory.
    talk.takes(0);
    talk.say(get("/").repeat(300));
    let end = talk.settle();
    assert_eq!(limit(end), Some(Limit::WriteTimeout), "{end:?}");
    talk.takes(None);
    assert!(is_idle(talk.settle()));
    assert_eq!(talk.hear().matches("hello").count(), 300);
}

#[test]
fn a_streamed_one_is_framed_by_what_is_known_of_it() {
    let world = world();
    let mut talk = world.open_with_worker();
    assert_eq!(parts(&talk.ask(get("/streamed")).1).1, "8\r\nstreamed\r\n0\r\n\r\n");
    let (end, answer) = talk.ask(get("/counted"));
    assert_eq!(parts(&answer), (200, "counted"));
    assert!(is_idle(end));
    let (end, answer) = talk.ask("GET /streamed HTTP/1.0\r\n\r\n");
    assert_eq!(parts(&answer), (200, "streamed"));
    assert_lingers(&mut talk, end);
}

#[test]
fn a_streamed_one_that_fails_is_cut_so_that_nobody_takes_it_for_the_whole() {
    let world = world();
    for path in ["/short", "/failing", "/panicking", "/lying"] {
        let mut talk = world.open_with_worker();
        let (end, answer) = talk.ask(get(path));
        assert_eq!((end, parts(&answer).0), (End::Closed, 200), "{path}");
        assert!(!answer.contains("0\r\n\r\n"), "{path}: {answer}");
    }
}

#[test]
fn a_reader_is_asked_by_a_worker_that_has_a_place_for_it() {
    let world = World::with(router(), |limits| {
        limits.workers = 1;
        limits.reserve_workers = 0;
    });
    // The supervisor leaves it to a worker.
    let mut talk = world.open();
    talk.say(get("/streamed"));
    assert_eq!(talk.turn(), End::Queued);
    // It has the one place, so another such response does not begin.
    let mut other = world.open_with_worker();
    assert_eq!(parts(&other.ask(get("/streamed")).1).0, 503);
    talk.buffers.me = Some(0);
    assert!(is_idle(talk.turn()));
    assert!(talk.hear().ends_with("8\r\nstreamed\r\n0\r\n\r\n"));
    assert_eq!(parts(&other.ask(get("/streamed")).1).0, 200);
}

#[test]
fn an_endless_one_lets_others_have_their_turn() {
    let world = world();
    let mut talk = world.open_with_worker();
    talk.say(get("/endless"));
    assert_eq!(talk.turn(), End::Again);
    assert!(is_idle(talk.settle()));
    assert!(talk.hear().len() > 3_000_000);
    // No reader is asked for a server that has stopped.
    world.give_permit();
    talk.say(get("/endless"));
    assert_eq!(talk.turn(), End::Again);
    world.stop();
    assert_eq!(talk.turn(), End::Closed);
}
