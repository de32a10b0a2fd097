//! Certificates from an authority (ACME, RFC 8555), without anyone touching it: [`Acme`] says from which and for what,
//! and the agent, one blocking thread beside the server, obtains and renews.
//!
//! Knows the network, `tls` and `device`, and nothing of the server, which meets the agent through the trait in `tls::agent`.
//! `config` says what is wanted and checks it, `https` carries bytes, `session` signs and sends, `messages` reads what comes back
//! (`link` and `foreign` what stands in it), `account` and `order` are the protocol's two halves, `schedule` decides when, `state`
//! remembers.

mod account;
mod agent;
mod ari;
mod base64url;
mod board;
mod chain;
mod challenge;
mod config;
mod foreign;
mod held;
mod https;
mod jws;
mod keys;
mod link;
mod messages;
mod names;
mod obtain;
mod order;
mod schedule;
mod session;
mod settings;
mod source;
mod state;
mod status;
mod stop;
mod time;

pub use agent::Urgency;
pub use challenge::Challenge;
pub use config::Acme;
pub use status::AcmeStatus;
