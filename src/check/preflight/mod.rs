//! The check of a server's settings before it starts: certificates and keys, the state directory, client authorities,
//! ports, the clock and limits. It reads everything in the way the server does, and writes nothing.
//!
//! Knows `tls`, and of the server only its limits. `identities` checks certificates, `state` the state directory,
//! `listeners` the ports, and `backends` the servers that requests are passed on to. The command and embedding programs call it.

#[cfg(feature = "proxy")]
mod backends;
mod identities;
mod inspection;
mod listeners;
#[cfg(feature = "device")]
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use serde_json::{json, Map};

use super::report::{Kind, Report};
use super::rules;
#[cfg(feature = "operations")]
use crate::calendar::from_unix;
use crate::calendar::iso8601_of;
use crate::finding;
#[cfg(feature = "operations")]
use crate::finding::Finding;
use crate::limits::memory;
#[cfg(feature = "operations")]
use crate::operations::local_listener::Reach;
#[cfg(feature = "proxy")]
use crate::proxies::{files_of, memory_of};
use crate::tls::{built, is_plausible, Clients, Expiry};
#[cfg(feature = "operations")]
use crate::tls::{loose_mode_of, TicketKeys};
#[cfg(feature = "acme")]
use crate::Acme;
#[cfg(feature = "operations")]
use crate::Cidr;
#[cfg(feature = "device")]
use crate::Device;
#[cfg(feature = "proxy")]
use crate::Proxy;
use crate::{ClientAuth, Limits};
use inspection::{Inspection, Machine, Settings};

/// A check of the settings of a server before it starts. It has the same settings as
/// [`ServerBuilder`](crate::ServerBuilder).
///
/// ```no_run
/// use lockgate::check::{Preflight, Verdict};
///
/// let report = Preflight::new().pem_files("cert.pem", "key.pem").https("[::]:443").redirect_http("[::]:80").run();
/// if report.verdict() == Verdict::Errors {
///     eprintln!("{}", report.summary());
/// }
/// ```
///
/// Each port is opened and closed at once. When a port is taken, the check connects to it once, to see whether this server
/// runs already. Backends of a proxy are asked for `HEAD /`. It writes nothing, but for the file of an admin listener's Unix socket,
/// which is there for a moment, and uses no other network.
pub struct Preflight {
    settings: Settings,
}

impl Default for Preflight {
    fn default() -> Preflight {
        Preflight::new()
    }
}

impl Preflight {
    /// No certificate yet, and the defaults of [`Server::builder`](crate::Server::builder).
    pub fn new() -> Preflight {
        Preflight { settings: Settings::default() }
    }

    /// A certificate and its key, as for [`Identity::from_pem_files`](crate::Identity::from_pem_files). May be called several times.
    pub fn pem_files(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Preflight {
        self.settings.pairs.push((certificate.into(), key.into()));
        self
    }

    /// A device identity.
    #[cfg(feature = "device")]
    pub fn device(mut self, device: Device) -> Preflight {
        self.settings.devices.push(device);
        self
    }

    /// A certificate from an authority. The authority is not asked.
    #[cfg(feature = "acme")]
    pub fn acme(mut self, acme: Acme) -> Preflight {
        self.settings.authorities.push(acme);
        self
    }

    /// The address for HTTPS. Defaults to `[::]:8443`.
    pub fn https(mut self, address: impl Into<String>) -> Preflight {
        self.settings.https = address.into();
        self
    }

    /// The address of the redirect from plain HTTP. Defaults to none.
    pub fn redirect_http(mut self, address: impl Into<String>) -> Preflight {
        self.settings.redirect = Some(address.into());
        self
    }

    /// Which clients are accepted. Defaults to all.
    pub fn client_auth(mut self, clients: ClientAuth) -> Preflight {
        self.settings.clients = Some(clients);
        self
    }

    /// The file of the keys of session tickets, as for [`ServerBuilder::ticket_keys`](crate::ServerBuilder::ticket_keys). With the
    /// feature `operations`.
    #[cfg(feature = "operations")]
    pub fn ticket_keys(mut self, file: impl Into<PathBuf>) -> Preflight {
        self.settings.ticket_keys = Some(file.into());
        self
    }

    /// The server's limits. Defaults to [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Preflight {
        self.settings.limits = limits;
        self
    }

    /// A proxy that is to be served. May be called several times. Each of its backends is asked for `HEAD /`, which is safe (RFC 9110
    /// §9.2.1), for at most 5 seconds: whether it is there, may be connected to, and
    /// answers in HTTP. Over HTTPS the handshake is the one of requests, with their authorities and client certificate. With the
    /// feature `proxy`.
    #[cfg(feature = "proxy")]
    pub fn proxy(mut self, proxy: Proxy) -> Preflight {
        self.settings.proxies.push(proxy);
        self
    }

    /// The networks of [`ServerBuilder::proxy_protocol_from`](crate::ServerBuilder::proxy_protocol_from).
    #[cfg(feature = "operations")]
    pub fn proxy_protocol_from(mut self, networks: impl IntoIterator<Item = Cidr>) -> Preflight {
        self.settings.proxy_from.extend(networks);
        self
    }

    /// The networks of [`ServerBuilder::trust_forwarded`](crate::ServerBuilder::trust_forwarded).
    #[cfg(feature = "operations")]
    pub fn trust_forwarded(mut self, networks: impl IntoIterator<Item = Cidr>) -> Preflight {
        self.settings.trust_forwarded.extend(networks);
        self
    }

    /// The address of the admin listener, as for [`ServerBuilder::admin`](crate::ServerBuilder::admin). The check opens and closes it
    /// as it does the ports, so the file of a Unix socket is there for a moment. With the feature `operations`.
    #[cfg(feature = "operations")]
    pub fn admin(mut self, address: impl Into<String>) -> Preflight {
        self.settings.admin = Some(address.into());
        self
    }

    /// Lets other machines reach the admin listener, as [`ServerBuilder::admin_anywhere`](crate::ServerBuilder::admin_anywhere).
    #[cfg(feature = "operations")]
    pub fn admin_anywhere(mut self) -> Preflight {
        self.settings.admin_reach = Reach::Anywhere;
        self
    }

    /// A fault in the settings that the program has found itself, as a clause. It becomes a finding `setting-unusable`.
    pub fn setting_fault(mut self, what: impl Into<String>) -> Preflight {
        self.settings.faults.push(what.into());
        self
    }

    /// Runs the check. Every fault is a finding, never an error.
    pub fn run(&self) -> Report {
        let now = crate::calendar::unix_now();
        let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .maximum
            .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        self.run_on(&Machine { now, memory: memory::of_machine(), open_files })
    }

    fn run_on(&self, machine: &Machine) -> Report {
        let mut inspection = Inspection {
            settings: &self.settings,
            machine,
            findings: Vec::new(),
            facts: Map::new(),
            unknown: Vec::new(),
            connections: 0,
            own: Vec::new(),
            but: None,
        };
        settings(&mut inspection);
        // Without readable settings, other findings would be guesses.
        if self.settings.faults.is_empty() || !self.settings.has_no_identity() {
            clock(&mut inspection);
            identities::look(&mut inspection);
            clients(&mut inspection);
            #[cfg(feature = "operations")]
            ticket_keys(&mut inspection);
            #[cfg(feature = "operations")]
            in_front(&mut inspection);
            limits(&mut inspection);
            listeners::look(&mut inspection);
            #[cfg(feature = "proxy")]
            backends::look(&mut inspection);
        }
        let mut findings = inspection.findings;
        finding::worst_first(&mut findings);
        Report {
            kind: Kind::Preflight,
            subject: self.settings.subject(),
            checked_at: machine.now,
            findings,
            facts: inspection.facts,
            unknown: inspection.unknown,
            connections: inspection.connections,
            is_complete: true,
            but: inspection.but,
        }
    }
}

impl fmt::Debug for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preflight")
            .field("subject", &self.settings.subject())
            .field("https", &self.settings.https)
            .field("redirect", &self.settings.redirect)
            .finish_non_exhaustive()
    }
}

fn settings(inspection: &mut Inspection<'_>) {
    for fault in &inspection.settings.faults {
        inspection.found(&rules::SETTING_UNUSABLE, format!("in the settings, {fault}"));
    }
    if inspection.settings.has_no_identity() && inspection.settings.faults.is_empty() {
        inspection.found(&rules::SETTING_UNUSABLE, "there is no certificate and no key to serve with");
    }
}

fn clock(inspection: &mut Inspection<'_>) {
    let now = inspection.machine.now;
    inspection.facts.insert("clock".into(), now.into());
    if !is_plausible(now) {
        let (now, built) = (iso8601_of(now), iso8601_of(built::BUILT));
        inspection.found(
            &rules::CLOCK_IMPLAUSIBLE,
            format!("this machine's clock says {now}, and the program was built after {built}"),
        );
    }
}

fn clients(inspection: &mut Inspection<'_>) {
    let Some(auth) = &inspection.settings.clients else { return };
    let clients = match Clients::load(auth.clone()) {
        Ok(clients) => clients,
        Err(error) => return inspection.failed(&rules::CLIENT_AUTH_UNUSABLE, &error),
    };
    let clock =
        UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(inspection.machine.now).unwrap_or(0));
    if clients.expiry(clock) > Expiry::Distant {
        inspection.found(
            &rules::CLIENT_CRL_DUE,
            "a revocation list is to be replaced soon, and then its clients are refused",
        );
    }
    #[cfg(feature = "acme")]
    if clients.are_required()
        && inspection.settings.authorities.iter().any(|acme| acme.proof() == crate::Challenge::TlsAlpn01)
    {
        inspection.found(
            &rules::ACME_UNANSWERED,
            "tls-alpn-01 is asked by an authority that has no certificate of its own, and clients must have one here",
        );
    }
}

#[cfg(feature = "operations")]
fn ticket_keys(inspection: &mut Inspection<'_>) {
    let Some(file) = &inspection.settings.ticket_keys else { return };
    let place = file.display().to_string();
    let mut found = Vec::new();
    match TicketKeys::read(file) {
        Ok(keys) => {
            let clock = from_unix(inspection.machine.now);
            if let Some(days) = keys.days_if_old(clock).filter(|_| is_plausible(inspection.machine.now)) {
                let seen = format!("the keys of session tickets were exchanged {days} days ago");
                let fix = format!("lockgate ticket-keys rotate {}", finding::shell_word(file));
                found.push(Finding::new(&rules::TICKET_KEYS_OLD, seen).fixed_by(fix));
            }
        }
        Err(error) => {
            // The finding names the setting.
            let seen = match error {
                crate::Error::Setting { fault, .. } => fault,
                other => other.to_string(),
            };
            found.push(Finding::new(&rules::TICKET_KEYS_UNUSABLE, seen));
        }
    }
    if let Some(loose) = loose_mode_of(file) {
        found.push(
            Finding::new(&rules::TICKET_KEYS_MODE, loose.seen_of_ticket_keys()).fixed_by(loose.fix(file)),
        );
    }
    inspection.findings.extend(found.into_iter().map(|finding| finding.at(place.clone())));
}

#[cfg(feature = "operations")]
fn in_front(inspection: &mut Inspection<'_>) {
    let settings = inspection.settings;
    for (option, networks) in
        [("proxy-from", &settings.proxy_from), ("trust-forwarded", &settings.trust_forwarded)]
    {
        if let Some(network) = networks.iter().find(|network| network.prefix() == 0) {
            inspection.found(
                &rules::ANYBODY_IN_FRONT,
                format!("{option} has {network}, so anybody may claim any address"),
            );
        }
    }
}

fn limits(inspection: &mut Inspection<'_>) {
    let limits = &inspection.settings.limits;
    let faults = limits.faults();
    if !faults.is_empty() {
        for fault in faults {
            inspection.failed(&rules::LIMIT_OUT_OF_RANGE, &fault);
        }
        return;
    }
    let files = inspection.machine.open_files;
    let (_, connections) = limits.within_open_files(files, inspection.settings.redirect.is_some());
    inspection.facts.insert("connections".into(), connections.into());
    if connections < limits.connections {
        let wanted = limits.connections;
        inspection.found(
            &rules::CONNECTIONS_CUT_DOWN,
            format!("{files} open files leave room for {connections} of {wanted} connections"),
        );
    }
    #[cfg(feature = "proxy")]
    {
        let all = Limits { connections: usize::MAX, ..limits.clone() };
        let (_, room) = all.within_open_files(files, inspection.settings.redirect.is_some());
        let (left, most) = (room - connections, files_of(&inspection.settings.proxies, connections));
        if left < most {
            inspection.found(
                &rules::CONNECTIONS_CUT_DOWN,
                format!("beside {connections} connections, {files} open files leave room for {left} of {most} requests at backends"),
            );
        }
    }
    #[cfg(feature = "proxy")]
    let beside = |connections| memory_of(&inspection.settings.proxies, limits, connections);
    #[cfg(not(feature = "proxy"))]
    let beside = |_| 0;
    let memory = inspection.machine.memory;
    inspection.facts.insert(
        "memory".into(),
        json!({"ceiling_bytes": limits.memory_with(connections) + beside(connections), "machine_bytes": memory}),
    );
    match memory.map(|memory| memory::shortage(limits, connections, &beside, memory)) {
        Some(Some(shortage)) => inspection.found(&rules::MEMORY_SHORT, shortage),
        Some(None) => {}
        None => inspection.unknown.push("how much memory this machine has".to_string()),
    }
}
