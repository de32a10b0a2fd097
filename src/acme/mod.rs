//! Certificates from an authority (ACME, RFC 8555), obtained and renewed automatically. [`Acme`] holds the settings, and the
//! agent, one blocking thread beside the server, does the work.
//!
//! Knows the network, `tls` and `device`, and nothing of the server, which uses the agent through the trait in `tls::agent`.
//! `config` holds and checks the settings, `https` sends and receives bytes, `session` signs requests, `messages`, `link` and
//! `foreign` read the answers, `account` and `order` are the two parts of the protocol, `schedule` decides when, and `state`
//! stores what must survive.

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
