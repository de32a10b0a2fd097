//! Optional pairs of certificate and key that cannot be used at the moment. The server runs without them, and tries them again
//! when their files change.
//!
//! Knows the paths and their faults. `builder` makes it, `renewal` tries again, and `health` shows it.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::health::{IdentityFailure, MissingIdentity};
use crate::error::Error;
use crate::tls::{Identity, Stamp};

/// The pairs that are not served.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    pairs: Mutex<Vec<MissingIdentity>>,
    /// Held during an attempt, because two attempts at a time would serve a pair twice. The list has its own lock, so that
    /// health can be read while slow files are loaded.
    attempt: Mutex<()>,
}

/// Loads pairs. Returns the usable ones, the rest, and the first failure.
pub(super) type Load = fn(Vec<(PathBuf, PathBuf)>) -> (Vec<Identity>, Missing, Option<Error>);

/// The result of an attempt.
struct Tried {
    usable: Vec<Identity>,
    missing: Vec<MissingIdentity>,
    /// The first failure.
    failed: Option<Error>,
}

impl Tried {
    fn of(pairs: impl IntoIterator<Item = (PathBuf, PathBuf)>) -> Tried {
        let mut tried = Tried { usable: Vec::new(), missing: Vec::new(), failed: None };
        for (certificate, key) in pairs {
            match Identity::from_pem_files(&certificate, &key) {
                Ok(identity) => tried.usable.push(identity),
                Err(error) => {
                    let failure = IdentityFailure::now(&error);
                    tried.missing.push(MissingIdentity { certificate, key, failure });
                    tried.failed.get_or_insert(error);
                }
            }
        }
        tried
    }
}

impl Missing {
    /// Returns the usable ones of these pairs, and the rest with the first failure. Each failure is logged as an error.
    pub(super) fn load(pairs: Vec<(PathBuf, PathBuf)>) -> (Vec<Identity>, Missing, Option<Error>) {
        let Tried { usable, missing, failed } = Tried::of(pairs);
        for pair in &missing {
            log::error!("this certificate is left out until it can be used: {}", pair.failure.error);
        }
        (usable, Missing { pairs: Mutex::new(missing), attempt: Mutex::default() }, failed)
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

    /// Tries all of them again, and passes the usable ones to `serve`. Returns them, and the first failure.
    ///
    /// # Errors
    ///
    /// The error of `serve`; then all of them stay missing.
    pub(super) fn try_again(
        &self,
        serve: impl FnOnce(&[Identity]) -> Result<(), Error>,
    ) -> Result<(Vec<Identity>, Option<Error>), Error> {
        let _one_at_a_time = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = self.health().into_iter().map(|pair| (pair.certificate, pair.key));
        let Tried { usable, missing, failed } = Tried::of(pairs);
        if !usable.is_empty() {
            serve(&usable)?;
        }
        self.with(|pairs| *pairs = missing);
        Ok((usable, failed))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<MissingIdentity>) -> T) -> T {
        // A panic while the lock is held leaves a whole list.
        work(&mut self.pairs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_pair_that_cannot_be_served_yet_is_missing_still_and_health_is_told_while_it_is_tried() {
        let dir = tempfile::TempDir::new().unwrap();
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
        let (usable, missing, failed) = Missing::load(vec![(certificate.clone(), key.clone())]);
        assert!(usable.is_empty() && failed.is_some());
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let refused = missing.try_again(|found| {
            assert_eq!((found.len(), missing.health().len()), (1, 1));
            Err(Error::Setting { setting: "test", fault: String::new() })
        });
        assert!(refused.is_err());
        assert_eq!(missing.health()[0].certificate, certificate);
        let (found, failed) = missing.try_again(|_| Ok(())).unwrap();
        assert!(found.len() == 1 && failed.is_none() && missing.is_empty());
    }
}
