//! What holds for whatever a client sends: a session never panics, what it sends are whole frames of a server, and neither how the
//! network splits the bytes nor how much the client takes at a time changes any of them.

use super::peer::{frame, Ended, Peer};
use super::socket::Socket;

/// The first byte of the input chooses how it is split, the second what it is: bytes as they come, or frames with a mask. So the
/// fuzzer need not find out how to mask.
pub(crate) fn hold(input: &[u8]) {
    let [split, kind, rest @ ..] = input else { return };
    let bytes = if kind % 2 == 0 { rest.to_vec() } else { framed(rest) };
    let whole = outcome(&bytes, usize::MAX, 16_000);
    let (piece, room) = (1 + usize::from(split % 16), 1 + usize::from(split / 16) * 7);
    assert_eq!(outcome(&bytes, piece, 16_000), whole, "in pieces of {piece}");
    assert_eq!(outcome(&bytes, usize::MAX, room), whole, "with room for {room}");
    assert_eq!(outcome(&bytes, piece, room), whole, "in pieces of {piece}, with room for {room}");
}

/// Reads the input as first bytes, lengths and payloads.
fn framed(mut rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let [first, length, after @ ..] = rest {
        let (payload, after) = after.split_at(usize::from(*length).min(after.len()));
        bytes.extend(frame(*first, payload));
        rest = after;
    }
    bytes
}

/// What a session answers, and how it ends.
fn outcome(bytes: &[u8], piece: usize, room: usize) -> (Vec<(u8, Vec<u8>)>, Ended) {
    let echo = Socket::on_message(|socket, message| socket.send(message));
    let mut peer = Peer::of(echo.message_bytes(300).frame_bytes(200));
    peer.call.room = room;
    bytes.chunks(piece).for_each(|piece| peer.send(piece));
    (peer.take_frames(), peer.ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing;

    #[test]
    fn they_hold_for_many_inputs() {
        const PIECES: &[&str] = &[
            "\x01\x01",
            "\x01\x05hello",
            "\x02\x00",
            "\x00\x03\u{fc}x",
            "\x09\x01p",
            "\x0a\x00",
            "\x08\x00",
            "\x08\x02\x03",
            "\u{81}",
            "\u{89}\x01",
            "\x7f\x7f",
            "\x01~~~",
            "\x02\x01\x01",
        ];
        for (count, mut input) in fuzzing::inputs(4_000, PIECES).enumerate() {
            // FIN and the opcodes of data and control frames are frequent.
            for byte in input.iter_mut().skip(2).step_by(3) {
                if *byte < 16 {
                    *byte |= 0x80;
                }
            }
            input.insert(0, count as u8);
            hold(&input);
        }
    }
}
