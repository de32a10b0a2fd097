//! A backend that plays the answers of an input, and reads what the proxy writes as strictly as can be.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex};
use std::thread;

use super::lock;
use super::reading::{field, find, head_end, meant, unchunk, Meant, END};

/// What the backend does, and what it has seen.
#[derive(Default)]
pub struct State {
    pub plan: Plan,
    /// The address of the client whose requests these answers are for.
    pub client: String,
    pub answers: Vec<Vec<Vec<u8>>>,
    pub seen: Vec<Seen>,
    /// Connections in the middle of a request.
    pub busy: usize,
    pub faults: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Plan {
    pub is_early: bool,
    pub closes: bool,
    pub sends_bodies_to_head: bool,
    pub resets: bool,
}

/// A request as the backend has read it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    /// As far as it has come.
    pub body: Vec<u8>,
    pub is_whole: bool,
    /// Which answer it got.
    pub answer: usize,
    /// More comes behind that, in another piece: it is taken for the answer of a request that has come meanwhile.
    pub more_follows: bool,
}

/// Whether all answers in these bytes, which were not asked for, end before the connection does. What begins like no answer is known
/// to be wrong at once.
fn ends_by_itself(mut bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"HTTP/";
    while !bytes.is_empty() && (bytes.starts_with(BEGIN) || BEGIN.starts_with(bytes)) {
        let (meant, ends_with_close, end) = meant(bytes, "GET");
        if meant == Meant::Cut || ends_with_close {
            return false;
        }
        bytes = &bytes[end..];
    }
    true
}

/// A connection in the middle of a request, until it is dropped.
struct Busy<'s>(&'s (Mutex<State>, Condvar));

impl<'s> Busy<'s> {
    fn new(shared: &'s (Mutex<State>, Condvar)) -> Busy<'s> {
        lock(&shared.0).busy += 1;
        Busy(shared)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        lock(&self.0 .0).busy -= 1;
        self.0 .1.notify_all();
    }
}

/// Serves one connection. What the proxy writes is read as strictly as can be.
pub fn serve(stream: UnixStream, shared: &(Mutex<State>, Condvar)) -> Result<(), String> {
    // Dropped after the stream: nothing is under way any more when that is closed.
    let mut _busy = None;
    let (mut stream, mut come) = (stream, Vec::new());
    // Reads more; whether there was any.
    fn more(stream: &mut UnixStream, come: &mut Vec<u8>) -> bool {
        let mut piece = [0; 1_024];
        match stream.read(&mut piece) {
            Ok(read) => {
                come.extend_from_slice(&piece[..read]);
                read > 0
            }
            // By a signal, such as the fuzzer's timer.
            Err(error) => error.kind() == ErrorKind::Interrupted,
        }
    }
    loop {
        _busy = None;
        if come.is_empty() && !more(&mut stream, &mut come) {
            return Ok(());
        }
        _busy = Some(Busy::new(shared));
        let end = loop {
            match find(&come, END) {
                Some(at) => break at + END.len(),
                None if more(&mut stream, &mut come) => {}
                None => return Ok(()),
            }
        };
        let head = String::from_utf8_lossy(&come[..end]).into_owned();
        come.drain(..end);
        let line: Vec<&str> = head.split("\r\n").next().unwrap_or_default().split(' ').collect();
        let [method, target, "HTTP/1.1"] = line[..] else {
            return Err(format!("a line of a request: {head}"));
        };
        let count = |name: &str| {
            let names = head.split("\r\n").filter_map(|line| line.split_once(':'));
            names.filter(|(known, _)| known.eq_ignore_ascii_case(name)).count()
        };
        let (length, coding) = (field(&head, "content-length"), field(&head, "transfer-encoding"));
        if count("content-length") + count("transfer-encoding") > 1
            || coding.as_ref().is_some_and(|coding| coding != "chunked")
        {
            return Err(format!("framed twice, or wrongly: {head}"));
        }
        let length = match &length {
            Some(length) => Some(length.parse::<usize>().map_err(|_| format!("a length: {head}"))?),
            None => coding.is_none().then_some(0),
        };
        let client = field(&head, "x-forwarded-for").unwrap_or_default();
        if client == "127.0.0.1" {
            if target != "/aside" || length != Some(0) {
                return Err(format!("the other client has not asked for {head}"));
            }
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\naside").is_err() {
                return Ok(());
            }
            continue;
        }
        let mut state = lock(&shared.0);
        if client != state.client {
            // Of an input before.
            return Ok(());
        }
        let number = state.seen.len();
        let answer = number % state.answers.len().max(1);
        let mut pieces = state.answers.get(answer).cloned().unwrap_or_default();
        let Plan { is_early, closes, .. } = state.plan;
        let (method, target) = (method.to_string(), target.to_string());
        let whole = pieces.concat();
        let (meant, ends_with_close, end) = meant(&whole, &method);
        if method == "HEAD" && !state.plan.sends_bodies_to_head {
            pieces = vec![whole[..head_end(&whole)].to_vec()];
        }
        let mut at = 0;
        let more_follows = pieces.iter().any(|piece| {
            let follows = at >= end && !piece.is_empty();
            at += piece.len();
            follows
        });
        // A backend that keeps the connection and does not end its answer would be waited for.
        let closes = closes
            || meant == Meant::Cut
            || ends_with_close
            || !ends_by_itself(pieces.concat().get(end..).unwrap_or_default());
        state.seen.push(Seen { method, target, body: Vec::new(), is_whole: false, answer, more_follows });
        drop(state);
        let note = |body: &[u8], is_whole: bool| {
            let mut state = lock(&shared.0);
            if state.client == client {
                if let Some(seen) = state.seen.get_mut(number) {
                    seen.body = body.to_vec();
                    seen.is_whole = is_whole;
                }
            }
        };
        // The proxy may have heard enough, and close.
        let play = |stream: &mut UnixStream| {
            for piece in &pieces {
                let _ = stream.write_all(piece);
                thread::yield_now();
            }
        };
        if matches!(meant, Meant::Whole(101, _)) && field(&head, "upgrade").is_some() {
            play(&mut stream);
            let _ = stream.shutdown(Shutdown::Write);
            while more(&mut stream, &mut come) {}
            note(&come, false);
            return Ok(());
        }
        if is_early {
            play(&mut stream);
            if closes {
                return Ok(());
            }
        }
        let taken = loop {
            let (body, whole) = match length {
                Some(length) => {
                    (come[..come.len().min(length)].to_vec(), (come.len() >= length).then_some(length))
                }
                None => unchunk(&come),
            };
            note(&body, whole.is_some());
            match whole {
                Some(taken) => break taken,
                None if more(&mut stream, &mut come) => {}
                None => return Ok(()),
            }
        };
        come.drain(..taken);
        if !is_early {
            play(&mut stream);
            if closes {
                return Ok(());
            }
        }
    }
}
