//! `lockgate cert csr`: makes a key that never leaves the device, and a request (PKCS#10, RFC 2986) for an authority that the
//! device cannot reach. `cert install` puts the answer in place.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lockgate::internal::regular_file::{self, Links};
use lockgate::internal::{dns_name, escape, shell_word, MAX_FILE_BYTES};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};

use lockgate::Chain;

use crate::command::arguments::Arguments;
use crate::command::exit::{self, Code};
use crate::command::failure::Failure;
use crate::command::logger::tell;
use crate::command::option::Table;
use crate::command::options::{self, cert};
use crate::command::placing;
use crate::command::spec::{Operands, Settings, Spec};
use crate::command::terminal::say;

pub(in crate::command) static SPEC: Spec = Spec {
    name: "cert csr",
    synopsis: "--name NAME… (--state DIR | --key FILE) [--out FILE]",
    summary: "Makes a key, and a request to get a certificate for it from an authority.",
    text: &[HELP],
    operands: Operands::None,
    options: &[Table {
        title: "Options",
        note: "",
        options: &[&[&cert::NAME, &cert::STATE, &cert::KEY_TO_KEEP, &cert::OUT], options::COMMON],
    }],
    settings: Settings::None,
    exit_codes: exit::WRITING,
    usage_code: Code::Usage,
    run,
};

const HELP: &str = "\
For devices that no authority can reach. Makes an ECDSA P-256 key with mode 0600, unless there is
already a key, and writes a request for a certificate with these names. The key never leaves the
device.

  lockgate cert csr --name device.example --name 192.0.2.7 --key key.pem --out request.pem
  openssl x509 -req -in request.pem -copy_extensions copy -days 365 \\
      -CA ca.pem -CAkey ca-key.pem -out answer.pem
  lockgate cert install answer.pem --key key.pem --cert cert.pem
  lockgate serve --cert cert.pem --key key.pem

The request asks for what clients look for: each name as subjectAltName, digitalSignature as
keyUsage, serverAuth as extendedKeyUsage.
";

/// RFC 5280 appendix A.1: ub-common-name.
const LONGEST_COMMON_NAME: usize = 64;
/// The first line of a request. A file that begins with it may be written over.
const BEGIN: &str = "-----BEGIN CERTIFICATE REQUEST-----";

/// Where a key and its certificate are, as `--state` or `--key` and `--cert` say.
pub(in crate::command) struct Places {
    pub key: PathBuf,
    pub cert: PathBuf,
    /// How the two are named on the command line.
    pub named: String,
}

impl Places {
    /// Below the state directory they have a folder of their own, which the renewal of certificates does not touch.
    pub(in crate::command) fn of(state: &Path) -> Places {
        let dir = state.join("installed");
        let named = format!("--state {}", shell_word(state));
        Places { key: dir.join("key.pem"), cert: dir.join("cert.pem"), named }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let names = names(&arguments.names)?;
    let places = match (&arguments.state, &arguments.key) {
        (Some(state), None) => Places::of(state),
        (None, Some(key)) => {
            let named = format!("--key {} --cert cert.pem", shell_word(key));
            Places { key: key.clone(), cert: "cert.pem".into(), named }
        }
        (Some(_), Some(_)) => {
            return Err(Failure::usage("--state and --key both say where the key is; give one of them"))
        }
        (None, None) => {
            return Err(Failure::usage("--state DIR or --key FILE is missing: where the key is to be kept"));
        }
    };
    if let Some(out) = &arguments.out {
        refuse_to_write_over(out)?;
    }
    if arguments.state.is_some() {
        make_directory(&places.key)?;
    }
    let key = key(&places.key)?;
    let request = request(&names, &key)
        .map_err(|error| Failure::new(Code::Runtime, format!("the request cannot be made: {error}")))?;
    match &arguments.out {
        Some(out) => placing::replace(out, &request, 0o644).map_err(|error| not_written(out, &error))?,
        None => say(request.trim_end()),
    }
    tell(&format!(
        "The key is in {} and stays there. When the authority has answered: lockgate cert install ANSWER.pem {}",
        escape::path(&places.key),
        places.named
    ));
    Ok(ExitCode::SUCCESS)
}

/// The names in the form that a request has them in.
fn names(given: &[String]) -> Result<Vec<SanType>, Failure> {
    if given.is_empty() {
        return Err(Failure::usage(
            "--name NAME is missing: a certificate is for the names and addresses by which clients call the device",
        ));
    }
    let name = |name: &String| {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(SanType::IpAddress(address));
        }
        let refused = |why: &dyn fmt::Display| {
            Failure::usage(format!(
                "--name: {name:?} is not accepted here: {why}; give a DNS name (in ASCII; *.example.org for all below one) or \
                 an address, without scheme and port"
            ))
        };
        let name = dns_name(name).map_err(|fault| refused(&fault))?;
        name.try_into().map(SanType::DnsName).map_err(|error: rcgen::Error| refused(&error))
    };
    given.iter().map(name).collect()
}

/// The key that is there, or a new one.
fn key(path: &Path) -> Result<KeyPair, Failure> {
    let made = KeyPair::generate()
        .map_err(|error| Failure::new(Code::Runtime, format!("no key can be made: {error}")))?;
    match placing::put_new(path, &made.serialize_pem(), 0o600) {
        Ok(()) => return Ok(made),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(not_written(path, &error)),
    }
    tell(&format!("{}: is there already, and the request is for this key", escape::path(path)));
    let unusable = |what: &str| {
        let path = path.display();
        Failure::new(
            Code::Configuration,
            format!("{path}: {what}; give the path of a key that is not there yet"),
        )
    };
    let contents = regular_file::read(path, Links::Followed, MAX_FILE_BYTES)
        .map_err(|error| unusable(&format!("cannot be read ({error})")))?;
    // The words of rcgen help nobody here, and a key that it does not take may be good, in an older form.
    KeyPair::from_pem(&String::from_utf8_lossy(&contents)).map_err(|_| {
        let why = match Chain::from_certificates([]).with_key_file(path) {
            Ok(_) => {
                let file = shell_word(path);
                format!("it is in an older form; write it anew: openssl pkey -in {file} -out new-key.pem")
            }
            Err(error) => error.to_string().replacen(&format!("{}: ", path.display()), "", 1),
        };
        unusable(&format!("is no private key in PKCS#8 that a request can be made for ({why})"))
    })
}

fn request(names: &[SanType], key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let first = match names.first() {
        Some(SanType::DnsName(name)) => name.as_str().to_string(),
        Some(SanType::IpAddress(address)) => address.to_string(),
        _ => String::new(),
    };
    // Private authorities often want a common name; no client looks at it.
    if (1..=LONGEST_COMMON_NAME).contains(&first.len()) {
        params.distinguished_name.push(DnType::CommonName, first);
    }
    params.subject_alt_names = names.to_vec();
    params.is_ca = IsCa::NoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.serialize_request(key)?.pem()
}

/// A mistake in typing must not cost a key.
fn refuse_to_write_over(out: &Path) -> Result<(), Failure> {
    match regular_file::read(out, Links::Followed, MAX_FILE_BYTES) {
        Ok(contents) if contents.starts_with(BEGIN.as_bytes()) || contents.is_empty() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(Failure::new(
            Code::Configuration,
            format!(
                "{}: is there already and is no request; give another path for the request",
                out.display()
            ),
        )),
        Err(error) => Err(not_written(out, &error)),
    }
}

/// The folder that this file is to be in, for its owner alone.
fn make_directory(file: &Path) -> Result<(), Failure> {
    let Some(dir) = file.parent() else { return Ok(()) };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| not_written(dir, &error))
}

pub(in crate::command) fn not_written(path: &Path, error: &io::Error) -> Failure {
    let message =
        format!("{}: cannot be written: {error}; give a path that this user may write to", path.display());
    Failure::new(Code::Runtime, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_names_or_addresses() {
        for good in
            ["a", "device.local", "*.example.org", "xn--mnchen-3ya.de", "192.0.2.7", "2001:db8::7", "a_b.c"]
        {
            assert!(names(&[good.to_string()]).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            "https://a",
            "a:443",
            "ä.de",
            "a..b",
            "a.",
            ".a",
            "*",
            "*.",
            "a.*.b",
            "*a.b",
            "-a",
            "a-",
            "1.2.3",
            "1.2.3.256",
            "[::1]",
            "a b",
            "a,b",
            "a@b",
            &long,
        ] {
            let error = names(&[bad.to_string()]).err().unwrap_or_else(|| panic!("{bad}")).message;
            assert!(error.contains(&format!("{bad:?} is not accepted")), "{error}");
        }
    }
}
