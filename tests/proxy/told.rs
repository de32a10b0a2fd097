//! What the log says of a backend that fails: which one it is, and why.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use lockgate::{Proxy, Router};

use super::backend::{say, Backend};
use super::in_front_of;
use super::support::{authority_pem, await_lines, serve, Serving};

fn serve_proxy(proxy: Proxy) -> Serving {
    serve(Router::new().fallback(proxy.handler()))
}

/// A socket that nobody listens at any more. No other test can come to listen there, as at a port.
fn left_behind(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    drop(UnixListener::bind(&path).unwrap());
    format!("unix:{}", path.display())
}

/// The line that holds all of these texts; it comes.
fn line(texts: &[&str]) -> String {
    let mut found = await_lines(1, |line| texts.iter().all(|text| line.contains(text)));
    assert!(!found.is_empty(), "no line with {texts:?}");
    found.remove(0)
}

#[test]
fn the_log_says_why_a_backend_cannot_be_reached() {
    let folder = tempfile::tempdir().unwrap();
    let left = left_behind(folder.path(), "left.sock");
    let socket = format!("unix:{}/none.sock", folder.path().display());
    for (url, why) in [(left, "Connection refused"), (socket, "No such file or directory")] {
        let serving = serve_proxy(Proxy::to(&url).unwrap());
        assert_eq!(serving.get("/").status, 502);
        line(&[&url, "cannot be reached, 3 times in a row", why, "until it accepts a connection again"]);
        let told = line(&["the backend ", &url, "has given no answer", "it cannot be reached", why]);
        assert!(!told.contains("backends"), "{told}");
    }
}

#[test]
fn the_log_says_why_for_each_of_several_backends() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| left_behind(folder.path(), name));
    let proxy = Proxy::to(&a).unwrap().and_to(&b).unwrap();
    assert_eq!(serve_proxy(proxy).get("/").status, 503);
    let told = line(&[&format!("the backends {a} and {b} have given no answer: they cannot be reached")]);
    for node in [a, b] {
        assert!(told.contains(&format!("{node}: Connection refused")), "{told}");
    }
}

#[test]
fn the_log_says_which_backend_has_cut_its_answer() {
    for (answer, why) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf", "ended its connection in the middle"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "ended its connection in the middle",
        ),
    ] {
        let backend = Backend::new(move |_, _| {
            let mut acts = say(answer);
            acts.push(super::backend::Act::Close);
            acts
        });
        let serving = in_front_of(&backend);
        let mut client = serving.connect();
        client.send(super::support::get("/"));
        // What has come of it may be lost with the connection.
        let _ = client.take_until(b"half");
        line(&[&backend.url(), "was cut", why]);
    }
}

#[test]
fn the_log_says_that_a_backend_behind_https_speaks_plain_http() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let mut tcp = tcp.unwrap();
            let _ = tcp.read(&mut [0; 4096]);
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority_pem()).unwrap();
    let serving = serve_proxy(Proxy::to(&url).unwrap().ca_file(&ca).unwrap());
    for _ in 0..3 {
        assert_eq!(serving.get("/").status, 502);
    }
    line(&[&url, "has given no answer", "it does not speak TLS there", "give http://"]);
}
