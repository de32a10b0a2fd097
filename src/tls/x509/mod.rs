//! What an X.509 certificate says (RFC 5280 §4.1): all that a check of it needs, and nothing more.
//!
//! Strict about the form, but not about the content: a certificate with a negative serial number, or one not meant for a
//! server, is read like any other, so that `findings` can say what is wrong with it. Knows bytes only. Called by `chain`.

mod algorithm;
mod extensions;
mod facts;
mod key_parts;
mod name;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod values;

pub(super) use algorithm::{key_kind, CurveParameters, Hash, PublicKey};
pub(crate) use facts::Facts;
pub(super) use key_parts::KeyParts;
pub(super) use values::hex;
