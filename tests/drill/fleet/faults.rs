//! Nodes that have something wrong with them, each in its own way: what is served, and what is logged.

use std::fs;
use std::thread;
use std::time::Duration;

use super::haproxy::Mode;
use super::node::Node;
use super::site::text;
use super::{Fleet, NODES};
use crate::support_command::certificates::Authority;
use crate::support_command::clock::Clock;
use crate::support_command::lockgate;
use crate::{Size, Verdict};

const CLIENTS: usize = 8;
const WHILE: Duration = Duration::from_secs(2);

/// One node is an hour ahead, one an hour behind, and the certificate is a minute old. All serve; the one that is behind says so.
pub fn time(_: Size) -> Verdict {
    let mut fleet = match Fleet::prepare(Mode::Tcp) {
        Ok(fleet) => fleet,
        Err(verdict) => return verdict,
    };
    let tickets = fleet.site.path("tickets");
    let made = lockgate(&["ticket-keys", "new", text(&tickets)]).output().expect("the command runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let young = fleet.site.authority.pair_for("young", &["localhost"], -60, 86_400);
    (0..NODES).for_each(|at| fleet.site.give_pair(at, &young));
    let clocks = ["+1h", "-1h"].map(|offset| {
        let folder = fleet.site.path(offset);
        fs::create_dir(&folder).expect("a folder");
        Clock::at("nodes that disagree about the time", &folder, offset)
    });
    let [Some(ahead), Some(behind)] = clocks else {
        return Verdict { figures: "faketime is missing".into(), faults: super::missing() };
    };
    fleet.start_nodes(|_, _| ["--ticket-keys", text(&tickets)].map(String::from).to_vec());
    for (at, clock) in [(0, &ahead), (1, &behind)] {
        let (arguments, log) = (fleet.nodes[at].arguments(), fleet.site.of_node(at, "log"));
        fleet.nodes[at].kill();
        let node = Node::run(arguments, log, |command| clock.wear(command));
        fleet.nodes[at] = node.unwrap_or_else(|log| panic!("node {at} has not started: {log}"));
    }
    fleet.until_all_are_up();
    let clients = fleet.clients(CLIENTS, None);
    thread::sleep(WHILE);
    let seen = clients.stop();
    let mut faults = seen.faults();
    if !fleet.nodes[1].logs("not valid") {
        faults.push(format!("the node that is behind does not say so: {}", fleet.nodes[1].log()));
    }
    let figures = format!(
        "an hour ahead, an hour behind, and right: {} requests, {} failed, {:.1} % of {} handshakes resumed; the node behind \
         says that the certificate is not valid yet",
        seen.requests,
        seen.failures.len(),
        seen.resumption(),
        seen.resumable
    );
    Verdict { figures, faults }
}

/// Nothing can be written on one node: not its log, and not new ticket keys.
pub fn disk(_: Size) -> Verdict {
    let mut fleet = match Fleet::start(Mode::Tcp) {
        Ok(fleet) => fleet,
        Err(verdict) => return verdict,
    };
    fleet.nodes[0].kill();
    // It logs each request. Each write to this device fails as on a full disk (ENOSPC).
    let arguments = fleet.nodes[0].arguments().into_iter().filter(|argument| argument != "-q").collect();
    let node = Node::run(arguments, "/dev/full".into(), |command| command);
    fleet.nodes[0] = node.unwrap_or_else(|log| panic!("the node has not started: {log}"));
    fleet.haproxy.until(0, "UP");
    let clients = fleet.clients(CLIENTS, None);
    thread::sleep(WHILE);
    let seen = clients.stop();
    let mut faults = seen.faults();
    let ended = fleet.nodes[0].stop();
    if !ended.is_some_and(|status| status.success()) {
        faults.push(format!("the node whose disk is full ended with {ended:?}"));
    }
    let figures = format!(
        "a node that cannot write its log serves on: {} requests, {} failed, and it stops as it should",
        seen.requests,
        seen.failures.len()
    );
    Verdict { figures, faults }
}

/// A node that finds no authority of clients does not start; one that loses it keeps what it has read.
pub fn missing_file(_: Size) -> Verdict {
    let mut fleet = match Fleet::prepare(Mode::Tcp) {
        Ok(fleet) => fleet,
        Err(verdict) => return verdict,
    };
    let authority = Authority::named("clients");
    for at in 0..NODES {
        fs::copy(&authority.ca, fleet.site.of_node(at, "clients.pem")).expect("a copy");
    }
    fleet.start_nodes(|site, at| {
        let clients = site.of_node(at, "clients.pem");
        ["--client-ca", text(&clients)].map(String::from).to_vec()
    });
    let show = authority.client("meter");
    let clients = fleet.clients(CLIENTS, Some(&show));
    let mut faults = Vec::new();
    thread::sleep(WHILE / 2);
    // It is there no more when the node reads it again.
    let lost = fleet.site.of_node(0, "clients.pem");
    fs::remove_file(&lost).expect("it was there");
    fleet.nodes[0].reload();
    if !fleet.nodes[0].logs(text(&lost)) {
        faults.push(format!("it does not name what it has lost: {}", fleet.nodes[0].log()));
    }
    thread::sleep(WHILE / 2);
    // And when it starts.
    let ended = fleet.nodes[0].stop();
    let (arguments, log) = (fleet.nodes[0].arguments(), fleet.site.of_node(0, "start.log"));
    match Node::run(arguments, log, |command| command) {
        Ok(_) => faults.push("a node without its authority of clients has started".to_string()),
        Err(said) if said.contains(text(&lost)) => {}
        Err(said) => faults.push(format!("it does not name what is missing: {said}")),
    }
    fleet.haproxy.until(0, "DOWN");
    thread::sleep(WHILE / 2);
    let seen = clients.stop();
    faults.extend(seen.faults());
    let figures = format!(
        "a node that loses the clients' authority serves on with what it has read, names the file in its log ({}), and does \
         not start without it; {} requests, {} failed",
        if ended.is_some_and(|status| status.success()) { "stopped as it should" } else { "ended badly" },
        seen.requests,
        seen.failures.len()
    );
    Verdict { figures, faults }
}
