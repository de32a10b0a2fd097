//! Every kind of finding of this check, in tables, for the report, `lockgate check --explain` and `FINDINGS.md`. An id
//! never changes its meaning. Values only.

mod certificate;
mod http;
mod preflight;
mod tls;

pub(super) use certificate::*;
pub(super) use http::*;
pub(super) use preflight::*;
pub(super) use tls::*;

use crate::finding::Rule;

/// A kind of finding, and the long text about it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) rule: &'static Rule,
    /// How the check finds it, and what else there is to know.
    pub(super) about: &'static str,
}

macro_rules! rules {
    ($($name:ident: $id:literal, $severity:ident;
        why $why:expr; about $about:expr; fix $fix:expr; see $reference:expr;)*) => {
        $(pub(in crate::check) static $name: Rule = Rule {
            id: $id,
            severity: Severity::$severity,
            why: $why,
            refused_by: &[],
            fix: $fix,
            reference: $reference,
        };)*
        /// All entries, in the order of `FINDINGS.md`.
        pub(in crate::check) static TABLE: &[Entry] = &[$(Entry { rule: &$name, about: $about }),*];
    };
}
use rules;

/// All entries of this check, by topic.
pub(super) static TABLES: [(&str, &[Entry]); 4] = [
    ("TLS", tls::TABLE),
    ("The certificate as it is served", certificate::TABLE),
    ("HTTP", http::TABLE),
    ("Before it is served", preflight::TABLE),
];
