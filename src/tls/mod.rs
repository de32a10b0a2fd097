//! From PEM files to a rustls ServerConfig. Few others name types of rustls: `acme` and `device`, the transport
//! of a connection, and the client of a check.
//!
//! Knows certificates, keys and rustls; nothing of sockets, threads or HTTP, and nothing of `acme` and `device`, which make
//! certificates on top of it. The server calls it: an [`Identity`] is loaded and checked before a socket is opened, and
//! [`Live`] holds the identities in use and the configuration for handshakes.

pub(crate) mod agent;
pub(crate) mod built;
mod certificate;
mod chain;
mod client_auth;
mod client_identity;
mod client_refusal;
#[cfg(feature = "operations")]
mod client_tickets;
pub(crate) mod der;
pub(crate) mod dns_name;
pub(crate) mod file;
mod findings;
mod form;
mod handshake;
mod identity;
mod key;
mod live;
pub(crate) mod load;
mod parameters;
pub(crate) mod pem;
#[cfg(feature = "post-quantum")]
pub(crate) mod post_quantum;
mod resolver;
mod revocation;
mod server_config;
mod stamp;
#[cfg(feature = "operations")]
mod ticket_keys;
#[cfg(feature = "operations")]
mod ticket_scope;
mod validity;
mod wanted;
pub(crate) mod x509;

pub use certificate::Certificate;
#[cfg(feature = "check")]
pub(crate) use chain::authorities;
#[cfg(feature = "proxy")]
pub(crate) use chain::authorities_in_file;
pub use chain::Chain;
pub use client_auth::ClientAuth;
pub(crate) use client_auth::Clients;
pub use client_identity::ClientIdentity;
pub(crate) use client_refusal::{refused, Refused};
#[cfg(all(feature = "check", any(feature = "device", feature = "operations")))]
pub(crate) use file::loose_mode_of;
#[cfg(feature = "check")]
pub(crate) use findings::rules as certificate_rules;
pub(crate) use handshake::{client_alert, failed_handshake, Failed, LEFT, NO_TLS};
pub(crate) use identity::Origin;
pub use identity::{Expiry, Identity, IdentitySource};
pub(crate) use live::{Live, Serving};
pub(crate) use parameters::Agreed;
#[cfg(feature = "tls-parameters")]
pub use parameters::TlsParameters;
pub(crate) use resolver::ALPN_CHALLENGE;
pub(crate) use stamp::Stamp;
#[cfg(feature = "operations")]
pub(crate) use ticket_keys::SharedKeys;
#[cfg(feature = "operations")]
pub use ticket_keys::TicketKeys;
#[cfg(feature = "check")]
pub(crate) use validity::is_plausible;
#[cfg(any(test, fuzzing))]
pub(crate) use x509::properties::hold as certificate_properties;

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

/// The cryptography provider for everything here. The process default is not used, because another library in the program may
/// have set it differently.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}
