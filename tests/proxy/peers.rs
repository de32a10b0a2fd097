//! In front of the servers that people have: the answers are those that the servers give when they are asked directly, but for the
//! fields of the connection and what HTTPS changes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use lockgate::{Proxy, Router};

use super::peers_of_tests::PYTHON;
use super::support::{connect_plain, serve, Shape};

/// Of Python's own server, in the version of HTTP that is the argument, and with chunks for it if that is 1.1.
const PYTHON_SERVER: &str = r#"
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = sys.argv[1]

    def answer(self):
        length = int(self.headers.get('Content-Length', 0))
        length = len(self.rfile.read(length))
        path, status, fields, body = self.path, 200, [], None
        if path == '/empty': status, body = 204, b''
        elif path == '/cached': status, fields, body = 304, [('ETag', '"1"')], b''
        elif path == '/moved': status, fields, body = 302, [('Location', '/new')], b'moved'
        elif path == '/cookies': fields = [('Set-Cookie', 'a=b; Secure'), ('Set-Cookie', 'c=d; Secure')]
        elif path == '/pieces': body = b'a' * 1000 + b'b' * 200000 + b'c'
        elif path == '/fault': status, body = 500, b'fault'
        if body is None: body = f'{self.command} {path} {length}'.encode()
        self.send_response(status)
        self.send_header('Content-Type', 'text/plain')
        for field in fields: self.send_header(*field)
        chunked = path == '/pieces' and self.protocol_version == 'HTTP/1.1'
        if chunked: self.send_header('Transfer-Encoding', 'chunked')
        elif path != '/pieces' and status not in (204, 304): self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command == 'HEAD' or not body: return
        if chunked: body = b''.join(b'%x\r\n%s\r\n' % (len(p), p) for p in (body[:1000], body[1000:])) + b'0\r\n\r\n'
        self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer
    def log_message(self, *arguments): pass

server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// A program behind WSGI, which sees fields as CGI's variables.
const WSGI_SERVER: &str = r#"
import os
from wsgiref.simple_server import make_server, WSGIRequestHandler

class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments): pass

def program(environment, start):
    length = int(environment.get('CONTENT_LENGTH') or 0)
    length = len(environment['wsgi.input'].read(length))
    path = environment['PATH_INFO']
    if path == '/who':
        start('200 OK', [('Content-Type', 'text/plain')])
        return [' '.join(environment.get(name, '-') for name in
                ('HTTP_X_FORWARDED_FOR', 'HTTP_X_FORWARDED_PROTO', 'HTTP_X_REAL_IP', 'HTTP_HOST')).encode()]
    if path == '/pieces':
        start('200 OK', [('Content-Type', 'text/plain')])
        return [b'a' * 1000, b'b' * 200000, b'c']
    start('200 OK', [('Content-Type', 'text/plain')])
    return [f"{environment['REQUEST_METHOD']} {path} {length}".encode()]

server = make_server('127.0.0.1', 0, program, handler_class=Quiet)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// A program that is ended with the test, and what it says after its port.
pub struct Running {
    pub child: Child,
    pub said: Option<BufReader<ChildStdout>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server that says its port.
pub fn start(mut command: Command) -> (Running, SocketAddr) {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut said, mut line) = (BufReader::new(child.stdout.take().unwrap()), String::new());
    let mut running = Running { child, said: None };
    said.read_line(&mut line).unwrap();
    running.said = Some(said);
    let port = line.trim().parse().unwrap_or_else(|_| panic!("no port: {line:?}"));
    (running, ([127, 0, 0, 1], port).into())
}

/// What of an answer concerns the client of a proxy.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    fields: BTreeMap<String, Vec<String>>,
    body: Vec<u8>,
}

/// Of one connection (RFC 9110 §7.6.1), or of one moment.
const NOT_COMPARED: [&str; 4] = ["connection", "keep-alive", "transfer-encoding", "date"];

fn answer(status: u16, all: &[(String, String)], body: Vec<u8>) -> Answer {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in all.iter().filter(|(name, _)| !NOT_COMPARED.contains(&&**name)) {
        fields.entry(name.clone()).or_default().push(value.clone());
    }
    Answer { status, fields, body }
}

/// Asks the server itself.
fn directly(address: SocketAddr, method: &str, path: &str, fields: &str, body: &[u8]) -> Answer {
    let mut tcp = connect_plain(address).unwrap();
    tcp.write_all(request(method, path, &format!("{fields}Connection: close\r\n"), body).as_slice()).unwrap();
    let mut all = Vec::new();
    tcp.read_to_end(&mut all).unwrap();
    let mut rest = &all[..];
    loop {
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&rest[..end]).unwrap();
        rest = &rest[end + 4..];
        let status: u16 = head[9..12].parse().unwrap();
        if status < 200 {
            continue;
        }
        let pairs = head.split("\r\n").skip(1).map(|line| line.split_once(':').unwrap());
        let fields: Vec<_> =
            pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string())).collect();
        let is_chunked = fields.iter().any(|(name, _)| name == "transfer-encoding");
        let is_empty = method == "HEAD" || matches!(status, 204 | 304);
        // waitress sends the last chunk of an answer to HEAD: that is no body.
        let body = match (is_empty, is_chunked) {
            (true, _) => Vec::new(),
            (false, true) => unchunked(rest),
            (false, false) => rest.to_vec(),
        };
        return answer(status, &fields, body);
    }
}

fn unchunked(mut coded: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = coded.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&coded[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&coded[end + 2..][..size]);
        coded = &coded[end + 2 + size + 2..];
    }
}

fn request(method: &str, path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let has_none = body.is_empty() || fields.contains("Transfer-Encoding");
    let length = if has_none { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    [format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}{length}\r\n").as_bytes(), body].concat()
}

/// Asks both ways, all over one connection of the client.
pub fn compare(address: SocketAddr, requests: &[(&str, &str, &str, &[u8])]) {
    let proxy = Proxy::to(&format!("http://{address}")).unwrap();
    let serving = serve(Router::new().fallback(proxy.handler()));
    let mut client = serving.connect();
    for round in 0..2 {
        for (method, path, fields, body) in requests {
            let mut expected = directly(address, method, path, fields, body);
            client.send(request(method, path, fields, body));
            let shape = if *method == "HEAD" { Shape::HeadOnly } else { Shape::WithBody };
            let mut reply = client.try_reply(shape).unwrap();
            // Interim responses come before the final one, as they do directly.
            while reply.status < 200 {
                reply = client.try_reply(shape).unwrap();
            }
            if reply.closes() {
                // Answered before its large body was read: the rest is not worth reading.
                assert!(body.len() > 64 * 1024, "{method} {path}");
                client = serving.connect();
            }
            let mut found = answer(reply.status, &reply.fields, reply.body);
            // The framing may be another on each connection; 204 and 304 have none (RFC 9110 §8.6).
            let lengths = [&mut found, &mut expected].map(|answer| answer.fields.remove("content-length"));
            if let [Some(found), Some(expected)] = lengths {
                assert_eq!(found, expected, "{method} {path}");
            }
            assert!(found == expected, "{round} {method} {path}: {found:.400?} {expected:.400?}");
        }
    }
}

const REQUESTS: &[(&str, &str, &str, &[u8])] = &[
    ("GET", "/", "", b""),
    ("GET", "/a%20b?c=d&e", "", b""),
    ("HEAD", "/", "", b""),
    ("POST", "/form", "Content-Type: text/plain\r\n", b"body"),
    ("PUT", "/large", "", &[b'x'; 100_000]),
    ("DELETE", "/one", "", b""),
    ("OPTIONS", "/one", "", b""),
    ("GET", "/empty", "", b""),
    ("GET", "/cached", "If-None-Match: \"1\"\r\n", b""),
    ("GET", "/moved", "", b""),
    ("GET", "/cookies", "Cookie: a=b\r\n", b""),
    ("GET", "/pieces", "", b""),
    ("GET", "/fault", "", b""),
];

#[test]
fn pythons_server_answers_through_the_proxy_as_it_answers_directly() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let arguments = ["-c", PYTHON_SERVER, version];
        let Some(python) = PYTHON.command("python behind the proxy", &arguments) else { return };
        let (_running, address) = start(python);
        compare(address, REQUESTS);
    }
}

#[test]
fn a_program_behind_wsgi_sees_the_client_that_the_proxy_tells_of_and_not_what_the_client_says() {
    let Some(python) = PYTHON.command("wsgi behind the proxy", &["-c", WSGI_SERVER]) else { return };
    let (_running, address) = start(python);
    compare(address, &[("GET", "/", "", b""), ("POST", "/a", "", b"body"), ("GET", "/pieces", "", b"")]);
    let proxy = Proxy::to(&format!("http://{address}")).unwrap();
    let serving = serve(Router::new().fallback(proxy.handler()));
    let mut client = serving.connect();
    client.send(
        "GET /who HTTP/1.1\r\nHost: localhost\r\nX_Forwarded_For: 10.0.0.1\r\nX-Forwarded_Proto: http\r\nX_Real_IP: 10.0.0.2\r\n\r\n",
    );
    assert_eq!(client.reply().text(), "127.0.0.1 https - localhost");
}
