//! Every kind of finding of this check, in tables: the report, `lockgate check --explain` and `FINDINGS.md` read them. Ids
//! never change their meaning. Values only.

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
    /// How it is found out, and what there is to know about it.
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
        /// All of them, in the order in which they are explained.
        pub(in crate::check) static TABLE: &[Entry] = &[$(Entry { rule: &$name, about: $about }),*];
    };
}
use rules;

/// All of this check's own, by what they are about.
pub(super) const TABLES: [(&str, &[Entry]); 4] = [
    ("TLS", tls::TABLE),
    ("The certificate as it is served", certificate::TABLE),
    ("HTTP", http::TABLE),
    ("Before it is served", preflight::TABLE),
];
