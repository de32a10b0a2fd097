//! Which fields concern one connection only, so that a proxy does not pass them on (RFC 9110 §7.6.1). `request` and `response`
//! ask.

use crate::backports::Trim;

/// Fields of one connection, whether `Connection` names them or not. Some are of earlier RFCs and of HTTP/2's beginning (RFC
/// 7540 §3.2).
pub(super) const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a field with this name concerns one connection only.
pub(super) fn is_hop_by_hop(name: &[u8]) -> bool {
    HOP_BY_HOP.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// The names in a message's `Connection` fields.
pub(super) struct Named<'m>(Vec<&'m [u8]>);

impl<'m> Named<'m> {
    /// Reads the values of the `Connection` fields.
    pub(super) fn of(values: impl Iterator<Item = &'m [u8]>) -> Named<'m> {
        let names = values.flat_map(|value| value.split(|&byte| byte == b',')).map(Trim::trimmed);
        Named(names.filter(|name| !name.is_empty()).collect())
    }

    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.0.iter().any(|named| named.eq_ignore_ascii_case(name))
    }
}
