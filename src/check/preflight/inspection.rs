//! One run of the preflight: its settings, the state of the machine, and the findings so far. Each part of the preflight adds
//! to it.

use std::path::PathBuf;

use serde_json::{json, Map, Value};

use crate::error::Error;
use crate::finding::{Finding, Rule};
#[cfg(feature = "operations")]
use crate::operations::local_listener::Reach;
use crate::tls::Chain;
#[cfg(feature = "acme")]
use crate::Acme;
#[cfg(feature = "operations")]
use crate::Cidr;
#[cfg(feature = "device")]
use crate::Device;
#[cfg(feature = "proxy")]
use crate::Proxy;
use crate::{ClientAuth, Limits};

/// What is to be served, and where.
pub(super) struct Settings {
    pub(super) pairs: Vec<(PathBuf, PathBuf)>,
    #[cfg(feature = "device")]
    pub(super) devices: Vec<Device>,
    #[cfg(feature = "acme")]
    pub(super) authorities: Vec<Acme>,
    pub(super) https: String,
    pub(super) redirect: Option<String>,
    pub(super) clients: Option<ClientAuth>,
    #[cfg(feature = "operations")]
    pub(super) ticket_keys: Option<PathBuf>,
    pub(super) limits: Limits,
    pub(super) faults: Vec<String>,
    #[cfg(feature = "proxy")]
    pub(super) proxies: Vec<Proxy>,
    #[cfg(feature = "operations")]
    pub(super) proxy_from: Vec<Cidr>,
    #[cfg(feature = "operations")]
    pub(super) trust_forwarded: Vec<Cidr>,
    #[cfg(feature = "operations")]
    pub(super) admin: Option<String>,
    #[cfg(feature = "operations")]
    pub(super) admin_reach: Reach,
}

impl Default for Settings {
    /// No certificate yet, and the defaults of [`Server::builder`](crate::Server::builder).
    fn default() -> Settings {
        Settings {
            pairs: Vec::new(),
            #[cfg(feature = "device")]
            devices: Vec::new(),
            #[cfg(feature = "acme")]
            authorities: Vec::new(),
            https: "[::]:8443".into(),
            redirect: None,
            clients: None,
            #[cfg(feature = "operations")]
            ticket_keys: None,
            limits: Limits::default(),
            faults: Vec::new(),
            #[cfg(feature = "proxy")]
            proxies: Vec::new(),
            #[cfg(feature = "operations")]
            proxy_from: Vec::new(),
            #[cfg(feature = "operations")]
            trust_forwarded: Vec::new(),
            #[cfg(feature = "operations")]
            admin: None,
            #[cfg(feature = "operations")]
            admin_reach: Reach::ThisMachine,
        }
    }
}

impl Settings {
    /// The subject of the report, in a few words.
    pub(super) fn subject(&self) -> String {
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

    pub(super) fn has_no_identity(&self) -> bool {
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

/// The machine and its clock.
pub(super) struct Machine {
    pub(super) now: i64,
    /// In bytes; `None` when the system does not say.
    pub(super) memory: Option<u64>,
    pub(super) open_files: usize,
}

/// A running preflight.
pub(super) struct Inspection<'a> {
    pub(super) settings: &'a Settings,
    pub(super) machine: &'a Machine,
    pub(super) findings: Vec<Finding>,
    pub(super) facts: Map<String, Value>,
    pub(super) unknown: Vec<String>,
    pub(super) connections: u32,
    /// The servers' own certificates, in DER.
    pub(super) own: Vec<Vec<u8>>,
    /// A condition on a good result.
    pub(super) but: Option<String>,
}

impl Inspection<'_> {
    pub(super) fn found(&mut self, rule: &'static Rule, seen: impl Into<String>) {
        self.findings.push(Finding::new(rule, seen));
    }

    /// Adds the finding for something unusable, in the words of the server's error.
    pub(super) fn failed(&mut self, rule: &'static Rule, error: &Error) {
        let finding = match error {
            Error::Identity { file: Some(file), fault } => {
                Finding::new(rule, fault.said_of(file)).at(file.display().to_string())
            }
            #[cfg(feature = "device")]
            Error::Device { path, fault } => {
                Finding::new(rule, fault.to_string()).at(path.display().to_string())
            }
            // As it stands in the file and on the command line.
            Error::Setting { setting, fault } => {
                Finding::new(rule, format!("{}: {fault}", setting.replace('_', "-")))
            }
            error => Finding::new(rule, error.to_string()),
        };
        self.findings.push(finding);
    }

    /// Records the server's own certificate, for the check of the ports.
    pub(super) fn own_certificate(&mut self, file: &str, chain: &Chain) {
        let Some(own) = chain.certificates().first() else { return };
        self.own.push(own.der().to_vec());
        let certificates = self.facts.entry("certificates").or_insert_with(|| json!([]));
        if let Some(certificates) = certificates.as_array_mut() {
            certificates.push(json!({
                "file": file,
                "subject": own.subject(),
                "not_after": own.validity().not_after,
                "days_left": (own.validity().not_after - self.machine.now).div_euclid(86_400),
            }));
        }
    }
}
