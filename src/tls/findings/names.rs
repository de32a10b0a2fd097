//! DNS names that stand in a certificate and that no client can ask for. Knows text only.

use std::net::IpAddr;

/// RFC 1035 §2.3.4.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Why no client can ask for this DNS name (RFC 5280 §4.2.1.6, RFC 9525 §6.3), as a clause with what would be right. An
/// underscore is no letter of a host's name, and clients take it all the same. An address is told by another finding.
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
    if name.contains("://") {
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
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(is_letter);
    if name.len() > LONGEST_NAME || !rest.split('.').all(is_label) {
        return Some(
            "it is no name of a host: labels of letters, digits and hyphens, with dots between them",
        );
    }
    // Browsers and URLs take it for an IPv4 address.
    let last = rest.rsplit('.').next().unwrap_or(rest);
    last.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some("its last label is a number; give a name, or a whole address")
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
