//! `lockgate cert …`: get a certificate, ask for one, put one in place, look at one, and the device's own authority.

pub(super) mod ca;
pub(super) mod csr;
pub(super) mod install;
pub(super) mod obtain;
mod placing;
pub(super) mod show;
