//! The check of what is to be served, before it is: certificates and keys, the state directory, clients' authorities, the
//! ports, the clock, the limits. Everything is read as the server reads it, and nothing is written.
//!
//! Knows `tls`, and of the server its limits only; `listeners` tries the ports and `state` looks at the state directory.
//! The command and embedding programs call it.

mod listeners;
#[cfg(feature = "device")]
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde_json::{json, Map, Value};

use super::report::{Kind, Report};
use super::rules;
use super::trust::Roots;
use crate::calendar::iso8601;
use crate::error::{Error, IdentityFault};
use crate::escape;
use crate::finding::{self, shell_word, Finding, Rule};
use crate::tls::{built, certificate_rules as of_tls, is_plausible, Chain, Clients, Expiry, Identity};
#[cfg(feature = "acme")]
use crate::Acme;
#[cfg(feature = "device")]
use crate::Device;
use crate::{ClientAuth, Limits};

/// A check of what is to be served, with the same settings as a [`ServerBuilder`](crate::ServerBuilder) has.
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
/// The ports are opened and closed at once; when one is taken, one connection is made to it, to see whether this very server
/// runs already. Nothing is written, and nothing is asked of the network.
pub struct Preflight {
    pairs: Vec<(PathBuf, PathBuf)>,
    #[cfg(feature = "device")]
    devices: Vec<Device>,
    #[cfg(feature = "acme")]
    authorities: Vec<Acme>,
    https: String,
    redirect: Option<String>,
    clients: Option<ClientAuth>,
    limits: Limits,
    faults: Vec<String>,
}

/// What the machine is like, and the time.
struct Machine {
    now: i64,
    /// In bytes; `None` when the system does not tell.
    memory: Option<u64>,
    open_files: usize,
}

/// A check under way.
struct Looking<'a> {
    preflight: &'a Preflight,
    machine: &'a Machine,
    findings: Vec<Finding>,
    facts: Map<String, Value>,
    unknown: Vec<String>,
    connections: u32,
    /// The servers' own certificates, in DER.
    own: Vec<Vec<u8>>,
    /// What limits a good end.
    but: Option<String>,
}

impl Default for Preflight {
    fn default() -> Preflight {
        Preflight::new()
    }
}

impl Preflight {
    /// Nothing yet, and the defaults of [`Server::builder`](crate::Server::builder).
    pub fn new() -> Preflight {
        Preflight {
            pairs: Vec::new(),
            #[cfg(feature = "device")]
            devices: Vec::new(),
            #[cfg(feature = "acme")]
            authorities: Vec::new(),
            https: "[::]:8443".into(),
            redirect: None,
            clients: None,
            limits: Limits::default(),
            faults: Vec::new(),
        }
    }

    /// A certificate and its key, as for [`Identity::from_pem_files`]. May be called several times.
    pub fn pem_files(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Preflight {
        self.pairs.push((certificate.into(), key.into()));
        self
    }

    /// A device identity.
    #[cfg(feature = "device")]
    pub fn device(mut self, device: Device) -> Preflight {
        self.devices.push(device);
        self
    }

    /// A certificate from an authority. The authority is not asked.
    #[cfg(feature = "acme")]
    pub fn acme(mut self, acme: Acme) -> Preflight {
        self.authorities.push(acme);
        self
    }

    /// Where HTTPS is to be served. Defaults to `[::]:8443`.
    pub fn https(mut self, address: impl Into<String>) -> Preflight {
        self.https = address.into();
        self
    }

    /// Where plain HTTP is to be answered with redirects. Defaults to nowhere.
    pub fn redirect_http(mut self, address: impl Into<String>) -> Preflight {
        self.redirect = Some(address.into());
        self
    }

    /// Which clients are to be accepted. Defaults to all.
    pub fn client_auth(mut self, clients: ClientAuth) -> Preflight {
        self.clients = Some(clients);
        self
    }

    /// The server's bounds. Defaults to [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Preflight {
        self.limits = limits;
        self
    }

    /// Something that is wrong with the settings and that the program has found itself, as a clause: it becomes a finding
    /// `setting-unusable`.
    pub fn setting_fault(mut self, what: impl Into<String>) -> Preflight {
        self.faults.push(what.into());
        self
    }

    /// Does it. What is wrong, whatever it is, is a finding.
    pub fn run(&self) -> Report {
        let now = crate::calendar::unix_now();
        let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .maximum
            .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        self.run_on(&Machine { now, memory: memory(), open_files })
    }

    fn run_on(&self, machine: &Machine) -> Report {
        let mut looking = Looking {
            preflight: self,
            machine,
            findings: Vec::new(),
            facts: Map::new(),
            unknown: Vec::new(),
            connections: 0,
            own: Vec::new(),
            but: None,
        };
        looking.settings();
        // Of settings that could not be read, the rest would be guesses.
        if self.faults.is_empty() || !self.has_no_identity() {
            looking.clock();
            looking.identities();
            looking.clients();
            looking.limits();
            looking.listeners();
        }
        let mut findings = looking.findings;
        finding::worst_first(&mut findings);
        Report {
            kind: Kind::Preflight,
            subject: self.subject(),
            checked_at: machine.now,
            findings,
            facts: looking.facts,
            unknown: looking.unknown,
            connections: looking.connections,
            is_complete: true,
            but: looking.but,
        }
    }

    /// What it is about, in a few words.
    fn subject(&self) -> String {
        let mut parts: Vec<String> = self.pairs.iter().map(|(file, _)| file.display().to_string()).collect();
        #[cfg(feature = "device")]
        parts
            .extend(self.devices.iter().map(|device| format!("the device {}", device.state_dir().display())));
        #[cfg(feature = "acme")]
        parts.extend(
            self.authorities.iter().map(|acme| format!("a certificate in {}", acme.state_dir().display())),
        );
        if parts.is_empty() {
            parts.push("the settings".to_string());
        }
        parts.join(", ")
    }

    fn has_no_identity(&self) -> bool {
        #[cfg(feature = "device")]
        if !self.devices.is_empty() {
            return false;
        }
        #[cfg(feature = "acme")]
        if !self.authorities.is_empty() {
            return false;
        }
        self.pairs.is_empty()
    }
}

impl fmt::Debug for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preflight")
            .field("subject", &self.subject())
            .field("https", &self.https)
            .field("redirect", &self.redirect)
            .finish_non_exhaustive()
    }
}

impl Looking<'_> {
    fn found(&mut self, rule: &'static Rule, seen: impl Into<String>) {
        self.findings.push(Finding::new(rule, seen));
    }

    /// What cannot be used, in the words that the server would have for it.
    fn failed(&mut self, rule: &'static Rule, error: &Error) {
        let finding = match error {
            Error::Identity { file: Some(file), fault } => {
                Finding::new(rule, fault.said_of(file)).at(file.display().to_string())
            }
            #[cfg(feature = "device")]
            Error::Device { path, fault } => {
                Finding::new(rule, fault.to_string()).at(path.display().to_string())
            }
            error => Finding::new(rule, error.to_string()),
        };
        self.findings.push(finding);
    }

    fn settings(&mut self) {
        for fault in &self.preflight.faults {
            self.found(&rules::SETTING_UNUSABLE, format!("in the settings, {fault}"));
        }
        if self.preflight.has_no_identity() && self.preflight.faults.is_empty() {
            self.found(&rules::SETTING_UNUSABLE, "there is no certificate and no key to serve with");
        }
    }

    fn clock(&mut self) {
        let now = self.machine.now;
        self.facts.insert("clock".into(), now.into());
        if !is_plausible(now) {
            let (now, built) = (iso8601(now), iso8601(built::BUILT));
            self.found(
                &rules::CLOCK_IMPLAUSIBLE,
                format!("this machine's clock says {now}, and the program was built after {built}"),
            );
        }
    }

    fn identities(&mut self) {
        let preflight = self.preflight;
        for (certificate, key) in &preflight.pairs {
            self.pair(certificate, key);
        }
        #[cfg(feature = "device")]
        for device in &preflight.devices {
            state::look(self, device);
        }
        #[cfg(feature = "acme")]
        for acme in &preflight.authorities {
            self.authority(acme);
        }
    }

    fn pair(&mut self, certificate: &Path, key: &Path) {
        let now = self.machine.now;
        let chain = Chain::from_pem_file(certificate).and_then(|chain| chain.with_key_file(key));
        let tried = Identity::try_files(certificate, key);
        let chain = match (chain, tried) {
            (Ok(chain), Ok(())) => chain,
            (Ok(chain), Err(error)) => {
                let told_by = match &error {
                    Error::Identity { fault: IdentityFault::KeyMismatch, .. } => Some(&of_tls::KEY_MISMATCH),
                    // The key's own certificate stands elsewhere.
                    Error::Identity { .. } if chain.has_certificate_of_key() == Some(true) => {
                        Some(&of_tls::LEAF_NOT_FIRST)
                    }
                    _ => None,
                };
                let is_told = |finding: &Finding| told_by.is_some_and(|rule| rule.id == finding.id());
                if !chain.findings_of_served(now).iter().any(is_told) {
                    self.unusable(certificate, key, &error);
                }
                chain
            }
            (Err(error), Ok(()) | Err(_)) => {
                // What loading says of swapped files tells more than what reading one of them does.
                let error = Identity::try_files(certificate, key).err().unwrap_or(error);
                return self.unusable(certificate, key, &error);
            }
        };
        let file = certificate.display().to_string();
        for finding in chain.findings_of_served(now) {
            // That it cannot be served is said already.
            if finding.id() == of_tls::NOT_PEM.id {
                continue;
            }
            let place = match finding.place() {
                Some(place) if place.starts_with("certificate ") || place.starts_with("line ") => {
                    format!("{file}, {place}")
                }
                Some(place) => place.to_string(),
                None => file.clone(),
            };
            self.findings.push(finding.at(place));
        }
        self.issuer(&file, &chain);
        self.own_certificate(&file, &chain);
    }

    /// A certificate that stands alone is served to those only that trust its very issuer. Whether that is a root, nobody can
    /// tell here; of public authorities it never is, and that is a finding of the chain.
    fn issuer(&mut self, file: &str, chain: &Chain) {
        let way = chain.in_order();
        let [own] = &way[..] else { return };
        let is_told = |rule: &Rule| self.findings.iter().any(|finding| finding.id() == rule.id);
        if own.is_self_signed() || is_told(&of_tls::MISSING_INTERMEDIATE) {
            return;
        }
        // Those that clients of this machine trust without being told.
        let now = self.machine.now.clamp(own.not_before(), own.not_after());
        if Roots::load(None, None).is_ok_and(|roots| roots.voucher(&[own.der().to_vec()], now).is_ok()) {
            return;
        }
        let issuer = escape::bounded(own.issuer(), 120).to_string();
        if !is_told(&of_tls::ISSUER_ELSEWHERE) {
            let seen = format!("the certificate of its issuer, {issuer}, is not in the file");
            let (file, full) = (Path::new(file), Path::new(file).with_file_name("fullchain.pem"));
            let fix = format!(
                "nothing, if clients are given the certificate of {issuer}; else add it, and those of the authorities between it \
                 and the one that clients are given:\ncat {} intermediate.pem > {}",
                shell_word(file),
                shell_word(&full)
            );
            let finding = Finding::new(&rules::ISSUER_NOT_IN_FILE, seen).at(file.display().to_string());
            self.findings.push(finding.fixed_by(fix));
        }
        self.but = Some(format!(", to clients that trust {issuer} itself"));
    }

    fn unusable(&mut self, certificate: &Path, key: &Path, error: &Error) {
        self.failed(&rules::IDENTITY_UNUSABLE, error);
        let command = match error {
            Error::Identity { file: Some(file), fault } => fault.command_for(file),
            _ => None,
        };
        let show = || format!("lockgate cert show {} --key {}", shell_word(certificate), shell_word(key));
        let fix = command.unwrap_or_else(show);
        if let Some(finding) = self.findings.pop() {
            self.findings.push(finding.fixed_by(fix));
        }
    }

    /// Notes the server's own certificate, for what is found out about the ports.
    fn own_certificate(&mut self, file: &str, chain: &Chain) {
        let Some(own) = chain.certificates().first() else { return };
        self.own.push(own.der().to_vec());
        let certificates = self.facts.entry("certificates").or_insert_with(|| json!([]));
        if let Some(certificates) = certificates.as_array_mut() {
            certificates.push(json!({
                "file": file,
                "subject": own.subject(),
                "not_after": own.not_after(),
                "days_left": (own.not_after() - self.machine.now).div_euclid(86_400),
            }));
        }
    }

    #[cfg(feature = "acme")]
    fn authority(&mut self, acme: &Acme) {
        if let Err(error) = acme.inspect() {
            self.failed(&rules::SETTING_UNUSABLE, &error);
        }
        if let Some(authority) = acme.lacks_terms() {
            self.found(&rules::ACME_TERMS, format!("nobody has agreed to the terms of {authority}"));
        }
        if acme.proof() == crate::Challenge::Http01 && self.preflight.redirect.is_none() {
            self.found(
                &rules::ACME_UNANSWERED,
                "http-01 is asked where plain HTTP is answered, which is nowhere",
            );
        }
        // While there is no certificate, and when the names are others, the device identity is served.
        state::look(self, &Device::new(acme.state_dir()));
        let file = acme.state_dir().join("acme").join("certificate.pem");
        if let Ok(chain) = Chain::from_pem_file(&file) {
            self.own_certificate(&file.display().to_string(), &chain);
        }
    }

    fn clients(&mut self) {
        let Some(auth) = &self.preflight.clients else { return };
        let clients = match Clients::load(auth.clone()) {
            Ok(clients) => clients,
            Err(error) => return self.failed(&rules::CLIENT_AUTH_UNUSABLE, &error),
        };
        let clock = UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(self.machine.now).unwrap_or(0));
        if clients.expiry(clock) > Expiry::Distant {
            self.found(
                &rules::CLIENT_CRL_DUE,
                "a revocation list is to be replaced soon, and then its clients are refused",
            );
        }
        #[cfg(feature = "acme")]
        if clients.are_required()
            && self.preflight.authorities.iter().any(|acme| acme.proof() == crate::Challenge::TlsAlpn01)
        {
            self.found(
                &rules::ACME_UNANSWERED,
                "tls-alpn-01 is asked by an authority that has no certificate of its own, and clients must have one here",
            );
        }
    }

    fn limits(&mut self) {
        let limits = &self.preflight.limits;
        let faults = limits.faults();
        if !faults.is_empty() {
            for fault in faults {
                self.found(&rules::LIMIT_OUT_OF_RANGE, fault.to_string());
            }
            return;
        }
        let files = self.machine.open_files;
        let (_, connections) = limits.within_open_files(files, self.preflight.redirect.is_some());
        self.facts.insert("connections".into(), connections.into());
        if connections < limits.connections {
            let wanted = limits.connections;
            self.found(
                &rules::CONNECTIONS_CUT_DOWN,
                format!("{files} open files leave room for {connections} connections of {wanted}"),
            );
        }
        let ceiling = limits.memory_with(connections);
        self.facts
            .insert("memory".into(), json!({"ceiling_bytes": ceiling, "machine_bytes": self.machine.memory}));
        match self.machine.memory {
            Some(memory) if ceiling > memory => self.found(
                &rules::MEMORY_SHORT,
                format!(
                    "with {connections} connections and everything full lockgate takes {} MiB, and there are {} MiB",
                    ceiling >> 20,
                    memory >> 20
                ),
            ),
            Some(_) => {}
            None => self.unknown.push("how much memory this machine has".to_string()),
        }
    }
}

/// The memory of this machine, or what this program may have of it, in bytes.
fn memory() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    // In a container its own group is the root (cgroup v2); elsewhere there is no such file, or it says "max".
    let group =
        std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min()
}

/// proc(5): `MemTotal:  2048 kB`, where a kB has 1,024 bytes.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
