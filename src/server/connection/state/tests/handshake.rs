//! Tests of the handshake: in pieces, too slow, broken off, and bytes that are not TLS.

use super::*;

#[test]
fn a_handshake_that_comes_in_pieces_is_done_when_the_last_has_come() {
    let world = world();
    let mut talk = world.come();
    assert_eq!(talk.turn(), End::Parked(Some(Limit::HandshakeTimeout), Idle::Head(0)));
    for _ in 0..2 {
        let mut hello = Vec::new();
        while talk.client.wants_write() {
            talk.client.write_tls(&mut hello).unwrap();
        }
        let (last, first) = hello.split_last().unwrap();
        for piece in first.chunks(90) {
            talk.send_raw(piece);
            assert_eq!(limit(talk.turn()), Some(Limit::HandshakeTimeout));
        }
        talk.send_raw(&[*last]);
        talk.turn();
        talk.receive();
    }
    assert!(!talk.client.is_handshaking());
    let (end, answer) = talk.ask(get("/"));
    assert!(is_idle(end) && answer.ends_with("hello"), "{end:?} {answer}");
}

#[test]
fn a_client_that_does_not_finish_it_in_time_is_closed() {
    let world = world();
    let mut talk = world.come();
    talk.send();
    talk.turn();
    assert_eq!(talk.expire(), End::Closed);
}

#[test]
fn one_that_goes_in_the_middle_of_it_is_closed() {
    let world = world();
    let mut talk = world.come();
    talk.send();
    talk.turn();
    talk.close();
    assert_eq!(talk.turn(), End::Closed);
}

#[test]
fn one_that_speaks_http_in_clear_is_told_so_and_its_credentials_are_looked_for_to_the_end() {
    let world = world();
    let mut talk = world.come();
    talk.send_raw(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic eDp5\r\n");
    let end = talk.turn();
    let answer = String::from_utf8(talk.receive_raw()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    assert!(matches!(end, End::Parked(None, _)), "{end:?}");
    talk.send_raw(b"Cookie: session=1\r\n\r\n");
    assert_eq!(limit(talk.turn()), None);
    assert_eq!(talk.expire(), End::Closed);
}

#[test]
fn what_is_neither_tls_nor_http_is_closed_without_a_word() {
    let world = world();
    for first in [b"\r\n\r\n\0\r\nQUIT\n", b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\0"] {
        let mut talk = world.come();
        talk.send_raw(first);
        assert_eq!(talk.turn(), End::Closed);
        assert!(talk.receive_raw().is_empty());
    }
}

#[test]
fn a_record_that_is_none_gets_an_alert_and_the_connection_lingers() {
    let world = world();
    let mut talk = world.open();
    talk.send_raw(&[&[0x17, 3, 3, 0, 32][..], &[0; 32]].concat());
    let end = talk.turn();
    assert!(!talk.receive_raw().is_empty());
    assert_lingers(&mut talk, end);
}

#[test]
fn a_reset_ends_the_connection_at_once() {
    let world = world();
    let mut talk = world.open();
    talk.break_off();
    assert_eq!(talk.turn(), End::Closed);
}
