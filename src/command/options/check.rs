//! The options of `check` about a connection, beside those of `serve` that it shares.

use std::net::{IpAddr, SocketAddr};

use crate::command::option::{path, Kind, Opt};
use crate::command::value;

pub(in crate::command) static CA: Opt = Opt::new(
    "ca",
    "Authorities to trust beside the public ones, or the server's own certificate, as PEM.",
    Kind::Value {
        name: "FILE",
        accepted: "the path of a PEM file",
        default: None,
        set: |arguments, value| path(value).map(|path| arguments.ca = Some(path)),
    },
);

pub(in crate::command) static HTTP_PORT: Opt = Opt::new(
    "http-port",
    "Where plain HTTP is tried; off for nowhere.",
    Kind::Value {
        name: "PORT|off",
        accepted: "off, or a port from 1 to 65535",
        default: Some("80"),
        set: |arguments, value| {
            arguments.http_port = match value.to_str()? {
                "off" => None,
                port => Some(value::whole_number(port).filter(|&port| port > 0)?),
            };
            Some(())
        },
    },
);

pub(in crate::command) static CONNECT: Opt = Opt::new(
    "connect",
    "The address to connect to, instead of looking up the host of the URL; with a port, that port \
     instead of the URL's.",
    Kind::Value {
        name: "ADDR[:PORT]",
        accepted: "an address, with a port or without: 192.0.2.1, [2001:db8::1]:8443",
        default: None,
        set: |arguments, value| address(value.to_str()?).map(|address| arguments.connect = Some(address)),
    },
);

pub(in crate::command) static SCHEMA: Opt = Opt::new(
    "schema",
    "Write the JSON Schema of what --json writes, and check nothing.",
    Kind::Flag(|arguments| arguments.schema = true),
);

/// An address, and a port if one stands behind it: `192.0.2.1`, `192.0.2.1:8443`, `::1`, `[::1]:8443`.
fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(both) = text.parse::<SocketAddr>() {
        return (both.port() > 0).then_some((both.ip(), Some(both.port())));
    }
    let alone = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    Some((alone.parse().ok()?, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_connect_to_are_read() {
        let is = |address: &str, port| Some((address.parse().unwrap(), port));
        for (text, expected) in [
            ("192.0.2.1", is("192.0.2.1", None)),
            ("192.0.2.1:8443", is("192.0.2.1", Some(8443))),
            ("::1", is("::1", None)),
            ("[::1]", is("::1", None)),
            ("[::1]:8443", is("::1", Some(8443))),
            ("localhost", None),
            ("192.0.2.1:0", None),
            ("192.0.2.1:65536", None),
            ("[::1", None),
            ("", None),
        ] {
            assert_eq!(address(text), expected, "{text}");
        }
    }
}
