//! The TLS that a server accepts, found by hellos that each offer one thing only. `Check` calls it.

use serde_json::{json, Value};

use super::flight::{Answer, Flight};
use super::hello::{Hello, Version, GROUPS, X25519MLKEM768};
use super::rules;
use super::run::Run;
use super::suites::{self, Suite};
use crate::finding::Rule;

/// The results of the hellos that other parts of the check need.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether the server has answered anything in TLS.
    pub(super) is_tls: bool,
    /// The first bytes of an answer that was not TLS.
    pub(super) foreign: Option<Vec<u8>>,
    pub(super) accepted: Vec<Version>,
    /// The group of the first accepted key exchange.
    pub(super) group: Option<u16>,
    /// The certificates of the first flight in clear that had any.
    pub(super) chain: Vec<Vec<u8>>,
    /// The alert with which the server refused a hello of a current client.
    pub(super) refusal: Option<(Version, u8)>,
}

/// RFC 7301 §3.2 and RFC 8446 §6: alerts that refuse a whole version.
const PROTOCOL_VERSION: u8 = 70;

/// Groups of cipher suites that no server should accept, and the finding for each.
static WEAK: [(&[Suite], Version, &Rule, &str); 7] = [
    (suites::NULL, Version::Tls12, &rules::NULL_CIPHER, "NULL ciphers"),
    (suites::ANONYMOUS, Version::Tls12, &rules::ANONYMOUS_CIPHER, "ciphers without a certificate"),
    (suites::EXPORT, Version::Tls10, &rules::EXPORT_CIPHER, "export ciphers"),
    (suites::RC4, Version::Tls12, &rules::RC4_CIPHER, "RC4"),
    (suites::DES, Version::Tls12, &rules::DES_CIPHER, "3DES"),
    (suites::STATIC_RSA, Version::Tls12, &rules::NO_FORWARD_SECRECY, "RSA key exchange"),
    (suites::CBC, Version::Tls12, &rules::CBC_CIPHER, "CBC ciphers"),
];

/// Tries every version and every group of ciphers; `is_tls` when the port is known to speak TLS. Ends early when it does
/// not.
pub(super) fn look(run: &mut Run<'_>, is_tls: bool) -> Seen {
    let mut seen = Seen { is_tls, ..Seen::default() };
    (run.progress)("TLS versions");
    let modern = suites::numbers(&[suites::MODERN, suites::CBC, suites::STATIC_RSA]);
    let old = suites::numbers(&[suites::CBC, suites::STATIC_RSA, suites::DES, suites::RC4]);
    let tls13 = suites::numbers(&[suites::TLS13]);
    let mut refused_1_2 = false;
    for (version, suites) in [
        (Version::Tls13, &tls13),
        (Version::Tls12, &modern),
        (Version::Tls11, &old),
        (Version::Tls10, &old),
        (Version::Ssl3, &old),
    ] {
        let answer = ask(run, &mut seen, version, suites, &GROUPS, version.name());
        refused_1_2 |= version == Version::Tls12 && answer == Some(Answer::Alert(PROTOCOL_VERSION));
        let is_enough = version == Version::Tls12 && seen.foreign.is_some() || answer == Some(Answer::Silent);
        if !seen.is_tls && is_enough {
            run.dialer.take_time();
            return seen;
        }
    }
    if !seen.is_tls {
        return seen;
    }
    (run.progress)("weak ciphers");
    let mut weak = Vec::new();
    for (group, version, rule, words) in WEAK {
        // A server that refuses TLS 1.2 and all older versions cannot choose these ciphers.
        if refused_1_2 && seen.accepted.iter().all(|version| *version >= Version::Tls13) {
            break;
        }
        let offered = suites::numbers(&[group]);
        if let Some(Answer::Accepted(flight)) = ask(run, &mut seen, version, &offered, &GROUPS, words) {
            if offered.contains(&flight.suite) && flight.version < Version::Tls13 as u16 {
                let name = suites::name(flight.suite);
                run.found(rule, format!("the server accepts {words}: {name}"));
                weak.push(Value::from(name));
            }
        }
    }
    run.dialer.take_time();
    run.fact("tls", "weak_ciphers", weak);
    versions(run, &seen);

    if seen.accepted.contains(&Version::Tls13) {
        (run.progress)("post-quantum key exchange");
        let answer =
            ask(run, &mut seen, Version::Tls13, &tls13, &[X25519MLKEM768], "post-quantum key exchange");
        let is_chosen =
            matches!(&answer, Some(Answer::Accepted(flight)) if flight.group == Some(X25519MLKEM768));
        run.fact("tls", "post_quantum", is_chosen);
        if !is_chosen {
            run.found(&rules::NO_POST_QUANTUM, "X25519MLKEM768 is not offered");
        }
    }
    seen
}

/// Adds the findings about versions, after all hellos, because weak ciphers are tried in old versions too.
fn versions(run: &mut Run<'_>, seen: &Seen) {
    let versions: serde_json::Map<String, Value> = Version::ALL
        .into_iter()
        .rev()
        .map(|version| (version.name().to_string(), json!(seen.accepted.contains(&version))))
        .collect();
    run.fact("tls", "versions", versions);
    for (version, rule) in
        [(Version::Ssl3, &rules::SSL_3), (Version::Tls10, &rules::TLS_1_0), (Version::Tls11, &rules::TLS_1_1)]
    {
        if seen.accepted.contains(&version) {
            run.found(rule, format!("the server accepts {}", version.name()));
        }
    }
    if seen.accepted.contains(&Version::Tls12) && !seen.accepted.contains(&Version::Tls13) {
        run.found(&rules::NO_TLS_1_3, "TLS 1.2 is the newest version that the server speaks");
    }
}

/// Sends one hello, and records what else its answer shows. `None` when there was no connection.
fn ask(
    run: &mut Run<'_>,
    seen: &mut Seen,
    version: Version,
    suites: &[u16],
    groups: &[u16],
    what: &str,
) -> Option<Answer> {
    let url = run.url.clone();
    let hello = Hello { version, suites, groups, name: url.host.name(), protocols: run.protocols };
    let answer = match run.offer(&hello) {
        Ok(answer) => answer,
        Err(error) => {
            run.unknown(what, &error);
            return None;
        }
    };
    let is_tls = seen.is_tls;
    match &answer {
        Answer::Accepted(flight) => accepted(run, seen, flight),
        Answer::Alert(number) => {
            seen.is_tls = true;
            if version >= Version::Tls12 && seen.refusal.is_none() {
                seen.refusal = Some((version, *number));
            }
        }
        Answer::Foreign(bytes) => seen.foreign = Some(bytes.clone()),
        Answer::Closed => {}
        Answer::Silent => {
            // A server may ignore a hello that it does not understand, and will then ignore the next ones too.
            run.dialer.hurry();
            if is_tls {
                run.unknown.push(format!("{what}: no answer in time"));
            }
        }
    }
    Some(answer)
}

fn accepted(run: &mut Run<'_>, seen: &mut Seen, flight: &Flight) {
    seen.is_tls = true;
    if Version::of(flight.version) >= Some(Version::Tls12) {
        seen.group = seen.group.or(flight.group);
    }
    if let Some(version) = Version::of(flight.version).filter(|version| !seen.accepted.contains(version)) {
        seen.accepted.push(version);
    }
    if seen.chain.is_empty() {
        seen.chain.clone_from(&flight.certificates);
    }
    let is_new = run.findings.iter().all(|finding| finding.id() != rules::WEAK_DH.id);
    if let Some(bits) = flight.dh_bits.filter(|&bits| bits < 2048 && is_new) {
        let name = suites::name(flight.suite);
        run.found(&rules::WEAK_DH, format!("with {name} the server's prime has {bits} bits"));
    }
}
