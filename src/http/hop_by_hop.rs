//! Which fields concern one connection only (RFC 9110 §7.6.1): a proxy does not pass them on, and nobody but who writes the message
//! sets them. The proxy asks, and the command about fields that it is to add.

/// Fields of one connection, whether `Connection` names them or not. Some are of earlier RFCs and of HTTP/2's beginning (RFC
/// 7540 §3.2).
pub(crate) const HOP_BY_HOP: [&str; 8] = [
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
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    HOP_BY_HOP.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}
