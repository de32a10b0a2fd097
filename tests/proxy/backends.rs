//! In front of the servers that people have, each asked for the same things: the answers are those that it gives when it is asked
//! directly, but for the fields of the connection.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lockgate::{Identity, Proxy, Router, Server};

use super::desync::Program;
use super::peers::{compare, start};
use super::peers_of_tests::{chromium, node_express, node_ws, python_websockets, waitress, CC, GO, NGINX};
use super::support::{authority_pem, get, pem_pair, serve, serve_as, Serving, SAFETY};

type Asked = (&'static str, &'static str, &'static str, &'static [u8]);

/// What a client of an API and a browser ask for. Each server answers in its own way.
const REQUESTS: &[Asked] = &[
    ("GET", "/api/data", "", b""),
    ("HEAD", "/api/data", "", b""),
    ("OPTIONS", "/api/data", "", b""),
    (
        "GET",
        "/api/data",
        "Accept: application/json\r\nUser-Agent: a/1 (b; c)\r\nAccept-Language: de,en;q=0.5\r\n",
        b"",
    ),
    (
        "POST",
        "/api/data",
        "Content-Type: application/json\r\n",
        br#"{"name":"lamp","on":true,"\u00e4":[1,2.5e3,null]}"#,
    ),
    ("POST", "/api/data", "Content-Type: application/json; charset=utf-8\r\n", b"{no json"),
    ("POST", "/api/data", "Content-Type: application/json\r\nExpect: 100-continue\r\n", b"[1]"),
    ("PUT", "/api/items/1", "Content-Type: application/json\r\n", br#"{"on":false}"#),
    ("PATCH", "/api/items/1", "Content-Type: application/json\r\n", br#"{"on":true}"#),
    ("DELETE", "/api/items/1", "", b""),
    ("DELETE", "/api/items/1", "Content-Type: application/json\r\n", b"{}"),
    ("POST", "/form", "Content-Type: application/x-www-form-urlencoded\r\n", b"a=1&b=x+y&c=%C3%A4"),
    ("POST", "/sum", "Content-Type: application/octet-stream\r\n", &[7; 300_000]),
    ("POST", "/sum", "Content-Type: application/octet-stream\r\n", b""),
    ("GET", "/query?a=1&a=2&b=%20%2F&c", "", b""),
    ("GET", "/query?", "", b""),
    ("GET", "/query?a=http://b/?c", "", b""),
    ("GET", "/missing", "", b""),
    ("POST", "/missing", "", b"body"),
    ("GET", "/missing/%C3%A4%20b", "", b""),
    ("GET", "/moved", "", b""),
    ("HEAD", "/moved", "", b""),
    ("GET", "/moved/for/good", "", b""),
    ("GET", "/login", "", b""),
    ("GET", "/cookie", "Cookie: session=a%20b; theme=dark\r\n", b""),
    ("GET", "/tagged", "", b""),
    ("GET", "/tagged", "If-None-Match: \"1\"\r\n", b""),
    ("GET", "/tagged", "If-None-Match: \"2\", W/\"3\"\r\n", b""),
    ("GET", "/files/file.txt", "", b""),
    ("HEAD", "/files/file.txt", "", b""),
    ("GET", "/files/file.txt", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n", b""),
    ("GET", "/files/file.txt", "Range: bytes=10-19\r\n", b""),
    ("GET", "/files/file.txt", "Range: bytes=199990-\r\n", b""),
    ("GET", "/files/file.txt", "Range: bytes=-5\r\n", b""),
    ("GET", "/files/file.txt", "Range: bytes=300000-\r\n", b""),
    ("GET", "/files/file.txt", "Range: bytes=0-9\r\nIf-Range: \"other\"\r\n", b""),
    ("GET", "/large", "", b""),
    ("GET", "/pieces", "", b""),
    ("GET", "/zipped", "Accept-Encoding: gzip, br\r\n", b""),
    ("HEAD", "/zipped", "Accept-Encoding: gzip\r\n", b""),
    ("GET", "/zipped", "", b""),
    ("GET", "/empty", "", b""),
    ("GET", "/nothing", "", b""),
    ("GET", "/fields", "X-Empty:\r\nX-Twice: a\r\nX-Twice: b\r\n", b""),
    ("GET", "/teapot", "", b""),
    ("GET", "/busy", "", b""),
    ("GET", "/fault", "", b""),
];

/// For servers that read chunks.
const IN_CHUNKS: &[Asked] = &[
    (
        "POST",
        "/sum",
        "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n",
        b"3\r\nabc\r\n4;a=b\r\ndefg\r\n0\r\n\r\n",
    ),
    (
        "POST",
        "/api/data",
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n",
        b"1\r\n[\r\n2\r\n1]\r\n0\r\n\r\n",
    ),
];

/// A program of these tests.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proxy/backends").join(name)
}

/// What a program sees of the client that the proxy tells of.
fn who(address: SocketAddr) -> String {
    let proxy = Proxy::to(&format!("http://{address}")).unwrap();
    let serving = serve(Router::new().fallback(proxy.handler()));
    let mut client = serving.connect();
    client.send("GET /who HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\n\r\n");
    client.reply().text().to_string()
}

#[test]
fn express_answers_through_the_proxy_as_it_answers_directly() {
    let app = source("app.js");
    let Some(node) = node_express("Express behind the proxy", &[app.to_str().unwrap()]) else { return };
    let (_running, address) = start(node);
    compare(address, REQUESTS);
    compare(address, IN_CHUNKS);
    compare(address, &[("GET", "/hints", "", b"")]);
    assert_eq!(who(address), "https 127.0.0.1 localhost true");
    // Bytes that are no ASCII stay what they are.
    let proxy = Proxy::to(&format!("http://{address}")).unwrap();
    let serving = serve(Router::new().fallback(proxy.handler()));
    let mut client = serving.connect();
    client.send(get("/latin"));
    let head = client.take_until(b"\r\n\r\n").unwrap();
    assert!(head.windows(15).any(|line| line == b"x-latin: gr\xfcn\r\n"), "{}", head.escape_ascii());
}

#[test]
fn a_wsgi_server_answers_through_the_proxy_as_it_answers_directly() {
    let app = source("app.py");
    let Some(python) = waitress("waitress behind the proxy", &[app.to_str().unwrap()]) else { return };
    let (_running, address) = start(python);
    compare(address, REQUESTS);
    compare(address, IN_CHUNKS);
    assert_eq!(who(address), "https 127.0.0.1 localhost");
}

/// The program in Go, built.
pub fn go(test: &str, folder: &Path) -> Option<PathBuf> {
    let (app, program) = (source("app.go"), folder.join("app"));
    let mut go = GO.command(test, &["build", "-o", program.to_str().unwrap(), app.to_str().unwrap()])?;
    // Nothing is asked for over the network, and nothing is kept elsewhere.
    go.env("GOPROXY", "off")
        .env("GOFLAGS", "-mod=mod")
        .env("GOCACHE", folder.join("cache"))
        .env("HOME", folder);
    assert!(go.status().unwrap().success());
    Some(program)
}

#[test]
#[ignore = "needs Go, which takes a minute to install: make test-slow"]
fn go_answers_through_the_proxy_as_it_answers_directly() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = go("Go behind the proxy", folder.path()) else { return };
    let (_running, address) = start(Command::new(program));
    compare(address, REQUESTS);
    compare(address, IN_CHUNKS);
}

#[test]
fn a_server_of_thirty_lines_of_c_answers_through_the_proxy_as_it_answers_directly() {
    let folder = tempfile::tempdir().unwrap();
    let (app, program) = (source("app.c"), folder.path().join("app"));
    let arguments = ["-D_GNU_SOURCE", "-o", program.to_str().unwrap(), app.to_str().unwrap()];
    let Some(mut cc) = CC.command("a server in C behind the proxy", &arguments) else { return };
    assert!(cc.status().unwrap().success());
    let (_running, address) = start(Command::new(program));
    compare(address, REQUESTS);
}

#[test]
fn nginx_answers_through_the_proxy_as_it_answers_directly() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir_all(at.join("www/files")).unwrap();
    fs::create_dir_all(at.join("www/api")).unwrap();
    fs::write(at.join("www/files/file.txt"), "0123456789".repeat(20_000)).unwrap();
    fs::write(at.join("www/large"), "abcdefgh".repeat(131_072)).unwrap();
    fs::write(at.join("www/zipped"), "zip".repeat(10_000)).unwrap();
    fs::write(at.join("www/api/data"), r#"{"message":"Secure data over HTTPS"}"#).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let root = at.display();
    let configuration = format!(
        "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log; events {{}}\n\
         http {{ access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/f;\n\
         uwsgi_temp_path {root}/u; scgi_temp_path {root}/s; gzip on; gzip_types text/plain; gzip_proxied any; default_type text/plain;\n\
         server {{ listen 127.0.0.1:{port}; root {root}/www; absolute_redirect off;\n\
         location = /moved {{ return 302 /api/data; }} location = /moved/for/good {{ return 301 https://example.com/?a=b#c; }}\n\
         location = /login {{ add_header Set-Cookie 'session=a; Secure'; add_header Set-Cookie 'theme=dark; Secure'; return 200 in; }}\n\
         location = /query {{ return 200 $request_uri; }} location = /cookie {{ return 200 $http_cookie; }}\n\
         location = /empty {{ return 204; }} location = /nothing {{ return 200 ''; }} location = /teapot {{ return 418 short; }}\n\
         location = /busy {{ add_header Retry-After 7 always; return 503; }} location = /fault {{ return 500; }}\n\
         location /self {{ absolute_redirect on; return 301 http://localhost/file.txt; }} }} }}\n"
    );
    fs::write(at.join("nginx.conf"), configuration).unwrap();
    let path = at.join("nginx.conf");
    let command =
        NGINX.command("nginx behind the proxy", &["-p", at.to_str().unwrap(), "-c", path.to_str().unwrap()]);
    let Some(mut command) = command else { return };
    let _running = Ended(command.stderr(Stdio::null()).spawn().unwrap());
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let deadline = Instant::now() + SAFETY;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nginx does not listen");
        std::thread::sleep(Duration::from_millis(5));
    }
    compare(address, REQUESTS);
    compare(address, IN_CHUNKS);
    let proxy = Proxy::to(&format!("http://{address}")).unwrap();
    let reply = serve(Router::new().fallback(proxy.handler())).get("/self");
    assert_eq!(reply.field("location"), Some("https://localhost/file.txt"));
}

/// A program that says nothing, and is ended with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn forty_things_are_asked_of_each_server() {
    assert!(REQUESTS.len() >= 40);
}

/// In front of a program, and what a client needs: the URL of a WebSocket and the file with the authority.
fn in_front_of_live(address: SocketAddr, folder: &Path) -> (Serving, String, PathBuf) {
    let proxy = Proxy::to(&format!("http://{address}")).unwrap();
    // OpenSSL takes a certificate for self-signed that has the name of its issuer.
    let (certificate, key) = pem_pair(|params| params.distinguished_name = rcgen::DistinguishedName::new());
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let serving = serve_as(Server::builder(Router::new().fallback(proxy.handler())).identity(identity));
    let ca = folder.join("ca.pem");
    fs::write(&ca, authority_pem()).unwrap();
    let url = format!("wss://localhost:{}/socket", serving.address.port());
    (serving, url, ca)
}

#[test]
fn websockets_of_node_and_python_go_through_the_proxy() {
    let path = |name: &str| source(name).to_str().unwrap().to_string();
    let test = "WebSockets through the proxy";
    let backends = [node_ws(test, &[&path("live.js")]), python_websockets(test, &[&path("live.py")])];
    for backend in backends.into_iter().flatten() {
        let (_running, address) = start(backend);
        let folder = tempfile::tempdir().unwrap();
        let (_serving, url, ca) = in_front_of_live(address, folder.path());
        let ca = ca.to_str().unwrap();
        let clients = [
            node_ws(test, &[&path("client.js"), &url, ca]),
            python_websockets(test, &[&path("client.py"), &url, ca]),
        ];
        for mut client in clients.into_iter().flatten() {
            let output = client.stdin(Stdio::null()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let failed = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(said, "|ä€😀|900000|fragments|pong|4001 bye|1009\n", "{client:?}: {failed}");
        }
    }
}

#[test]
fn a_browser_gets_events_and_a_websocket_through_the_proxy() {
    let test = "events in a browser through the proxy";
    let app = source("live.js");
    let Some(node) = node_ws(test, &[app.to_str().unwrap()]) else { return };
    let program = Program::start(node);
    let folder = tempfile::tempdir().unwrap();
    let (serving, ..) = in_front_of_live(program.address, folder.path());
    let url = format!("https://localhost:{}/", serving.address.port());
    let arguments = ["--ignore-certificate-errors", "--remote-debugging-port=0", &url];
    let at = format!("127.0.0.1:{}", serving.address.port());
    let Some(mut browser) = chromium(test, folder.path(), &at, &arguments) else { return };
    let browser = browser.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _browser = Ended(browser.unwrap());
    // A browser takes its time to start.
    let line = program.lines.recv_timeout(6 * SAFETY).expect("the page reports");
    assert_eq!(line, "0,1,2,3,4,last,hello,4001,true");
}
