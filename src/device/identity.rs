//! The identity that a device makes for itself, and the check of what was made here: files of one's own are used only while
//! they are valid, since something else can be made or served in their place.
//!
//! Knows `tls`. Called by programs, by `state`, and by `acme`.

use std::path::{Path, PathBuf};

use super::Device;
use crate::calendar::from_unix;
use crate::error::{Error, IdentityFault};
use crate::tls::load::{check, Part};
use crate::tls::Identity;

impl Identity {
    /// The device's own: a certificate signed by a CA that is made in this directory on the first start. The same as
    /// `Identity::from_source(Device::new(state_dir))`; see [`Device`].
    ///
    /// # Errors
    ///
    /// [`Error::Device`] when the directory cannot be written to, and when its CA cannot be used; [`Error::Identity`] when a
    /// file in it cannot be read.
    pub fn device(state_dir: impl Into<PathBuf>) -> Result<Identity, Error> {
        Identity::from_source(Device::new(state_dir))
    }

    /// From the contents of two files that were made here, at `now` in seconds since 1970. The log is told nothing.
    pub(crate) fn of_contents(
        certificate: (&Path, &[u8]),
        key: (&Path, &[u8]),
        now: i64,
    ) -> Result<Identity, Error> {
        let part = |(file, pem)| Part { file: Some(file), pem };
        check(part(certificate), part(key))?.identity.valid_at(now)
    }

    /// The identity, if it is valid at this time.
    pub(crate) fn valid_at(self, now: i64) -> Result<Identity, Error> {
        let (not_before, not_after) = (self.validity().not_before, self.validity().not_after);
        let fault = if now > not_after {
            IdentityFault::Expired { not_after: from_unix(not_after), now: from_unix(now) }
        } else if now < not_before {
            IdentityFault::NotYetValid { not_before: from_unix(not_before), now: from_unix(now) }
        } else {
            return Ok(self);
        };
        Err(self.error(fault))
    }
}
