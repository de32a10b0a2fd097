//! The log on stderr while `lockgate serve` runs: lines of many requests go out together, none is lost however the program
//! ends, and a reader that takes nothing, or is gone, stops nobody. What it did not take is counted.

mod support_command;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use support_command::certificates::{Authority, Pair};
use support_command::client::Client;
use support_command::{lockgate, serve_line, Server, BODY, SAFETY};

const GET: &str = "GET /api/data HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// More requests than lines fit into a pipe (64 KiB) and the buffers of the program.
const MANY: usize = 4_000;
/// How many are sent before they are answered.
const AT_ONCE: usize = 50;

fn serve(pair: &Pair) -> Command {
    let mut command = lockgate(&serve_line(pair));
    command.stdout(Stdio::piped());
    command
}

/// A server whose stderr is a pipe that nobody reads until the test does.
fn serve_unread(pair: &Pair, further: &[&str]) -> (Server, File) {
    let mut child = serve(pair).args(further).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = child.stderr.take().unwrap();
    (Server::watch(child), File::from(OwnedFd::from(stderr)))
}

/// What Prometheus would read at an admin listener.
fn metrics_at(socket: &Path) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    io::read_to_string(stream).unwrap()
}

/// Asks so many times on a connection of its own. Each request must be answered.
#[track_caller]
fn ask(server: &mut Server, authority: &Authority, times: usize) -> Client {
    let mut client = Client::connect(server.https_port(), &authority.certificate());
    ask_on(&mut client, times);
    client
}

#[track_caller]
fn ask_on(client: &mut Client, times: usize) {
    for _ in 0..times / AT_ONCE {
        client.send(&GET.repeat(AT_ONCE));
        for _ in 0..AT_ONCE {
            let (head, body) = client.response();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert_eq!(body, BODY);
        }
    }
}

/// How many requests a log tells of, and how many lines it says are missing. Each line must be whole.
#[track_caller]
fn told(log: &str) -> (usize, usize) {
    let (mut requests, mut missing) = (0, 0);
    assert!(log.is_empty() || log.ends_with('\n'), "{log}");
    for line in log.lines() {
        assert!(line.starts_with('[') && line.matches("Z ").count() == 1, "not a whole line: {line}");
        if line.contains("lockgate::access] GET /api/data 200 ") {
            assert!(line.ends_with(" TLSv1.3"), "not a whole line: {line}");
            requests += 1;
        }
        if let Some((_, lines)) = line.split_once(" lines are missing here: stderr did not take ") {
            missing += lines.parse::<usize>().unwrap();
        }
    }
    (requests, missing)
}

/// Reads until so many requests are told of or missing; all that was read.
fn read_until_told(mut stderr: impl Read, all: usize) -> String {
    let mut log = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let length = stderr.read(&mut piece).unwrap();
        log.extend_from_slice(&piece[..length]);
        let whole = log.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let text = String::from_utf8_lossy(&log[..whole]).into_owned();
        let (requests, missing) = told(&text);
        if length == 0 || requests + missing >= all {
            return text;
        }
    }
}

#[test]
fn the_lines_of_many_requests_go_out_in_few_writes() {
    let authority = Authority::new();
    // Each write to a socket of datagrams is one datagram.
    let (mine, theirs) = UnixDatagram::pair().unwrap();
    mine.set_read_timeout(Some(SAFETY)).unwrap();
    let child = serve(&authority.pair("a")).stderr(OwnedFd::from(theirs)).spawn().unwrap();
    let mut server = Server::watch(child);
    let _client = ask(&mut server, &authority, 500);
    let (mut writes, mut requests) = (0, 0);
    let mut datagram = vec![0; 256 * 1024];
    while requests < 500 {
        let length = mine.recv(&mut datagram).unwrap();
        writes += 1;
        requests += told(&String::from_utf8_lossy(&datagram[..length])).0;
    }
    assert!(writes < 100, "{writes} writes for 500 lines");
    server.stop();
}

#[test]
fn a_line_of_the_access_log_comes_while_the_server_goes_on() {
    let authority = Authority::new();
    let mut server = Server::serve(&authority.pair("a"), &[]);
    let mut client = Client::connect(server.https_port(), &authority.certificate());
    for _ in 0..3 {
        client.get();
        server.stderr.expect("lockgate::access] GET /api/data 200 ");
    }
}

#[test]
fn no_line_is_lost_at_a_stop_nor_at_a_second_signal() {
    for cut in [false, true] {
        let authority = Authority::new();
        let mut server =
            Server::serve(&authority.pair("a"), &["--drain-timeout=1000s", "--body-timeout=1000s"]);
        let port = server.https_port();
        let mut half = Client::connect(port, &authority.certificate());
        if cut {
            half.send(&GET.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"));
            half.expect_continue();
        }
        let mut client = Client::connect(port, &authority.certificate());
        // As many as fit into the pipe and the buffers, so that none is left out however busy this machine is.
        ask_on(&mut client, 1_000);
        server.signal(Signal::TERM);
        if cut {
            client.expect_end();
            server.signal(Signal::TERM);
        }
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(i32::from(cut)), "{log}");
        assert_eq!(told(&format!("{log}\n")), (1_000, 0), "{log}");
        let last = if cut { "told to stop a second time: what is still open is cut" } else { "stopped" };
        assert!(log.trim_end().ends_with(last), "{log}");
    }
}

#[test]
fn a_full_pipe_stops_nobody_and_what_it_did_not_take_is_counted() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let admin = dir.path().join("admin.sock");
    let address = format!("unix:{}", admin.display());
    let pair = authority.pair("a");
    let (mut server, stderr) = serve_unread(&pair, &["--admin", &address]);
    let mut client = ask(&mut server, &authority, MANY);
    let log = read_until_told(&stderr, MANY);
    let (requests, missing) = told(&log);
    assert_eq!(requests + missing, MANY);
    assert!(missing > 0, "the pipe was not full");
    let metrics = metrics_at(&admin);
    assert!(metrics.contains(&format!("\nlockgate_log_lines_dropped_total {missing}\n")), "{metrics}");
    // With a reader, all goes on as before.
    ask_on(&mut client, 100);
    let log = read_until_told(&stderr, 100);
    assert_eq!(told(&log), (100, 0), "{log}");
    server.signal(Signal::TERM);
    let rest = io::read_to_string(stderr).unwrap();
    assert!(rest.trim_end().ends_with("stopped"), "{rest}");
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn it_ends_also_when_nobody_reads_stderr() {
    for signals in [1, 2] {
        let authority = Authority::new();
        let mut command = lockgate(
            &[&serve_line(&authority.pair("a"))[..], &["--drain-timeout=1000s", "--body-timeout=1000s"]]
                .concat(),
        );
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _unread = child.stderr.take();
        let mut server = Server::watch(child);
        let mut client = ask(&mut server, &authority, MANY);
        if signals == 2 {
            client.send(&GET.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"));
            client.expect_continue();
        }
        server.signal(Signal::TERM);
        if signals == 2 {
            // Of another kind: two of one kind may become one.
            server.signal(Signal::INT);
        }
        assert_eq!(server.wait().0.code(), Some(signals - 1));
    }
}

#[test]
fn a_reader_that_is_gone_ends_nothing() {
    let authority = Authority::new();
    let (mut server, stderr) = serve_unread(&authority.pair("a"), &[]);
    let mut client = ask(&mut server, &authority, 100);
    drop(stderr);
    ask_on(&mut client, MANY);
    server.stop();
}

#[test]
fn a_full_disk_stops_nobody() {
    let authority = Authority::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let child = serve(&authority.pair("a")).stderr(OwnedFd::from(full)).spawn().unwrap();
    let mut server = Server::watch(child);
    let _client = ask(&mut server, &authority, 100);
    server.stop();
}

#[test]
fn a_stderr_that_is_closed_from_the_start_ends_nothing() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" 2>&-", env!("CARGO_BIN_EXE_lockgate")]).args(serve_line(&pair));
    let child = shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut server = Server::watch(child);
    let _client = ask(&mut server, &authority, 100);
    server.stop();
}

#[test]
fn a_stderr_that_does_not_block_loses_no_line_of_those_that_it_has_room_for() {
    let authority = Authority::new();
    // As Node and others leave it to the programs that they start: the flag is shared.
    let (mine, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let child = serve(&authority.pair("a")).stderr(OwnedFd::from(theirs)).spawn().unwrap();
    let mut server = Server::watch(child);
    let _client = ask(&mut server, &authority, MANY);
    let log = read_until_told(mine, MANY);
    let (requests, missing) = told(&log);
    assert_eq!(requests + missing, MANY);
    server.stop();
}
