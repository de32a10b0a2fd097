//! The report of a check, for programs and people. Values only; [`Check::run`](super::Check::run) makes it.

use std::fmt;
use std::time::SystemTime;

use serde_json::{json, Map, Value};

use crate::calendar::from_unix;
use crate::finding::{Finding, Severity, Verdict, REPORT_SCHEMA};

/// The name and version of the JSON of [`Report::to_json`]. The number changes when an existing member changes its meaning
/// or is removed, not when a member is added.
pub const SCHEMA: &str = REPORT_SCHEMA;

/// The JSON Schema (2020-12) of the output of `lockgate check --json`: of [`Report::to_json`], of a report of a scan, and
/// of the error when nothing could be checked. Later versions may add members.
pub const JSON_SCHEMA: &str = include_str!("report.schema.json");

/// The subject of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A server, by its URL.
    Url,
    /// The settings of a server before it starts.
    Preflight,
}

/// The result of a check.
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
    /// A condition on a good result, as a clause for the end of the summary.
    pub(super) but: Option<String>,
}

impl Report {
    /// What was checked: the normalized URL, or the files of the settings.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The start of the check, by this machine's clock.
    pub fn checked_at(&self) -> SystemTime {
        from_unix(self.checked_at)
    }

    /// The findings, the worst first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many findings are of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity() == severity).count()
    }

    /// The verdict: the severity of the worst finding.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(self.findings.iter().map(Finding::severity))
    }

    /// The facts, good or bad: areas (`tls`, `certificate`, `https`, `http`), and in each area values by name, as described
    /// at [`to_json`](Report::to_json).
    pub fn facts(&self) -> &Map<String, Value> {
        &self.facts
    }

    /// What the check could not find out, and why: a connection failed, or an answer did not arrive in time.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Whether everything was checked. It is false when the server answers only clients that have a certificate, and none
    /// was given.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// How many connections were opened.
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// The result in one sentence.
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
                    false => format!("As far as it could be checked, the connection to {subject} is secure"),
                };
                (good, format!("{what} has faults"))
            }
            Kind::Preflight => (
                format!("With {subject} the server is ready"),
                format!("With {subject} the server is not ready"),
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

    /// The report as JSON. As long as `schema` is [`SCHEMA`], members keep their meaning; later versions may add members.
    /// [`JSON_SCHEMA`] describes the same for programs.
    ///
    /// | member | what it is |
    /// |---|---|
    /// | `schema` | `lockgate.check/1` |
    /// | `kind` | `url`, or `before` for [`Preflight`](super::Preflight) |
    /// | `url` | of a URL: what was checked |
    /// | `subject` | of a preflight: what was checked, in words |
    /// | `checked_at` | seconds since 1970-01-01 UTC |
    /// | `verdict` | `clean`, `warnings` or `errors` |
    /// | `complete` | whether everything was checked; false when clients need a certificate and none was given |
    /// | `summary` | the result in one sentence |
    /// | `connections` | how many were opened |
    /// | `findings` | the worst first; of each `id`, `severity` (`error`, `warning`, `note`), `place` (or null), `seen`, `why`, `fix`, `reference`, and `refused_by`, clients that refuse it |
    /// | `unknown` | what the check could not find out, as texts |
    /// | `facts.address` | the address and port that were connected to |
    /// | `facts.tls` | `versions` (accepted, by name), `version`, `cipher`, `key_exchange` (the group, or null) and `alpn` of a current client, `weak_ciphers`, `post_quantum`, `resumption`, `client_certificate`, `without_name`, `plain_http_answer` |
    /// | `facts.certificate` | `trusted` (the trusted authority, or null), `chain` (the number of certificates sent), `subject`, `issuer`, `serial`, `dns_names`, `ip_addresses`, `not_before`, `not_after`, `days_left` (negative after expiry), `key`, `signature`, `sha256` |
    /// | `facts.other_certificate` | the same for the certificate that clients with the other kind of key get (RSA or ECDSA); missing when there is none |
    /// | `facts.https` | `status`, `hsts`, `keep_alive`, `head_status`, `clock_ahead_seconds`, `openapi` |
    /// | `facts.http` | `port`, `answer` (`none`, `redirect`, `content`, `refusal`), `status`, `location` |
    ///
    /// A preflight has other facts: `clock` (seconds since 1970-01-01 UTC), `certificates` (of each `file`, `subject`,
    /// `not_after`, `days_left`), `connections` (that the limits leave), `memory` (`ceiling_bytes`, `machine_bytes` or
    /// null), and `listeners.https`, `listeners.http` and `listeners.admin` (`free`, `taken`, `already served`, `not permitted`, `not of this
    /// machine`, `fails`), and `backends` (of each `target`, the `status` that it answers with, or null, and what was `seen`, as a clause).
    ///
    /// A fact that the check could not find out is missing.
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

/// One line for each finding, and the summary.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{}: {finding}", finding.severity()))?;
        f.write_str(&self.summary())
    }
}
