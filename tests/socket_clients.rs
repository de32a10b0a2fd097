//! Real clients of live connections, against the program `examples/live.rs` as its users start it: curl, the EventSource and the
//! WebSocket of Chromium, ws for Node, and websockets and websocket-client for Python. A test whose program is missing is left
//! out, and says so (see `peers`).

#[path = "support_command/devtools.rs"]
#[allow(dead_code)]
mod devtools;
mod support_command;

use std::io::{BufRead, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use lockgate::serde_json::json;

use devtools::Browser;
use support_command::certificates::{Authority, Pair};
use support_command::client::{tcp, Client};
use support_command::peers::{self, CURL};
use support_command::{of_program, outcome, text};

/// What each client of WebSockets does, and what comes of it: text (also none, and all planes), bytes, a message in fragments, a
/// ping, an end with a code, a message that is too large, and the handshake of a page of another origin.
const EXPECTED: &str = "|ä€😀|200000|fragments|pong|4001 bye|1009|403";

/// The program, and what clients need to trust it.
struct Live {
    authority: Authority,
    pair: Pair,
    program: Child,
    port: u16,
}

impl Live {
    fn start() -> Live {
        let authority = Authority::new();
        let pair = authority.pair("live");
        let (program, port) = run(&pair);
        Live { authority, pair, program, port }
    }

    /// Kills the program, as a loss of power does, and starts it anew: it has forgotten all events.
    fn start_again(&mut self) {
        self.end();
        (self.program, self.port) = run(&self.pair);
    }

    fn end(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn publish(&self, query: &str, data: &str) {
        let mut client = Client::connect(self.port, &self.authority.certificate());
        let length = data.len();
        client.send(&format!(
            "POST /api/publish?{query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{data}"
        ));
        let (head, body) = client.response();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}{body}");
    }

    /// Publishes events with these numbers as their data and their ids.
    fn publish_all(&self, numbers: std::ops::Range<u32>) {
        numbers.for_each(|number| self.publish(&format!("id=n{number}"), &number.to_string()));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts the program on a free port.
fn run(pair: &Pair) -> (Child, u16) {
    let program = std::env::current_exe().unwrap();
    let program = program.ancestors().nth(2).unwrap().join("examples/live");
    assert!(program.exists(), "first: cargo build --features cli --example live");
    let mut command = of_program(program, &["0", text(&pair.cert), text(&pair.key)]);
    let mut program = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().rsplit(':').next().unwrap().parse();
    let port = port.unwrap_or_else(|_| panic!("{line}"));
    (program, port)
}

/// A network between a client and the program, which can be cut.
struct Network {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Where connections lead to, unless it is cut.
    to: Option<u16>,
    open: Vec<TcpStream>,
}

impl Network {
    fn to(port: u16) -> Network {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let network = Network { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        network.lead_to(port);
        let state = network.state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = state.lock().unwrap();
                let Some(to) = state.to else { continue };
                let server = tcp(to);
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    state.open.push(from.try_clone().unwrap());
                    from.set_read_timeout(None).unwrap();
                    thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
            }
        });
        network
    }

    fn lead_to(&self, port: u16) {
        self.state.lock().unwrap().to = Some(port);
    }

    /// Ends all connections, without a word of TLS, and lets none through.
    fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.to = None;
        state.open.drain(..).for_each(|connection| {
            let _ = connection.shutdown(Shutdown::Both);
        });
    }
}

/// What the page has shown of the events, in its order.
const SHOWN: &str = "[...document.querySelectorAll('#events li')].map((line) => line.textContent)";

fn shown_are(browser: &mut Browser, count: u32) {
    browser.until(&format!("document.querySelectorAll('#events li').length >= {count}"));
    let expected: Vec<String> = (0..count).map(|number| format!("n{number}: {number}")).collect();
    assert_eq!(browser.value(SHOWN), json!(expected));
}

#[test]
fn a_browser_gets_each_event_once_through_a_cut_network_and_a_restart() {
    let test = "a_browser_gets_each_event_once_through_a_cut_network_and_a_restart";
    let home = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::open(test, home.path(), "MAP * 127.0.0.1") else { return };
    let mut live = Live::start();
    let network = Network::to(live.port);
    browser.go(&format!("https://localhost:{}/", network.port));
    browser.until("events.readyState === EventSource.OPEN");
    live.publish_all(0..3);
    shown_are(&mut browser, 3);
    // What is sent while the network is away is there when it is back.
    network.cut();
    live.publish_all(3..5);
    network.lead_to(live.port);
    shown_are(&mut browser, 5);
    // After a restart the program has the last events from its store, with the ids that they had.
    network.cut();
    live.start_again();
    live.publish_all(3..7);
    network.lead_to(live.port);
    shown_are(&mut browser, 7);
    live.publish_all(7..8);
    shown_are(&mut browser, 8);
}

#[test]
fn curl_publishes_an_event_and_reads_those_of_a_name() {
    let test = "curl_publishes_an_event_and_reads_those_of_a_name";
    let live = Live::start();
    let ca = text(&live.authority.ca);
    let Some(mut reads) = CURL.command(test, &["-sSN", "--noproxy", "*", "--cacert", ca]) else { return };
    let mut reads = reads.args(["-D", "/dev/stderr", &live.url("/api/events?name=a")]);
    reads = reads.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut reads = Ends(reads.spawn().unwrap());
    // A client is subscribed once it has the response's head.
    let mut head = BufReader::new(reads.0.stderr.take().unwrap()).lines();
    assert_eq!(head.next().unwrap().unwrap(), "HTTP/1.1 200 OK");
    assert!(head.any(|line| line.unwrap().is_empty()));
    for (name, data) in [("b", "not this"), ("a", "this\nand this")] {
        let url = live.url(&format!("/api/publish?id=1&name={name}"));
        let line = ["-sS", "--noproxy", "*", "--cacert", ca, "--data-binary", data, &url];
        let curl = CURL.command(test, &line).unwrap();
        assert_eq!(outcome(curl, b""), (0, r#"{"subscribers":1}"#.into(), String::new()));
    }
    let mut event = BufReader::new(reads.0.stdout.take().unwrap()).lines();
    for line in ["event: a", "data: this", "data: and this", "id: 1", ""] {
        assert_eq!(event.next().unwrap().unwrap(), line);
    }
}

/// A program that runs until the test is over.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_websocket_of_a_browser_sends_and_receives_and_opens_anew_after_a_restart() {
    let test = "the_websocket_of_a_browser_sends_and_receives_and_opens_anew_after_a_restart";
    let home = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::open(test, home.path(), "MAP * 127.0.0.1") else { return };
    let mut live = Live::start();
    let network = Network::to(live.port);
    browser.go(&format!("https://localhost:{}/", network.port));
    browser.value(
        "globalThis.open = async () => {
            const socket = new WebSocket(`wss://localhost:${location.port}/api/socket`);
            socket.binaryType = 'arraybuffer';
            socket.ended = new Promise((done) => { socket.onclose = ({ code, reason, wasClean }) => done([code, reason, wasClean]); });
            await new Promise((done) => { socket.onopen = done; });
            return socket;
        };
        globalThis.ask = (socket, message) => new Promise((done) => {
            socket.onmessage = ({ data }) => done(typeof data === 'string' ? data : new Uint8Array(data).reduce((a, b) => a + b, 0));
            socket.send(message);
        });
        open().then((socket) => { globalThis.socket = socket; })",
    );
    for message in ["", "ä€😀", &"x".repeat(200_000)] {
        assert_eq!(browser.value(&format!("ask(socket, {})", json!(message))), json!(message));
    }
    assert_eq!(browser.value("ask(socket, new Uint8Array(200_000).fill(3))"), 600_000);
    assert_eq!(browser.value("socket.extensions + socket.protocol"), "");
    assert_eq!(browser.value("socket.close(4001, 'bye'), socket.ended"), json!([4001, "bye", true]));
    assert_eq!(browser.value("open().then((opened) => { globalThis.socket = opened; })"), json!(null));
    assert_eq!(
        browser.value("socket.send('x'.repeat(2 ** 20 + 1)), socket.ended.then(([code]) => code)"),
        1009
    );
    browser.value("open().then((opened) => { globalThis.socket = opened; })");
    network.cut();
    assert_eq!(browser.value("socket.ended"), json!([1006, "", false]));
    live.start_again();
    network.lead_to(live.port);
    assert_eq!(browser.value("open().then((socket) => ask(socket, 'again'))"), "again");
    // A page of another origin opens none: the device's cookies would go with it.
    browser.go(&format!("https://other.example:{}/", network.port));
    let other = "new Promise((done) => { \
                 const socket = new WebSocket(`wss://localhost:${location.port}/api/socket`); \
                 socket.onopen = () => done('opened'); socket.onclose = ({ code }) => done(code); })";
    assert_eq!(browser.value(other), 1006);
}

#[test]
fn ws_for_node_sends_and_receives() {
    const SCRIPT: &str = r#"
        const { WebSocket } = require('ws');
        const [url, ca] = process.argv.slice(1);
        const trust = { ca: require('fs').readFileSync(ca) };
        const open = (options) => new Promise((done, failed) => {
            const socket = new WebSocket(url, { ...trust, ...options });
            socket.on('open', () => done(socket)).on('error', failed);
        });
        const message = (socket) => new Promise((done) => socket.once('message', (data, isBinary) => done(isBinary ? data.length : data.toString())));
        const close = (socket) => new Promise((done) => socket.once('close', (code, reason) => done(`${code} ${reason}`.trim())));
        (async () => {
            const said = [];
            const socket = await open();
            if (socket.extensions) throw new Error(socket.extensions);
            for (const data of ['', 'ä€😀', Buffer.alloc(200000, 7)]) {
                socket.send(data);
                said.push(await message(socket));
            }
            socket.send('frag', { fin: false });
            socket.send('me', { fin: false });
            socket.send('nts', { fin: true });
            said.push(await message(socket));
            socket.ping('pong');
            said.push(await new Promise((done) => socket.once('pong', (data) => done(data.toString()))));
            socket.close(4001, 'bye');
            said.push(await close(socket));
            const large = await open();
            large.on('error', () => {});
            large.send('x'.repeat(2 ** 20 + 1));
            said.push((await close(large)).split(' ')[0]);
            said.push(await open({ origin: 'https://evil.example' }).catch((error) => error.message.split(' ').pop()));
            console.log(said.join('|'));
        })();
    "#;
    let live = Live::start();
    let line = ["-e", SCRIPT, &live.url("/api/socket").replace("https", "wss"), text(&live.authority.ca)];
    let Some(node) = peers::node_ws("ws_for_node_sends_and_receives", &line) else { return };
    assert_eq!(outcome(node, b""), (0, format!("{EXPECTED}\n"), String::new()));
}

#[test]
fn websockets_for_python_sends_and_receives() {
    // With asyncio, because websockets.sync uses one TLS connection from two threads, which ssl of Python 3.11 does not allow for:
    // now and then such a client reads no more.
    const SCRIPT: &str = r#"
import asyncio, ssl, sys
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
async def main(url, ca):
    trust = ssl.create_default_context(cafile=ca)
    said = []
    async with connect(url, ssl=trust) as socket:
        for data in ["", "ä€😀", bytes(200000)]:
            await socket.send(data)
            back = await asyncio.wait_for(socket.recv(), 60)
            said.append(back if isinstance(back, str) else len(back))
        await socket.send(["frag", "me", "nts"])
        said.append(await asyncio.wait_for(socket.recv(), 60))
        await asyncio.wait_for(await socket.ping("pong"), 60)
        said.append("pong")
        await socket.close(4001, "bye")
        said.append(f"{socket.close_code} {socket.close_reason}")
    async with connect(url, ssl=trust) as large:
        try:
            await large.send("x" * (2 ** 20 + 1))
            await asyncio.wait_for(large.recv(), 60)
        except ConnectionClosed as closed:
            said.append(closed.rcvd.code)
    try:
        await connect(url, ssl=trust, origin="https://evil.example")
    except InvalidStatus as refused:
        said.append(refused.response.status_code)
    print("|".join(map(str, said)))
asyncio.run(main(*sys.argv[1:]))
"#;
    python("websockets_for_python_sends_and_receives", SCRIPT);
}

#[test]
fn websocket_client_for_python_sends_and_receives() {
    const SCRIPT: &str = r#"
import sys, websocket
from websocket import ABNF
url, ca = sys.argv[1:]
def connect(**options):
    return websocket.create_connection(url, sslopt={"ca_certs": ca}, timeout=60, suppress_origin=not options, **options)
said = []
socket = connect()
for data in ["", "ä€😀"]:
    socket.send(data)
    said.append(socket.recv())
socket.send_binary(bytes(200000))
said.append(len(socket.recv()))
for data, opcode, fin in [("frag", ABNF.OPCODE_TEXT, 0), ("me", ABNF.OPCODE_CONT, 0), ("nts", ABNF.OPCODE_CONT, 1)]:
    socket.send_frame(ABNF.create_frame(data, opcode, fin))
said.append(socket.recv())
socket.ping("pong")
opcode, data = socket.recv_data(control_frame=True)
said.append(data.decode() if opcode == ABNF.OPCODE_PONG else opcode)
def end(socket):
    opcode, data = socket.recv_data(control_frame=True)
    code, reason = int.from_bytes(data[:2], "big"), data[2:].decode()
    return (code, reason) if opcode == ABNF.OPCODE_CLOSE else opcode
socket.send_close(4001, b"bye")
said.append("%d %s" % end(socket))
large = connect()
large.send("x" * (2 ** 20 + 1))
said.append(end(large)[0])
try:
    connect(origin="https://evil.example")
except websocket.WebSocketBadStatusException as refused:
    said.append(refused.status_code)
print("|".join(map(str, said)))
"#;
    python("websocket_client_for_python_sends_and_receives", SCRIPT);
}

fn python(test: &str, script: &str) {
    let live = Live::start();
    let line = ["-c", script, &live.url("/api/socket").replace("https", "wss"), text(&live.authority.ca)];
    let Some(python) = peers::python_websockets(test, &line) else { return };
    assert_eq!(outcome(python, b""), (0, format!("{EXPECTED}\n"), String::new()));
}

#[test]
fn curl_is_told_how_to_open_a_websocket() {
    let test = "curl_is_told_how_to_open_a_websocket";
    let live = Live::start();
    let (ca, url) = (text(&live.authority.ca), live.url("/api/socket"));
    let line = ["-sS", "-i", "-N", "--noproxy", "*", "--cacert", ca, "--http1.1", &url];
    let Some(asks) = CURL.command(test, &line) else { return };
    let (code, said, _) = outcome(asks, b"");
    assert!(code == 0 && said.starts_with("HTTP/1.1 426 "), "{said}");
    assert!(said.contains("\r\nsec-websocket-version: 13\r\n"), "{said}");
    // The example of RFC 6455 §1.3. What goes to stdout, curl keeps until the first message, which is the server's ping after half a
    // minute.
    let mut opens = CURL.command(test, &[&["-D", "/dev/stderr"], &line[..]].concat()).unwrap();
    for field in [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        opens.args(["-H", field]);
    }
    let opens = opens.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut opens = Ends(opens.spawn().unwrap());
    let head = BufReader::new(opens.0.stderr.take().unwrap()).lines();
    let head: Vec<String> = head.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    assert_eq!(head[0], "HTTP/1.1 101 Switching Protocols");
    assert!(head.contains(&"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_string()), "{head:?}");
}
