//! The account with an authority (RFC 8555 §7.3). Its key is stored before it is sent to the authority, so after a crash the
//! same account is found again.

use serde_json::json;

use super::base64url;
use super::jws::AccountKey;
use super::messages::{Directory, Standing};
use super::session::Session;
use super::settings::Settings;
use super::state::{Account, State};
use crate::error::AcmeFault;
use crate::url::Url;

/// The stored key for this authority, or a new one.
pub(super) fn key(state: &State, directory: &str) -> Result<(AccountKey, Account), AcmeFault> {
    if let Some(mut kept) = state.account(directory)? {
        match AccountKey::from_pkcs8(&kept.pkcs8) {
            Ok(key) => {
                // Earlier versions stored the authority's text unchecked. The key finds the same account again.
                kept.url = kept.url.filter(|url| Url::parse_https(url).is_ok());
                return Ok((key, kept));
            }
            Err(_) => log::warn!(
                "ACME: the key of the account with {directory} is damaged; there will be a new account"
            ),
        }
    }
    new_key(state, directory)
}

fn new_key(state: &State, directory: &str) -> Result<(AccountKey, Account), AcmeFault> {
    let (key, pkcs8) = AccountKey::generate().map_err(|_| AcmeFault::Crypto)?;
    let account = Account { pkcs8, url: None };
    state.save_account(directory, &account)?;
    Ok((key, account))
}

/// Whether `fault` means that the account is gone: the authority has forgotten or revoked it, or its owner has deactivated it
/// (RFC 8555 §7.3.6). Authorities answer "unauthorized" for other reasons too, so this asks about the account itself.
pub(super) fn is_lost(session: &mut Session<'_>, settings: &Settings, fault: &AcmeFault) -> bool {
    let AcmeFault::Refused { kind, .. } = fault else { return false };
    match (&**kind, session.account.clone()) {
        ("accountDoesNotExist", _) => true,
        // The authority has no account for the key. With an external account, the external account is probably wrong instead.
        ("unauthorized", None) => settings.external_account.is_none(),
        ("unauthorized", Some(url)) => match session.get(&url) {
            Ok(answer) => answer.read(Standing::parse).is_ok_and(|standing| standing == Standing::Over),
            Err(AcmeFault::Refused { kind, .. }) => matches!(&*kind, "unauthorized" | "accountDoesNotExist"),
            Err(_) => false,
        },
        _ => false,
    }
}

/// Makes a new key, for a new account that replaces the lost one. The order under way belonged to the lost account and is
/// forgotten too.
pub(super) fn replace(
    state: &State,
    directory: &str,
    lost: &Account,
    fault: &AcmeFault,
) -> Result<(AccountKey, Account), AcmeFault> {
    let url = lost.url.as_deref().unwrap_or("of this machine");
    log::warn!("ACME: the account {url} is gone: a new one is made, with a new key ({fault})");
    state.forget_order()?;
    new_key(state, directory)
}

/// Registers the account with the authority, unless it has the account already.
pub(super) fn register(
    session: &mut Session<'_>,
    settings: &Settings,
    state: &State,
    account: &mut Account,
) -> Result<(), AcmeFault> {
    if account.url.is_some() {
        return Ok(());
    }
    let Directory { new_account, terms, .. } = session.directory;
    if let Some(terms) = terms.as_ref().filter(|_| !settings.accept_terms) {
        return Err(AcmeFault::TermsNotAccepted { terms: terms.clone() });
    }
    let mut payload = json!({"termsOfServiceAgreed": true});
    if !settings.contacts.is_empty() {
        payload["contact"] = settings.contacts.iter().map(|contact| format!("mailto:{contact}")).collect();
    }
    match &settings.external_account {
        Some((kid, secret)) => {
            payload["externalAccountBinding"] = session.key.bind_to(kid, secret, new_account);
        }
        None if session.directory.external_account_required => {
            return Err(AcmeFault::Unsupported(
                "it serves accounts only that it knows already; give the key identifier and the HMAC key that it gave you (external_account, --acme-eab-kid and --acme-eab-key)".into(),
            ));
        }
        None => {}
    }
    let url = session.post(new_account, &payload)?.location()?;
    log::info!("ACME: account {url}");
    account.url = Some(url.clone());
    state.save_account(&settings.directory, account)?;
    session.account = Some(url);
    Ok(())
}

/// Decodes the HMAC key of an authority: base64url, sometimes plain base64.
pub(super) fn external_key(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().replace('+', "-").replace('/', "_");
    base64url::decode(&text).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_key_may_be_in_either_base64() {
        for text in ["-_-_", "+/+/", " +/+/\n"] {
            assert_eq!(external_key(text).unwrap(), [0xfb, 0xff, 0xbf], "{text:?}");
        }
        assert_eq!(external_key("Zm9v").unwrap(), b"foo");
        for text in ["", "=", "not base64!"] {
            assert_eq!(external_key(text), None, "{text:?}");
        }
    }
}
