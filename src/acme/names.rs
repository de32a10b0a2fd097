//! The names of an ordered certificate: DNS names and IP addresses (RFC 8555 §7.1.4, RFC 8738).

use std::fmt;
use std::net::IpAddr;

use serde_json::{json, Value};

use crate::tls::dns_name::dns_name;

/// Let's Encrypt accepts no more, and no appliance has so many.
const MOST: usize = 100;

/// A name or an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identifier {
    /// In lower case.
    Dns(String),
    Ip(IpAddr),
}

impl Identifier {
    fn parse(text: &str) -> Result<Identifier, String> {
        let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Identifier::Ip(address));
        }
        if text.starts_with("*.") {
            return Err(format!(
                "{text}: wildcards are proven by DNS only, which is not done here; name each host"
            ));
        }
        let refused = |why: &str| {
            format!("{text:?} is neither a DNS name nor an IP address: {why}; write names in other scripts as xn--…")
        };
        match dns_name(text.strip_suffix('.').unwrap_or(text)) {
            // CA/Browser Forum's Baseline Requirements §7.1.4.2.1: no authority certifies them.
            Ok(name) if name.contains('_') => Err(refused("authorities refuse underscores")),
            Ok(name) => Ok(Identifier::Dns(name)),
            Err(fault) => Err(refused(&fault.to_string())),
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Identifier::Dns(name) => json!({"type": "dns", "value": name}),
            Identifier::Ip(address) => json!({"type": "ip", "value": address.to_string()}),
        }
    }

    /// The name that an authority asks for in TLS-ALPN-01. For an address it is the name in reverse DNS (RFC 8738 §6).
    pub(super) fn server_name(&self) -> String {
        match self {
            Identifier::Dns(name) => name.clone(),
            Identifier::Ip(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            Identifier::Ip(IpAddr::V6(address)) => {
                let nibbles = address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
                let mut name: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
                name.push_str("ip6.arpa");
                name
            }
        }
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identifier::Dns(name) => f.write_str(name),
            Identifier::Ip(address) => address.fmt(f),
        }
    }
}

/// All names of a certificate, each once, in the given order.
pub(super) fn parse_all(texts: &[String]) -> Result<Vec<Identifier>, String> {
    let mut all = Vec::new();
    for text in texts {
        let one = Identifier::parse(text)?;
        if !all.contains(&one) {
            all.push(one);
        }
    }
    match all.len() {
        0 => Err("a certificate needs a name that the authority can find this machine under".into()),
        1..=MOST => Ok(all),
        more => Err(format!("{more} names are more than the {MOST} that a certificate may have")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<Vec<Identifier>, String> {
        parse_all(&texts.iter().map(|text| text.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn names_and_addresses_are_told_apart_and_kept_once() {
        let all = parse(&["Device.Example", "192.0.2.7", "[2001:db8::7]", "device.example", "2001:db8:0::7"]);
        let json: Vec<Value> = all.unwrap().iter().map(Identifier::json).collect();
        assert_eq!(
            json,
            [
                json!({"type": "dns", "value": "device.example"}),
                json!({"type": "ip", "value": "192.0.2.7"}),
                json!({"type": "ip", "value": "2001:db8::7"}),
            ]
        );
    }

    #[test]
    fn what_no_authority_can_validate_is_refused_with_the_way_out() {
        for (texts, words) in [
            (&[][..], "needs a name"),
            (&["*.example.org"], "name each host"),
            (&["a_b.example"], "neither a DNS name nor an IP address"),
            (&["ä.example"], "xn--"),
            (&["example..org"], "neither"),
            (&["-a.example"], "neither"),
            (&[""], "neither"),
            (&["192.0.2.300"], "neither"),
            (&["a.example:80"], "neither"),
        ] {
            let message = parse(texts).unwrap_err();
            assert!(message.contains(words), "{message}");
        }
        let many: Vec<String> = (0..=MOST).map(|number| format!("h{number}.example")).collect();
        assert!(parse_all(&many).unwrap_err().contains("more than the 100"));
    }

    /// RFC 8738 §6.
    #[test]
    fn an_address_is_asked_for_by_its_name_in_reverse_dns() {
        let name = |text: &str| Identifier::parse(text).unwrap().server_name();
        assert_eq!(name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        assert_eq!(
            name("2001:db8::1"),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
        assert_eq!(name("a.example"), "a.example");
    }
}
