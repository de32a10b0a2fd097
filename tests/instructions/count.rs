//! How many instructions the server takes for a request: a fixed script of requests against the benchmark's server, and for
//! the access log against the command, under callgrind, compared with the budget in tests/instructions.txt. Time differs from run to run and from machine to machine;
//! this hardly does. `make instructions` runs it; after it, `target/release/examples/instructions --update` writes a new budget.
//! The benchmark's server has the feature `post-quantum`, which changes nothing for clients without that key exchange.
//!
//! One worker serves one kept connection, so nothing depends on who comes first. The server is run for a few requests and for
//! many; the difference is what the further requests took, without the start.
//!
//! Five runs on a machine that was busy with other things agreed within 1.5 %, handshakes within 0.1 %. valgrind presents a
//! processor of its own, with AES-NI, PCLMUL and AVX2 where the machine has them, so ring takes the same paths on every x86-64
//! of the last ten years; on others, and with other versions of rustc and of the crates, the numbers are others.

#[path = "../support/x25519mlkem768.rs"]
mod x25519mlkem768;

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::SupportedKxGroup;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use tempfile::TempDir;

use x25519mlkem768::GOOD;

type Outcome<T> = Result<T, Box<dyn Error>>;
type Client = StreamOwned<ClientConnection, TcpStream>;

/// How far above the budget a kind of request may be.
const MARGIN: f64 = 1.05;
/// Below this it is time to write the budget anew, or what comes back unseen.
const SLACK: f64 = 0.95;
/// Runs for each count of a kept connection. The supervisor's ticks and a worker that was preempted show in its few
/// instructions; in a handshake's million they do not.
const RUNS: usize = 3;
const BUDGET: &str = "tests/instructions.txt";
const TIMEOUT: Duration = Duration::from_secs(60);

const DATA: &str = r#"{"message":"Secure data over HTTPS"}"#;
const GET: &str = "GET /api/data HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// 14 fields, as browsers send them.
const BROWSER: &str = "GET /api/data HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\
    Cache-Control: max-age=0\r\nsec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/130.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    Cookie: session=6f1c0a5e9b7d4c3f8a2e1d0b9c8f7e6d; theme=dark; consent=analytics%3Dno\r\n\r\n";

/// A kind of request, and the connections that it comes on.
struct Kind {
    name: &'static str,
    program: Program,
    /// What is sent at once, and how many requests that is.
    request: String,
    requests: usize,
    body: String,
    connections: Connections,
    /// What the client offers before X25519 and the others.
    key_exchange: Option<&'static dyn SupportedKxGroup>,
    /// How often it is sent in the short run, and in the long one.
    times: [usize; 2],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Connections {
    Kept,
    Fresh,
    Resumed,
}

/// What is sent the requests, with one worker and no reserve.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    /// The benchmark's server, which logs nothing.
    Bench,
    /// `lockgate serve`, which logs each request to stderr.
    Command,
}

fn kinds() -> Vec<Kind> {
    let kept = |name, request: String, requests, body: &str| {
        let (connections, times) = (Connections::Kept, [100 / requests, 600 / requests]);
        let key_exchange = None;
        Kind {
            name,
            program: Program::Bench,
            request,
            requests,
            body: body.into(),
            connections,
            key_exchange,
            times,
        }
    };
    let large = |name, request, body: &str| Kind { times: [10, 60], ..kept(name, request, 1, body) };
    let handshake =
        |name, connections| Kind { connections, times: [10, 60], ..kept(name, GET.into(), 1, DATA) };
    let readings = "{\"sensor\":17,\"celsius\":21.5,\"ok\":true,\"tags\":[\"roof\",\"north\"],\"note\":null}";
    let json = format!(
        "{{{}}}",
        (0..2).map(|n| format!("\"reading_{n}\":{readings}")).collect::<Vec<_>>().join(",")
    );
    let json = format!(
        "POST /json HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    );
    let mib = "x".repeat(1024 * 1024);
    let upload =
        format!("POST /len HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{mib}", mib.len());
    vec![
        kept("get", GET.into(), 1, DATA),
        Kind { program: Program::Command, ..kept("get_access_log", GET.into(), 1, DATA) },
        kept("browser", BROWSER.into(), 1, DATA),
        kept("pipelined", GET.repeat(10), 10, DATA),
        kept("json", json, 1, "{\"members\":2}"),
        large("get_1mib", GET.replace("/api/data", "/large"), &mib),
        large("post_1mib", upload, "{\"length\":1048576}"),
        handshake("handshake_full", Connections::Fresh),
        handshake("handshake_resumed", Connections::Resumed),
        Kind { key_exchange: Some(GOOD), ..handshake("handshake_full_post_quantum", Connections::Fresh) },
        Kind {
            key_exchange: Some(GOOD),
            ..handshake("handshake_resumed_post_quantum", Connections::Resumed)
        },
    ]
}

fn main() -> ExitCode {
    match run(std::env::args().any(|argument| argument == "--update")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the instructions could not be counted: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every kind of request is within its budget.
fn run(update: bool) -> Outcome<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let server = Server::new()?;
    let budget = fs::read_to_string(root.join(BUDGET)).unwrap_or_default();
    let (mut passed, mut failed) = (0, 0);
    let mut text = String::new();
    println!("{:<32}{:>14}{:>12}{:>8}", "instructions", "a request", "budget", "ratio");
    for kind in kinds() {
        let [short, long] = kind.times;
        let taken = server.least(&kind, long)? - server.least(&kind, short)?;
        let taken = taken / ((long - short) * kind.requests) as u64;
        text += &format!("{} {taken}\n", kind.name);
        let allowed: Option<f64> = budget
            .lines()
            .find_map(|line| line.strip_prefix(kind.name)?.strip_prefix(' '))
            .and_then(|number| number.parse().ok());
        let (shown, ratio) = match allowed {
            Some(allowed) => (format!("{allowed:.0}"), taken as f64 / allowed),
            None => ("none".into(), f64::INFINITY),
        };
        let verdict = match ratio {
            _ if update => "",
            ratio if ratio > MARGIN => "FAILED: over the budget by more than 5 %",
            ratio if ratio < SLACK => "better; write the new budget with --update",
            _ => "",
        };
        println!("{:<32}{taken:>14}{shown:>12}{ratio:>8.3} {verdict}", kind.name);
        *if update || ratio <= MARGIN { &mut passed } else { &mut failed } += 1;
    }
    if update {
        fs::write(root.join(BUDGET), text)?;
        println!("written: {BUDGET}");
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}

/// The programs, and what it takes to run them.
struct Server {
    bench: PathBuf,
    command: PathBuf,
    directory: TempDir,
    certificate: CertificateDer<'static>,
}

/// Ends the server whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn new() -> Outcome<Server> {
        // Cargo has no name for an example's program; it lies beside the directory of this test's.
        let test = std::env::current_exe()?;
        let profile = test.parent().and_then(Path::parent).ok_or("the test lies nowhere")?;
        let (bench, command) = (profile.join("examples/bench_server"), profile.join("lockgate"));
        if !bench.is_file() || !command.is_file() {
            return Err("bench_server or lockgate is not built; run this with: make instructions".into());
        }
        let directory = TempDir::new()?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()])?;
        fs::write(directory.path().join("cert.pem"), made.cert.pem())?;
        fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem())?;
        Ok(Server { bench, command, directory, certificate: made.cert.der().clone() })
    }

    /// The least of several counts: what the clock adds, it only adds.
    fn least(&self, kind: &Kind, times: usize) -> Outcome<u64> {
        let runs = if kind.connections == Connections::Kept { RUNS } else { 1 };
        let counts = (0..runs).map(|_| self.count(kind, times)).collect::<Outcome<Vec<u64>>>()?;
        counts.into_iter().min().ok_or("no run".into())
    }

    /// The instructions that a server takes from its start to its end when this is sent so many times.
    fn count(&self, kind: &Kind, times: usize) -> Outcome<u64> {
        let counts = self.directory.path().join("counts");
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--callgrind-out-file={}", counts.display()));
        let (cert, key) = (self.directory.path().join("cert.pem"), self.directory.path().join("key.pem"));
        match kind.program {
            Program::Bench => command.arg(&self.bench).arg("0").arg(cert).arg(key).env("BENCH_WORKERS", "1"),
            Program::Command => command
                .arg(&self.command)
                .args(["serve", "--https", "127.0.0.1:0", "--http", "off", "--workers", "1"])
                .args(["--reserve-workers", "0", "--cert"])
                .arg(cert)
                .arg("--key")
                .arg(key)
                .env_remove("RUST_LOG")
                .stderr(Stdio::null()),
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut server = Running(command.spawn().map_err(|error| format!("valgrind: {error}"))?);
        let mut line = String::new();
        BufReader::new(server.0.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let port: u16 = line.trim().rsplit(':').next().ok_or("no port")?.parse()?;
        self.send(kind, times, port)?;
        terminate(&server.0)?;
        server.0.wait()?;
        let text = fs::read_to_string(counts)?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        Ok(total.ok_or("callgrind has written no totals")?.trim().parse()?)
    }

    fn send(&self, kind: &Kind, times: usize, port: u16) -> Outcome<()> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let mut provider = rustls::crypto::ring::default_provider();
        provider.kx_groups.splice(0..0, kind.key_exchange);
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = match kind.connections {
            Connections::Resumed => Resumption::in_memory_sessions(1),
            Connections::Kept | Connections::Fresh => Resumption::disabled(),
        };
        let config = Arc::new(config);
        let mut client = None;
        for time in 0..times {
            let client = match kind.connections {
                Connections::Kept if client.is_some() => &mut client,
                _ => {
                    client = Some(connect(port, &config)?);
                    &mut client
                }
            };
            let client = client.as_mut().ok_or("no client")?;
            client.write_all(kind.request.as_bytes())?;
            client.flush()?;
            let expected = if kind.connections == Connections::Resumed && time > 0 {
                HandshakeKind::Resumed
            } else {
                HandshakeKind::Full
            };
            for _ in 0..kind.requests {
                read_response(client, &kind.body)?;
            }
            if client.conn.handshake_kind() != Some(expected) {
                return Err(
                    format!("{}: the handshake was {:?}", kind.name, client.conn.handshake_kind()).into()
                );
            }
        }
        Ok(())
    }
}

fn connect(port: u16, config: &Arc<ClientConfig>) -> Outcome<Client> {
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let connection = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
    Ok(StreamOwned::new(connection, socket))
}

/// Reads to the end of the body, which is known, a byte at a time: it is in memory already.
fn read_response(client: &mut Client, body: &str) -> Outcome<()> {
    let mut response = Vec::new();
    let mut byte = [0];
    while !response.ends_with(body.as_bytes()) {
        client.read_exact(&mut byte)?;
        response.push(byte[0]);
    }
    if response.starts_with(b"HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&response).into())
    }
}

/// Asks it to end, so that callgrind writes what it has counted.
fn terminate(child: &Child) -> Outcome<()> {
    let pid = rustix::process::Pid::from_raw(child.id() as i32).ok_or("no process")?;
    Ok(rustix::process::kill_process(pid, rustix::process::Signal::TERM)?)
}
