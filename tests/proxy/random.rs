//! Clients and backends of random behaviour, whose bytes come in random pieces: `parked` says what holds. Every run has the same.
//! In every other round nothing is damaged, so all must go well.

use std::panic::{catch_unwind, resume_unwind};

use super::parked::{clean_up, hold};

const ROUNDS: u64 = 300;
/// Bytes that parsers often handle wrongly, and those that divide an input.
const DAMAGE: &[u8] = b"\r\n\0\t %:;,/.\x7f\x80\xfe\xfd";

/// xorshift64: weak random numbers, but the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn data(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| b'a' + self.below(26) as u8).collect()
    }

    /// In chunks of any size.
    fn chunked(&mut self, data: &[u8]) -> Vec<u8> {
        let mut coded = Vec::new();
        let mut rest = data;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(1 + self.below(rest.len()));
            let extension = self.one_of(&["", "", ";a=b"]);
            coded.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
            coded.extend_from_slice(chunk);
            coded.extend_from_slice(b"\r\n");
            rest = after;
        }
        let trailers = self.one_of(&["", "", "X-Sum: 1\r\n"]);
        coded.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        coded
    }

    /// A body with its framing, and the field that tells of it.
    fn framed(&mut self) -> (String, Vec<u8>) {
        let length = [0, 1, 40, 64, 65, 300, 2_000][self.below(7)];
        let data = self.data(length);
        match self.below(2) {
            0 => (format!("Content-Length: {length}\r\n"), data),
            _ => ("Transfer-Encoding: chunked\r\n".to_string(), self.chunked(&data)),
        }
    }

    fn request(&mut self, number: usize) -> Vec<u8> {
        let method = self.one_of(&["GET", "GET", "HEAD", "POST", "POST", "PUT"]);
        let fields = self.one_of(&["", "", "TE: trailers\r\nConnection: TE\r\n", "Cookie: a=b\r\n"]);
        let (framing, body) =
            if matches!(method, "POST" | "PUT") { self.framed() } else { Default::default() };
        let head = format!("{method} /{number} HTTP/1.1\r\nHost: localhost\r\n{fields}{framing}\r\n");
        [head.as_bytes(), &body].concat()
    }

    fn answer(&mut self, closes: bool) -> Vec<u8> {
        let interim = self.one_of(&["", "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]);
        let status = self.one_of(&["200 OK", "200 OK", "201 Created", "404 Not Found", "500 Fault"]);
        let (framing, body) = match self.below(8) {
            0 => (String::new(), self.data(100)),
            _ => self.framed(),
        };
        // Without that word a request that is not safe would be lost on a connection that was kept.
        let word = if closes { "Connection: close\r\n" } else { "" };
        [format!("{interim}HTTP/1.1 {status}\r\n{word}{framing}\r\n").as_bytes(), &body].concat()
    }

    /// The same in pieces.
    fn split(&mut self, bytes: &[u8], marks: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..self.below(8) {
            let at = self.below(out.len() + 1);
            out.insert(at, marks[self.below(marks.len())]);
        }
        out
    }

    fn damage(&mut self, input: &mut Vec<u8>) {
        for _ in 0..1 + self.below(3) {
            let at = 1 + self.below(input.len() - 1);
            let byte = DAMAGE[self.below(DAMAGE.len())];
            match self.below(3) {
                0 => input.insert(at, byte),
                1 => input[at] = byte,
                _ => input.truncate(at + 1),
            }
        }
    }
}

fn input(seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let is_right = seed % 2 == 0;
    // A backend that answers before it has read all may cut its answer by closing, and a client that resets gets none.
    let plan = if is_right { 2 * dice.below(2) } else { dice.below(16) };
    let mut input = vec![b'0' + plan as u8];
    let sent: Vec<u8> = (0..1 + dice.below(4)).flat_map(|number| dice.request(number)).collect();
    input.extend(dice.split(&sent, b"\xfe\xfe\xfe\xff"));
    for _ in 0..1 + dice.below(3) {
        input.push(0xfd);
        let mut answer = dice.answer(is_right && plan > 0);
        if !is_right && dice.below(3) == 0 {
            // Nobody has asked for it.
            answer.extend(dice.answer(false));
        }
        input.extend(dice.split(&answer, b"\xfe"));
    }
    if !is_right {
        dice.damage(&mut input);
    }
    input
}

#[test]
fn any_bytes_in_any_pieces_pass_as_they_are_meant_or_not_at_all() {
    let (mut asked, mut passed_on) = (0, 0);
    for seed in 0..ROUNDS {
        let input = input(seed);
        let outcome = catch_unwind(|| hold(&input)).unwrap_or_else(|panic| {
            eprintln!("with the seed {seed}, and so with the input {}", input.escape_ascii());
            resume_unwind(panic)
        });
        if seed % 2 == 0 {
            let is_all = outcome.passed_on == outcome.asked && outcome.own.is_empty();
            assert!(is_all, "with the seed {seed}: {outcome:?} of {}", input.escape_ascii());
        }
        asked += outcome.asked;
        passed_on += outcome.passed_on;
    }
    clean_up();
    assert!(passed_on * 2 > asked, "{passed_on} of {asked}");
}
