//! How values are written on the command line: times, sizes, counts, and addresses to listen on. Knows nothing; options read
//! values with it, and commands show them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

pub(super) const TIME: &str = "a time: 500ms, 60s, 2m, or a plain number of seconds";
pub(super) const SIZE: &str = "a size: 64KiB, 1MiB, or a plain number of bytes";
pub(super) const COUNT: &str = "a whole number";
pub(super) const LISTEN: &str = "a port, or an address and a port: 8443, 127.0.0.1:8443, [::1]:8443";

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listen {
    /// `None` for all of this machine's addresses.
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl Listen {
    pub(super) const fn on_all(port: u16) -> Listen {
        Listen { address: None, port }
    }

    pub(super) fn parse(text: &str) -> Option<Listen> {
        if let Some(port) = whole_number(text) {
            return Some(Listen::on_all(port));
        }
        let address: SocketAddr = text.parse().ok()?;
        Some(Listen { address: Some(address.ip()), port: address.port() })
    }
}

/// As the server takes it. `[::]` also takes IPv4, but a machine may have no IPv6 at all.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.unwrap_or_else(|| {
            if UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok() {
                Ipv6Addr::UNSPECIFIED.into()
            } else {
                Ipv4Addr::UNSPECIFIED.into()
            }
        });
        SocketAddr::new(address, self.port).fmt(f)
    }
}

pub(super) fn time(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = whole_number(digits)?;
    match text.get(digits.len()..)? {
        "ms" => Some(Duration::from_millis(number)),
        "s" | "" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = whole_number(digits)?;
    match text.get(digits.len()..)? {
        "" => Some(number),
        "KiB" => number.checked_mul(1 << 10),
        "MiB" => number.checked_mul(1 << 20),
        "GiB" => number.checked_mul(1 << 30),
        _ => None,
    }
}

/// Digits only: `parse` alone would also take a sign.
pub(super) fn whole_number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

pub(super) fn show_time(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{}s", time.as_secs())
    } else {
        format!("{}ms", time.as_millis())
    }
}

pub(super) fn show_size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match bytes {
        0 => "0".into(),
        _ if bytes % MIB == 0 => format!("{}MiB", bytes / MIB),
        _ if bytes % KIB == 0 => format!("{}KiB", bytes / KIB),
        _ => bytes.to_string(),
    }
}

/// A fingerprint as clients and openssl show it: `AB:CD:…`.
pub(super) fn show_fingerprint(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, expected) in [
            ("500ms", Some(500)),
            ("60s", Some(60_000)),
            ("60", Some(60_000)),
            ("2m", Some(120_000)),
            ("0", Some(0)),
            ("", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("+1s", None),
            ("1 s", None),
            ("1h", None),
            ("1S", None),
            ("99999999999999999999s", None),
            ("18446744073709551615m", None),
            ("1ä", None),
        ] {
            assert_eq!(time(text), expected.map(Duration::from_millis), "{text}");
        }
        assert_eq!(show_time(Duration::from_millis(1500)), "1500ms");
        assert_eq!(show_time(Duration::from_secs(60)), "60s");
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, expected) in [
            ("100", Some(100)),
            ("64KiB", Some(65_536)),
            ("1MiB", Some(1_048_576)),
            ("1GiB", Some(1 << 30)),
            ("", None),
            ("1KB", None),
            ("1kib", None),
            ("KiB", None),
            ("0x10", None),
            ("18446744073709551615MiB", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
        for text in ["0", "1000", "16KiB", "1MiB", "1025KiB"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
    }

    #[test]
    fn addresses_to_listen_on_are_read() {
        let on = |address: &str, port| Some(Listen { address: Some(address.parse().unwrap()), port });
        for (text, expected) in [
            ("8443", Some(Listen::on_all(8443))),
            ("0", Some(Listen::on_all(0))),
            ("127.0.0.1:80", on("127.0.0.1", 80)),
            ("[::1]:80", on("::1", 80)),
            ("[::]:8443", on("::", 8443)),
            ("65536", None),
            ("localhost:80", None),
            ("127.0.0.1", None),
            ("::1", None),
            (":80", None),
            ("", None),
        ] {
            assert_eq!(Listen::parse(text), expected, "{text}");
        }
        assert_eq!(on("::1", 80).unwrap().to_string(), "[::1]:80");
    }
}
