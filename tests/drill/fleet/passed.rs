//! A parent that keeps the listening socket, as systemd does: while the server is restarted, nobody is refused.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::clients::connect;
use super::node::Node;
use super::site::{text, Site};
use crate::client::get;
use crate::{Size, Verdict};

/// Connections that come in a second, of all clients together.
const A_SECOND: u32 = 500;
const CLIENTS: u32 = 8;
/// As many as systemd lets wait (`Backlog=` of systemd.socket).
const BACKLOG: i32 = 4096;

pub fn drill(size: Size) -> Verdict {
    let restarts = size.pick(3, 20);
    let site = Site::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    rustix::net::listen(&listener, BACKLOG).expect("a longer queue");
    let address = listener.local_addr().expect("its address");
    site.give_pair(0, &site.pair);
    let mut node = start(&site, &listener);

    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (stop, trust) = (stop.clone(), site.trust(None));
            thread::spawn(move || come(address, &trust, &stop))
        })
        .collect();
    let began = Instant::now();
    let mut faults = Vec::new();
    let mut longest = Duration::ZERO;
    for restart in 0..restarts {
        thread::sleep(Duration::from_millis(500));
        let stopped = Instant::now();
        match node.stop() {
            Some(status) if status.success() => {}
            ended => faults.push(format!("restart {restart}: it ended with {ended:?}")),
        }
        node = start(&site, &listener);
        longest = longest.max(stopped.elapsed());
    }
    thread::sleep(Duration::from_millis(500));
    stop.store(true, Ordering::Relaxed);
    let took = began.elapsed();
    let (mut connections, mut refused) = (0, Vec::new());
    for client in clients {
        let (came, failed) = client.join().expect("a client does not panic");
        connections += came;
        refused.extend(failed);
    }
    let failed = refused.len();
    refused.sort_unstable();
    refused.dedup();
    faults.extend(refused);
    let rate = f64::from(connections) / took.as_secs_f64();
    let figures = format!(
        "{restarts} restarts, {connections} connections ({rate:.0} a second), {failed} refused or failed; nobody accepted \
         for at most {longest:.0?}"
    );
    Verdict { figures, faults }
}

/// A server that gets the socket as systemd passes it: as descriptor 3, told by LISTEN_FDS and LISTEN_PID.
fn start(site: &Site, listener: &TcpListener) -> Node {
    let (cert, key) = (site.of_node(0, "cert.pem"), site.of_node(0, "key.pem"));
    let line = ["serve", "-q", "--http", "off", "--cert", text(&cert), "--key", text(&key)];
    let arguments = line.iter().map(ToString::to_string).collect();
    let node = Node::run(arguments, site.of_node(0, "log"), |command| {
        // A shell knows the number of the process that it becomes.
        let pass = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", pass, "sh"]).arg(command.get_program()).args(command.get_args());
        let passed: OwnedFd = listener.try_clone().expect("one more descriptor").into();
        shell.stdin(Stdio::from(passed));
        shell
    });
    node.unwrap_or_else(|log| panic!("the server has not started: {log}"))
}

/// A new connection at even times, each with a request. How many came, and how those failed that did.
fn come(address: SocketAddr, trust: &Arc<ClientConfig>, stop: &AtomicBool) -> (u32, Vec<String>) {
    let (mut came, mut failed) = (0, Vec::new());
    let began = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        came += 1;
        let answered = connect(address, trust).and_then(|mut tls| get(&mut tls, "/api/data"));
        match answered {
            Ok(reply) if reply.status == 200 => {}
            Ok(reply) => failed.push(format!("status {}", reply.status)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => failed.push("refused".into()),
            Err(error) => failed.push(error.to_string()),
        }
        let next = began + Duration::from_secs(1) * came * CLIENTS / A_SECOND;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    (came, failed)
}
