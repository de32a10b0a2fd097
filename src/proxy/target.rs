//! Where a proxy's backend is: its addresses, and its name for `Host` and for the log. `mod` makes it of what the program says.

use std::net::{SocketAddr, ToSocketAddrs};

use rustix::net::SocketAddrUnix;

use crate::url::Url;

/// A backend.
#[derive(Debug)]
pub(super) struct Target {
    /// Tried one after the other. Not empty.
    pub addresses: Vec<Address>,
    /// The host and port, or for a socket in the file system `localhost`.
    pub authority: String,
    /// As the program has given it.
    pub name: String,
}

#[derive(Debug, Clone)]
pub(super) enum Address {
    Internet(SocketAddr),
    Unix(SocketAddrUnix),
}

/// What `Host` says to the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    AsAsked,
    Set(String),
}

impl Target {
    /// Reads `http://HOST:PORT` or `unix:PATH`, and looks up the host. An error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Target, String> {
        let name = text.to_string();
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err("a socket in the file system is given as unix: and its absolute path".to_string());
            }
            let address =
                SocketAddrUnix::new(path).map_err(|_| "the path of the socket is too long".to_string())?;
            let authority = "localhost".to_string();
            return Ok(Target { addresses: vec![Address::Unix(address)], authority, name });
        }
        let url = Url::parse(text).map_err(|fault| match fault {
            "does not begin with https://" => {
                "a backend is given as http://HOST:PORT or unix:PATH".to_string()
            }
            fault => format!("this URL {fault}"),
        })?;
        if url.is_https {
            return Err(
                "a backend over HTTPS is not supported; give its plain port, as http://HOST:PORT".to_string()
            );
        }
        if url.path != "/" {
            return Err("a backend is given without a path; requests keep their own".to_string());
        }
        let found = (&*url.host.bare(), url.port).to_socket_addrs();
        let addresses: Vec<_> = found
            .map_err(|error| format!("the host cannot be looked up: {error}"))?
            .map(Address::Internet)
            .collect();
        if addresses.is_empty() {
            return Err("the host has no address".to_string());
        }
        Ok(Target { addresses, authority: url.authority(), name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_a_plain_url_or_a_socket_and_a_wrong_one_is_refused_with_the_way_out() {
        for (text, authority) in [
            ("http://127.0.0.1:3000", "127.0.0.1:3000"),
            ("http://127.0.0.1:3000/", "127.0.0.1:3000"),
            ("http://127.0.0.1", "127.0.0.1"),
            ("http://[::1]:3000", "[::1]:3000"),
            ("http://localhost:3000", "localhost:3000"),
            ("unix:/run/app.sock", "localhost"),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((&*target.authority, &*target.name), (authority, text));
            assert!(!target.addresses.is_empty());
        }
        for (text, words) in [
            ("127.0.0.1:3000", "http://HOST:PORT"),
            ("3000", "http://HOST:PORT"),
            ("ftp://a", "http://HOST:PORT"),
            ("https://127.0.0.1:3000", "plain port"),
            ("http://127.0.0.1:3000/api", "without a path"),
            ("http://127.0.0.1:0", "port"),
            ("http://a:b@127.0.0.1", "password"),
            ("http://", "host"),
            ("unix:app.sock", "absolute"),
            ("unix:", "absolute"),
            (&format!("unix:/{}", "a".repeat(200)), "too long"),
        ] {
            let fault = Target::parse(text).unwrap_err();
            assert!(fault.contains(words), "{text}: {fault}");
        }
    }
}
