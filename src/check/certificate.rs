//! The certificates that a server sends: whether they are trusted, whether they are for the host, and whether the server
//! has proved that it has the key. `tls` finds what is wrong with a certificate itself; this file weighs that against the
//! rest of the check. `Check` calls it.

use super::client::{Handshake, Keys};
use super::rules;
use super::run::Run;
use super::secure::shown;
use super::trust::{self, Distrust, Roots, TrustedBy};
use crate::calendar::from_unix;
use crate::finding::{Finding, Rule};
use crate::tls::certificate_rules as of_tls;
use crate::tls::{Certificate, Chain};
use crate::url::Host;

const DAY: i64 = 86_400;
/// The areas of facts: the certificate for a client that accepts every kind of key, and the server's other certificate.
const FIRST: &str = "certificate";
const OTHER: &str = "other_certificate";
/// How many names of a certificate a report quotes.
const MOST_NAMED: usize = 8;

/// What other probes need to know of the certificate.
#[derive(Debug, Default)]
pub(super) struct Served {
    pub(super) trusted_by: Option<TrustedBy>,
    /// The start and the end of its validity.
    pub(super) validity: Option<(i64, i64)>,
}

/// Checks the certificates that the server sent, its own first. `handshake` is `None` when the handshake with a current
/// client failed.
pub(super) fn look(
    run: &mut Run<'_>,
    roots: &Roots,
    ders: &[Vec<u8>],
    handshake: Option<&Handshake>,
    now: i64,
) -> Served {
    let (served, findings) = of_chain(run, roots, ders, handshake, now, FIRST);
    run.own = ders.first().cloned();
    run.findings.extend(findings);
    served
}

/// The kind of key of the server's own certificate, if it is one of the two kinds that a server may serve together.
pub(super) fn kind(ders: &[Vec<u8>]) -> Option<Keys> {
    let own = Certificate::from_der(ders.first()?).ok()?;
    [Keys::Ecdsa, Keys::Rsa].into_iter().find(|keys| own.key().starts_with(keys.name()))
}

/// The same for the certificate that clients with another kind of key get. A fault of both is reported once.
pub(super) fn look_at_other(run: &mut Run<'_>, roots: &Roots, handshake: &Handshake, now: i64) {
    let kind = kind(&handshake.chain).map_or("other", Keys::name);
    let (_, findings) = of_chain(run, roots, &handshake.chain, Some(handshake), now, OTHER);
    for finding in findings {
        let is_told = |before: &Finding| before.id() == finding.id() && before.seen() == finding.seen();
        if run.findings.iter().any(is_told) {
            continue;
        }
        let place = match finding.place() {
            Some(place) => format!("the {kind} certificate, {place}"),
            None => format!("the {kind} certificate"),
        };
        run.findings.push(finding.at(place));
    }
}

fn of_chain(
    run: &mut Run<'_>,
    roots: &Roots,
    ders: &[Vec<u8>],
    handshake: Option<&Handshake>,
    now: i64,
    area: &'static str,
) -> (Served, Vec<Finding>) {
    if ders.is_empty() {
        return Default::default();
    }
    run.fact(area, "chain", ders.len());
    let certificates: Result<Vec<Certificate>, _> =
        ders.iter().map(|der| Certificate::from_der(der)).collect();
    let certificates = match certificates {
        Ok(certificates) => certificates,
        Err(error) => {
            let seen = format!("a certificate cannot be read: {error}");
            return (Served::default(), vec![Finding::new(&rules::UNTRUSTED_CHAIN, seen)]);
        }
    };
    let chain = Chain::from_certificates(certificates);
    let Some(own) = chain.certificates().first() else { return Default::default() };
    // An expired certificate is one finding; whether it was trusted is another.
    let verdict = roots.trusted_by(ders, time_of_validity(&chain, now));
    facts(run, area, own, verdict.as_ref().ok().copied(), now);

    let mut findings = chain.findings(from_unix(now));
    let is_about = |findings: &[Finding], rule: &Rule| findings.iter().any(|finding| finding.id() == rule.id);
    // The authorities show whether an issuer is missing.
    let is_public = is_about(&findings, &of_tls::MISSING_INTERMEDIATE);
    let guesses = [&of_tls::MISSING_INTERMEDIATE, &of_tls::ISSUER_ELSEWHERE];
    findings.retain(|finding| guesses.iter().all(|rule| rule.id != finding.id()));
    match &verdict {
        Ok(_) => {}
        Err(_) if own.is_self_signed() => {
            findings.retain(|finding| finding.id() != of_tls::SELF_SIGNED.id);
            let seen = format!("{} is its own issuer, and no authority has signed it", name_of(own));
            findings.push(Finding::new(&rules::UNTRUSTED_SELF_SIGNED, seen));
        }
        Err(Distrust::UnknownIssuer) => findings.push(unknown_issuer(run, roots, &chain, is_public, "")),
        // The findings of `tls` have said this already, in better words.
        Err(Distrust::OtherKey | Distrust::Other(_))
            if findings.iter().any(|finding| finding.severity() == crate::Severity::Error) => {}
        Err(Distrust::OtherKey) => {
            let hint =
                "; an authority of that name is trusted, with another key: was the authority replaced?";
            findings.push(unknown_issuer(run, roots, &chain, is_public, hint));
        }
        Err(Distrust::Other(why)) => {
            findings.push(Finding::new(&rules::UNTRUSTED_CHAIN, format!("the chain does not verify: {why}")));
        }
    }
    if trust::is_for(own.der(), &run.url.host) == Some(false) && !is_about(&findings, &of_tls::NO_NAMES) {
        findings.push(other_name(run, own));
    }
    let is_weak = [&of_tls::WEAK_KEY, &of_tls::RARE_KEY].iter().any(|rule| is_about(&findings, rule));
    if handshake.is_some_and(|handshake| !handshake.has_proven_key) && !is_weak {
        let seen = "the handshake was not signed with the key of the certificate";
        findings.push(Finding::new(&rules::KEY_UNPROVEN, seen));
    }
    let validity = Some((own.validity().not_before, own.validity().not_after));
    (Served { trusted_by: verdict.ok(), validity }, findings)
}

/// The time nearest to `now` at which all certificates are valid, if there is one.
fn time_of_validity(chain: &Chain, now: i64) -> i64 {
    let certificates = chain.certificates();
    let begins =
        certificates.iter().map(|certificate| certificate.validity().not_before).max().unwrap_or(now);
    let ends = certificates.iter().map(|certificate| certificate.validity().not_after).min().unwrap_or(now);
    now.max(begins).min(ends)
}

/// No trusted authority has issued the chain: either an intermediate is missing, or the authority is private.
fn unknown_issuer(run: &Run<'_>, roots: &Roots, chain: &Chain, is_public: bool, hint: &str) -> Finding {
    let way = chain.in_order();
    let top = way.last().or(chain.certificates().first());
    let Some(top) = top else { return Finding::new(&rules::UNTRUSTED_AUTHORITY, "no certificate was sent") };
    let issuer = shown_name(top.issuer());
    let root = chain.certificates().iter().find(|root| root.is_self_signed() && top.is_issued_by(root));
    let (url, options) = (&run.url, &run.options);
    // `lockgate demo` writes its authority there.
    let file = if issuer.contains("lockgate demo CA") { "certs/ca.pem" } else { "ca.pem" };
    // The names of device authorities contain these words.
    let get = match issuer.contains(" device CA ") {
        true => "lockgate cert ca --state DIR > ca.pem (on the device)\n",
        false => "",
    };
    // The remedy does not name `--ca` when it was given.
    let fix = match (roots.has_given(), root) {
        (false, _) => format!(
            "{get}lockgate check {url} --ca {file}{options}
and for every client: curl --cacert {file} …, NODE_EXTRA_CA_CERTS={file}, REQUESTS_CA_BUNDLE={file}, SSL_CERT_FILE={file}"
        ),
        (true, Some(_)) => format!("{get}give the certificate of {issuer} with --ca instead, and give it to every client"),
        (true, None) => format!(
            "{get}if {issuer} is an intermediate authority below that of --ca, serve its certificate as well: \
             cat cert.pem intermediate.pem > fullchain.pem
if it is an authority of its own, give the certificate of {issuer} with --ca instead, and give it to every client"
        ),
    };
    let unknown = |seen| Finding::new(&rules::UNTRUSTED_AUTHORITY, seen).fixed_by(fix);
    match (root, top.issuers_at().first()) {
        (Some(_), _) => unknown(format!(
            "the authority is {issuer}, which the server sends and this machine does not trust{hint}"
        )),
        (None, at) if is_public || at.is_some() => {
            let at = at.map_or_else(String::new, |at| format!("; it is at {}", shown(at)));
            let seen = format!(
                "the certificate of {issuer} is missing: it has issued that of {}, was not sent, and is not a trusted authority{at}",
                name_of(top)
            );
            Finding::new(&of_tls::MISSING_INTERMEDIATE, seen)
        }
        (None, _) => unknown(format!(
            "{} was issued by {issuer}, whose certificate is not trusted and was not sent{hint}",
            name_of(top)
        )),
    }
}

fn other_name(run: &Run<'_>, own: &Certificate) -> Finding {
    let addresses = own.ip_addresses().iter().map(ToString::to_string);
    let names: Vec<String> = own.dns_names().iter().cloned().chain(addresses).collect();
    let named: Vec<String> = names.iter().take(MOST_NAMED).map(|name| shown(name)).collect();
    let more = match names.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let host = &run.url.host;
    let seen = format!("{host} is not among its names: {}{more}", named.join(", "));
    let finding = Finding::new(&rules::NAME_MISMATCH, seen);
    match names.iter().find(|name| !name.contains('*')) {
        Some(name) => {
            let kind = if matches!(host, Host::Ip(_)) { "IP" } else { "DNS" };
            let host = host.to_string();
            let host = host.trim_matches(['[', ']']);
            finding.fixed_by(format!(
                "use a name that it has: https://{name}:{}{}\nor get a certificate for this one as well: openssl req … -addext \
                 'subjectAltName=DNS:{name},{kind}:{host}'",
                run.url.port, run.url.path
            ))
        }
        None => finding,
    }
}

fn facts(run: &mut Run<'_>, area: &'static str, own: &Certificate, trusted_by: Option<TrustedBy>, now: i64) {
    use std::fmt::Write;
    let mut fingerprint = String::new();
    for byte in own.fingerprint() {
        // Writing to a String does not fail.
        let _ = write!(fingerprint, "{byte:02x}");
    }
    let addresses: Vec<String> = own.ip_addresses().iter().map(ToString::to_string).collect();
    run.fact(area, "trusted", trusted_by.map(TrustedBy::name));
    run.fact(area, "subject", own.subject());
    run.fact(area, "issuer", own.issuer());
    run.fact(area, "serial", own.serial());
    run.fact(area, "dns_names", own.dns_names());
    run.fact(area, "ip_addresses", addresses);
    run.fact(area, "not_before", own.validity().not_before);
    run.fact(area, "not_after", own.validity().not_after);
    run.fact(area, "days_left", (own.validity().not_after - now).div_euclid(DAY));
    run.fact(area, "key", own.key());
    run.fact(area, "signature", own.signature());
    run.fact(area, "sha256", fingerprint);
}

/// Whether another connection has shown a certificate other than the first one.
pub(super) fn compare(run: &mut Run<'_>, first: &[Vec<u8>], other: &[Vec<u8>]) {
    let read = |chain: &[Vec<u8>]| chain.first().and_then(|der| Certificate::from_der(der).ok());
    let (Some(first), Some(other)) = (read(first), read(other)) else { return };
    let is_same = first.issuer() == other.issuer() && first.serial() == other.serial();
    let is_new = run.findings.iter().all(|finding| finding.id() != of_tls::REPEATED_SERIAL.id);
    if first.der() != other.der() && is_same && is_new {
        let seen = format!(
            "two connections were shown different certificates of {} with the serial number {}",
            shown_name(first.issuer()),
            first.serial()
        );
        run.found(&of_tls::REPEATED_SERIAL, seen);
    }
}

/// The subject of the first certificate of a chain, for a sentence.
pub(super) fn subject(chain: &[Vec<u8>]) -> String {
    match chain.first().and_then(|der| Certificate::from_der(der).ok()) {
        Some(certificate) => format!("the certificate of {}", name_of(&certificate)),
        None => "no certificate".to_string(),
    }
}

fn name_of(certificate: &Certificate) -> String {
    shown_name(certificate.subject())
}

fn shown_name(name: &str) -> String {
    if name.is_empty() {
        "(no name)".to_string()
    } else {
        name.to_string()
    }
}
