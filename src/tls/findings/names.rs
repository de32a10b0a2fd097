//! Finds DNS names in a certificate that no client can ask for. The rule for names is in `dns_name`. Knows text only.

use std::net::IpAddr;

use super::super::dns_name::{self, DnsNameFault};

/// Why no client can ask for this DNS name (RFC 5280 §4.2.1.6, RFC 9525 §6.3), as a clause that also says what would be right.
/// Names that clients accept although no certificate should have them (`*.local`, a hyphen at the end of a label) are no fault
/// here. Addresses have a finding of their own.
pub(super) fn fault(name: &str) -> Option<&'static str> {
    if name.parse::<IpAddr>().is_ok() {
        return None;
    }
    let kinds = ["DNS:", "IP:", "URI:", "email:"];
    let begins_with =
        |kind: &&str| name.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind));
    if kinds.iter().any(begins_with) {
        return Some("the kind of the name stands in it; give the name alone");
    }
    if name.as_bytes().windows(3).any(|three| three == b"://") {
        return Some("it is a URL; give the host's name alone");
    }
    if let Some((address, _)) = name.split_once('/') {
        return Some(match address.parse::<IpAddr>() {
            Ok(_) => "it is a range of addresses, for which there is no certificate; give each address, as an address",
            Err(_) => "it has a path; give the host's name alone",
        });
    }
    if name.contains(':') {
        return Some("it has a port, or is no name of a host; give the host's name alone");
    }
    let rest = name.strip_prefix("*.").unwrap_or(name);
    if rest.contains('*') {
        return Some("an asterisk stands for one whole label, the first; give *.example.org, or each name");
    }
    match dns_name::check(rest) {
        Ok(_) | Err(DnsNameFault::Hyphen) => None,
        // Browsers read it as an IPv4 address.
        Err(DnsNameFault::Number) => Some("its last label is a number; give a name, or a whole address"),
        Err(_) => {
            Some("it is no name of a host: labels of letters, digits and hyphens, with dots between them")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_client_can_ask_for_are_told_from_those_that_none_can() {
        for good in [
            "localhost",
            "device.local",
            "*.example.org",
            "*.local",
            "xn--mnchen-3ya.de",
            "my_box.lan",
            "3com.example",
            "192.0.2.7",
            "2001:db8::7",
            "A.EXAMPLE",
            "-a-.example",
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
        let long = "a".repeat(64);
        for (bad, words) in [
            ("DNS:x", "the kind of the name"),
            ("ip:192.0.2.7", "the kind of the name"),
            ("https://x", "it is a URL"),
            ("x:8443", "has a port"),
            ("[::1]", "has a port, or is no name"),
            ("x/admin", "has a path"),
            ("192.168.1.0/24", "a range of addresses"),
            ("*.*.example", "one whole label"),
            ("*", "one whole label"),
            ("a.*.example", "one whole label"),
            ("a*.example", "one whole label"),
            ("", "no name of a host"),
            (".", "no name of a host"),
            ("*.", "no name of a host"),
            ("a..b", "no name of a host"),
            ("a.example.", "no name of a host"),
            ("a b", "no name of a host"),
            ("a@b", "no name of a host"),
            ("a\\0Ab", "no name of a host"),
            (&long, "no name of a host"),
            ("1.2.3", "is a number"),
        ] {
            assert!(fault(bad).is_some_and(|what| what.contains(words)), "{bad}: {:?}", fault(bad));
        }
    }
}
