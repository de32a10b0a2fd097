//! `lockgate cert …`: getting a certificate, requesting one, putting one in place, looking at one, and the device's own
//! authority.

pub(super) mod ca;
pub(super) mod csr;
pub(super) mod install;
#[cfg(feature = "acme")]
pub(super) mod obtain;
pub(super) mod show;
