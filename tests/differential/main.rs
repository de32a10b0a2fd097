//! The same bytes through nginx and HAProxy in front of lockgate: the proxy and lockgate must agree where each request ends.
//! Whatever a client sends, lockgate serves what the proxy says it has forwarded, in that order, and that is one of the
//! readings the bytes allow; nobody gets another's response, or more responses than requests. The proxies keep their
//! connections to lockgate and use them for all cases, and after each case another client asks for something by itself.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support_command/peers.rs"]
// These tests need their own part of it.
#[allow(dead_code)]
mod peers;

mod cases;
mod proxies;

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use lockgate::{Error, Method, Request, Response, Router};

use cases::{Case, Meant, Served};
use proxies::{Forwarded, Kind, Proxy, FRONTS};
use support::{connect_plain, serve, Serving};

#[test]
fn nginx_and_lockgate_agree_where_requests_end() {
    try_all_through(Kind::Nginx, "nginx_and_lockgate_agree_where_requests_end");
}

#[test]
fn haproxy_and_lockgate_agree_where_requests_end() {
    try_all_through(Kind::Haproxy, "haproxy_and_lockgate_agree_where_requests_end");
}

fn try_all_through(kind: Kind, test: &str) {
    let behind: [Behind; FRONTS] = std::array::from_fn(|_| Behind::start());
    let servers = std::array::from_fn(|front| behind[front].serving.address);
    let Some(proxy) = Proxy::start(kind, test, servers) else { return };
    let cases = cases::all();
    let faults: Vec<String> = std::thread::scope(|scope| {
        let (proxy, cases) = (&proxy, &cases);
        let of_front = |front: usize| {
            let server = &behind[front];
            move || -> Vec<String> {
                let mut faults = Vec::new();
                for (index, case) in cases.iter().enumerate() {
                    let mark = format!("{}{index:03}", ['s', 'l'][front]);
                    for fault in Trial::run(case, &mark, proxy, proxy.fronts[front], server).faults(case) {
                        faults.push(format!("{mark}, {}: {fault}", case.name));
                    }
                }
                faults
            }
        };
        let threads: Vec<_> = (0..FRONTS).map(|front| scope.spawn(of_front(front))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{} faults:\n{}\n\n{}", faults.len(), faults.join("\n"), proxy.output());
}

/// A request that a handler was called for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    method: String,
    mark: String,
    name: String,
    /// `None` when the handler did not look at it.
    body: Option<Vec<u8>>,
    /// Whether all of the body came.
    whole: bool,
}

/// The lockgate behind a front.
struct Behind {
    serving: Serving,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Behind {
    fn start() -> Behind {
        let records = Arc::new(Mutex::new(Vec::new()));
        let mut router = Router::new();
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let records = Arc::clone(&records);
            router = router
                .route(method, "/{mark}/{name}", move |request: &mut Request| answer(request, &records));
        }
        Behind { serving: serve(router), records }
    }

    fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.records.lock().unwrap())
    }
}

/// Records a request, and says which one this is the answer to.
fn answer(request: &mut Request<'_>, records: &Mutex<Vec<Record>>) -> Result<Response, Error> {
    let param = |name| request.param(name).unwrap_or_default().to_string();
    let (mark, name) = (param("mark"), param("name"));
    let method = request.method().to_string();
    let echo = format!("{method} /{mark}/{name}");
    let mut body = (name != "unread").then(Vec::new);
    let read = body.as_mut().map_or(Ok(0), |body| request.body().read_to_end(body));
    records.lock().unwrap().push(Record { method, mark, name, body, whole: read.is_ok() });
    read?;
    Ok(Response::text(echo.clone()).with_header("x-echo", echo))
}

/// What has come of a case.
struct Trial {
    served: Vec<Record>,
    forwarded: Vec<Forwarded>,
    responses: Vec<Answer>,
    /// What was left of the client's bytes after the last response.
    rest: Vec<u8>,
    witness: Vec<Answer>,
    mark: String,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    /// Which request lockgate has answered; `None` when the proxy has.
    echo: Option<String>,
    body: Vec<u8>,
}

impl Trial {
    fn run(case: &Case, mark: &str, proxy: &Proxy, front: SocketAddr, server: &Behind) -> Trial {
        let received = talk(front, &marked(&case.sent, mark));
        let (responses, rest) = responses(&received, &case.readings[0]);
        let target = format!("/{mark}/witness");
        let asked = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let witness = self::responses(&talk(front, asked.as_bytes()), &[]).0;
        let forwarded = proxy.forwarded(mark, &target);
        Trial { served: server.take(), forwarded, responses, rest, witness, mark: mark.to_string() }
    }

    fn faults(mut self, case: &Case) -> Vec<String> {
        let mut faults = Vec::new();
        let told: Vec<(String, &str)> = self
            .responses
            .iter()
            .map(|answer| (answer.status.to_string(), answer.echo.as_deref().unwrap_or("")))
            .collect();
        let witness = format!("GET /{}/witness", self.mark);
        match &self.witness[..] {
            [Answer { status: 200, echo: Some(echo), body }]
                if *echo == witness && body == witness.as_bytes() => {}
            other => faults.push(format!("the next client was answered {other:?}")),
        }
        // Both lists end with the witness's request.
        match self.served.pop() {
            Some(record) if record.name == "witness" && record.mark == self.mark => {}
            other => faults.push(format!("the next client's request was served as {other:?}")),
        }
        self.forwarded.pop();

        let shown: Vec<String> = self.served.iter().map(Record::shown).collect();
        let is_of = |reading: &[Meant]| is_among(&self.served, reading, &self.mark);
        if !case.readings.iter().any(|reading| is_of(reading)) {
            faults.push(format!("nobody meant what was served: {shown:?}"));
        }
        let whole: Vec<String> = self.served.iter().filter(|record| record.whole).map(Record::line).collect();
        let forwarded: Vec<String> = self.forwarded.iter().map(Forwarded::line).collect();
        if whole != forwarded {
            faults.push(format!("served: {shown:?}, but forwarded: {forwarded:?}"));
        }
        if case.served == Served::All && self.served.len() != case.readings[0].len() {
            faults.push(format!("not all was served: {shown:?}; {told:?}"));
        }

        let most = case.readings.iter().map(Vec::len).max().unwrap_or(0);
        if self.responses.len() > most || !self.rest.is_empty() {
            let rest = String::from_utf8_lossy(&self.rest);
            faults.push(format!("more answers than requests: {told:?}, then {rest:?}"));
        }
        let answered: Vec<&str> = self
            .responses
            .iter()
            .filter(|answer| answer.status == 200)
            .filter_map(|answer| answer.echo.as_deref())
            .collect();
        if answered != whole {
            faults.push(format!("answered: {told:?}, but served: {shown:?}"));
        }
        for answer in &self.responses {
            let is_head = answer.echo.as_ref().is_some_and(|echo| echo.starts_with("HEAD "));
            if answer.status == 200
                && !is_head
                && Some(&answer.body[..]) != answer.echo.as_ref().map(String::as_bytes)
            {
                faults.push(format!("a body under another's head: {answer:?}"));
            }
        }
        faults
    }
}

impl Record {
    fn line(&self) -> String {
        format!("{} /{}/{}", self.method, self.mark, self.name)
    }

    fn shown(&self) -> String {
        let body = self.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let start: String = body.chars().take(40).collect();
        format!("{} with {} bytes {start:?}", self.line(), body.len())
    }
}

impl Forwarded {
    /// Without what an absolute target has in front.
    fn line(&self) -> String {
        let Forwarded { method, target } = self;
        let path = target
            .find("://")
            .and_then(|at| target[at + 3..].find('/').map(|slash| &target[at + 3 + slash..]));
        format!("{method} {}", path.unwrap_or(target))
    }
}

/// Whether what was served is the reading, or less of it, in its order.
fn is_among(served: &[Record], reading: &[Meant], mark: &str) -> bool {
    let mut left = reading.iter();
    served.iter().all(|record| {
        left.any(|meant| {
            let body = marked(&meant.body, mark);
            record.mark == mark
                && record.method == meant.method
                && record.name == meant.name
                && record.body.as_ref().map_or(true, |came| {
                    if record.whole {
                        *came == body
                    } else {
                        body.starts_with(came)
                    }
                })
        })
    })
}

fn marked(bytes: &[u8], mark: &str) -> Vec<u8> {
    const MARK: &[u8] = b"MARK";
    assert_eq!(mark.len(), MARK.len(), "lengths in the cases count on it");
    let mut marked = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = memchr::memmem::find(&marked[at..], MARK) {
        at += found;
        marked[at..at + MARK.len()].copy_from_slice(mark.as_bytes());
    }
    marked
}

/// Sends all, and takes what comes until the end.
fn talk(front: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut tcp = connect_plain(front).unwrap();
    let mut sending = tcp.try_clone().unwrap();
    std::thread::scope(|scope| {
        // A proxy that has refused takes no more; and it may answer while bytes are still sent.
        scope.spawn(move || sending.write_all(bytes));
        let mut received = Vec::new();
        if let Err(error) = tcp.read_to_end(&mut received) {
            assert!(
                error.kind() == ErrorKind::ConnectionReset,
                "the proxy leaves the connection open: {error}"
            );
        }
        received
    })
}

/// The final responses, to requests of which the methods are known as far as they go; and what else there is.
fn responses(mut bytes: &[u8], requests: &[Meant]) -> (Vec<Answer>, Vec<u8>) {
    let mut answers = Vec::new();
    while bytes.starts_with(b"HTTP/1.") {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { break };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let after = &bytes[end + 4..];
        let status: u16 = head[9..12].parse().unwrap();
        if status < 200 {
            bytes = after;
            continue;
        }
        let field = |name: &str| {
            head.split("\r\n").skip(1).find_map(|line| {
                let (known, value) = line.split_once(':')?;
                known.eq_ignore_ascii_case(name).then(|| value.trim().to_string())
            })
        };
        let echo = field("x-echo");
        let to_head = match &echo {
            Some(echo) => echo.starts_with("HEAD "),
            None => requests.get(answers.len()).is_some_and(|meant| meant.method == "HEAD"),
        };
        let length = match field("content-length") {
            _ if to_head || status == 204 || status == 304 => 0,
            Some(length) => length.parse().unwrap(),
            None => {
                assert_eq!(field("transfer-encoding"), None, "no response here is chunked");
                after.len()
            }
        };
        let Some(body) = after.get(..length) else { break };
        answers.push(Answer { status, echo, body: body.to_vec() });
        bytes = &after[length..];
    }
    if answers.is_empty() && !bytes.is_empty() && !bytes.starts_with(b"HTTP/1.") {
        // To what it takes for HTTP/0.9 nginx answers with a body alone.
        answers.push(Answer { status: 0, echo: None, body: bytes.to_vec() });
        bytes = &[];
    }
    (answers, bytes.to_vec())
}
