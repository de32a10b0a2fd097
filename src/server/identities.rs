//! The identities that a server begins with: those of the builder and the pairs of files that can be used. `builder` calls it.

use super::missing::Missing;
use crate::error::Error;
use crate::tls::Identity;

/// Enough for every name of an appliance. Each full handshake searches all of them.
const MOST_FURTHER: usize = 1_000;

/// Whether so many identities beside the default are served.
#[inline(never)]
pub(super) fn check_number(further: usize) -> Result<(), Error> {
    if further > MOST_FURTHER {
        let fault = format!("at most {MOST_FURTHER} are served; put several names into one certificate");
        return Err(Error::Setting { setting: "add_identity", fault });
    }
    Ok(())
}

/// All identities, the default first, and the pairs that are missing. `loaded` are the pairs that can be used, those that cannot, and
/// why the first of these cannot.
#[inline(never)]
pub(super) fn gather(
    default: Option<Identity>,
    also: &mut Vec<Identity>,
    loaded: (Vec<Identity>, Missing, Option<Error>),
) -> Result<(Vec<Identity>, Missing), Error> {
    let (mut pairs, missing, failed) = loaded;
    let mut identities = Vec::new();
    identities.extend(default);
    identities.append(also);
    identities.append(&mut pairs);
    if identities.is_empty() {
        return Err(failed.unwrap_or_else(|| Error::Setting {
            setting: "identity",
            fault: "a server needs a certificate and its key: .identity(Identity::from_pem_files(…)?)".into(),
        }));
    }
    Ok((identities, missing))
}
