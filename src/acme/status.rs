//! The contents of a state directory, for people and programs.

use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use super::foreign::clean;
use super::held;
use super::state::State;
use crate::calendar::{from_unix, iso8601};
use crate::error::Error;
use crate::url::Url;

/// The state of the certificate from an authority. Text of the authority is one line of at most 600 bytes (an error: 4 KiB),
/// with `\u{..}` for characters that control a terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcmeStatus {
    /// The directory of the authority that issued the certificate.
    pub authority: Option<String>,
    /// The authorities with accounts, and the accounts' URLs.
    pub accounts: Vec<(String, String)>,
    /// The names and addresses that the certificate was ordered for.
    pub names: Vec<String>,
    /// The profile that it was ordered with.
    pub profile: Option<String>,
    /// When the certificate's validity begins.
    pub not_before: Option<SystemTime>,
    /// When the certificate's validity ends.
    pub not_after: Option<SystemTime>,
    /// Why the certificate cannot be served, if it exists.
    pub fault: Option<String>,
    /// When the certificate will be renewed.
    pub renew_at: Option<SystemTime>,
    /// The window that the authority suggested for that (RFC 9773).
    pub window: Option<(SystemTime, SystemTime)>,
    /// The authority's explanation of the window.
    pub explanation: Option<String>,
    /// The URL of an order under way.
    pub order: Option<String>,
    /// How many attempts have failed since the last success.
    pub failures: u32,
    /// The error of the last failure.
    pub last_error: Option<String>,
    /// When the last failure was.
    pub last_error_at: Option<SystemTime>,
    /// No attempt is made before this time.
    pub next_attempt: Option<SystemTime>,
}

impl AcmeStatus {
    /// Reads the state directory of an [`Acme`](crate::Acme), also while a server uses it. Without such a directory everything
    /// is `None`.
    ///
    /// # Errors
    /// [`Error::Acme`] when a file exists and cannot be read.
    pub fn read(state_dir: impl AsRef<Path>) -> Result<AcmeStatus, Error> {
        let state = State::at(state_dir.as_ref());
        let failed = |fault| Error::Acme { authority: "an authority".into(), fault };
        let mut status = AcmeStatus::default();
        if let Some(file) = state.certificate().map_err(failed)? {
            let words = held::Words::of(&file);
            status.authority = words.directory.as_deref().map(shown);
            status.names = words.names.iter().map(|name| clean(name)).collect();
            status.profile = words.profile.as_deref().map(clean);
            match held::read(&state.certificate_file(), &file, None) {
                Ok(found) => {
                    status.not_before = Some(from_unix(found.held.not_before));
                    status.not_after = Some(from_unix(found.held.not_after));
                }
                Err(error) => status.fault = Some(error.to_string()),
            }
        }
        let accounts = state.accounts().map_err(failed)?;
        status.accounts = accounts.iter().map(|(authority, url)| (shown(authority), shown(url))).collect();
        status.order = state.order().map_err(failed)?.map(|order| shown(&order.url));
        let book = state.book().map_err(failed)?;
        if let Some(plan) = book.plan {
            status.renew_at = Some(from_unix(plan.renew_at));
            status.window = plan.window.map(|(start, end)| (from_unix(start), from_unix(end)));
            status.explanation = plan.explanation;
        }
        status.failures = book.failures;
        status.last_error = book.last_error;
        status.last_error_at = book.last_error_at.map(from_unix);
        status.next_attempt = book.not_before.map(from_unix);
        Ok(status)
    }
}

/// A URL is only ASCII and bounded, but earlier versions stored it unchecked.
fn shown(url: &str) -> String {
    if Url::parse_https(url).is_ok() {
        url.to_string()
    } else {
        clean(url)
    }
}

/// Shows a few lines for people.
impl fmt::Display for AcmeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |time: Option<SystemTime>| time.map_or("an unknown time".to_string(), iso8601);
        match (self.not_after, &self.fault) {
            (Some(not_after), _) => {
                writeln!(f, "certificate for {}", self.names.join(", "))?;
                if let Some(authority) = &self.authority {
                    writeln!(f, "  from {authority}")?;
                }
                if let Some(profile) = &self.profile {
                    writeln!(f, "  profile {profile}")?;
                }
                writeln!(f, "  valid from {} to {}", at(self.not_before), iso8601(not_after))?;
                match self.renew_at {
                    Some(renew_at) => write!(f, "  renewal at {}", iso8601(renew_at))?,
                    None => write!(f, "  renewal not planned yet")?,
                }
                if let Some((start, end)) = self.window {
                    write!(f, ", as suggested between {} and {}", iso8601(start), iso8601(end))?;
                }
                if let Some(explanation) = &self.explanation {
                    write!(f, ", see {explanation}")?;
                }
                writeln!(f)?;
            }
            (None, Some(fault)) => writeln!(f, "the certificate cannot be used: {fault}")?,
            (None, None) => writeln!(f, "no certificate from an authority yet")?,
        }
        for (authority, account) in &self.accounts {
            writeln!(f, "account {account} at {authority}")?;
        }
        if let Some(order) = &self.order {
            writeln!(f, "order under way: {order}")?;
        }
        if let Some(error) = &self.last_error {
            writeln!(f, "last error, at {}: {error}", at(self.last_error_at))?;
            writeln!(
                f,
                "  failures in a row: {}; next attempt not before {}",
                self.failures,
                at(self.next_attempt)
            )?;
        }
        Ok(())
    }
}
