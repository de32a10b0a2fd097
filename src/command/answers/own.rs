//! Whether a target is this server itself, which would pass requests on to itself without end. Knows the addresses that the options
//! say, and asks the system which addresses are its own. `mod` asks before a server starts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use lockgate::internal::host_and_port;

use crate::command::arguments::Arguments;
use crate::command::value::Listen;

/// The option that makes this server listen at the target, if one does.
pub(super) fn option_at(target: &str, arguments: &Arguments) -> Option<&'static str> {
    let (addresses, port) = place(target)?;
    let listening = [(Some(arguments.https), "--https"), (arguments.http, "--http")];
    listening.into_iter().find_map(|(listen, option)| {
        let listen = listen.filter(|listen| listen.port == port)?;
        addresses.iter().any(|address| is_at(listen, *address)).then_some(option)
    })
}

/// The addresses and the port of a target. Names other than that of this machine are not looked up.
fn place(target: &str) -> Option<(Vec<IpAddr>, u16)> {
    let (host, port) = host_and_port(target)?;
    if host.eq_ignore_ascii_case("localhost") {
        return Some((vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], port));
    }
    Some((vec![host.parse().ok()?], port))
}

fn is_at(listen: Listen, target: IpAddr) -> bool {
    match listen.address {
        Some(address) if !address.is_unspecified() => address == target,
        Some(IpAddr::V4(_)) if target.is_ipv6() => false,
        _ => target.is_unspecified() || target.is_loopback() || is_of_this_machine(target),
    }
}

/// Packets to an address of this machine come from that address. Nothing is sent.
fn is_of_this_machine(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let own = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(SocketAddr::new(address, 9))?;
        socket.local_addr()
    });
    own.is_ok_and(|own| own.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_at_a_listening_address_is_this_server() {
        let at = |https: &str, http: &str, target: &str| {
            let arguments = Arguments {
                https: Listen::parse(https).unwrap(),
                http: Listen::parse(http),
                ..Arguments::default()
            };
            option_at(target, &arguments)
        };
        for (https, http, target, expected) in [
            ("8443", "off", "http://127.0.0.1:8443", Some("--https")),
            ("8443", "off", "https://LOCALHOST:8443/", Some("--https")),
            ("8443", "off", "http://[::1]:8443", Some("--https")),
            ("8443", "off", "http://0.0.0.0:8443", Some("--https")),
            ("8443", "80", "http://localhost", Some("--http")),
            ("443", "off", "https://127.1.2.3", Some("--https")),
            ("127.0.0.1:8443", "off", "http://localhost:8443", Some("--https")),
            ("0.0.0.0:8443", "off", "http://127.0.0.1:8443", Some("--https")),
            ("192.0.2.1:8443", "off", "https://192.0.2.1:8443", Some("--https")),
            ("0.0.0.0:8443", "off", "http://[::1]:8443", None),
            ("127.0.0.1:8443", "off", "http://127.0.0.2:8443", None),
            ("192.0.2.1:8443", "off", "http://127.0.0.1:8443", None),
            ("8443", "off", "http://192.0.2.1:8443", None),
            ("8443", "off", "http://a.example:8443", None),
            ("8443", "off", "http://127.0.0.1:3000", None),
            ("8443", "off", "http://127.0.0.1", None),
            ("0", "off", "http://127.0.0.1:3000", None),
            ("8443", "off", "unix:/8443", None),
            ("8443", "off", "http://:8443", None),
        ] {
            assert_eq!(at(https, http, target), expected, "{https} {http} {target}");
        }
    }
}
