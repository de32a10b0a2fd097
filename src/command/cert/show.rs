//! `lockgate cert show`: shows what is in a certificate's file, and what is wrong with it.

use std::process::ExitCode;
use std::time::SystemTime;

use lockgate::internal::{escape, signed_unix};
use lockgate::{iso8601, Certificate, Chain, Finding, Severity};
use serde_json::{json, Value};

use crate::command::arguments::Arguments;
use crate::command::exit::Code;
use crate::command::failure::Failure;
use crate::command::option::Table;
use crate::command::options::{self, cert};
use crate::command::spec::{Operands, Settings, Spec};
use crate::command::terminal::{say, say_json, wrapped};
use crate::command::value;

pub(in crate::command) static SPEC: Spec = Spec {
    name: "cert show",
    synopsis: "FILE [--key FILE] [--json]",
    summary: "Shows what is in a certificate's file, and what is wrong with it.",
    text: &[HELP],
    operands: Operands::Some { name: "FILE", what: "a PEM file with a certificate", least: 1, most: 1 },
    options: &[Table {
        title: "Options",
        note: "",
        options: &[&[&cert::KEY_OF_CERTIFICATE, &options::JSON], options::COMMON],
    }],
    settings: Settings::None,
    exit_codes: &[
        (0, "nothing to object to, beside notes"),
        (WARNINGS, "warnings: some clients are turned away, or all will be before long"),
        (ERRORS, "errors: it cannot work, or one of the large clients refuses it"),
        (Code::UsageOfReport as u8, "the command line is wrong"),
        (Code::Configuration as u8, "a file cannot be read, or holds no certificate or no key"),
    ],
    usage_code: Code::UsageOfReport,
    run,
};

const WARNINGS: u8 = 1;
const ERRORS: u8 = 2;
/// Where lines end, if a word allows it.
const WIDTH: usize = 88;
/// Where the values stand, behind their labels.
const INDENT: usize = 15;

const HELP: &str = "\
Shows each certificate of a file (PEM with one or several, or one in DER), and all that Apple's
devices, Chrome, Firefox and other clients would object to: order, missing and superfluous
certificates, validity, names, usages, keys, signatures. Each finding has an id that does not
change, and says how to fix it. The command asks nothing of the network.

  lockgate cert show fullchain.pem --key privkey.pem

--json writes one object: version (1), file, key_matches (true, false, or null without a key),
certificates, findings, errors, warnings and notes (their numbers). A certificate has place
(from 1), subject, issuer, serial, version, not_before and not_after (seconds since 1970),
dns_names, ip_addresses, other_names (their number), key, signature, is_ca, is_self_signed,
path_length, has_name_constraints, issuers_at, key_usage and extended_key_usage (null when it
does not say), sha256. A finding has id, severity (note, warning, error), place (or null), seen,
why, refused_by, fix, reference. Fields may be added in the same version, and none changes.
";

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let [file] = &arguments.operands[..] else {
        return Err(Failure::new(Code::UsageOfReport, "FILE is missing"));
    };
    let mut chain = Chain::from_pem_file(file)?;
    if let Some(key) = &arguments.key {
        chain = chain.with_key_file(key)?;
    }
    let clock = SystemTime::now();
    let (now, findings) = (signed_unix(clock), chain.findings(clock));
    if arguments.json {
        say_json(&format!("{:#}", in_json(&file.to_string_lossy(), &chain, &findings)));
    } else {
        say(&for_people(&escape::path(file).to_string(), &chain, &findings, now));
    }
    Ok(ExitCode::from(match findings.iter().map(Finding::severity).max() {
        Some(Severity::Error) => ERRORS,
        Some(Severity::Warning) => WARNINGS,
        _ => 0,
    }))
}

fn for_people(file: &str, chain: &Chain, findings: &[Finding], now: i64) -> String {
    let certificates = chain.certificates();
    let mut text = match certificates.len() {
        1 => format!("{file}: one certificate"),
        count => format!("{file}: {count} certificates"),
    };
    text.push_str(match chain.has_certificate_of_key() {
        Some(true) => ", and the key belongs to it\n",
        Some(false) => ", and the key belongs to none of them\n",
        None => "\n",
    });
    for (at, certificate) in certificates.iter().enumerate() {
        text.push_str(&format!("\nCertificate {}\n", at + 1));
        for (label, value) in facts(certificate, now) {
            text.push_str(&format!("  {label:<12} {value}\n"));
        }
    }
    for finding in findings {
        let place = finding.place().map(|place| format!(" in {place}")).unwrap_or_default();
        text.push_str(&format!("\n{} {}{place}\n", finding.severity(), finding.id()));
        let refused_by = finding.refused_by().join(", ");
        let why = wrapped(finding.why(), WIDTH, INDENT, INDENT);
        for (label, value) in [
            ("seen", finding.seen()),
            ("why", &why),
            ("refused by", &refused_by),
            ("fix", finding.fix()),
            ("see", finding.reference()),
        ] {
            if !value.is_empty() {
                text.push_str(&format!("  {label:<12} {value}\n"));
            }
        }
    }
    text.push_str(&format!("\n{}", summary(findings)));
    text
}

fn facts(certificate: &Certificate, now: i64) -> Vec<(&'static str, String)> {
    let addresses = certificate.ip_addresses().iter().map(ToString::to_string);
    let names: Vec<String> = certificate.dns_names().iter().cloned().chain(addresses).collect();
    let usage = certificate.key_usage().map_or_else(|| "any".to_string(), |usage| usage.join(", "));
    let purpose =
        certificate.extended_key_usage().map_or_else(|| "any".to_string(), |usage| usage.join(", "));
    let (begins, ends) = (signed_unix(certificate.not_before()), signed_unix(certificate.not_after()));
    const DAY: i64 = 86_400;
    let life = (ends - begins) / DAY;
    let left = match ends - now {
        left if left < 0 => "expired".to_string(),
        _ if now < begins => "not valid yet".to_string(),
        left => format!("{} of {life} days left", left / DAY),
    };
    let kind = match (certificate.is_ca(), certificate.is_self_signed()) {
        (true, true) => "an authority, its own issuer (a root)",
        (true, false) => "an authority",
        (false, true) => "its own issuer (self-signed)",
        (false, false) => "a server or a client",
    };
    let kind = match certificate.has_name_constraints() {
        true => format!("{kind}, for certain names only"),
        false => kind.to_string(),
    };
    vec![
        ("subject", certificate.subject().to_string()),
        ("issuer", certificate.issuer().to_string()),
        ("kind", kind),
        ("names", if names.is_empty() { "none".to_string() } else { names.join(", ") }),
        (
            "valid",
            format!("{} to {} ({left})", iso8601(certificate.not_before()), iso8601(certificate.not_after())),
        ),
        ("key", certificate.key()),
        ("signature", certificate.signature().to_string()),
        ("key usage", usage),
        ("purpose", purpose),
        ("serial", certificate.serial()),
        ("SHA-256", value::show_fingerprint(&certificate.fingerprint())),
    ]
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings.iter().filter(|finding| finding.severity() == severity).count()
}

fn summary(findings: &[Finding]) -> String {
    let counted = |severity: Severity| match count(findings, severity) {
        0 => None,
        1 => Some(format!("1 {severity}")),
        count => Some(format!("{count} {severity}s")),
    };
    let parts: Vec<String> =
        [Severity::Error, Severity::Warning, Severity::Note].into_iter().filter_map(counted).collect();
    if parts.is_empty() {
        "Nothing to object to.".to_string()
    } else {
        format!("{}.", parts.join(", "))
    }
}

fn in_json(file: &str, chain: &Chain, findings: &[Finding]) -> Value {
    let certificate = |(at, certificate): (usize, &Certificate)| {
        json!({
            "place": at + 1,
            "subject": certificate.subject(),
            "issuer": certificate.issuer(),
            "serial": certificate.serial(),
            "version": certificate.version(),
            "not_before": signed_unix(certificate.not_before()),
            "not_after": signed_unix(certificate.not_after()),
            "dns_names": certificate.dns_names(),
            "ip_addresses": certificate.ip_addresses().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "other_names": certificate.other_names(),
            "key": certificate.key(),
            "signature": certificate.signature(),
            "is_ca": certificate.is_ca(),
            "is_self_signed": certificate.is_self_signed(),
            "path_length": certificate.path_length(),
            "has_name_constraints": certificate.has_name_constraints(),
            "issuers_at": certificate.issuers_at(),
            "key_usage": certificate.key_usage(),
            "extended_key_usage": certificate.extended_key_usage(),
            "sha256": value::show_fingerprint(&certificate.fingerprint()),
        })
    };
    json!({
        "version": 1,
        "file": file,
        "key_matches": chain.has_certificate_of_key(),
        "certificates": chain.certificates().iter().enumerate().map(certificate).collect::<Vec<_>>(),
        "findings": findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
        "errors": count(findings, Severity::Error),
        "warnings": count(findings, Severity::Warning),
        "notes": count(findings, Severity::Note),
    })
}
