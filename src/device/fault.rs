//! What can be wrong with a device's own CA and its state, each with the way out.

use std::fmt;
use std::io;
use std::time::SystemTime;

use crate::calendar::iso8601;

/// What is wrong with a device's own CA, its certificate, or their directory.
///
/// lockgate never replaces a CA that has been used, because clients trust it. When the CA is damaged or a part is missing, a
/// person has to decide.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeviceFault {
    /// A file or the directory cannot be read or written, or does not exist any more.
    Io(io::Error),
    /// Another process has held the state directory for too long (10 s).
    Busy,
    /// There is no CA yet.
    NoCa,
    /// The CA is gone that the server had at its start.
    CaGone,
    /// The CA's certificate is missing, but its private key and a certificate that it signed exist.
    CaMissing,
    /// The CA's private key is missing, but its certificate exists.
    CaKeyMissing,
    /// A part of the CA cannot be used.
    CaUnusable(&'static str),
    /// The CA has expired by this machine's clock. A server starts all the same and logs it; a preflight check reports it.
    CaExpired {
        /// The CA's notAfter.
        not_after: SystemTime,
        /// This machine's clock.
        now: SystemTime,
    },
    /// A name was configured that the CA may not sign for.
    OutsideOfCa {
        /// The name or address.
        name: String,
        /// All that the CA may sign for. Names below each name of several labels, and below `localhost` and `local`, are
        /// included.
        permitted: String,
    },
    /// A file of this name exists that lockgate did not make for this purpose.
    NotOurs,
    /// A key or a certificate could not be made.
    Make(String),
}

const NEW_CA: &str =
    "move ca.pem and ca-key.pem away and start again, and a new CA is made, which every client has to \
                      be told to trust";

impl fmt::Display for DeviceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceFault::Io(source) => write!(
                f,
                "{source}; the device's CA and certificate are kept there, give a directory that lasts and that this user \
                 may write to"
            ),
            DeviceFault::Busy => f.write_str(
                "another process has been writing to this directory for 10 s; end it, or give this one a directory of its own",
            ),
            DeviceFault::NoCa => f.write_str(
                "there is no device CA yet; it is made when a server first starts with this directory (lockgate serve --device)",
            ),
            DeviceFault::CaGone => f.write_str(
                "the device's CA is gone, and no other is made while a server runs; bring it back, or start again with a new one",
            ),
            DeviceFault::CaMissing => write!(
                f,
                "the CA's certificate is missing and its private key is there; bring it back (every client that trusts it has \
                 a copy); or {NEW_CA}"
            ),
            DeviceFault::CaKeyMissing => write!(
                f,
                "the CA's private key is missing and its certificate is there; bring it back from a backup; or {NEW_CA}"
            ),
            DeviceFault::CaUnusable(what) => write!(f, "{what}; bring it back from a backup; or {NEW_CA}"),
            DeviceFault::CaExpired { not_after, now } => write!(
                f,
                "the device's CA expired at {} (this machine's clock says {}); set the clock if it is wrong; or {NEW_CA}",
                iso8601(*not_after),
                iso8601(*now)
            ),
            DeviceFault::OutsideOfCa { name, permitted } => write!(
                f,
                "the device's CA may not sign for {name}, only for: {permitted}; take the name out again; or {NEW_CA}"
            ),
            DeviceFault::NotOurs => f.write_str(
                "was not made for a device and is left as it is; move it away, or give a directory of its own for the state",
            ),
            DeviceFault::Make(what) => write!(f, "the device's certificate cannot be made: {what}"),
        }
    }
}
