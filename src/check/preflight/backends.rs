//! Checks the servers that requests are to be passed on to: asks each for `HEAD /`, which is safe (RFC 9110 §9.2.1), once at each of
//! its places, and says what it found. TLS is the proxy's own. Knows sockets and the places of a proxy.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ::http::Method;
use serde_json::{json, Value};

use super::super::hello::{Hello, Version, GROUPS_OF_TODAY};
use super::super::rules;
use super::inspection::Inspection;
use crate::finding::Rule;
use crate::http::incoming_response::{self, Found};
use crate::proxy::{Backend, Proxy, TlsFault, Trial};

/// The time limit for connecting, and for an answer: a program that works answers `HEAD /` sooner.
const PHASE: Duration = Duration::from_secs(5);

/// What a place did.
#[derive(Debug)]
enum Seen {
    Answered(u16),
    /// There is nobody, or nobody may connect.
    NotReached(io::Error),
    Silent,
    /// It began an answer, and did not come to the end of its head.
    Slow,
    SpeaksTls,
    NotTls,
    /// It completes no handshake in time.
    NoHandshake,
    /// Its TLS is not right, for this reason: a clause.
    Tls(TlsFault, String),
    /// It has asked for a client's certificate, got none, and answers with this status.
    Refuses(u16),
    /// Its answer cannot be passed on, for this reason: a clause.
    Malformed(&'static str),
}

pub(super) fn look(inspection: &mut Inspection<'_>) {
    let mut facts: Vec<Value> = Vec::new();
    for proxy in &inspection.settings.proxies {
        for (number, backend) in proxy.backends().into_iter().enumerate() {
            let seen = match backend.is_secure {
                true => ask_over_tls(proxy, number, &backend),
                false => ask(&backend),
            };
            let name = &backend.name;
            let (status, said) = match fault(&backend, &seen) {
                Some((rule, what)) => {
                    inspection.found(rule, format!("the backend {name}: {what}"));
                    (None, what)
                }
                None => match seen {
                    Seen::Answered(status) => (Some(status), format!("answers HEAD / with {status}")),
                    _ => continue,
                },
            };
            facts.push(json!({"target": name, "status": status, "seen": said}));
        }
    }
    if !facts.is_empty() {
        inspection.facts.insert("backends".into(), facts.into());
    }
}

/// What is wrong about it.
fn fault(backend: &Backend, seen: &Seen) -> Option<(&'static Rule, String)> {
    Some(match seen {
        Seen::Answered(_) => return None,
        Seen::NotReached(error) => match error.kind() {
            ErrorKind::PermissionDenied => {
                (&rules::BACKEND_FORBIDDEN, "this user may not connect to it".to_string())
            }
            ErrorKind::NotFound if backend.is_socket() => {
                (&rules::BACKEND_DOWN, "there is no such socket".to_string())
            }
            ErrorKind::AddrNotAvailable if backend.has_no_address() => {
                (&rules::BACKEND_DOWN, "its name cannot be looked up".to_string())
            }
            ErrorKind::ConnectionRefused => (&rules::BACKEND_DOWN, "it refuses connections".to_string()),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => (
                &rules::BACKEND_DOWN,
                format!("it does not accept a connection within {} s", PHASE.as_secs()),
            ),
            _ => (&rules::BACKEND_DOWN, format!("it cannot be reached: {error}")),
        },
        Seen::Silent => (
            &rules::BACKEND_SILENT,
            format!("it accepts connections, and does not answer HEAD / within {} s", PHASE.as_secs()),
        ),
        Seen::Slow => (
            &rules::BACKEND_SILENT,
            format!("the head of its answer to HEAD / does not come whole within {} s", PHASE.as_secs()),
        ),
        Seen::SpeaksTls => {
            (&rules::BACKEND_SPEAKS_TLS, "it speaks TLS there, and not plain HTTP".to_string())
        }
        Seen::NotTls => (&rules::BACKEND_SPEAKS_PLAIN, "it does not answer TLS there".to_string()),
        Seen::NoHandshake => (
            &rules::BACKEND_SILENT,
            format!("it accepts connections, and completes no TLS handshake within {} s", PHASE.as_secs()),
        ),
        Seen::Tls(fault, why) => {
            let rule = match fault {
                TlsFault::Name => &rules::BACKEND_NAME,
                TlsFault::Issuer => &rules::BACKEND_ISSUER,
                TlsFault::Dates => &rules::BACKEND_DATES,
                TlsFault::Client => &rules::BACKEND_CLIENT_CERT,
                TlsFault::Alert | TlsFault::Other => &rules::BACKEND_TLS_FAILS,
            };
            (rule, why.clone())
        }
        Seen::Refuses(status) => (
            &rules::BACKEND_CLIENT_CERT,
            format!("it has asked for a client's certificate, got none, and answers HEAD / with {status}"),
        ),
        Seen::Malformed(fault) => (&rules::BACKEND_NOT_HTTP, format!("its answer to HEAD / {fault}")),
    })
}

fn request_to(backend: &Backend) -> String {
    format!(
        "HEAD / HTTP/1.1\r\nhost: {}\r\nuser-agent: lockgate-check\r\nconnection: close\r\n\r\n",
        backend.host
    )
}

/// Makes the handshake that requests make, and asks then.
fn ask_over_tls(proxy: &Proxy, number: usize, backend: &Backend) -> Seen {
    let stream = match backend.connect(PHASE) {
        Err(error) => return Seen::NotReached(error),
        Ok(stream) => stream,
    };
    let mut trial = match proxy.try_tls(number, stream, Instant::now() + PHASE) {
        Err(error) => return Seen::Tls(TlsFault::Other, error.to_string()),
        Ok(trial) => trial,
    };
    // Of those before.
    proxy.was_asked_for_certificate();
    let mut answer = Answer::default();
    let sent = trial.write_all(request_to(backend).as_bytes());
    let is_secured = sent.is_ok();
    let come = sent.and_then(|()| read_until(&mut trial, &mut |bytes| answer.is_whole(bytes)).map(drop));
    let (was_asked, has_certificate) = proxy.was_asked_for_certificate();
    let error = match come {
        // nginx and IIS complete the handshake without a certificate.
        _ if matches!(answer.seen, Some(Seen::Answered(400 | 403))) && was_asked && !has_certificate => {
            return Seen::Refuses(if matches!(answer.seen, Some(Seen::Answered(400))) { 400 } else { 403 });
        }
        _ if answer.has_begun => return answer.end(come.err().as_ref()),
        Err(error) if is_late(&error) && !is_secured => return Seen::NoHandshake,
        Err(error) if is_late(&error) => return Seen::Silent,
        come => come.err(),
    };
    let fault = error.as_ref().and_then(Trial::fault);
    let has_ended = error.as_ref().map_or(true, |error| error.kind() != ErrorKind::InvalidData);
    // In TLS 1.3 a server refuses a client's certificate when the client's handshake is complete (RFC 8446 §4.4.2.4).
    let why = error.map_or_else(|| "it has ended the connection".to_string(), |error| error.to_string());
    match fault {
        Some(fault @ (TlsFault::Name | TlsFault::Issuer | TlsFault::Dates | TlsFault::Client)) => {
            Seen::Tls(fault, why)
        }
        _ if was_asked && (has_ended || fault == Some(TlsFault::Alert)) => {
            let shown = if has_certificate { "got one" } else { "got none" };
            Seen::Tls(
                TlsFault::Client,
                format!("it has asked for a client's certificate, {shown}, and refuses: {why}"),
            )
        }
        _ if is_secured => answer.end(None),
        // An alert is TLS. So may be other bytes that are wrong, or nothing at all.
        Some(TlsFault::Alert) => Seen::Tls(TlsFault::Alert, why),
        _ if hello(backend).is_ok_and(|answer| is_tls(&answer)) => Seen::Tls(TlsFault::Other, why),
        _ => Seen::NotTls,
    }
}

fn ask(backend: &Backend) -> Seen {
    let mut answer = Answer::default();
    let come = exchange(backend, request_to(backend).as_bytes(), &mut |bytes| answer.is_whole(bytes));
    let come = match come {
        Err(error) => return Seen::NotReached(error),
        Ok(come) => come,
    };
    let seen = answer.end(come.err().as_ref());
    if matches!(seen, Seen::Silent | Seen::Slow) {
        return seen;
    }
    // Some servers tell of their TLS in plain HTTP (nginx, Go), by an alert (OpenSSL), or by nothing at all (Node).
    let may_be_tls = matches!(seen, Seen::Malformed(_) | Seen::Answered(400));
    if may_be_tls && hello(backend).is_ok_and(|answer| is_tls(&answer)) {
        return Seen::SpeaksTls;
    }
    seen
}

/// The answer to `HEAD /`, as far as it has come. It is read as strictly as the proxy reads it.
#[derive(Default)]
struct Answer {
    has_begun: bool,
    searched: usize,
    interim: u32,
    seen: Option<Seen>,
}

impl Answer {
    /// What is seen once nothing more is read, because of this error or of the end.
    fn end(self, error: Option<&io::Error>) -> Seen {
        match self.seen {
            Some(seen) => seen,
            None if error.is_some_and(is_late) && self.has_begun => Seen::Slow,
            None if error.is_some_and(is_late) => Seen::Silent,
            None if self.has_begun => Seen::Malformed("ends within its head"),
            None => Seen::Malformed("is the end of the connection"),
        }
    }

    /// Reads what has come, and takes interim responses out of it. Whether the final response is known.
    fn is_whole(&mut self, bytes: &mut Vec<u8>) -> bool {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            self.has_begun = true;
            match incoming_response::find(bytes, self.searched, &Method::HEAD, &mut fields) {
                Ok(Found::Part(searched)) => {
                    self.searched = searched;
                    return false;
                }
                Ok(Found::Whole(head, end)) if head.status.is_informational() => {
                    self.interim += 1;
                    self.seen =
                        incoming_response::interim_fault(head.status, self.interim).map(Seen::Malformed);
                    bytes.drain(..end);
                    self.searched = 0;
                }
                Ok(Found::Whole(head, _)) => self.seen = Some(Seen::Answered(head.status.as_u16())),
                Err(fault) => self.seen = Some(Seen::Malformed(fault)),
            }
            if self.seen.is_some() {
                return true;
            }
        }
        false
    }
}

/// What a ClientHello is answered by.
fn hello(backend: &Backend) -> io::Result<io::Result<Vec<u8>>> {
    let hello = Hello {
        version: Version::Tls12,
        suites: &[0xc02b, 0xc02f, 0xc02c, 0xc030, 0x009c],
        groups: &GROUPS_OF_TODAY,
        name: None,
        protocols: &[],
    };
    // The first bytes tell.
    exchange(backend, &hello.encode(&[7; 64]), &mut |answer| answer.len() >= 2)
}

/// Whether this is TLS: a handshake or an alert (RFC 8446 §5.1).
fn is_tls(answer: &io::Result<Vec<u8>>) -> bool {
    answer.as_ref().is_ok_and(|answer| matches!(answer.get(..2), Some([21 | 22, 3])))
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// Sends this on a new connection, and reads until that is enough, or until the end. The outer error is about the connection.
fn exchange(
    backend: &Backend,
    bytes: &[u8],
    is_enough: &mut dyn FnMut(&mut Vec<u8>) -> bool,
) -> io::Result<io::Result<Vec<u8>>> {
    let mut stream = backend.connect(PHASE)?;
    stream.set_write_timeout(Some(PHASE))?;
    let until = Instant::now() + PHASE;
    let sent = stream.write_all(bytes);
    Ok(sent.and_then(|()| read_until(&mut Timed { stream, until }, is_enough)))
}

/// A connection that is read until a moment.
struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Read for Timed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        self.stream.read(out)
    }
}

fn read_until(stream: &mut dyn Read, is_enough: &mut dyn FnMut(&mut Vec<u8>) -> bool) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut piece = [0; 1_024];
    loop {
        let read = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..read]);
        if read == 0 || is_enough(&mut answer) {
            return Ok(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen of an answer that comes in these pieces.
    fn seen(pieces: &[&str]) -> Option<Seen> {
        let (mut answer, mut bytes) = (Answer::default(), Vec::new());
        for piece in pieces {
            bytes.extend_from_slice(piece.as_bytes());
            if answer.is_whole(&mut bytes) {
                break;
            }
        }
        answer.seen
    }

    #[test]
    fn an_answer_is_the_head_of_the_final_response_and_that_head_has_to_be_whole() {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(40);
        let endless = "X: ".to_string() + &"a".repeat(40_000);
        for (pieces, status) in [
            (&["HTTP/1.1 200 OK\r\n\r\n"][..], Some(200)),
            (&["HTTP/1.1 40", "4\r\nServer: a\r", "\n\r", "\n"], Some(404)),
            (&["HTTP/1.0 200 OK\r\n\r\n"], Some(200)),
            (&[hints, hints, "HTTP/1.1 200 OK\r\n\r\n"], Some(200)),
            (&["HTTP/1.1 200 OK\r\n"], None),
            (&[hints], None),
            (&[""], None),
        ] {
            let of = |seen| match seen {
                Some(Seen::Answered(status)) => Some(status),
                None => None,
                other => panic!("{pieces:?}: {other:?}"),
            };
            assert_eq!(of(seen(pieces)), status, "{pieces:?}");
        }
        for (pieces, expected) in [
            (&[&*flood][..], "does not come behind 32 interim responses"),
            (&["HTTP/1.1 200 OK\r\n", &endless], "has a head of more than 32 KiB"),
            (
                &["HTTP/1.1 101 Switching Protocols\r\n\r\n"],
                "changes the protocol, and nobody has asked for that",
            ),
            (&["HTTP/1.1 200 OK\nServer: a\n\n"], "has a line in its head that ends in LF alone"),
            (&["HTTP/2 200\r\n"], "does not begin with HTTP/1.1 or HTTP/1.0"),
            (&["SSH-2.0-a"], "does not begin with HTTP/1.1 or HTTP/1.0"),
            (&["\x15\x03\x01\0\x02\x02\x46"], "does not begin with HTTP/1.1 or HTTP/1.0"),
        ] {
            assert!(
                matches!(seen(pieces), Some(Seen::Malformed(fault)) if fault == expected),
                "{pieces:?}: {:?}",
                seen(pieces)
            );
        }
    }
}
