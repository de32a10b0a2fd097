//! `lockgate cert install`: takes an authority's answer to the request of `cert csr`, and puts it in place.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use lockgate::internal::regular_file::{self, Links};
use lockgate::internal::{escape, shell_word, MAX_FILE_BYTES};
use lockgate::{iso8601, Certificate, Chain, Error, Identity, IdentityFault};

use super::csr::{not_written, Places};
use crate::command::arguments::Arguments;
use crate::command::exit::{self, Code};
use crate::command::failure::Failure;
use crate::command::option::Table;
use crate::command::options::{self, cert};
use crate::command::placing;
use crate::command::spec::{Operands, Settings, Spec};
use crate::command::terminal::say;

pub(in crate::command) static SPEC: Spec = Spec {
    name: "cert install",
    synopsis: "ANSWER… (--state DIR | --key FILE --cert FILE)",
    summary: "Puts the certificate that an authority has issued in place.",
    text: &[HELP],
    operands: Operands::Some {
        name: "ANSWER",
        what: "a file with certificates that the authority has sent",
        least: 1,
        most: 16,
    },
    options: &[Table {
        title: "Options",
        note: "",
        options: &[&[&cert::STATE, &cert::KEY_TO_KEEP, &cert::CERT], options::COMMON],
    }],
    settings: Settings::None,
    exit_codes: exit::WRITING,
    usage_code: Code::Usage,
    run,
};

const HELP: &str = "\
Takes what the authority has sent, in one file or several, as PEM, DER or PKCS#7 (.p7b), in any
order, with or without the root. Finds the certificate that belongs to the key, puts its issuers
after it in their order, leaves out the root and all others, and puts the whole in place at once:
a server that runs with these files takes it by itself, and never sees half of it.
It refuses a certificate that does not match the key or is not valid now; the old one stays in
place then.

  lockgate cert install answer.pem intermediate.pem --key key.pem --cert cert.pem
";

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let places = match (&arguments.state, &arguments.key, arguments.certs.first()) {
        (Some(state), None, None) => Places::of(state),
        (None, Some(key), Some(cert)) => {
            Places { key: key.clone(), cert: cert.clone(), named: String::new() }
        }
        (None, Some(_), None) => {
            return Err(Failure::usage("--cert FILE is missing: where the certificate goes"))
        }
        (None, None, Some(_)) => {
            return Err(Failure::usage("--key FILE is missing: the key that it belongs to"))
        }
        (None, None, None) => {
            return Err(Failure::usage("--state DIR is missing, or --key FILE and --cert FILE"))
        }
        (Some(_), ..) => {
            return Err(Failure::usage(
                "--state says where key and certificate are; leave out --key and --cert",
            ));
        }
    };
    let mut found = Vec::new();
    for answer in &arguments.operands {
        found.extend_from_slice(Chain::from_answer_file(answer)?.certificates());
    }
    let chain = Chain::from_certificates(found).with_key_file(&places.key)?;
    if chain.has_certificate_of_key() != Some(true) {
        return Err(no_match(arguments, &chain, &places.key));
    }
    let in_order = chain.in_order();
    let pem: String = in_order.iter().map(Certificate::to_pem).collect();
    try_to_serve(arguments, &pem, &places.key)?;
    refuse_to_write_over(&places.cert)?;
    placing::replace(&places.cert, &pem, 0o644).map_err(|error| not_written(&places.cert, &error))?;
    say(&report(&places, &in_order, chain.certificates().len()));
    Ok(ExitCode::SUCCESS)
}

fn answers(arguments: &Arguments) -> String {
    let names: Vec<String> = arguments.operands.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

fn no_match(arguments: &Arguments, chain: &Chain, key: &Path) -> Failure {
    let subjects = chain.certificates().iter().filter(|certificate| !certificate.is_ca()).take(3);
    let mut named: Vec<String> =
        subjects.map(|certificate| format!("{} ({})", certificate.subject(), certificate.key())).collect();
    if named.is_empty() {
        named.push("authorities only".to_string());
    }
    let message = format!(
        "{}: holds no certificate for the key in {}, but {}; give the answer to the request that was made with this key",
        answers(arguments),
        key.display(),
        named.join(", ")
    );
    Failure::new(Code::Configuration, message)
}

/// A certificate that a server would refuse is not put in place.
fn try_to_serve(arguments: &Arguments, pem: &str, key: &Path) -> Result<(), Failure> {
    let key_pem = regular_file::read(key, Links::Followed, MAX_FILE_BYTES).map_err(|source| {
        Error::Identity { file: Some(key.to_path_buf()), fault: IdentityFault::Unreadable(source) }
    })?;
    let unusable = |fault: IdentityFault| {
        Err(Failure::new(Code::Configuration, format!("{}: {fault}", answers(arguments))))
    };
    match Identity::from_pem(pem.as_bytes(), &key_pem) {
        // A server would start with it, and clients would refuse it.
        Ok(identity) => identity.clock_fault(SystemTime::now()).map_or(Ok(()), unusable),
        Err(Error::Identity { fault, .. }) => unusable(fault),
        Err(other) => Err(other.into()),
    }
}

/// A mistake in typing must not cost a key, or any other file than one of certificates.
fn refuse_to_write_over(cert: &Path) -> Result<(), Failure> {
    let keep = |what: &str| {
        let message =
            format!("{}: {what}, and stays as it is; give the certificate a file of its own", cert.display());
        Err(Failure::new(Code::Configuration, message))
    };
    match Chain::from_pem_file(cert) {
        Ok(chain) if chain.has_certificate_of_key().is_some() => keep("holds a private key"),
        Ok(_) | Err(Error::Identity { fault: IdentityFault::Missing, .. }) => Ok(()),
        Err(_) if fs::metadata(cert).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0) => {
            Ok(())
        }
        Err(_) => keep("holds something else than certificates"),
    }
}

fn report(places: &Places, in_order: &[Certificate], found: usize) -> String {
    let mut text = format!("Installed in {}", escape::path(&places.cert));
    if let Some(own) = in_order.first() {
        let addresses = own.ip_addresses().iter().map(ToString::to_string);
        let names: Vec<String> = own.dns_names().iter().cloned().chain(addresses).collect();
        text.push_str(&format!(": for {}, until {}", names.join(", "), iso8601(own.not_after())));
    }
    let issuers: Vec<&str> = in_order.iter().skip(1).map(Certificate::subject).collect();
    if !issuers.is_empty() {
        text.push_str(&format!(", with {}", issuers.join(", then ")));
    }
    let left_out = found - in_order.len();
    if left_out > 0 {
        text.push_str(&format!("; {left_out} left out (the root, or not needed)"));
    }
    text.push_str(".\nA server that runs with this file takes it by itself. To start one: lockgate serve");
    text.push_str(&format!(" --cert {} --key {}", shell_word(&places.cert), shell_word(&places.key)));
    text
}
