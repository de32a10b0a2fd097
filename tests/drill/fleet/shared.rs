//! What all nodes share is exchanged while clients ask: a certificate, the keys of session tickets, the authority of clients.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::clients::{Clients, Seen};
use super::haproxy::Mode;
use super::site::{text, write};
use super::{Fleet, NODES};
use crate::support_command::certificates::{Authority, Pair};
use crate::support_command::lockgate;
use crate::{Size, Verdict};

const CLIENTS: usize = 8;
/// So long clients ask after all nodes have what is new.
const AFTER: Duration = Duration::from_millis(1_500);
/// Between two nodes that get what is new.
const APART: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(20);
/// The least share of handshakes that resume a session, whichever node it began at, in percent.
const LEAST_RESUMED: f64 = 98.0;

pub fn exchange(size: Size) -> Verdict {
    let rounds = size.pick(1, 5);
    let mut fleet = match Fleet::prepare(Mode::Tcp) {
        Ok(fleet) => fleet,
        Err(verdict) => return verdict,
    };
    let first = Authority::named("clients, first");
    let master = fleet.site.path("tickets");
    ticket_keys("new", text(&master));
    for at in 0..NODES {
        fs::copy(&first.ca, fleet.site.of_node(at, "clients.pem")).expect("a copy");
        write(&fleet.site.of_node(at, "tickets"), &fs::read_to_string(&master).expect("the keys"));
    }
    fleet.start_nodes(|site, at| {
        let (clients, tickets) = (site.of_node(at, "clients.pem"), site.of_node(at, "tickets"));
        ["--client-ca", text(&clients), "--ticket-keys", text(&tickets)].map(String::from).to_vec()
    });

    let mut show = first.client("meter");
    // Their files are there as long as they are.
    let mut authorities = vec![first];
    let mut faults = Vec::new();
    let (mut quiet, mut rotated, mut exchanged) = (Seen::default(), Seen::default(), Seen::default());
    for round in 0..rounds {
        quiet.add(during(&fleet, &show, |_| {}));
        rotated.add(during(&fleet, &show, |_| {
            ticket_keys("rotate", text(&master));
            let keys = fs::read_to_string(&master).expect("the keys");
            fleet.on_each_node(|site, at| write(&site.of_node(at, "tickets"), &keys));
        }));
        let pair = fleet.site.authority.pair(&format!("exchanged-{round}"));
        exchanged.add(during(&fleet, &show, |_| {
            fleet.on_each_node(|site, at| site.give_pair(at, &pair));
            faults.extend(shown_by_all(&fleet, &show, &pair));
        }));
        // A client's new certificate is of a new authority: the nodes trust both, the clients change, the nodes forget the old one.
        let authority = Authority::named(&format!("clients, {round}"));
        let new = authority.client("meter");
        exchanged.add(during(&fleet, &show, |clients| {
            let before = fs::read_to_string(fleet.site.of_node(0, "clients.pem")).expect("an authority");
            let after = fs::read_to_string(&authority.ca).expect("an authority");
            let both = before + &after;
            fleet.on_each_node(|site, at| write(&site.of_node(at, "clients.pem"), &both));
            clients.take(fleet.site.trust(Some(&new)));
            thread::sleep(AFTER);
            fleet.on_each_node(|site, at| write(&site.of_node(at, "clients.pem"), &after));
        }));
        show = new;
        authorities.push(authority);
    }
    for (what, seen) in [("quiet", &quiet), ("with new ticket keys", &rotated), ("exchanged", &exchanged)] {
        faults.extend(seen.faults().iter().map(|failure| format!("{what}: {failure}")));
    }
    for (what, seen) in [("quiet", &quiet), ("with new ticket keys", &rotated)] {
        if seen.resumption() < LEAST_RESUMED {
            faults.push(format!("{what}: only {:.1} % resumed", seen.resumption()));
        }
    }
    let figures = format!(
        "{rounds} times each; resumed on any node: {}, while ticket keys rotate: {}; while certificates and the clients' \
         authority are exchanged: {}; {} requests, {} failed",
        told(&quiet),
        told(&rotated),
        told(&exchanged),
        quiet.requests + rotated.requests + exchanged.requests,
        quiet.failures.len() + rotated.failures.len() + exchanged.failures.len()
    );
    Verdict { figures, faults }
}

fn told(seen: &Seen) -> String {
    format!("{:.1} % of {}", seen.resumption(), seen.resumable)
}

/// What clients see while something is done, and for a while after it.
fn during(fleet: &Fleet, show: &Pair, what: impl FnOnce(&Clients)) -> Seen {
    let clients = fleet.clients(CLIENTS, Some(show));
    thread::sleep(AFTER);
    what(&clients);
    thread::sleep(AFTER);
    clients.stop()
}

/// Waits until each node shows this certificate.
fn shown_by_all(fleet: &Fleet, show: &Pair, pair: &Pair) -> Option<String> {
    let began = Instant::now();
    for at in 0..NODES {
        while fleet.certificate_of(at, Some(show)).as_ref() != Some(&pair.der) {
            if began.elapsed() > PATIENCE {
                return Some(format!("node {at} does not show the new certificate"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    None
}

fn ticket_keys(what: &str, file: &str) {
    let output = lockgate(&["ticket-keys", what, file]).output().expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl Fleet {
    /// Does this for each node, one after the other, and lets the node know.
    fn on_each_node(&self, what: impl Fn(&super::Site, usize)) {
        for at in 0..NODES {
            what(&self.site, at);
            self.nodes[at].reload();
            thread::sleep(APART);
        }
    }
}
