//! Which names and addresses a device's certificate is for: those it was given, and those the machine has at the moment.
//!
//! Names from the operator must be in the certificate. Names and addresses of the machine are added if the CA may sign for
//! them. Knows no files. `state` calls it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::machine::Machine;
use super::scope::{private_networks, Scope, RESERVED};
use crate::backports;
use crate::tls::dns_name::{dns_name, DnsNameFault};

/// The most names that can be given.
pub(super) const MOST_NAMES: usize = 32;
/// The most addresses of the machine in the certificate. A router may have hundreds.
const MOST_ADDRESSES: usize = 64;
/// The most public networks of the machine in a CA's constraints.
const MOST_PUBLIC_NETWORKS: usize = 16;
/// The most letters of the host name in the CA's name, so that the whole name fits.
const LONGEST_TITLE: usize = 32;
/// The leading bits of an IPv6 address that stay the same when a machine changes its address on the same link (RFC 4291
/// §2.5.1).
const LINK_BITS: u8 = 64;
const ALL_BITS: u8 = 128;

/// A name or address from the operator, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Dns(String),
    Ip(IpAddr),
}

impl Name {
    /// Checks a name or an address. An error says what is wrong and what would be right.
    pub(super) fn parse(text: &str) -> Result<Name, String> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Name::Ip(address));
        }
        dns_name(text.strip_suffix('.').unwrap_or(text)).map(Name::Dns).map_err(|why| {
            format!(
                "{text:?} is no name for a certificate: {why}; give a host name of letters, digits and hyphens, such as \
                 printer.example (others in their xn-- form), or an IP address"
            )
        })
    }

    fn is_permitted(&self, scope: &Scope) -> bool {
        match self {
            Name::Dns(name) => scope.permits_name(name),
            Name::Ip(address) => scope.permits_address(*address),
        }
    }

    fn text(&self) -> String {
        match self {
            Name::Dns(name) => name.clone(),
            Name::Ip(address) => address.to_string(),
        }
    }
}

/// The scope of a CA for this device: all names and addresses that the device has now or is given, and all private networks, so
/// that it can move within a site. A name of one label is left out if it cannot be permitted without the names below it.
pub(super) fn scope(given: &[Name], machine: &Machine) -> Scope {
    let mut scope = Scope {
        domains: RESERVED.map(String::from).into(),
        networks: private_networks(),
        ..Scope::default()
    };
    let of_machine = host_names(machine).0.into_iter().map(Name::Dns);
    let names: Vec<Name> = of_machine.chain(given.iter().cloned()).collect();
    // Domains come first, because a host alone excludes the names below it.
    let (hosts, others): (Vec<Name>, Vec<Name>) =
        names.into_iter().partition(|name| matches!(name, Name::Dns(name) if !name.contains('.')));
    for name in &others {
        permit(&mut scope, name, ALL_BITS);
    }
    for host in hosts.iter().filter(|host| !host.is_permitted(&scope)).map(Name::text).collect::<Vec<_>>() {
        if scope.can_permit_alone(&host) && !scope.hosts.contains(&host) {
            scope.hosts.push(host);
        }
    }
    let public: Vec<_> =
        machine.addresses.iter().filter(|address| !scope.permits_address(**address)).collect();
    for address in public.into_iter().take(MOST_PUBLIC_NETWORKS) {
        permit(&mut scope, &Name::Ip(*address), LINK_BITS);
    }
    scope
}

/// Permits a name or an address; of an IPv6 address, this many leading bits.
fn permit(scope: &mut Scope, name: &Name, bits: u8) {
    if name.is_permitted(scope) {
        return;
    }
    match name {
        // A wildcard stands for names below it.
        Name::Dns(name) => scope.domains.push(name.strip_prefix("*.").unwrap_or(name).to_string()),
        Name::Ip(IpAddr::V4(address)) => scope.networks.push((IpAddr::V4(*address), 32)),
        Name::Ip(IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(u32::from(ALL_BITS - bits)).unwrap_or(0);
            scope.networks.push((IpAddr::V6(Ipv6Addr::from(u128::from(*address) & mask)), bits));
        }
    }
}

/// The given names that a CA with this scope may not sign for.
pub(super) fn outside(scope: &Scope, given: &[Name]) -> Vec<String> {
    given.iter().filter(|name| !name.is_permitted(scope)).map(Name::text).collect()
}

/// The names that a certificate should have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The names without repetition. The name that users know comes first.
    pub(super) names: Vec<String>,
    /// Names and addresses of the machine that the certificate does not have.
    pub(super) left_out: Vec<LeftOut>,
}

/// A name or an address of the machine that its certificate is not for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) name: String,
    pub(super) why: Why,
}

/// Why a name is left out, and what to do. It displays as a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A certificate cannot have this host name. The certificate has its first label with `.local` instead, if that is a valid
    /// name.
    HostName(DnsNameFault, Option<String>),
    /// The CA was made without this name.
    OutsideOfCa,
    TooMany,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::HostName(fault @ DnsNameFault::NotAscii(Some(ascii)), _) => {
                let first = ascii.split('.').next().unwrap_or(ascii);
                write!(f, "{fault}: give {first}.local as a name (--name), or the machine another host name")
            }
            Why::HostName(fault, Some(local)) => {
                write!(f, "{fault}: clients can use {local}, or give the machine another host name")
            }
            Why::HostName(fault, None) => write!(f, "{fault}: give the machine another host name"),
            Why::OutsideOfCa => {
                f.write_str("its CA may not sign for it: a CA made with --name may, and clients can use another name or address")
            }
            Why::TooMany => write!(f, "it is for {MOST_ADDRESSES} addresses at most: clients can use another"),
        }
    }
}

impl Wanted {
    /// The names that the certificate should have. Fails with the first given name that is outside the CA's scope.
    pub(super) fn within(scope: &Scope, given: &[Name], machine: &Machine) -> Result<Wanted, String> {
        if let Some(outside) = outside(scope, given).into_iter().next() {
            return Err(outside);
        }
        let (host_names, unfit) = host_names(machine);
        let of_machine =
            host_names.into_iter().map(Name::Dns).chain(addresses(machine).into_iter().map(Name::Ip));
        let (in_scope, outside): (Vec<_>, Vec<_>) = of_machine.partition(|name| name.is_permitted(scope));
        let (hosts, addresses): (Vec<_>, Vec<_>) =
            in_scope.into_iter().partition(|name| matches!(name, Name::Dns(_)));
        let always = [
            Name::Dns("localhost".to_string()),
            Name::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Name::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ];
        let too_many = addresses.iter().skip(MOST_ADDRESSES);
        let left_out = |why: Why| move |name: &Name| LeftOut { name: name.text(), why: why.clone() };
        let outside = outside.iter().map(left_out(Why::OutsideOfCa));
        let left_out = unfit.into_iter().chain(outside).chain(too_many.map(left_out(Why::TooMany))).collect();
        let names = given.iter().cloned().chain(hosts).chain(always);
        let mut wanted = Vec::new();
        for name in names.chain(addresses.iter().take(MOST_ADDRESSES).cloned()).map(|name| name.text()) {
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
        Ok(Wanted { names: wanted, left_out })
    }

    /// Whether a certificate for these names is good enough: it has all wanted names, and nothing else but addresses. Addresses
    /// come and go, and an address that has gone is no reason for a new certificate.
    pub(super) fn is_covered_by(&self, names: &[String]) -> bool {
        let is_wanted = |name: &String| self.names.contains(name) || name.parse::<IpAddr>().is_ok();
        self.names.iter().all(|name| names.contains(name)) && names.iter().all(is_wanted)
    }
}

/// The names that follow from the host name: `printer.example` is also `printer` and, by multicast DNS, `printer.local` (RFC
/// 6762). Also returns the names that no certificate may have. Both are empty when the host name is not set.
fn host_names(machine: &Machine) -> (Vec<String>, Vec<LeftOut>) {
    let whole = machine.host_name.strip_suffix('.').unwrap_or(&machine.host_name);
    let first = whole.split('.').next().unwrap_or(whole);
    let local = format!("{first}.local");
    // A host name cannot be a wildcard.
    let fit = |name: &str| match name.contains('*') {
        true => Err(DnsNameFault::Wildcard),
        false => dns_name(name),
    };
    let (mut names, mut unfit): (Vec<String>, Vec<LeftOut>) = (Vec::new(), Vec::new());
    for name in [whole, &local, first] {
        match fit(name) {
            Ok(name) if !names.contains(&name) => names.push(name),
            Ok(_) => {}
            // A fault of the whole name is also a fault of a part, and is reported once.
            Err(why) if unfit.is_empty() && !whole.is_empty() => {
                unfit.push(LeftOut { name: name.to_string(), why: Why::HostName(why, fit(&local).ok()) });
            }
            Err(_) => {}
        }
    }
    (names, unfit)
}

/// The title of the device's CA, for people.
pub(super) fn title(machine: &Machine) -> String {
    let (names, _) = host_names(machine);
    let first = names.first().and_then(|whole| whole.split('.').next());
    first.unwrap_or("lockgate").chars().take(LONGEST_TITLE).collect()
}

/// The machine's addresses in a fixed order, with those that people type most often first.
fn addresses(machine: &Machine) -> Vec<IpAddr> {
    let rank = |address: &IpAddr| match address {
        IpAddr::V4(v4) => (u8::from(v4.is_link_local()), *address),
        IpAddr::V6(v6) => (2 + u8::from(backports::is_unicast_link_local(*v6)), *address),
    };
    let mut addresses = Vec::new();
    for &address in &machine.addresses {
        if let Err(place) = addresses.binary_search_by_key(&rank(&address), rank) {
            addresses.insert(place, address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(host_name: &str, addresses: &[&str]) -> Machine {
        Machine {
            host_name: host_name.to_string(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    fn given(names: &[&str]) -> Vec<Name> {
        names.iter().map(|name| Name::parse(name).unwrap()).collect()
    }

    /// The wanted names, with a CA that is made for the same.
    fn wanted(names: &[&str], machine: &Machine) -> Vec<String> {
        let given = given(names);
        let wanted = Wanted::within(&scope(&given, machine), &given, machine).unwrap();
        assert_eq!(wanted.left_out, []);
        wanted.names
    }

    #[test]
    fn names_are_read_as_people_write_them() {
        for (text, name) in [
            ("Printer.Example", Name::Dns("printer.example".into())),
            ("printer.example.", Name::Dns("printer.example".into())),
            ("xn--nxasmq6b", Name::Dns("xn--nxasmq6b".into())),
            ("3com.example", Name::Dns("3com.example".into())),
            ("192.0.2.1", Name::Ip("192.0.2.1".parse().unwrap())),
            ("2001:DB8::1", Name::Ip("2001:db8::1".parse().unwrap())),
            ("[::1]", Name::Ip("::1".parse().unwrap())),
        ] {
            assert_eq!(Name::parse(text), Ok(name), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_what_would_be_right() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = ["a".repeat(63).as_str(); 4].join(".");
        for text in [
            "",
            ".",
            "a..b",
            "*.example",
            "drücker.example",
            "-a.example",
            "a-.example",
            "a b",
            "a\0b",
            "192.0.2.300",
            "1.2.3",
            "https://a.example",
            "a.example:443",
            &long_label,
            &long_name,
        ] {
            let message = Name::parse(text).unwrap_err();
            assert!(message.contains("give a host name of letters"), "{message}");
        }
    }

    #[test]
    fn a_certificate_is_for_all_that_the_machine_may_be_called() {
        let machine =
            machine("Printer.lan.example", &["fe80::1", "10.0.0.7", "169.254.1.1", "fd00::7", "10.0.0.7"]);
        assert_eq!(
            wanted(&["gate.example", "192.168.9.9", "localhost"], &machine),
            [
                "gate.example",
                "192.168.9.9",
                "localhost",
                "printer.lan.example",
                "printer.local",
                "printer",
                "127.0.0.1",
                "::1",
                "10.0.0.7",
                "169.254.1.1",
                "fd00::7",
                "fe80::1",
            ]
        );
    }

    #[test]
    fn a_host_name_with_an_underscore_is_one() {
        assert_eq!(
            wanted(&["a_b.example"], &machine("my_box", &[])),
            ["a_b.example", "my_box", "my_box.local", "localhost", "127.0.0.1", "::1"]
        );
    }

    #[test]
    fn a_host_name_that_cannot_be_certified_is_left_out_with_the_reason_and_the_way_out() {
        const ALWAYS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
        for (host_name, names, words) in [
            (
                "Günter-PC",
                &[][..],
                &[
                    "letters outside of ASCII",
                    "it is xn--gnter-pc-65a: give xn--gnter-pc-65a.local as a name",
                ][..],
            ),
            ("Günter.lan", &[], &["it is xn--gnter-kva.lan: give xn--gnter-kva.local"]),
            ("123", &["123.local"], &["ends in a number", "clients can use 123.local"]),
            ("192.168.1.5", &["192.local"], &["ends in a number", "clients can use 192.local"]),
            ("a b", &[], &["no name holds ' ': give the machine another host name"]),
            ("*.a.example", &[], &["wildcard"]),
            ("", &[], &[]),
            ("localhost", &["localhost.local"], &[]),
        ] {
            let machine = machine(host_name, &[]);
            let wanted = Wanted::within(&scope(&[], &machine), &[], &machine).unwrap();
            let (mut found, mut expected) = (wanted.names, [names, &ALWAYS].concat());
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{host_name}");
            let left_out: Vec<&str> = wanted.left_out.iter().map(|one| &*one.name).collect();
            assert_eq!(left_out, [host_name].repeat(usize::from(!words.is_empty())), "{host_name}");
            for one in &wanted.left_out {
                let why = one.why.to_string();
                assert!(words.iter().all(|words| why.contains(words)), "{host_name}: {why}");
            }
        }
    }

    #[test]
    fn a_wildcard_below_what_the_ca_may_sign_for_is_a_name() {
        let machine = machine("printer", &[]);
        assert_eq!(wanted(&["*.gate.example"], &machine)[0], "*.gate.example");
        let with_base = scope(&given(&["gate.example"]), &machine);
        for (name, is_permitted) in [
            ("*.gate.example", true),
            ("*.x.gate.example", true),
            ("*.x.local", true),
            ("*.other.example", false),
        ] {
            assert_eq!(Wanted::within(&with_base, &given(&[name]), &machine).is_ok(), is_permitted, "{name}");
        }
    }

    #[test]
    fn a_ca_is_for_what_there_is_when_it_is_made_and_for_private_networks() {
        let machine = machine("printer", &["203.0.113.5", "2001:db8:1:2:3:4:5:6", "10.0.0.1"]);
        let scope = scope(
            &given(&["gate.example", "a.gate.example", "b.local", "198.51.100.1", "2001:db8::9"]),
            &machine,
        );
        assert_eq!(scope.domains, ["localhost", "local", "gate.example"]);
        assert_eq!(scope.hosts, ["printer"]);
        let public: Vec<_> = scope.networks.iter().skip(private_networks().len()).collect();
        let net = |text: &str, bits| (text.parse().unwrap(), bits);
        assert_eq!(
            public,
            [
                &net("198.51.100.1", 32),
                &net("2001:db8::9", 128),
                &net("203.0.113.5", 32),
                &net("2001:db8:1:2::", 64)
            ]
        );
    }

    #[test]
    fn a_name_of_one_label_is_permitted_alone_or_not_at_all() {
        let alone = scope(&given(&["camera", "camera.example"]), &machine("printer.lan", &[]));
        assert_eq!(alone.hosts, ["printer", "camera"]);
        assert_eq!(alone.domains, ["localhost", "local", "printer.lan", "camera.example"]);
        // Names below it are permitted, so they cannot be excluded.
        let beside = given(&["lan", "printer"]);
        let scope = scope(&beside, &machine("printer.lan", &[]));
        assert_eq!(
            (scope.hosts, &scope.domains[2..]),
            (vec!["printer".to_string()], &["printer.lan".to_string()][..])
        );
    }

    #[test]
    fn what_the_machine_has_outside_the_scope_is_left_out_and_what_was_given_is_refused() {
        let before = scope(&[], &machine("printer", &[]));
        let now = machine("scanner", &["203.0.113.5", "10.0.0.1"]);
        let wanted = Wanted::within(&before, &[], &now).unwrap();
        assert_eq!(wanted.names, ["scanner.local", "localhost", "127.0.0.1", "::1", "10.0.0.1"]);
        let left_out: Vec<_> = wanted.left_out.iter().map(|one| (&*one.name, &one.why)).collect();
        assert_eq!(left_out, [("scanner", &Why::OutsideOfCa), ("203.0.113.5", &Why::OutsideOfCa)]);
        for name in ["gate.example", "203.0.113.5"] {
            assert_eq!(Wanted::within(&before, &given(&["printer", name]), &now), Err(name.to_string()));
        }
    }

    #[test]
    fn a_certificate_will_do_while_it_is_for_all_that_is_wanted_and_only_addresses_beyond() {
        let wanted = Wanted { names: ["printer", "10.0.0.1"].map(String::from).into(), left_out: Vec::new() };
        for (names, will_do) in [
            (&["printer", "10.0.0.1"][..], true),
            (&["10.0.0.1", "printer", "fd00::1", "10.0.0.2"], true),
            (&["printer", "10.0.0.2"], false),
            (&["printer"], false),
            (&["printer", "10.0.0.1", "scanner"], false),
            (&[], false),
        ] {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            assert_eq!(wanted.is_covered_by(&names), will_do, "{names:?}");
        }
    }

    #[test]
    fn there_are_never_more_addresses_than_the_bound() {
        let many: Vec<String> = (0..200).map(|n| format!("10.0.0.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let machine = machine("printer", &many);
        let wanted = Wanted::within(&scope(&[], &machine), &[], &machine).unwrap();
        assert_eq!(wanted.names.len(), 5 + MOST_ADDRESSES);
        assert_eq!(wanted.left_out.len(), 200 - MOST_ADDRESSES);
        assert!(wanted.left_out.iter().all(|one| one.why == Why::TooMany));
        let public: Vec<String> = (0..200).map(|n| format!("203.0.113.{n}")).collect();
        let public: Vec<&str> = public.iter().map(String::as_str).collect();
        let scope = scope(&[], &self::machine("printer", &public));
        assert_eq!(scope.networks.len(), private_networks().len() + MOST_PUBLIC_NETWORKS);
    }
}
