//! What a check has found, for programs and people. Values only; [`Check::run`](super::Check::run) makes it.

use std::fmt;
use std::time::SystemTime;

use serde_json::{json, Map, Value};

use crate::calendar::from_unix;
use crate::finding::{Finding, Severity, Verdict, REPORT_SCHEMA};

/// The name and version of the JSON that [`Report::to_json`] makes. The number changes when something that is there now
/// changes its meaning or goes; what is added does not change it.
pub const SCHEMA: &str = REPORT_SCHEMA;

/// The JSON Schema (2020-12) of what `lockgate check --json` writes: of [`Report::to_json`], of a report about source, and of
/// what stands in their place when nothing could be checked. Members that it does not name may come.
pub const JSON_SCHEMA: &str = include_str!("report.schema.json");

/// What was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A server, by its URL.
    Url,
    /// What is to be served.
    Preflight,
}

/// What a check has found.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) kind: Kind,
    pub(super) subject: String,
    pub(super) checked_at: i64,
    pub(super) findings: Vec<Finding>,
    pub(super) facts: Map<String, Value>,
    pub(super) unknown: Vec<String>,
    pub(super) connections: u32,
    pub(super) is_complete: bool,
    /// What limits a good end, as a clause that goes on with it.
    pub(super) but: Option<String>,
}

impl Report {
    /// What was checked: a URL in its plainest form, or the files that are to be served with.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// When the check began, by this machine's clock.
    pub fn checked_at(&self) -> SystemTime {
        from_unix(self.checked_at)
    }

    /// What is to be put right or known, the worst first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many findings are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity() == severity).count()
    }

    /// How it has ended, by the worst finding.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self.findings.iter().map(Finding::severity))
    }

    /// What was seen, whether good or bad: areas (`tls`, `certificate`, `https`, `http`), and in each of them values by
    /// name, as described at [`to_json`](Report::to_json).
    pub fn facts(&self) -> &Map<String, Value> {
        &self.facts
    }

    /// What could not be found out, and why: a connection that failed, an answer that did not come in time.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Whether all of it was looked at. Not when the server answers only to clients that have a certificate, and none was given.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// How many connections were opened.
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// The whole in one sentence.
    pub fn summary(&self) -> String {
        let count = |severity, one: &str| match self.count(severity) {
            1 => format!("1 {one}"),
            many => format!("{many} {one}s"),
        };
        let open = match self.unknown.len() {
            0 => String::new(),
            1 => "; one thing could not be found out".to_string(),
            many => format!("; {many} things could not be found out"),
        };
        let open = match self.is_complete {
            true => open,
            false => format!("{open}; the rest is for clients with a certificate"),
        };
        let but = self.but.as_deref().unwrap_or_default();
        let subject = &self.subject;
        let (good, bad) = match self.kind {
            Kind::Url => {
                let what = format!("The connection to {subject}");
                let good = match self.is_complete {
                    true => format!("{what} is secure"),
                    false => format!("What could be seen of the connection to {subject} is secure"),
                };
                (good, format!("{what} is not in order"))
            }
            Kind::Preflight => (
                format!("With {subject} all is ready to serve"),
                format!("With {subject} it cannot be served well"),
            ),
        };
        match self.verdict() {
            Verdict::Clean => format!("{good}{but}{open}."),
            Verdict::Warnings => {
                format!("{good}{but}, with {} to see to{open}.", count(Severity::Warning, "warning"))
            }
            Verdict::Errors => format!("{bad}: {} to fix{open}.", count(Severity::Error, "error")),
        }
    }

    /// The report as JSON. Members that are there keep their meaning as long as `schema` says [`SCHEMA`]; others may come.
    /// [`JSON_SCHEMA`] says the same for programs.
    ///
    /// | member | what it is |
    /// |---|---|
    /// | `schema` | `lockgate.check/1` |
    /// | `kind` | `url`, or `before` for [`Preflight`](super::Preflight) |
    /// | `url` | of a URL: what was checked |
    /// | `subject` | before it is served: what was checked, in words |
    /// | `checked_at` | seconds since 1970-01-01 UTC |
    /// | `verdict` | `clean`, `warnings` or `errors` |
    /// | `complete` | whether all of it was looked at; false when clients need a certificate and none was given |
    /// | `summary` | the whole in one sentence |
    /// | `connections` | how many were opened |
    /// | `findings` | the worst first; of each `id`, `severity` (`error`, `warning`, `note`), `place` (or null), `seen`, `why`, `fix`, `reference`, and `refused_by`, clients that refuse it |
    /// | `unknown` | what could not be found out, as texts |
    /// | `facts.address` | the address and port that were connected to |
    /// | `facts.tls` | `versions` (accepted, by name), `version`, `cipher` and `alpn` of a current client, `weak_ciphers`, `post_quantum`, `resumption`, `client_certificate`, `without_name`, `plain_http_answer` |
    /// | `facts.certificate` | `trusted` (the authority that is trusted, or null), `chain` (how many were sent), `subject`, `issuer`, `serial`, `dns_names`, `ip_addresses`, `not_before`, `not_after`, `days_left` (below 0 when it is over), `key`, `signature`, `sha256` |
    /// | `facts.other_certificate` | the same of the certificate that clients of the other kind of key get (RSA beside ECDSA); missing when there is none |
    /// | `facts.https` | `status`, `hsts`, `keep_alive`, `head_status`, `clock_ahead_seconds`, `openapi` |
    /// | `facts.http` | `port`, `answer` (`none`, `redirect`, `content`, `refusal`), `status`, `location` |
    ///
    /// Before it is served the facts are others: `clock` (seconds since 1970-01-01 UTC), `certificates` (of each `file`,
    /// `subject`, `not_after`, `days_left`), `connections` (that the limits leave), `memory` (`ceiling_bytes`,
    /// `machine_bytes` or null), and `listeners.https` and `listeners.http` (`free`, `taken`, `already served`,
    /// `not permitted`, `not of this machine`, `fails`).
    ///
    /// A fact that was not found out is missing.
    pub fn to_json(&self) -> Value {
        let findings: Vec<Value> = self.findings.iter().map(Finding::to_json).collect();
        let (kind, subject) = match self.kind {
            Kind::Url => ("url", "url"),
            Kind::Preflight => ("before", "subject"),
        };
        json!({
            "schema": SCHEMA,
            "kind": kind,
            subject: self.subject,
            "checked_at": self.checked_at,
            "verdict": self.verdict().name(),
            "complete": self.is_complete,
            "summary": self.summary(),
            "connections": self.connections,
            "findings": findings,
            "unknown": self.unknown,
            "facts": self.facts,
        })
    }
}

/// A line for each finding, and the summary.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{}: {finding}", finding.severity()))?;
        f.write_str(&self.summary())
    }
}
