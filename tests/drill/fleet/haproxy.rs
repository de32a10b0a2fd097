//! HAProxy in front of the nodes, with the configurations in examples/operations/haproxy.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::site::{text, write, Site, HTTP};
use super::NODES;

/// Far above what a check takes to notice a change.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two checks of a node, in milliseconds. A check that hangs is lost after as long.
pub const INTERVAL_MS: u64 = 200;

/// Where TLS ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At the nodes. HAProxy tells them the client's address by PROXY v2.
    Tcp,
    /// At HAProxy, which encrypts anew and tells the client's address by a field.
    Http,
}

impl Mode {
    /// What a node is told of it.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Mode::Tcp => &["--proxy-from", "127.0.0.1"],
            Mode::Http => &["--trust-forwarded", "127.0.0.1"],
        }
    }
}

pub struct Haproxy {
    child: Child,
    address: SocketAddr,
    /// Where it answers questions about itself.
    statistics: PathBuf,
}

pub fn program() -> Option<PathBuf> {
    // System programs live in sbin, which is not in every user's PATH.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').map(|folder| Path::new(folder).join("haproxy")).find(|path| path.is_file())
}

impl Haproxy {
    pub fn start(program: &Path, site: &Site, mode: Mode) -> Haproxy {
        let statistics = site.path("haproxy.sock");
        let file = site.path("haproxy.cfg");
        write(&file, &configuration(site, mode, &statistics));
        let mut command = Command::new(program);
        command.args(["-db", "-q", "-f"]).arg(file).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).spawn().expect("HAProxy starts");
        Haproxy { child, address: site.front(), statistics }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the state of a node begins so: `UP`, `DOWN`, `NOLB`. How long that took.
    pub fn until(&self, node: usize, state: &str) -> Duration {
        let began = Instant::now();
        loop {
            let is = self.state(node);
            if is.starts_with(state) {
                return began.elapsed();
            }
            assert!(began.elapsed() < PATIENCE, "node {node} is {is:?} and not {state} for HAProxy");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What HAProxy thinks of a node; empty while it does not answer.
    fn state(&self, node: usize) -> String {
        let mut text = String::new();
        let asked = UnixStream::connect(&self.statistics).and_then(|mut socket| {
            socket.write_all(b"show stat\n")?;
            socket.read_to_string(&mut text)
        });
        if asked.is_err() {
            return String::new();
        }
        let mut lines = text.lines();
        let status = lines.next().and_then(|head| head.split(',').position(|name| name == "status"));
        let line = lines.find(|line| line.starts_with(&format!("nodes,node{node},")));
        let state = line.zip(status).and_then(|(line, at)| line.split(',').nth(at));
        state.unwrap_or_default().to_string()
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The configuration that is shipped, with the drill's addresses and files in the place of those that its reader changes.
fn configuration(site: &Site, mode: Mode, statistics: &Path) -> String {
    let shipped = match mode {
        Mode::Tcp => include_str!("../../../examples/operations/haproxy/tcp.cfg"),
        Mode::Http => include_str!("../../../examples/operations/haproxy/http.cfg"),
    };
    let front = site.front();
    let mut changes = vec![
        ("/run/haproxy/admin.sock", text(statistics).to_string()),
        ("192.0.2.5:80\n", format!("{}:{HTTP}\n", front.ip())),
        ("192.0.2.5:443", front.to_string()),
        ("inter 200ms", format!("inter {INTERVAL_MS}ms")),
    ];
    let pem = site.path("haproxy.pem");
    if mode == Mode::Http {
        let pair = [&site.pair.cert, &site.pair.key].map(|file| fs::read_to_string(file).expect("a pair"));
        write(&pem, &pair.concat());
        changes.push(("/etc/haproxy/site.pem", text(&pem).to_string()));
        changes.push(("/etc/haproxy/nodes-ca.pem", text(&site.authority.ca).to_string()));
    }
    let nodes = ["192.0.2.11:", "192.0.2.12:", "192.0.2.13:"];
    changes.extend(nodes.into_iter().zip(0..NODES).map(|(shipped, at)| (shipped, site.node_host(at) + ":")));
    changes.into_iter().fold(shipped.to_string(), |configuration, (what, by)| {
        assert!(configuration.contains(what), "the configuration has no {what}");
        configuration.replace(what, &by)
    })
}
