//! Reads a request to the admin listener, as bytes: its method, its target and the few fields that matter there. Stricter than it
//! would have to be, because whoever watches sends little. Knows no socket and no server. `admin` calls it.

use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The most bytes of a head.
pub(super) const HEAD_BYTES: usize = 8 * 1024;
const MOST_FIELDS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub is_head: bool,
    /// The path, and what follows the `?`.
    pub path: String,
    pub query: String,
    /// The host that it is for, without the port. `None` if it names none, as HTTP/1.0 may.
    pub host: Option<String>,
    pub accept: String,
    pub keeps_alive: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// More has to come.
    Part,
    /// A request, and how many bytes it has.
    Whole(Asked, usize),
    /// It is answered with this status and this text, and the connection ends.
    Refused(u16, &'static str),
}

const MALFORMED: Read = Read::Refused(400, "this is no request of HTTP/1.1 that can be read");

/// Reads the request at the beginning of these bytes.
pub(super) fn read(bytes: &[u8]) -> Read {
    const NO_FIELD: MaybeUninit<httparse::Header<'_>> = MaybeUninit::uninit();
    let mut room: [MaybeUninit<httparse::Header<'_>>; MOST_FIELDS] = [NO_FIELD; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    // By the function that reads all other requests: with another one, both would take more instructions.
    let length = match request.parse_with_uninit_headers(bytes, &mut room) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES => return Read::Part,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Read::Refused(431, "the head of the request is too large")
        }
        Err(_) => return MALFORMED,
    };
    // A line ends in CRLF, as everywhere in this server.
    let mut before = 0;
    for &byte in &bytes[..length] {
        if byte == b'\n' && before != b'\r' {
            return MALFORMED;
        }
        before = byte;
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return MALFORMED;
    };
    let mut asked = Asked {
        is_head: method == "HEAD",
        path: String::new(),
        query: String::new(),
        host: None,
        accept: String::new(),
        keeps_alive: version == 1,
    };
    for field in request.headers.iter() {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        let Ok(value) = std::str::from_utf8(field.value) else {
            // Of others nothing is read.
            if ["host", "connection", "accept", "transfer-encoding", "content-length"].into_iter().any(is) {
                return MALFORMED;
            }
            continue;
        };
        if is("host") {
            if asked.host.is_some() {
                return Read::Refused(400, "the request names two hosts");
            }
            asked.host = Some(without_port(value.trim()).to_ascii_lowercase());
        } else if is("connection") {
            asked.keeps_alive &= !value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close"));
        } else if is("accept") {
            if !asked.accept.is_empty() {
                asked.accept.push(',');
            }
            asked.accept.push_str(value);
        } else if is("transfer-encoding") || is("content-length") && value.trim() != "0" {
            return Read::Refused(413, "requests here have no content");
        }
    }
    if method != "GET" && method != "HEAD" {
        return Read::Refused(405, "only GET and HEAD are answered here");
    }
    if !target.starts_with('/') {
        return MALFORMED;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (asked.path, asked.query) = (path.into(), query.into());
    Read::Whole(asked, length)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Whether a page of another site cannot have this host in a browser. Such a page can let a name of its own lead to this machine
/// (DNS rebinding), and would then read what is answered to that name. It can do so neither with an address, nor with a name that
/// is nobody's to register.
pub(super) fn is_nobodys(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    let is_name = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    host.parse::<Ipv4Addr>().is_ok() || is_name && !host.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(head: &str) -> Asked {
        match read(head.as_bytes()) {
            Read::Whole(asked, length) => {
                assert_eq!(length, head.len());
                asked
            }
            other => panic!("{head:?}: {other:?}"),
        }
    }

    #[test]
    fn a_request_is_read_with_what_matters() {
        let asked = whole(
            "GET /readyz?verbose HTTP/1.1\r\nHost: LocalHost:9090\r\nAccept: text/plain\r\naccept: */*\r\n\r\n",
        );
        let expected = Asked {
            is_head: false,
            path: "/readyz".into(),
            query: "verbose".into(),
            host: Some("localhost".into()),
            accept: "text/plain,*/*".into(),
            keeps_alive: true,
        };
        assert_eq!(asked, expected);
        // HAProxy asks so, without a host.
        let asked = whole("HEAD /healthz HTTP/1.0\r\n\r\n");
        assert_eq!((asked.is_head, asked.host, asked.keeps_alive), (true, None, false));
        assert!(!whole("GET / HTTP/1.1\r\nConnection: te, Close\r\n\r\n").keeps_alive);
        assert!(whole("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").keeps_alive);
        assert_eq!(whole("GET / HTTP/1.1\r\nHost: [::1]:9\r\n\r\n").host.as_deref(), Some("[::1]"));
        assert_eq!(whole("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n").host.as_deref(), Some("[::1]"));
        assert_eq!(whole("GET / HTTP/1.1\r\nHost: :9090\r\n\r\n").host.as_deref(), Some(""));
        assert_eq!(read(b"GET / HTTP/1.1\r\nHost: x\r\n"), Read::Part);
        assert_eq!(read(b""), Read::Part);
    }

    #[test]
    fn what_nobody_who_watches_sends_is_refused() {
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(HEAD_BYTES));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
        for (head, status) in [
            ("POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405),
            ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405),
            ("GET http://localhost/metrics HTTP/1.1\r\nHost: x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 413),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
            ("GET / HTTP/1.1\nHost: x\n\n", 400),
            ("GET / HTTP/2.0\r\n\r\n", 400),
            ("\x16\x03\x01\x02", 400),
            (&long, 431),
            (&many, 431),
        ] {
            match read(head.as_bytes()) {
                Read::Refused(got, _) => assert_eq!(got, status, "{head:?}"),
                other => panic!("{head:?}: {other:?}"),
            }
        }
        for field in ["Host: evil.example", "Transfer-Encoding: chunked", "content-length: 5"] {
            let head = [b"GET / HTTP/1.1\r\n", field.as_bytes(), b"\xff\r\n\r\n"].concat();
            assert_eq!(read(&head), MALFORMED, "{field}");
        }
        assert!(matches!(read(b"GET / HTTP/1.1\r\nUser-Agent: \xff\r\n\r\n"), Read::Whole(..)));
    }

    #[test]
    fn a_name_that_a_site_can_own_is_not_taken_for_this_machines() {
        for host in ["localhost", "127.0.0.1", "10.0.0.7", "[::1]", "[2001:db8::1]", "lockgate", "node-1"] {
            assert!(is_nobodys(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "localhost.",
            "127.0.0.1.nip.io",
            "[::1",
            "::1",
            "2130706433",
            "a_b",
            "é",
        ] {
            assert!(!is_nobodys(host), "{host}");
        }
    }
}
