//! An idle server uses no CPU: it has no periodic timer and does not poll, with or without idle connections. A client that
//! waits within its handshake takes little memory.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Twice the time in which a server that looks up once a second would be caught.
const WINDOW: Duration = Duration::from_secs(2);
/// A machine that is busy with other things gets several chances.
const PATIENCE: Duration = Duration::from_secs(30);

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// The server, and its port.
    fn demo(directory: &Path, options: &[&str]) -> (Running, u16) {
        let mut server = Running(
            Command::new(env!("CARGO_BIN_EXE_lockgate"))
                .args(["demo", "-q", "--https", "127.0.0.1:0", "--http", "127.0.0.1:0", "--dir"])
                .arg(directory)
                .args(options)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
        let line = lines.map_while(Result::ok).find(|line| line.contains("server running on")).unwrap();
        (server, line.rsplit(':').next().unwrap().parse().unwrap())
    }
}

#[test]
fn an_idle_server_makes_no_wake_ups() {
    let directory = tempfile::tempdir().unwrap();
    let (server, port) = Running::demo(directory.path(), &[]);
    // In the middle of a handshake, with a deadline that is not yet near.
    let _waiting = TcpStream::connect(("127.0.0.1", port)).unwrap();

    let until = Instant::now() + PATIENCE;
    loop {
        let before = switches(server.0.id());
        thread::sleep(WINDOW);
        let after = switches(server.0.id());
        if before == after {
            return;
        }
        assert!(Instant::now() < until, "{} wake-ups in {WINDOW:?} of idleness", after - before);
    }
}

/// What rustls makes room for when it reads is 4 KiB, and what else a connection takes before its hello is read is 2 KiB. A
/// client with X25519MLKEM768 sends its hello in two segments, so between the two is no rare place to stop.
#[test]
fn a_client_that_waits_within_its_handshake_takes_little_memory() {
    const FIRST: usize = 50;
    const MORE: usize = 400;
    let hello = large_hello();
    let (begin, rest) = hello.split_at(1400);
    // With one more read after the first segment it would be 10, and without one after the second 13.
    for (is_whole, most_kib) in [(false, 8), (true, 11)] {
        let directory = tempfile::tempdir().unwrap();
        let (server, port) = Running::demo(directory.path(), &["--handshake-timeout", "120s"]);
        let mut clients: Vec<TcpStream> = Vec::new();
        let mut open = |many: usize| {
            let opened = clients.len();
            for _ in 0..many {
                let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
                client.write_all(begin).unwrap();
                clients.push(client);
            }
            until_all_is_read(port, clients.len());
            for client in clients[opened..].iter_mut().filter(|_| is_whole) {
                client.write_all(rest).unwrap();
                // The answer has come.
                assert_eq!(client.peek(&mut [0]).unwrap(), 1);
            }
            memory_kib(server.0.id())
        };
        let before = open(FIRST);
        let each = (open(MORE) - before) / MORE;
        assert!(each < most_kib, "{each} KiB (whole: {is_whole})");
    }
}

/// The hello of a client that knows many protocols.
fn large_hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.alpn_protocols.extend((0..13).map(|_| vec![b'x'; 99]));
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    assert!((1450..1800).contains(&hello.len()), "{}", hello.len());
    hello
}

/// Waits until the server has so many connections, and the system holds nothing for it that it has not read.
fn until_all_is_read(port: u16, connections: usize) {
    let until = Instant::now() + PATIENCE;
    loop {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let server = format!("0100007F:{port:04X}");
        let read = table.lines().filter(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next().unwrap_or_default();
            let (state, queues) = (fields.nth(1), fields.next().unwrap_or_default());
            server == local && state == Some("01") && queues.ends_with(":00000000")
        });
        let read = read.count();
        if read == connections {
            return;
        }
        assert!(Instant::now() < until, "{read} of {connections} were read");
        thread::sleep(Duration::from_millis(10));
    }
}

fn memory_kib(pid: u32) -> usize {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// How often the server's threads have gone to sleep so far, which is how often they were awake.
fn switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")).unwrap();
    tasks
        .map(|task| {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        })
        .sum()
}
