//! Servers that accept a connection and answer no TLS, and servers that answer late or in plain HTTP.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

use lockgate::check::{Check, Report};

use crate::site::{beside, on_each, seen};

/// A server that runs this for each connection, and the number of its connections.
fn server(serve: fn(TcpStream) -> io::Result<()>) -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    on_each(listener, move |stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        serve(stream)
    });
    (port, count)
}

fn check(port: u16) -> Report {
    let check = Check::new(format!("https://localhost:{port}/"))
        .connect(Ipv4Addr::LOCALHOST.into(), None)
        .http_port(None)
        .phase_timeout(Duration::from_millis(200));
    check.run().unwrap()
}

/// Until the client leaves.
fn hang(mut stream: TcpStream) -> io::Result<()> {
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// RFC 5246 §7.4.1.3: the head of a ServerHello, and half of it.
const HALF: [u8; 20] = [22, 3, 3, 0, 90, 2, 0, 0, 86, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9];

fn half(mut stream: TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0; 5])?;
    stream.write_all(&HALF)?;
    hang(stream)
}

fn half_and_close(mut stream: TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0; 5])?;
    stream.write_all(&HALF)?;
    stream.shutdown(Shutdown::Write)?;
    hang(stream)
}

fn close(stream: TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    hang(stream)
}

/// Unread bytes in a closed socket make the system reset the connection.
fn reset(mut stream: TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0; 1])
}

/// Expects a line of the PROXY protocol first, and closes without an answer otherwise.
fn proxy(mut stream: TcpStream) -> io::Result<()> {
    let mut first = [0; 6];
    stream.read_exact(&mut first)?;
    assert_ne!(&first, b"PROXY ");
    stream.shutdown(Shutdown::Write)?;
    hang(stream)
}

#[test]
fn a_silent_server_is_not_taken_for_plain_http() {
    for (name, serve, most) in [
        ("hangs", hang as fn(TcpStream) -> io::Result<()>, 2),
        ("half a hello, and hangs", half, 2),
        ("half a hello, and closes", half_and_close, 8),
        ("closes", close, 8),
        ("resets", reset, 8),
        ("wants a PROXY header", proxy, 8),
    ] {
        let (port, count) = server(serve);
        let report = check(port);
        assert_eq!(beside(&report), ["nothing-answered"], "{name}: {:?}", report.unknown());
        let words = seen(&report, "nothing-answered");
        assert!(
            words.contains("hung, full, filtered") && words.contains("PROXY protocol"),
            "{name}: {words}"
        );
        assert!(!report.findings()[0].why().contains("can be read"), "{name}");
        // The probes do not each wait for the same time.
        assert!(count.load(Ordering::SeqCst) <= most, "{name}: {count:?}");
        assert!(report.connections() <= most, "{name}: {}", report.connections());
    }
}

/// Plain HTTP that waits for the end of a line, as many small servers do.
fn plain(mut stream: TcpStream) -> io::Result<()> {
    let mut first = [0; 4];
    stream.read_exact(&mut first)?;
    if &first == b"GET " {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
    }
    hang(stream)
}

#[test]
fn plain_http_that_does_not_answer_a_hello_is_still_known() {
    let (port, _) = server(plain);
    let report = check(port);
    assert_eq!(beside(&report), ["no-tls"]);
    assert!(seen(&report, "no-tls").contains("plain HTTP"), "{}", seen(&report, "no-tls"));
}
