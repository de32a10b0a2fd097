//! A test of a server that stops: it still answers the requests that have come.

use super::*;

#[test]
fn what_has_come_is_answered_and_idle_connections_close() {
    let world = world();
    let mut idle = world.open();
    idle.ask(get("/"));
    let mut fresh = world.open();
    let mut asking = world.open();
    asking.say(get("/").repeat(2));
    let mut beginning = world.open();
    beginning.say("GET / HTTP/1.1\r\n");
    beginning.turn();
    world.drain();
    assert_eq!(idle.turn(), End::Closed);
    if cfg!(feature = "operations") {
        // It is about to ask.
        assert!(matches!(fresh.turn(), End::Parked(..)));
        let (end, answer) = fresh.ask(get("/"));
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("hello"), "{answer}");
        assert_lingers(&mut fresh, end);
    } else {
        assert_eq!(fresh.turn(), End::Closed);
    }
    let end = asking.settle();
    assert_eq!(asking.hear().matches("hello").count(), 2);
    assert_lingers(&mut asking, end);
    // A head that has begun has a little time.
    assert_eq!(limit(beginning.turn()), Some(Limit::HeadTimeout));
    let (end, answer) = beginning.ask("Host: localhost\r\n\r\n");
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("hello"), "{answer}");
    assert_lingers(&mut beginning, end);
}

/// `stopping` has a test of when that is.
#[cfg(feature = "operations")]
#[test]
fn in_the_second_half_of_the_grace_time_each_response_closes_its_connection() {
    let world = world();
    let mut kept = world.open();
    let (_, answer) = kept.ask(get("/"));
    assert!(!answer.contains("connection: close"), "{answer}");
    world.begin_second_half_of_grace();
    assert!(matches!(kept.turn(), End::Parked(..)), "it is told before it is closed");
    let (end, answer) = kept.ask(get("/"));
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("hello"), "{answer}");
    assert_lingers(&mut kept, end);
    // New ones are served too.
    let (end, answer) = world.open().ask(get("/"));
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("hello"), "{answer}");
    assert!(matches!(end, End::Parked(..)), "{end:?}");
}

#[cfg(feature = "operations")]
#[test]
fn a_client_that_has_connected_and_asks_nothing_holds_a_stop_for_a_second_only() {
    let world = world();
    let mut fresh = world.open();
    world.drain();
    assert!(matches!(fresh.turn(), End::Parked(..)));
    assert_eq!(fresh.expire_after(DRAIN_GRACE + Duration::from_millis(1)), End::Closed);
}

#[test]
fn a_client_that_has_its_last_answer_holds_a_stop_for_a_second_only() {
    let world = world();
    let mut talk = world.open();
    talk.say("GET / HTTP/1.1\r\n");
    talk.turn();
    world.drain();
    let (end, answer) = talk.ask("Host: localhost\r\n\r\n");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(matches!(end, End::Parked(None, _)), "{end:?}");
    assert_eq!(talk.expire_after(DRAIN_GRACE + Duration::from_millis(1)), End::Closed);
}
