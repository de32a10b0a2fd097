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

/// With X25519MLKEM768 a hello is longer than a packet, so it comes in two at least. Middleboxes, and servers that took the first
/// read for the whole, have broken on that.
#[cfg(feature = "post-quantum")]
mod large_hello {
    use rustls::NamedGroup;

    use super::*;

    /// RFC 8446 §5.1: type, version, length.
    const RECORD_HEADER: usize = 5;

    /// Where a request may wait for as long as it takes to try all places.
    fn world() -> World {
        World::with(router(), |limits| limits.queue_timeout = Duration::from_secs(3600))
    }

    /// The record with the client's hello, which waits to be sent.
    fn hello(talk: &mut Talk) -> Vec<u8> {
        assert_eq!(talk.turn(), End::Parked(Some(Limit::HandshakeTimeout), Idle::Head(0)));
        let mut hello = Vec::new();
        while talk.client.wants_write() {
            talk.client.write_tls(&mut hello).unwrap();
        }
        assert!(hello.len() > 1_400, "{}", hello.len());
        hello
    }

    #[track_caller]
    fn assert_done(mut talk: Talk) {
        talk.turn();
        talk.receive();
        talk.send();
        talk.turn();
        talk.receive();
        assert!(!talk.client.is_handshaking());
        let group = talk.client.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        let (end, answer) = talk.ask(get("/"));
        assert!(is_idle(end) && answer.ends_with("hello"), "{end:?} {answer}");
    }

    /// Places where something begins or ends, of the record, of the hello and of packets (IPv4, IPv6, PPPoE, a tunnel), and
    /// others between them.
    fn places(length: usize) -> Vec<usize> {
        let near = |at: usize| at - 1..at + 2;
        let ends = length - 3..length;
        [
            near(5),
            near(9),
            near(11),
            near(43),
            near(44),
            near(76),
            near(1_280),
            near(1_440),
            near(1_460),
            ends,
        ]
        .into_iter()
        .flatten()
        .chain([1, 2, 3])
        .chain((90..length).step_by(173))
        .collect()
    }

    #[test]
    fn it_is_taken_in_two_segments_wherever_it_is_cut() {
        let world = world();
        let length = hello(&mut world.come()).len();
        for at in places(length) {
            let mut talk = world.come();
            let hello = hello(&mut talk);
            if at > hello.len() {
                continue;
            }
            let (first, second) = hello.split_at(at);
            talk.send_raw(first);
            assert_eq!(limit(talk.turn()), Some(Limit::HandshakeTimeout), "{at}");
            assert!(talk.receive_raw().is_empty(), "{at}");
            talk.send_raw(second);
            assert_done(talk);
        }
    }

    #[test]
    fn it_is_taken_byte_by_byte() {
        let world = world();
        let mut talk = world.come();
        let hello = hello(&mut talk);
        let (last, first) = hello.split_last().unwrap();
        for byte in first {
            talk.send_raw(&[*byte]);
            assert_eq!(limit(talk.turn()), Some(Limit::HandshakeTimeout));
        }
        talk.send_raw(&[*last]);
        assert_done(talk);
    }

    /// RFC 8446 §5.1: a message may be in several records.
    #[test]
    fn it_is_taken_in_several_records_wherever_it_is_cut() {
        let world = world();
        let length = hello(&mut world.come()).len() - RECORD_HEADER;
        for at in places(length).into_iter().chain([512]) {
            let mut talk = world.come();
            let hello = hello(&mut talk);
            let (header, message) = hello.split_at(RECORD_HEADER);
            let pieces: Vec<&[u8]> = match at {
                // In many.
                512 => message.chunks(100).collect(),
                _ => <[&[u8]; 2]>::from(message.split_at(at)).to_vec(),
            };
            for piece in pieces {
                talk.send_raw(&header[..3]);
                talk.send_raw(&(piece.len() as u16).to_be_bytes());
                talk.send_raw(piece);
                talk.turn();
            }
            assert_done(talk);
        }
    }

    #[test]
    fn a_client_that_sends_half_of_it_is_closed_in_time() {
        let world = world();
        let mut talk = world.come();
        let hello = hello(&mut talk);
        talk.send_raw(&hello[..hello.len() / 2]);
        assert_eq!(limit(talk.turn()), Some(Limit::HandshakeTimeout));
        assert_eq!(talk.expire(), End::Closed);
    }

    /// A hello may be larger still; what exceeds the largest message that rustls reads is refused, not collected.
    #[test]
    fn a_message_that_announces_more_than_a_hello_may_have_is_refused_at_once() {
        let world = world();
        let mut talk = world.come();
        hello(&mut talk);
        // client_hello with a length of 1 MiB, in a record of 16 bytes.
        talk.send_raw(&[22, 3, 1, 0, 16, 1, 0x10, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let end = talk.turn();
        assert_lingers(&mut talk, end);
    }
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
