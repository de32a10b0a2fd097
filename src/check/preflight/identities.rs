//! Checks certificates and their keys, from files or from an authority: whether a server could start with them, and what
//! clients would object to.

use std::path::Path;

use super::inspection::Inspection;
#[cfg(feature = "device")]
use super::state;
use crate::check::rules;
use crate::check::trust::Roots;
use crate::error::{Error, IdentityFault};
use crate::escape;
use crate::finding::{shell_word, Finding, Rule};
use crate::tls::{certificate_rules as of_tls, Chain, Identity};
#[cfg(feature = "acme")]
use crate::{Acme, Device};

pub(super) fn look(inspection: &mut Inspection<'_>) {
    let settings = inspection.settings;
    for (certificate, key) in &settings.pairs {
        pair(inspection, certificate, key);
    }
    #[cfg(feature = "device")]
    for device in &settings.devices {
        state::look(inspection, device);
    }
    #[cfg(feature = "acme")]
    for acme in &settings.authorities {
        authority(inspection, acme);
    }
}

fn pair(inspection: &mut Inspection<'_>, certificate: &Path, key: &Path) {
    let now = inspection.machine.now;
    let before = inspection.findings.len();
    let chain = Chain::from_pem_file(certificate).and_then(|chain| chain.with_key_file(key));
    let tried = Identity::try_files(certificate, key);
    let chain = match (chain, tried) {
        (Ok(chain), Ok(())) => chain,
        (Ok(chain), Err(error)) => {
            let told_by = match &error {
                Error::Identity { fault: IdentityFault::KeyMismatch, .. } => Some(&of_tls::KEY_MISMATCH),
                // The certificate of this key is in another file.
                Error::Identity { .. } if chain.has_certificate_of_key() == Some(true) => {
                    Some(&of_tls::LEAF_NOT_FIRST)
                }
                _ => None,
            };
            let is_told = |finding: &Finding| told_by.is_some_and(|rule| rule.id == finding.id());
            if !chain.findings_of_served(now).iter().any(is_told) {
                unusable(inspection, certificate, key, &error);
            }
            chain
        }
        (Err(error), Ok(()) | Err(_)) => {
            // For swapped files the error of loading both says more than the error of reading one.
            let error = Identity::try_files(certificate, key).err().unwrap_or(error);
            return unusable(inspection, certificate, key, &error);
        }
    };
    let file = certificate.display().to_string();
    for finding in chain.findings_of_served(now) {
        // There is already a finding that it cannot be served.
        if finding.id() == of_tls::NOT_PEM.id {
            continue;
        }
        let place = match finding.place() {
            Some(place) if place.starts_with("certificate ") || place.starts_with("line ") => {
                format!("{file}, {place}")
            }
            Some(place) => place.to_string(),
            None => file.clone(),
        };
        inspection.findings.push(finding.at(place));
    }
    issuer(inspection, &file, &chain, before);
    inspection.own_certificate(&file, &chain);
}

/// A certificate without a chain works only for clients that trust its issuer itself. The check cannot know whether that
/// issuer is a root. For public authorities it never is, and that is a finding about the chain. Those about this file begin at
/// `before`.
fn issuer(inspection: &mut Inspection<'_>, file: &str, chain: &Chain, before: usize) {
    let way = chain.in_order();
    let [own] = &way[..] else { return };
    let is_told = |rule: &Rule| inspection.findings[before..].iter().any(|finding| finding.id() == rule.id);
    if own.is_self_signed() || is_told(&of_tls::MISSING_INTERMEDIATE) {
        return;
    }
    // The authorities that clients on this machine trust by default.
    let now = inspection.machine.now.clamp(own.validity().not_before, own.validity().not_after);
    if Roots::load(None, None).is_ok_and(|roots| roots.trusted_by(&[own.der().to_vec()], now).is_ok()) {
        return;
    }
    let issuer = escape::bounded(own.issuer(), 120).to_string();
    // A root that has issued it itself is in the file, and may be left out.
    if !is_told(&of_tls::ISSUER_ELSEWHERE) && !is_told(&of_tls::ROOT_INCLUDED) {
        let seen = format!("the certificate of its issuer, {issuer}, is not in the file");
        let (file, full) = (Path::new(file), Path::new(file).with_file_name("fullchain.pem"));
        let fix = format!(
            "nothing, if clients have the certificate of {issuer}; else add it, and those of the authorities between it \
             and the one that clients have:\ncat {} intermediate.pem > {}",
            shell_word(file),
            shell_word(&full)
        );
        let finding = Finding::new(&rules::ISSUER_NOT_IN_FILE, seen).at(file.display().to_string());
        inspection.findings.push(finding.fixed_by(fix));
    }
    inspection.but = Some(format!(", for clients that trust {issuer} itself"));
}

fn unusable(inspection: &mut Inspection<'_>, certificate: &Path, key: &Path, error: &Error) {
    inspection.failed(&rules::IDENTITY_UNUSABLE, error);
    let command = match error {
        Error::Identity { file: Some(file), fault } => fault.command_for(file),
        _ => None,
    };
    let show = || format!("lockgate cert show {} --key {}", shell_word(certificate), shell_word(key));
    let fix = command.unwrap_or_else(show);
    if let Some(finding) = inspection.findings.pop() {
        inspection.findings.push(finding.fixed_by(fix));
    }
}

#[cfg(feature = "acme")]
fn authority(inspection: &mut Inspection<'_>, acme: &Acme) {
    if let Err(error) = acme.inspect() {
        inspection.failed(&rules::SETTING_UNUSABLE, &error);
    }
    if let Some(authority) = acme.lacks_terms() {
        inspection.found(&rules::ACME_TERMS, format!("the terms are not accepted for {authority}"));
    }
    if acme.proof() == crate::Challenge::Http01 && inspection.settings.redirect.is_none() {
        inspection.found(&rules::ACME_UNANSWERED, "http-01 needs plain HTTP, and no port answers it");
    }
    // The device identity is served while there is no certificate, and when the names have changed.
    state::look(inspection, &Device::new(acme.state_dir()));
    let file = acme.state_dir().join("acme").join("certificate.pem");
    if let Ok(chain) = Chain::from_pem_file(&file) {
        inspection.own_certificate(&file.display().to_string(), &chain);
    }
}
