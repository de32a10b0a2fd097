//! The state of a running check: the server, and the findings so far. The probes write into it.

use std::io;
use std::path::PathBuf;

use serde_json::{json, Map, Value};

use super::flight::Answer;
use super::hello::Hello;
use super::line::{Dialer, Line};
use crate::finding::{shell_word, Finding, Rule};
use crate::tls::provider;
use crate::url::Url;

pub(super) struct Run<'a> {
    pub(super) url: Url,
    /// The port that the check connects to, which may differ from the port in `url`.
    pub(super) port: u16,
    /// The port for the check of plain HTTP; `None` for no such check.
    pub(super) plain_port: Option<u16>,
    /// The application protocols that hellos offer (ALPN).
    pub(super) protocols: &'static [&'static str],
    pub(super) dialer: Dialer,
    pub(super) findings: Vec<Finding>,
    /// By area, by name.
    pub(super) facts: Map<String, Value>,
    /// What the check could not find out, and why.
    pub(super) unknown: Vec<String>,
    /// The server's own certificate, in DER.
    pub(super) own: Option<Vec<u8>>,
    /// The settings of this check as options of the command, without --ca, each with a blank before it.
    pub(super) options: String,
    /// The given file of authorities.
    pub(super) ca_file: Option<PathBuf>,
    /// The file of the client's certificate.
    pub(super) client_file: Option<PathBuf>,
    /// Whether everything of the server was checked.
    pub(super) is_complete: bool,
    pub(super) progress: &'a dyn Fn(&str),
}

impl Run<'_> {
    pub(super) fn found(&mut self, rule: &'static Rule, seen: impl Into<String>) {
        self.findings.push(Finding::new(rule, seen));
    }

    /// Adds a finding with a fix for this server.
    pub(super) fn found_with(&mut self, rule: &'static Rule, seen: impl Into<String>, fix: String) {
        self.findings.push(Finding::new(rule, seen).fixed_by(fix));
    }

    /// The general fix with this server's name, port and URL in it.
    pub(super) fn filled(&self, fix: &str) -> String {
        let (host, port, url) = (self.url.host.to_string(), self.url.port.to_string(), self.url.to_string());
        let origin = self.url.origin();
        // Ports are replaced first, because a name may contain such a number.
        let mut fix = fix.replace("8443", &port);
        if let Some(plain) = self.plain_port {
            for before in ["--http ", "listen ", ".listen("] {
                for after in [" ", "\n", ";", ")"] {
                    fix = fix.replace(&format!("{before}80{after}"), &format!("{before}{plain}{after}"));
                }
            }
        }
        let mut again = format!("lockgate check {url}");
        if let Some(file) = self.ca_file.as_ref().filter(|_| !fix.contains(" --ca ")) {
            again.push_str(&format!(" --ca {}", shell_word(file)));
        }
        again.push_str(&self.options);
        if let Some(file) = &self.client_file {
            fix = fix.replace("cert show client.pem", &format!("cert show {}", shell_word(file)));
        }
        fix.replace("https://HOST:PORT", &origin)
            .replace("https://HOST", &origin)
            .replace("HOST", &host)
            .replace("lockgate check URL", &again)
            .replace("--name NAME", &format!("--name {}", host.trim_matches(['[', ']'])))
    }

    pub(super) fn fact(&mut self, area: &'static str, name: &'static str, value: impl Into<Value>) {
        let area = self.facts.entry(area).or_insert_with(|| json!({}));
        if let Some(area) = area.as_object_mut() {
            area.insert(name.to_string(), value.into());
        }
    }

    pub(super) fn unknown(&mut self, what: &str, why: &io::Error) {
        self.unknown.push(format!("{what}: {why}"));
    }

    /// Opens a connection to the port of the URL.
    pub(super) fn dial(&mut self) -> io::Result<Line> {
        self.dialer.dial(self.port)
    }

    /// Sends a hello on a connection of its own.
    pub(super) fn offer(&mut self, hello: &Hello<'_>) -> io::Result<Answer> {
        use std::io::Write;
        let mut random = [0; 64];
        provider().secure_random.fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let mut line = self.dial()?;
        // A server that refuses at once may have closed already; its answer can still be read.
        let sent = line.write_all(&hello.encode(&random));
        match super::flight::read(&mut line) {
            Answer::Closed if sent.is_err() => Ok(Answer::Closed),
            answer => Ok(answer),
        }
    }
}
