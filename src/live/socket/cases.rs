//! The published cases of the Autobahn test suite for WebSocket servers, as frames: groups 1 to 7 and 10, each whole, byte by
//! byte and in pieces, against a session that sends each message back. Left out: the groups 9 (speed) and 12 and 13
//! (compression, which is not negotiated). Of 6.5 to 6.22 each sequence is here, of 1.1 and 1.2 each length.

use super::peer::{closing, frame, Ended, Peer, BINARY, CLOSE, FIN, PING, PONG, TEXT};

const CONTINUE: u8 = 0;
const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;

/// What the client sends, and what the session answers: messages and pongs, then a close with this code.
struct Case {
    name: String,
    sent: Vec<Vec<u8>>,
    answers: Vec<(u8, Vec<u8>)>,
    /// `None` for a close without a code.
    code: Option<u16>,
}

fn case(name: impl Into<String>, sent: Vec<Vec<u8>>, answers: Vec<(u8, &[u8])>, code: u16) -> Case {
    let answers = answers.into_iter().map(|(first, payload)| (FIN | first, payload.to_vec())).collect();
    Case { name: name.into(), sent, answers, code: Some(code) }
}

fn text(payload: &[u8]) -> Vec<u8> {
    frame(FIN | TEXT, payload)
}

fn bye() -> Vec<u8> {
    frame(FIN | CLOSE, &closing(1000, ""))
}

/// Fragments of one octet each.
fn octets(payload: &[u8]) -> Vec<Vec<u8>> {
    let last = payload.len() - 1;
    let first = |at| if at == 0 { TEXT } else { CONTINUE } | if at == last { FIN } else { 0 };
    payload.iter().enumerate().map(|(at, &byte)| frame(first(at), &[byte])).collect()
}

fn framing() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, opcode, byte) in [("1.1", TEXT, b'*'), ("1.2", BINARY, 0xfe)] {
        for length in [0, 125, 126, 127, 128, 65_535, 65_536] {
            let payload = vec![byte; length];
            let sent = vec![frame(FIN | opcode, &payload), bye()];
            cases.push(case(format!("{group} {length}"), sent, vec![(opcode, &payload)], 1000));
        }
    }
    let long = vec![b'*'; 65_536];
    let mut sent: Vec<_> = long.chunks(1_300).map(|piece| frame(CONTINUE, piece)).collect();
    let last = sent.len() - 1;
    sent[0][0] = TEXT;
    sent[last][0] = FIN;
    sent.push(bye());
    cases.push(case("10.1.1", sent, vec![(TEXT, &long)], 1000));
    cases
}

fn pings() -> Vec<Case> {
    let ping = |payload: &[u8]| frame(FIN | PING, payload);
    let pong = |payload: &[u8]| frame(FIN | PONG, payload);
    let (longest, binary) = ([0xfe; 125], [0, 255, 254, 253, 252, 251, 0, 255]);
    let ten: Vec<_> = (0..10).map(|n| format!("payload-{n}").into_bytes()).collect();
    let all = ten.iter().map(|payload| ping(payload)).chain([bye()]).collect();
    vec![
        case("2.1", vec![ping(b""), bye()], vec![(PONG, b"")], 1000),
        case("2.2", vec![ping(b"Hello, world!"), bye()], vec![(PONG, b"Hello, world!")], 1000),
        case("2.3", vec![ping(&binary), bye()], vec![(PONG, &binary)], 1000),
        case("2.4, 2.6", vec![ping(&longest), bye()], vec![(PONG, &longest)], 1000),
        case("2.5", vec![ping(&[0xfe; 126]), bye()], vec![], 1002),
        case("2.7", vec![pong(b""), bye()], vec![], 1000),
        case("2.8", vec![pong(b"unsolicited"), bye()], vec![], 1000),
        case("2.9", vec![pong(b"unsolicited"), ping(b"p"), bye()], vec![(PONG, b"p")], 1000),
        case("2.10, 2.11", all, ten.iter().map(|payload| (PONG, &payload[..])).collect(), 1000),
    ]
}

fn reserved() -> Vec<Case> {
    let ping = || frame(FIN | PING, b"");
    let hello = || text(b"Hello");
    let mut cases = vec![
        case("3.1", vec![frame(FIN | TEXT | RSV3, b"Hello")], vec![], 1002),
        case("3.5", vec![frame(FIN | BINARY | RSV1 | RSV3, b"\0\xff")], vec![], 1002),
        case("3.6", vec![frame(FIN | PING | RSV1 | RSV2, b"")], vec![], 1002),
        case("3.7", vec![frame(FIN | CLOSE | RSV1 | RSV2 | RSV3, b"")], vec![], 1002),
    ];
    for (name, bits) in [("3.2", RSV2), ("3.3", RSV2 | RSV3), ("3.4", RSV1)] {
        let sent = vec![hello(), frame(FIN | TEXT | bits, b"Hello"), ping()];
        cases.push(case(name, sent, vec![(TEXT, b"Hello")], 1002));
    }
    for opcode in (3..8).chain(11..16) {
        cases.push(case(format!("4 {opcode}"), vec![frame(FIN | opcode, b"")], vec![], 1002));
        let sent = vec![hello(), frame(FIN | opcode, b"payload"), ping()];
        cases.push(case(format!("4 {opcode} behind text"), sent, vec![(TEXT, b"Hello")], 1002));
    }
    cases
}

fn fragments() -> Vec<Case> {
    let (one, two) = (&b"fragment1"[..], &b"fragment2"[..]);
    let whole = &b"fragment1fragment2"[..];
    let ping = |payload: &[u8]| frame(FIN | PING, payload);
    let first = || frame(TEXT, one);
    let last = || frame(FIN, two);
    let mut cases = vec![
        case("5.1", vec![frame(PING, one), last()], vec![], 1002),
        case("5.2", vec![frame(PONG, one), last()], vec![], 1002),
        case("5.3 to 5.5", vec![first(), last(), bye()], vec![(TEXT, whole)], 1000),
        case(
            "5.6 to 5.8",
            vec![first(), ping(b"between"), last(), bye()],
            vec![(PONG, b"between"), (TEXT, whole)],
            1000,
        ),
        case("5.9 to 5.11", vec![frame(FIN, b"nothing to continue"), text(b"Hello")], vec![], 1002),
        case("5.12 to 5.14", vec![frame(CONTINUE, b"nothing to continue"), text(b"Hello")], vec![], 1002),
        case(
            "5.15",
            vec![first(), last(), frame(CONTINUE, b"nothing to continue"), text(b"Hello")],
            vec![(TEXT, whole)],
            1002,
        ),
        case("5.16", vec![frame(CONTINUE, one), frame(FIN | TEXT, two)], vec![], 1002),
        case("5.17", vec![frame(FIN, one), frame(FIN | TEXT, two)], vec![], 1002),
        case("5.18", vec![first(), frame(FIN | TEXT, two)], vec![], 1002),
    ];
    let mut sent = vec![first(), frame(CONTINUE, b"2"), ping(b"a"), frame(CONTINUE, b"3")];
    sent.extend([frame(CONTINUE, b"4"), ping(b"b"), frame(FIN, b"5"), bye()]);
    let answers = vec![(PONG, &b"a"[..]), (PONG, b"b"), (TEXT, b"fragment12345")];
    cases.push(case("5.19, 5.20", sent, answers, 1000));
    cases
}

/// "κόσμε" and what is well-formed beside it, by the groups 6.5 to 6.22.
const GOOD: &[&[u8]] = &[
    b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
    b"\x00",
    b"\xc2\x80",
    b"\xe0\xa0\x80",
    b"\xf0\x90\x80\x80",
    b"\x7f",
    b"\xdf\xbf",
    b"\xef\xbf\xbf",
    b"\xf4\x8f\xbf\xbf",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xef\xbf\xbe",
    b"\xf0\x9f\xbf\xbe",
    b"\xf4\x8f\xbf\xbe",
];

const BAD: &[&[u8]] = &[
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
    b"\xce",
    b"\xce\xba\xe1",
    b"\xce\xba\xe1\xbd",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    b"\xfb\xbf\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\x80",
    b"\xbf",
    b"\x80\xbf\x80",
    b"\xc0 \xc1 \xc2 ",
    b"\xe0 \xe1 \xef ",
    b"\xf0 \xf1 \xf7 ",
    b"\xf8 \xfb ",
    b"\xfc \xfd ",
    b"\xc0",
    b"\xe0\x80",
    b"\xf0\x80\x80",
    b"\xf8\x80\x80\x80",
    b"\xdf",
    b"\xef\xbf",
    b"\xf7\xbf\xbf",
    b"\xfe",
    b"\xff",
    b"\xfe\xfe\xff\xff",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xf8\x80\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xc0\x80",
    b"\xe0\x80\x80",
    b"\xf0\x80\x80\x80",
    b"\xed\xa0\x80",
    b"\xed\xad\xbf",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xed\xaf\xbf\xed\xbf\xbf",
];

fn utf8() -> Vec<Case> {
    let empty = |first| frame(first, b"");
    let mut cases = vec![
        case("6.1.1", vec![text(b""), bye()], vec![(TEXT, b"")], 1000),
        case("6.1.2", vec![empty(TEXT), empty(CONTINUE), empty(FIN), bye()], vec![(TEXT, b"")], 1000),
        case(
            "6.1.3",
            vec![empty(TEXT), frame(CONTINUE, b"middle"), empty(FIN), bye()],
            vec![(TEXT, b"middle")],
            1000,
        ),
    ];
    for (at, good) in GOOD.iter().enumerate() {
        cases.push(case(format!("6 good {at}"), vec![text(good), bye()], vec![(TEXT, good)], 1000));
        let mut sent = octets(good);
        sent.push(bye());
        cases.push(case(format!("6 good {at} in octets"), sent, vec![(TEXT, good)], 1000));
    }
    for (at, bad) in BAD.iter().enumerate() {
        cases.push(case(format!("6 bad {at}"), vec![text(bad), bye()], vec![], 1007));
        cases.push(case(format!("6 bad {at} in octets"), octets(bad), vec![], 1007));
    }
    // 6.4: what cannot become UTF-8 any more is refused before the message is whole.
    let sent = vec![frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xf4"), frame(CONTINUE, b"\x90")];
    cases.push(case("6.4", sent, vec![], 1007));
    cases
}

fn closes() -> Vec<Case> {
    let close = |payload: &[u8]| frame(FIN | CLOSE, payload);
    let (hello, ping) = (text(b"Hello World!"), frame(FIN | PING, b""));
    let long = vec![b'*'; 262_144];
    let reason = "*".repeat(123);
    let mut cases = vec![
        case("7.1.1", vec![hello.clone(), bye()], vec![(TEXT, b"Hello World!")], 1000),
        case("7.1.2", vec![bye(), bye()], vec![], 1000),
        case("7.1.3", vec![bye(), ping.clone()], vec![], 1000),
        case("7.1.4", vec![bye(), hello], vec![], 1000),
        case("7.1.5", vec![frame(TEXT, b"fragment1"), bye(), frame(FIN, b"fragment2")], vec![], 1000),
        case("7.1.6", vec![text(&long), bye(), ping], vec![(TEXT, &long)], 1000),
        case("7.3.2", vec![close(b"\x03")], vec![], 1002),
        case("7.3.4", vec![close(&closing(1000, "Hello World!"))], vec![], 1000),
        case("7.3.5", vec![close(&closing(1000, &reason))], vec![], 1000),
        case("7.3.6", vec![close(&closing(1000, &format!("{reason}*")))], vec![], 1002),
        case("7.5.1", vec![close(&[&closing(1000, "")[..], BAD[0]].concat())], vec![], 1007),
    ];
    cases.push(Case { code: None, ..case("7.3.1", vec![close(b"")], vec![], 0) });
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        cases.push(case(format!("7.7, 7.3.3 {code}"), vec![close(&closing(code, ""))], vec![], code));
    }
    for code in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(case(format!("7.9, 7.13 {code}"), vec![close(&closing(code, ""))], vec![], 1002));
    }
    cases
}

fn all() -> Vec<Case> {
    [framing(), pings(), reserved(), fragments(), utf8(), closes()].into_iter().flatten().collect()
}

fn holds(case: &Case, pieces: usize) {
    let mut peer = Peer::echo();
    for piece in case.sent.concat().chunks(pieces) {
        peer.send(piece);
    }
    let name = &case.name;
    assert_eq!(peer.ended, Ended::Whole, "{name}");
    let mut answers = peer.take_frames();
    let (first, payload) = answers.pop().unwrap_or_else(|| panic!("{name}: no close"));
    let code = payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
    assert_eq!((first, code), (FIN | CLOSE, case.code), "{name} in pieces of {pieces}");
    assert!(answers == case.answers, "{name} in pieces of {pieces}: {} answers", answers.len());
}

#[test]
fn the_published_cases_are_answered_as_they_ask_whole_and_in_pieces() {
    let cases = all();
    assert!(cases.len() > 200, "{}", cases.len());
    for case in &cases {
        holds(case, usize::MAX);
        holds(case, 997);
        holds(case, 7);
        if case.sent.iter().map(Vec::len).sum::<usize>() < 5_000 {
            holds(case, 1);
        }
    }
}
