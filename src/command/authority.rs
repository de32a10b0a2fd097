//! An authority elsewhere, as the options name it. `serve`, the commands that obtain a certificate and `check` call it.

use lockgate::internal::regular_file::{self, Links};
use lockgate::internal::report_mode;
use lockgate::{Acme, Challenge};

use super::arguments::{Arguments, Proof};
use super::exit::Code;
use super::failure::Failure;

/// A key of an account elsewhere, in base64url: a hundred bytes.
const MOST_KEY_BYTES: u64 = 1 << 16;

/// The authority, as the options say it; only where `--acme` was given.
pub(super) fn of(arguments: &Arguments) -> Result<Acme, Failure> {
    let given = &arguments.acme;
    let missing = |what: &str| Err(Failure::usage(format!("{what} is missing")));
    let Some(directory) = &given.directory else {
        return missing("--acme URL, the authority's directory,");
    };
    let Some(state) = &arguments.state else {
        return missing("--state DIR, where the account and the certificate are kept,");
    };
    if arguments.names.is_empty() {
        return missing("--name NAME, which the authority must find this machine under,");
    }
    let mut acme = Acme::new(directory, state).challenge(challenge(given.proof));
    acme = arguments.names.iter().fold(acme, |acme, name| acme.name(name));
    acme = given.contacts.iter().fold(acme, |acme, contact| acme.contact(contact));
    if given.accept_terms {
        acme = acme.accept_terms();
    }
    if let Some(ca) = &given.ca {
        acme = acme.ca_file(ca);
    }
    if let Some(profile) = &given.profile {
        acme = acme.profile(profile);
    }
    if let Some(chain) = &given.chain {
        acme = acme.chain(chain);
    }
    match (&given.eab_kid, &given.eab_key) {
        (None, None) => {}
        (Some(kid), Some(file)) => {
            report_mode(file);
            let key = regular_file::read_text(file, Links::Followed, MOST_KEY_BYTES).map_err(|error| {
                Failure::new(Code::Configuration, format!("{}: cannot be read: {error}", file.display()))
            })?;
            acme = acme.external_account(kid, key);
        }
        _ => return Err(Failure::usage("--acme-eab-kid and --acme-eab-key belong together; give both")),
    }
    Ok(acme)
}

fn challenge(proof: Option<Proof>) -> Challenge {
    match proof {
        None => Challenge::default(),
        Some(Proof::Http01) => Challenge::Http01,
        Some(Proof::TlsAlpn01) => Challenge::TlsAlpn01,
    }
}
