//! [`Acme`], the description that a program or the command gives, and its check.
//!
//! Knows the state directory, but only to say whether it has an account. Programs make it, and the agent checks it.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;

use super::challenge::Challenge;
use super::settings::Settings;
#[cfg(feature = "check")]
use super::status::AcmeStatus;
use super::{account, names};
use crate::error::Error;
use crate::tls::{file, pem};
use crate::url::{without_userinfo, Url};

/// Let's Encrypt. Its terms of service are at <https://letsencrypt.org/repository/>.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Its test authority: high limits, and certificates that no client trusts.
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// The settings for a certificate from an authority: the authority, the names, and how they are validated.
/// [`Identity::acme`](crate::Identity::acme) makes an identity of them.
///
/// ```no_run
/// use lockgate::{Acme, Identity, Router, Server};
///
/// fn serve(router: Router) -> Result<(), lockgate::Error> {
///     let acme = Acme::new("letsencrypt", "/var/lib/device").name("device.example.org").accept_terms();
///     let identity = Identity::acme(acme)?;
///     Server::builder(router).https("[::]:443").redirect_http("[::]:80").identity(identity).bind()?.run()
/// }
/// ```
///
/// # What is kept
///
/// The folder `acme` in the state directory holds the account's key, an order under way with its key, and the certificate with
/// its key, all readable by the owner alone. After a crash at any step the work continues there. Only one process at a time
/// uses a state directory: a second one only serves.
///
/// # When
///
/// A certificate is renewed when its authority says (RFC 9773), or else at about two thirds of its life. After a failure the
/// next attempt comes after 10 s if the authority could not be reached, and after 15 min if it refused. The wait doubles with
/// each further failure, up to an hour and 6 hours. A wait that the authority requests is kept, up to a day; while it works on
/// an order, up to a minute. Two new orders are at least 2 min apart, also across restarts.
///
/// # What does not cost a certificate
///
/// Other chains are optional (RFC 8555 §7.4.2): if one cannot be fetched, the log warns of it and the first is used. An issued
/// certificate that cannot be fetched is fetched at the next attempt. An account that was deactivated (RFC 8555 §7.3.6) or that
/// the authority has forgotten is replaced by a new one with a new key, with a warning in the log.
///
/// # A wrong clock
///
/// A stored certificate that is not valid yet by this machine's clock is served, with an error in the log, because devices
/// without a battery start in 1970. While the clock is before the day this program was built, no authority is asked, because
/// its own certificate would not be valid either.
#[derive(Clone)]
pub struct Acme {
    directory: String,
    pub(super) state_dir: PathBuf,
    pub(super) names: Vec<String>,
    accept_terms: bool,
    contacts: Vec<String>,
    challenge: Challenge,
    profile: Option<String>,
    external_account: Option<(String, String)>,
    ca_file: Option<PathBuf>,
    chain: Option<String>,
}

impl Acme {
    /// Settings for the authority with this directory, `https://…`; `letsencrypt` and `letsencrypt-staging` stand for those of
    /// Let's Encrypt. Everything that must survive a restart is kept in the state directory, which is created if it does not
    /// exist.
    pub fn new(directory: impl Into<String>, state_dir: impl Into<PathBuf>) -> Acme {
        let directory = match directory.into() {
            word if word == "letsencrypt" => LETS_ENCRYPT.to_string(),
            word if word == "letsencrypt-staging" => LETS_ENCRYPT_STAGING.to_string(),
            url => url,
        };
        Acme {
            directory,
            state_dir: state_dir.into(),
            names: Vec::new(),
            accept_terms: false,
            contacts: Vec::new(),
            challenge: Challenge::default(),
            profile: None,
            external_account: None,
            ca_file: None,
            chain: None,
        }
    }

    /// Adds a DNS name or an IP address to the certificate; at least one, at most 100. Wildcards are refused, because only DNS
    /// can validate them.
    pub fn name(mut self, name: impl Into<String>) -> Acme {
        self.names.push(name.into());
        self
    }

    /// Says that you have read the authority's terms of service and agree to them. Without it no account is made, and the error
    /// tells where the terms can be read.
    pub fn accept_terms(mut self) -> Acme {
        self.accept_terms = true;
        self
    }

    /// An e-mail address that the authority may write to. Most authorities need none. Used when the account is made. Defaults
    /// to none.
    pub fn contact(mut self, email: impl Into<String>) -> Acme {
        self.contacts.push(email.into());
        self
    }

    /// How names are validated. Defaults to [`Challenge::Http01`].
    pub fn challenge(mut self, challenge: Challenge) -> Acme {
        self.challenge = challenge;
        self
    }

    /// The kind of certificate, by the authority's name for it, such as `shortlived` at Let's Encrypt
    /// (draft-aaron-acme-profiles). Defaults to the authority's choice.
    pub fn profile(mut self, profile: impl Into<String>) -> Acme {
        self.profile = Some(profile.into());
        self
    }

    /// Binds the account to an existing one at the authority (RFC 8555 §7.3.4), by the key identifier and the HMAC key in
    /// base64url, as the authority gave them. Used when the account is made. Defaults to none.
    pub fn external_account(mut self, kid: impl Into<String>, hmac_key: impl Into<String>) -> Acme {
        self.external_account = Some((kid.into(), hmac_key.into()));
        self
    }

    /// A PEM file with the roots for checking the authority's own server. Defaults to the public roots.
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Acme {
        self.ca_file = Some(file.into());
        self
    }

    /// Chooses, among several chains, the one that leads to an issuer with this common name. Without such a chain, or if it
    /// cannot be fetched, the first is used. Defaults to the first.
    pub fn chain(mut self, common_name: impl Into<String>) -> Acme {
        self.chain = Some(common_name.into());
        self
    }

    /// Whether the settings and the file of roots are good.
    #[cfg(feature = "check")]
    pub(crate) fn inspect(&self) -> Result<(), Error> {
        self.check()?;
        self.roots().map(drop)
    }

    #[cfg(feature = "check")]
    pub(crate) fn proof(&self) -> Challenge {
        self.challenge
    }

    #[cfg(feature = "check")]
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The authority's directory, if its terms still have to be accepted: there is no account yet.
    #[cfg(feature = "check")]
    pub(crate) fn lacks_terms(&self) -> Option<&str> {
        let has_account = AcmeStatus::read(&self.state_dir)
            .is_ok_and(|status| status.accounts.iter().any(|(authority, _)| *authority == self.directory));
        (!self.accept_terms && !has_account).then_some(&self.directory)
    }

    /// Checks all settings.
    pub(super) fn check(&self) -> Result<Settings, Error> {
        let wrong = |setting, fault| Error::Setting { setting, fault };
        Url::parse_https(&self.directory).map_err(|what| {
            let directory = without_userinfo(&self.directory);
            wrong("acme", format!("{directory:?} {what}; give the URL of the authority's directory, letsencrypt or letsencrypt-staging"))
        })?;
        let names = names::parse_all(&self.names).map_err(|fault| wrong("name", fault))?;
        let external_account = match &self.external_account {
            None => None,
            Some((kid, key)) => {
                let key = account::external_key(key).ok_or_else(|| {
                    let fault = "the HMAC key is not in base64url; give it as the authority did".into();
                    wrong("external_account", fault)
                })?;
                Some((kid.clone(), key))
            }
        };
        if let Some(contact) = self
            .contacts
            .iter()
            .find(|contact| !contact.contains('@') || contact.contains(char::is_whitespace))
        {
            return Err(wrong("contact", format!("{contact:?} is no e-mail address")));
        }
        Ok(Settings {
            directory: self.directory.clone(),
            names,
            accept_terms: self.accept_terms,
            contacts: self.contacts.clone(),
            challenge: self.challenge,
            profile: self.profile.clone(),
            external_account,
            chain: self.chain.clone(),
        })
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        match &self.ca_file {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => read_roots(path, &mut roots)?,
        }
        Ok(roots)
    }
}

fn read_roots(path: &Path, roots: &mut RootCertStore) -> Result<(), Error> {
    use crate::error::IdentityFault;
    let fault = |fault| Error::identity(path.to_path_buf(), fault);
    let contents = pem::read(&file::read(path)?).map_err(fault)?;
    if contents.certificates.is_empty() {
        return Err(fault(IdentityFault::NoCertificate));
    }
    for certificate in contents.certificates {
        roots.add(certificate).map_err(|error| fault(IdentityFault::Malformed(error.to_string())))?;
    }
    Ok(())
}

/// Shows nothing of the external account's key.
impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acme")
            .field("directory", &self.directory)
            .field("state_dir", &self.state_dir)
            .field("names", &self.names)
            .field("challenge", &self.challenge)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_and_the_fault_names_the_setting() {
        let good = || Acme::new("letsencrypt", "state").name("a.example");
        let settings = good().check().unwrap();
        assert_eq!(settings.directory, LETS_ENCRYPT);
        let staging = Acme::new("letsencrypt-staging", "state").name("a.example").check().unwrap();
        assert_eq!(staging.directory, LETS_ENCRYPT_STAGING);
        for (acme, start) in [
            (
                Acme::new("http://acme.example/", "state").name("a.example"),
                "acme: \"http://acme.example/\" does not begin with https://",
            ),
            (Acme::new("letsencrypt", "state"), "name: a certificate needs a name"),
            (good().external_account("kid", "not base64!"), "external_account: the HMAC key"),
            (good().contact("nobody"), "contact: \"nobody\" is no e-mail address"),
        ] {
            let message = acme.check().err().unwrap().to_string();
            assert!(message.starts_with(start), "{message}");
        }
    }

    #[test]
    fn debug_shows_nothing_of_the_external_accounts_key() {
        let shown = format!("{:?}", Acme::new("letsencrypt", "state").external_account("kid", "c2VjcmV0"));
        assert!(!shown.contains("c2VjcmV0") && shown.contains("letsencrypt.org"), "{shown}");
    }

    #[test]
    fn roots_come_from_the_file_or_are_the_public_ones() {
        assert!(Acme::new("letsencrypt", "state").roots().unwrap().len() > 50);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("roots.pem");
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_string()]).unwrap();
        std::fs::write(&file, made.cert.pem()).unwrap();
        assert_eq!(Acme::new("letsencrypt", "state").ca_file(&file).roots().unwrap().len(), 1);
        std::fs::write(&file, "").unwrap();
        let message = Acme::new("letsencrypt", "state").ca_file(&file).roots().unwrap_err().to_string();
        assert!(message.contains("roots.pem: holds no certificate"), "{message}");
    }
}
