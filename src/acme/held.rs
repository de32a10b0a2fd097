//! The stored certificate: one PEM file with a few words about its origin, then its key, then its chain. It is written in one
//! piece, so that a crash cannot separate them.

use std::path::Path;

use zeroize::Zeroizing;

use super::chain;
use super::order::Issued;
use super::schedule::Held;
use super::settings::Settings;
use crate::calendar::unix_now;
use crate::error::Error;
use crate::tls::load::{check, Part};
use crate::tls::{pem, Certificate, Identity};

/// PEM readers ignore text before the first section (RFC 7468 §2).
const FROM: &str = "lockgate: from ";
const FOR: &str = "lockgate: for ";
const PROFILE: &str = "lockgate: profile ";

/// The file's contents.
pub(super) fn write(settings: &Settings, issued: &Issued) -> Zeroizing<String> {
    let mut text = format!("{FROM}{}\n{FOR}{}\n", settings.directory, settings.name_texts().join(", "));
    if let Some(profile) = &settings.profile {
        text.push_str(&format!("{PROFILE}{}\n", profile.replace(char::is_control, " ")));
    }
    for part in [&*issued.key_pem, &issued.chain_pem] {
        text.push_str(part.trim_end());
        text.push('\n');
    }
    text.into()
}

/// The text before the key. It can be read even when the certificate cannot be used any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// The authority that issued it.
    pub directory: Option<String>,
    /// The names that it was ordered for.
    pub names: Vec<String>,
    pub profile: Option<String>,
}

impl Words {
    pub(super) fn of(file: &[u8]) -> Words {
        let word = |start: &str| {
            let lines = file.split(|byte| *byte == b'\n').take(3);
            let mut found = lines.filter_map(|line| std::str::from_utf8(line).ok()?.strip_prefix(start));
            found.next().map(String::from)
        };
        let names = word(FOR).unwrap_or_default();
        let names = names.split(", ").filter(|name| !name.is_empty()).map(String::from).collect();
        Words { directory: word(FROM), names, profile: word(PROFILE) }
    }
}

/// The file's contents, if they can be served now.
pub(super) struct Found {
    pub held: Held,
    pub identity: Identity,
    /// The leaf, as DER.
    pub leaf: Vec<u8>,
    /// The authority that issued it.
    pub directory: Option<String>,
}

/// Checks a newly issued certificate before it is stored, as [`read`] will. It must be valid by this machine's clock.
pub(super) fn try_new(file: &[u8], settings: &Settings) -> Result<Found, Error> {
    let part = Part { file: None, pem: file };
    found(check(part, part)?.identity.valid_at(unix_now())?, file, Some(settings))
}

/// Reads what [`write`] wrote. `settings` tells what it should be for; without settings it always fits. A certificate that is
/// not valid yet by this machine's clock is accepted: it was valid when it was written, so the clock has gone back and is
/// wrong. An expired certificate is refused.
pub(super) fn read(path: &Path, file: &[u8], settings: Option<&Settings>) -> Result<Found, Error> {
    let at = unix_now().max(not_before(file).unwrap_or(i64::MIN));
    found(Identity::of_contents((path, file), (path, file), at)?, file, settings)
}

/// `None` when the file holds no intact certificate.
fn not_before(file: &[u8]) -> Option<i64> {
    let leaf = pem::read(file).ok()?.certificates.into_iter().next()?;
    Some(Certificate::read(leaf).ok()?.validity().not_before)
}

fn found(identity: Identity, file: &[u8], settings: Option<&Settings>) -> Result<Found, Error> {
    let words = Words::of(file);
    let fits = settings.map_or(true, |settings| {
        words.directory.as_ref() == Some(&settings.directory)
            && words.profile == settings.profile
            && settings.name_texts().iter().all(|name| identity.is_valid_for(name))
    });
    // There is a certificate, because there is an identity.
    let contents = pem::read(file).map_err(|fault| Error::identity(None, fault))?;
    let leaf = contents.certificates.first().map(|leaf| leaf.to_vec()).unwrap_or_default();
    let (not_before, not_after) = (identity.validity().not_before, identity.validity().not_after);
    let held = Held { name: chain::own_name(&leaf), not_before, not_after, fits };
    Ok(Found { held, identity, leaf, directory: words.directory })
}
