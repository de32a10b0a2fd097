//! Certificates that a server goes on without: pairs of files that cannot be used, beside others that can. They are tried
//! again when their files change.
//!
//! Knows paths and what is wrong with them. The builder makes it, the keeper asks it again, and health shows it.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::health::{IdentityFailure, MissingIdentity};
use crate::error::Error;
use crate::tls::{Identity, Stamp};

/// The pairs that are not served.
#[derive(Debug, Default)]
pub(crate) struct Missing(Mutex<Vec<MissingIdentity>>);

impl Missing {
    /// What can be used of these pairs, and the rest with the first failure. Each failure is an error in the log.
    pub(super) fn load(pairs: Vec<(PathBuf, PathBuf)>) -> (Vec<Identity>, Missing, Option<Error>) {
        let (mut identities, mut missing, mut failed) = (Vec::new(), Vec::new(), None);
        for (certificate, key) in pairs {
            match Identity::from_pem_files(&certificate, &key) {
                Ok(identity) => identities.push(identity),
                Err(error) => {
                    log::error!("this certificate is left out until it can be used: {error}");
                    let failure = IdentityFailure::now(&error);
                    missing.push(MissingIdentity { certificate, key, failure });
                    failed.get_or_insert(error);
                }
            }
        }
        (identities, Missing(Mutex::new(missing)), failed)
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.with(|missing| {
            missing.iter().flat_map(|pair| [pair.certificate.clone(), pair.key.clone()]).collect()
        })
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp::of(&self.files())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.with(|missing| missing.is_empty())
    }

    pub(super) fn health(&self) -> Vec<MissingIdentity> {
        self.with(|missing| missing.clone())
    }

    /// Tries all of them again: those that can be used now, which are missing no more, and the first failure.
    pub(super) fn try_again(&self) -> (Vec<Identity>, Option<Error>) {
        let (mut found, mut failed) = (Vec::new(), None);
        self.with(|missing| {
            missing.retain_mut(|pair| match Identity::from_pem_files(&pair.certificate, &pair.key) {
                Ok(identity) => {
                    found.push(identity);
                    false
                }
                Err(error) => {
                    pair.failure = IdentityFailure::now(&error);
                    failed.get_or_insert(error);
                    true
                }
            });
        });
        (found, failed)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<MissingIdentity>) -> T) -> T {
        // A panic while it is held leaves a whole list behind.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
