//! Where a proxy's backend is: its addresses, and its name for `Host` and for the log. `mod` makes it of what the program says.

use std::net::SocketAddr;
use std::sync::Arc;

use rustix::net::SocketAddrUnix;

#[cfg(any(feature = "check", feature = "serve"))]
use super::backend::{Backend, Way};
use super::lookup::Name;
use crate::url::{Host, Url};

/// A backend.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub found_at: Addresses,
    /// The host and port, or for a socket in the file system `localhost`.
    pub authority: String,
    /// As the program has given it.
    pub name: String,
    /// The host that its certificate is to be for, if it is to be reached over TLS.
    pub secure: Option<Host>,
}

/// Where it is. Several addresses are tried one after the other.
#[derive(Debug, Clone)]
pub(super) enum Addresses {
    One(Address),
    Named(Arc<Name>),
}

#[derive(Debug, Clone)]
pub(super) enum Address {
    Internet(SocketAddr),
    Unix(SocketAddrUnix),
}

/// What `Host` says to the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostField {
    AsAsked,
    Set(String),
}

impl HostField {
    /// What it is set to, if it is.
    pub(super) fn set(&self) -> Option<&str> {
        match self {
            HostField::Set(host) => Some(host),
            HostField::AsAsked => None,
        }
    }
}

impl Target {
    #[cfg(any(feature = "check", feature = "serve"))]
    pub(super) fn backend(&self, host: Option<&str>) -> Backend {
        let way = match &self.found_at {
            Addresses::One(Address::Unix(address)) => Way::Socket(address.clone()),
            Addresses::One(Address::Internet(address)) => Way::Internet(vec![*address]),
            Addresses::Named(name) => Way::Internet(name.addresses().to_vec()),
        };
        let host = host.unwrap_or(&self.authority).to_string();
        Backend { name: self.name.clone(), host, is_secure: self.secure.is_some(), way }
    }

    /// Reads `http://HOST:PORT`, `https://HOST:PORT` or `unix:PATH`, and looks up the host. An error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Target, String> {
        let name = text.to_string();
        let url = match place(text)? {
            Place::Socket(address) => {
                let authority = "localhost".to_string();
                let found_at = Addresses::One(Address::Unix(address));
                return Ok(Target { found_at, authority, name, secure: None });
            }
            Place::Url(url) => url,
        };
        let found_at = match &url.host {
            Host::Ip(address) => Addresses::One(Address::Internet(SocketAddr::new(*address, url.port))),
            Host::Name(name) => Addresses::Named(Name::new(name.clone(), url.port)),
        };
        let secure = url.is_https.then(|| url.host.clone());
        Ok(Target { found_at, authority: url.authority(), name, secure })
    }

    /// The address of this number, from 0.
    pub(super) fn address(&self, number: usize) -> Option<Address> {
        match &self.found_at {
            Addresses::One(address) => (number == 0).then(|| address.clone()),
            Addresses::Named(name) => name.addresses().get(number).copied().map(Address::Internet),
        }
    }

    /// How many addresses there are.
    pub(super) fn addresses(&self) -> usize {
        match &self.found_at {
            Addresses::One(_) => 1,
            Addresses::Named(name) => name.addresses().len(),
        }
    }
}

/// Where a backend is, as it is said.
enum Place {
    Socket(SocketAddrUnix),
    Url(Url),
}

fn place(text: &str) -> Result<Place, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        if !path.starts_with('/') {
            return Err("a socket in the file system is given as unix: and its absolute path".to_string());
        }
        let address = SocketAddrUnix::new(path);
        return address.map(Place::Socket).map_err(|_| "the path of the socket is too long".to_string());
    }
    let url = Url::parse(text).map_err(|fault| match fault {
        "does not begin with https://" => {
            "a backend is given as http://HOST:PORT, https://HOST:PORT or unix:PATH".to_string()
        }
        fault => format!("this URL {fault}"),
    })?;
    if url.path != "/" {
        let (at, path) = (url.origin(), url.path.split('?').next().unwrap_or_default());
        let way_out = match cfg!(feature = "serve") {
            true => format!("--route {path}={at} passes on what is below {path}"),
            false => format!("Router::nest({path:?}, …) passes on what is below {path}"),
        };
        return Err(format!("a backend is given without a path, and requests keep their own; {way_out}"));
    }
    Ok(Place::Url(url))
}

/// What is wrong with the place of a backend. No name is looked up.
#[cfg(feature = "serve")]
pub fn backend_fault(text: &str) -> Option<String> {
    place(text).err()
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
            ("https://localhost:8443", "localhost:8443"),
            ("https://[::1]", "[::1]"),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.secure.is_some(), text.starts_with("https"));
            assert_eq!((&*target.authority, &*target.name), (authority, text));
            assert!(target.address(0).is_some(), "{text}");
        }
        for (text, words) in [
            ("127.0.0.1:3000", "http://HOST:PORT"),
            ("3000", "http://HOST:PORT"),
            ("ftp://a", "http://HOST:PORT"),
            ("http://127.0.0.1:3000/api", "without a path"),
            ("http://127.0.0.1:3000/api?a", "below /api"),
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
