//! What `Strict-Transport-Security` (RFC 6797) does to the users of a host. `check` judges what it sees by it, and
//! `web::SecurityFields` what it is asked to send. Knows text only.

use std::net::IpAddr;

/// What becomes of a browser's user once the browser has seen the field with a `max-age` above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: the host is an address, for which browsers ignore the field (RFC 6797 §8.1.1).
    Ignored,
    /// The user is locked out: the browser does not trust the certificate by default, and the field forbids the user to go on
    /// (RFC 6797 §8.4).
    LocksOut,
    /// The browser uses HTTPS for this host from now on, as it should.
    Protects,
}

/// The effect for a host, by whether browsers trust its certificate by default.
pub(crate) fn effect(host_is_address: bool, is_trusted_by_default: bool) -> Effect {
    if host_is_address {
        Effect::Ignored
    } else if is_trusted_by_default {
        Effect::Protects
    } else {
        Effect::LocksOut
    }
}

/// The effect for a host that has the best certificate that it can have.
pub(crate) fn best_effect(host: &str) -> Effect {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    effect(address.parse::<IpAddr>().is_ok(), is_certified_publicly(host))
}

/// Names below these are of one network, or of no network (RFC 2606 §2, RFC 6761 §6, RFC 6762 §3, RFC 7686, RFC 8375, RFC
/// 9476; `internal` by ICANN's resolution 2024.07.29.06; the rest is in use in homes and offices, and no registry has it).
const NOT_PUBLIC: [&str; 16] = [
    "alt",
    "arpa",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
    "svc",
    "test",
];

/// Whether a public authority may issue a certificate for the name. It may for no name without a dot, and for none that is not
/// in the public DNS (CA/Browser Forum, Baseline Requirements §4.2.2, "Internal Names").
fn is_certified_publicly(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit_once('.').map(|(_, last)| last);
    last.is_some_and(|last| {
        !last.is_empty() && !NOT_PUBLIC.iter().any(|name| name.eq_ignore_ascii_case(last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_protects_only_a_name_whose_certificate_browsers_trust() {
        assert_eq!(effect(true, true), Effect::Ignored);
        assert_eq!(effect(true, false), Effect::Ignored);
        assert_eq!(effect(false, false), Effect::LocksOut);
        assert_eq!(effect(false, true), Effect::Protects);
    }

    #[test]
    fn no_certificate_helps_a_name_that_only_one_network_knows() {
        for host in ["gateway.example.com", "GATEWAY.EXAMPLE.COM", "a.example.org.", "xn--mnchen-3ya.de"] {
            assert_eq!(best_effect(host), Effect::Protects, "{host}");
        }
        for host in [
            "",
            ".",
            "gateway",
            "gateway.",
            "localhost",
            "gateway.local",
            "GATEWAY.LOCAL.",
            "pump.home.arpa",
            "nas.lan",
            "a.internal",
            "a.test",
            "a..",
        ] {
            assert_eq!(best_effect(host), Effect::LocksOut, "{host}");
        }
        for host in ["192.168.1.7", "203.0.113.7", "::1", "[2001:db8::7]"] {
            assert_eq!(best_effect(host), Effect::Ignored, "{host}");
        }
    }
}
