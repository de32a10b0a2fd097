//! The long text about each kind of finding, and the page of all of them. Values only.

use super::rules::TABLES;
use crate::finding::{Rule, Severity};
#[cfg(all(test, feature = "scan"))]
use crate::scan;
use crate::tls::certificate_rules;

const CERTIFICATES: &str = "Certificates";

/// The description of a kind of finding.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    topic: &'static str,
    rule: &'static Rule,
    about: &'static str,
}

/// The explanation for this id; `None` for an unknown id.
pub fn explain(id: &str) -> Option<Explanation> {
    Explanation::all().find(|explanation| explanation.id() == id)
}

impl Explanation {
    /// All explanations, by topic.
    pub fn all() -> impl Iterator<Item = Explanation> {
        let own = TABLES.into_iter().flat_map(|(topic, entries)| {
            entries.iter().map(move |entry| Explanation { topic, rule: entry.rule, about: entry.about })
        });
        let of_certificates = certificate_rules::TABLE;
        own.chain(of_certificates.iter().map(|rule| Explanation { topic: CERTIFICATES, rule, about: "" }))
    }

    /// The topic: `TLS`, `HTTP`, certificates.
    pub fn topic(&self) -> &'static str {
        self.topic
    }

    /// The id of the kind, such as `tls-1-0`.
    pub fn id(&self) -> &'static str {
        self.rule.id
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.rule.severity
    }

    /// Why it matters.
    pub fn why(&self) -> &'static str {
        self.rule.why
    }

    /// How the check finds it, and what else there is to know. May be empty.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// Those of `Apple`, `Chrome` and `Firefox` that refuse a server for this alone.
    pub fn refused_by(&self) -> &'static [&'static str] {
        self.rule.refused_by
    }

    /// How to fix it; a line that begins with the name of a program is for that program.
    pub fn fix(&self) -> &'static str {
        self.rule.fix
    }

    /// The standard or manual that says so.
    pub fn reference(&self) -> &'static str {
        self.rule.reference
    }
}

/// The page of all findings, in Markdown: `src/check/FINDINGS.md`.
#[cfg(all(test, feature = "scan"))]
fn page() -> String {
    let mut out = String::from(
        "# What a check can find\n\n\
         The tests write this page from the tables in `src/check/rules`, `src/scan/findings.rs` and\n\
         `src/tls/findings/rules.rs`, which `lockgate cert show` reads too. To write it again:\n\
         `LOCKGATE_WRITE=1 cargo test --features cli --lib the_page_of_all_findings`. `lockgate check --explain ID` prints the same.\n",
    );
    let mut topic = "";
    for explanation in Explanation::all() {
        if explanation.topic != topic {
            topic = explanation.topic;
            out.push_str(&format!("\n## {topic}\n"));
        }
        out.push_str(&format!("\n### {} ({})\n\n", explanation.id(), explanation.severity()));
        for part in [explanation.why(), explanation.about()].into_iter().filter(|part| !part.is_empty()) {
            out.push_str(&format!("{part}\n\n"));
        }
        if !explanation.refused_by().is_empty() {
            out.push_str(&format!("Refused by {}.\n\n", explanation.refused_by().join(", ")));
        }
        out.push_str(&format!("```text\n{}\n```\n\nSee {}.\n", explanation.fix(), explanation.reference()));
    }
    out.push_str("\n## Client code\n");
    for explanation in scan::Explanation::all() {
        let (id, severity, title) = (explanation.id(), explanation.severity(), explanation.title());
        out.push_str(&format!("\n### {id} ({severity})\n\n{title}. {}\n\n", explanation.why()));
        out.push_str(&format!("```text\n{}\n```\n\n", explanation.long().trim_end()));
        out.push_str(&format!("To fix it: {}.\n\nSee {}.\n", explanation.fix(), explanation.reference()));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[cfg(feature = "scan")]
    #[test]
    fn the_page_of_all_findings_matches_the_tables() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/check/FINDINGS.md");
        if std::env::var_os("LOCKGATE_WRITE").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap();
        assert!(there == page(), "{path} is not what the tables say; LOCKGATE_WRITE=1 writes it anew");
    }

    #[test]
    fn every_finding_has_an_id_of_its_own_and_says_all_there_is_to_say() {
        let mut ids = BTreeSet::new();
        for explanation in Explanation::all() {
            let id = explanation.id();
            assert!(ids.insert(id), "{id} is there twice");
            assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{id}");
            for text in [explanation.why(), explanation.fix(), explanation.reference()] {
                assert!(!text.is_empty() && !text.contains("  ") && text.trim() == text, "{id}: {text}");
            }
            assert!(explanation.why().ends_with('.'), "{id}");
            let is_own = explanation.topic() != CERTIFICATES;
            assert_eq!(is_own, !explanation.about().is_empty(), "{id}");
            assert_eq!(explain(id).unwrap().id(), id);
        }
        #[cfg(feature = "scan")]
        for explanation in scan::Explanation::all() {
            assert!(ids.insert(explanation.id()), "{} is there twice", explanation.id());
        }
        assert!(ids.len() > 60, "{}", ids.len());
        assert!(explain("nonsense").is_none());
    }
}
