//! Three servers behind HAProxy, as operators have them. Nodes are restarted, killed and frozen, and what they share is exchanged,
//! while clients that behave well ask and count. TLS ends at the nodes (HAProxy in TCP mode, with PROXY v2), or at HAProxy, which
//! encrypts anew (HTTP mode).

mod clients;
mod faults;
mod haproxy;
mod node;
mod passed;
mod restarts;
mod secret;
mod shared;
mod site;

pub use faults::{disk, missing_file, time};
pub use passed::drill as passed_socket;
pub use restarts::{frozen, killed, rolling};
pub use secret::drill as secret;
pub use shared::exchange;

use std::io::{self, Read, Write};
use std::net::TcpStream;

use rustls::pki_types::CertificateDer;

use crate::support_command::certificates::Pair;
use crate::{Size, Verdict};

use clients::Clients;
use haproxy::{Haproxy, Mode};
use node::Node;
use site::Site;

/// How many nodes a fleet has.
const NODES: usize = 3;
/// What each node is started with beside what its mode asks for.
const COMMON: [&str; 6] = ["--ready-grace", "400ms", "--drain-timeout", "5s", "--idle-timeout", "30s"];

/// The nodes and HAProxy in front of them.
struct Fleet {
    // Dropped first: HAProxy has nothing to say about nodes that end.
    haproxy: Haproxy,
    nodes: Vec<Node>,
    site: Site,
    mode: Mode,
}

impl Fleet {
    /// The site, and HAProxy without nodes. `Err` when HAProxy is missing.
    fn prepare(mode: Mode) -> Result<Fleet, Verdict> {
        let Some(program) = haproxy::program() else {
            let figures = "HAProxy is missing: apt-get install haproxy".into();
            return Err(Verdict { figures, faults: missing() });
        };
        let site = Site::new();
        Ok(Fleet { haproxy: Haproxy::start(&program, &site, mode), nodes: Vec::new(), site, mode })
    }

    /// Starts the nodes with these options beside those of all nodes, and waits until HAProxy uses them.
    fn start_nodes(&mut self, options: impl Fn(&Site, usize) -> Vec<String>) {
        for at in 0..NODES {
            let own = options(&self.site, at);
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            self.nodes.push(Node::start(&self.site, at, self.mode, &[&COMMON[..], &own].concat()));
        }
        self.until_all_are_up();
    }

    fn until_all_are_up(&self) {
        for at in 0..NODES {
            self.haproxy.until(at, "UP");
        }
    }

    fn start(mode: Mode) -> Result<Fleet, Verdict> {
        let mut fleet = Fleet::prepare(mode)?;
        fleet.start_nodes(|_, _| Vec::new());
        Ok(fleet)
    }

    fn clients(&self, count: usize, shown: Option<&Pair>) -> Clients {
        Clients::start(count, self.haproxy.address(), self.site.trust(shown))
    }

    /// What plain HTTP at HAProxy gets: a node's redirect in TCP mode, and HAProxy's own in HTTP mode.
    fn plain_answer(&self) -> io::Result<String> {
        let mut tcp = TcpStream::connect((self.site.front().ip(), site::HTTP))?;
        tcp.write_all(b"GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        tcp.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The certificate that a node shows to this client.
    fn certificate_of(&self, at: usize, shown: Option<&Pair>) -> Option<CertificateDer<'static>> {
        let header = (self.mode == Mode::Tcp).then_some("PROXY UNKNOWN\r\n");
        let tls = clients::connect_behind(self.site.node(at), header, &self.site.trust(shown)).ok()?;
        tls.conn.peer_certificates()?.first().cloned()
    }
}

/// Where nothing may be left out, a missing program is a fault.
fn missing() -> Vec<String> {
    let all = std::env::var_os("CI").is_some_and(|value| value == "true");
    all.then(|| "it could not be run".to_string()).into_iter().collect()
}

/// Runs a drill in both modes.
fn in_both_modes(size: Size, drill: fn(Mode, Size) -> Verdict) -> Verdict {
    let [tcp, http] = [Mode::Tcp, Mode::Http].map(|mode| drill(mode, size));
    Verdict {
        figures: format!("TCP mode: {}; HTTP mode: {}", tcp.figures, http.figures),
        faults: [tcp.faults, http.faults].concat(),
    }
}
