//! The fields that a message itself names as those of one connection (RFC 9110 §7.6.1). `request` and `response` ask, beside the
//! list of those that always are.

use crate::http::upgrade::members;

/// The names in a message's `Connection` fields.
pub(super) struct Named<'m>(Vec<&'m [u8]>);

impl<'m> Named<'m> {
    /// Reads the values of the `Connection` fields.
    pub(super) fn of(values: impl Iterator<Item = &'m [u8]>) -> Named<'m> {
        Named(members(values).filter(|name| !name.is_empty()).collect())
    }

    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.0.iter().any(|named| named.eq_ignore_ascii_case(name))
    }
}
