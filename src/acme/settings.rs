//! The checked form of [`Acme`](super::Acme).
//!
//! Holds values only. `config` makes it; the agent, `account`, `held` and `order` read it.

use super::challenge::Challenge;
use super::names::Identifier;

/// The settings of [`Acme`](super::Acme), checked and prepared.
pub(super) struct Settings {
    pub directory: String,
    pub names: Vec<Identifier>,
    pub accept_terms: bool,
    pub contacts: Vec<String>,
    pub challenge: Challenge,
    pub profile: Option<String>,
    /// The key identifier, and the key's bytes.
    pub external_account: Option<(String, Vec<u8>)>,
    pub chain: Option<String>,
}

impl Settings {
    pub(super) fn name_texts(&self) -> Vec<String> {
        self.names.iter().map(Identifier::to_string).collect()
    }
}
