//! The table of requests and expected answers: what a row says, and all rows, by group.

mod asks;
mod ends;
mod exchanges;
mod fields;
mod framing;
mod lines;

/// One case: what is sent, and what must come of it.
#[derive(Debug, Clone)]
pub struct Row {
    pub group: Group,
    pub name: String,
    /// Where it is settled, as `9112 §6.1` for a section of RFC 9112.
    pub rfc: &'static str,
    /// What the client does, in this order. A request for `/marker` follows in the same write, unless the client ends first.
    pub steps: Vec<Step>,
    /// The statuses of the answers, in order.
    pub answers: &'static [u16],
    pub then: Then,
    /// The body of the last answer, where it shows how the request was read.
    pub says: Option<&'static str>,
    /// Where the RFC leaves a choice between lenient and strict: what a lenient server may do. This one is strict, because a
    /// proxy may stand in front of it.
    pub strict: Option<&'static str>,
    pub port: Port,
    /// What the redirect answers where it does not follow from `answers`.
    pub at_redirect: Option<&'static [u16]>,
    /// Whether it is also sent in two writes, split at each byte in turn.
    pub every_split: bool,
    /// Which of the answers, by index, are to HEAD, and so have no body.
    pub to_head: &'static [usize],
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    RequestLine,
    Target,
    Version,
    FieldSyntax,
    Host,
    ContentLength,
    TransferEncoding,
    Chunks,
    Pipelining,
    Splitting,
    Head,
    Expect,
    Http10,
    Limits,
    Closing,
    ClearToTls,
    TlsToClear,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Send(Vec<u8>),
    /// Waits for the next answer before it goes on.
    AwaitAnswer,
    /// Says that nothing more will be sent: in TLS and in TCP.
    Finish,
    /// As `Finish`, in TCP alone.
    Leave,
    Reset,
}

/// What becomes of the connection after the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It goes on: the marker that follows is answered.
    Kept,
    /// It is closed, and the marker that follows is not taken for a request.
    Closed,
    /// By the last answer's word the connection is kept; what follows on it ends it.
    Ended,
}

/// Where a row applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// To HTTPS and to the redirect.
    Both,
    /// To HTTPS.
    Tls,
    /// To the redirect.
    Redirect,
    /// To the port of HTTPS, without TLS.
    Clear,
}

pub use Port::{Both, Clear, Redirect, Tls};
pub use Then::{Closed, Ended, Kept};

pub fn rows() -> Vec<Row> {
    [lines::rows(), fields::rows(), framing::rows(), exchanges::rows(), asks::rows(), ends::rows()].concat()
}

/// What broke other servers, as it was collected from their trackers and advisories, and the rows that try it.
pub const BROKE_OTHERS: &[(&str, &[&str])] = ends::BROKE_OTHERS;

pub fn row(
    name: impl Into<String>,
    rfc: &'static str,
    sent: impl Into<Vec<u8>>,
    answers: &'static [u16],
    then: Then,
) -> Row {
    let sent = sent.into();
    Row {
        // Given by `group`.
        group: Group::RequestLine,
        name: name.into(),
        rfc,
        to_head: if sent.starts_with(b"HEAD ") { &[0] } else { &[] },
        steps: vec![Step::Send(sent)],
        answers,
        then,
        says: None,
        strict: None,
        port: Both,
        at_redirect: None,
        every_split: false,
    }
}

pub fn group(group: Group, rows: Vec<Row>) -> Vec<Row> {
    rows.into_iter().map(|row| Row { group, ..row }).collect()
}

impl Row {
    pub fn strict(self, lenient: &'static str) -> Row {
        Row { strict: Some(lenient), ..self }
    }

    pub fn says(self, body: &'static str) -> Row {
        Row { says: Some(body), ..self }
    }

    pub fn only(self, port: Port) -> Row {
        Row { port, ..self }
    }

    pub fn at_redirect(self, answers: &'static [u16]) -> Row {
        Row { at_redirect: Some(answers), ..self }
    }

    pub fn at_every_split(self) -> Row {
        Row { every_split: true, ..self }
    }

    pub fn answering_head(self, answers: &'static [usize]) -> Row {
        Row { to_head: answers, ..self }
    }

    pub fn then(mut self, step: Step) -> Row {
        self.steps.push(step);
        self
    }

    pub fn then_send(self, bytes: impl Into<Vec<u8>>) -> Row {
        self.then(Step::Send(bytes.into()))
    }

    /// Whether the client ends the connection, one way or another.
    pub fn client_ends(&self) -> bool {
        matches!(self.steps.last(), Some(Step::Finish | Step::Leave | Step::Reset))
    }

    /// The statuses of what the redirect answers. It reads no body, knows no routes and closes after one answer; so whatever
    /// has a whole and correct head is redirected, and what has not gets the same refusal as over TLS. 308 stands for a
    /// redirect here; see [`redirect_status`](Row::redirect_status).
    pub fn redirect_answers(&self) -> &[u16] {
        match (self.at_redirect, self.answers) {
            (Some(answers), _) => answers,
            (None, [status @ (400 | 414 | 417 | 431 | 501 | 505), ..]) => std::slice::from_ref(status),
            (None, [_, ..]) => &[308],
            (None, []) => panic!("{}: what does the redirect answer?", self.name),
        }
    }

    /// The status of a redirect: 301 for GET and HEAD, which some clients follow alone, and 308 for what has a body to lose.
    pub fn redirect_status(&self) -> u16 {
        let sent: Vec<u8> = self.steps.iter().filter_map(Step::bytes).flatten().copied().collect();
        let method = sent.split(|byte| *byte == b' ').next().unwrap_or_default();
        let blanks = method.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if matches!(&method[blanks..], b"GET" | b"HEAD") {
            301
        } else {
            308
        }
    }

    /// All that is sent, with the marker behind it.
    pub fn steps_with_marker(&self) -> Vec<Step> {
        let mut steps = self.steps.clone();
        if !self.client_ends() {
            match steps.last_mut() {
                Some(Step::Send(bytes)) => bytes.extend_from_slice(MARKER.as_bytes()),
                _ => steps.push(Step::Send(MARKER.into())),
            }
        }
        steps
    }
}

impl Step {
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Step::Send(bytes) => Some(bytes),
            _ => None,
        }
    }
}

const MARKER: &str = "GET /marker HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A head: the request line up to its version, a host, and further fields that end in CRLF.
pub fn request(line: &str, fields: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").into_bytes()
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

pub fn close(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// A request whose body is echoed.
pub fn post(fields: &str, body: &str) -> Vec<u8> {
    [request("POST /", fields), body.into()].concat()
}

pub fn in_chunks(body: &str) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", body)
}
