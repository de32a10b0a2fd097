//! Opening a listening socket on the first available one of the addresses that a text names.
//!
//! Knows sockets and `error`, and nothing of what is served on them. `server` calls it for HTTPS and for the redirect, `acme`
//! for the challenges when it obtains a certificate without a server, and `check` to find out whether a port is free. `operations`
//! and the builder check sockets by it that others have opened.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use crate::error::Error;

/// The most connections that the system queues until they are accepted. The system's own limit may be lower.
pub(crate) const BACKLOG: usize = 4_096;

/// Opens a listening socket on the first of the addresses that `address` names. Errors name the listener and the setting.
///
/// # Errors
/// [`Error::Setting`] when `address` is not an address with a port, [`Error::Listen`] when none of its addresses is available.
pub(crate) fn open(
    listener: &'static str,
    setting: &'static str,
    address: &str,
) -> Result<(TcpListener, SocketAddr), Error> {
    let candidates = address.to_socket_addrs().map_err(|source| Error::Setting {
        setting,
        fault: format!(
            "{address} is not an address with a port, such as 127.0.0.1:8443 or [::]:8443 ({source})"
        ),
    })?;
    first_of(candidates).map_err(|source| Error::Listen { listener, address: address.to_string(), source })
}

/// Opens a listening socket on the first of these addresses that is available.
///
/// # Errors
/// The system's error for the last address; [`ErrorKind::AddrNotAvailable`] when there are no addresses.
pub(crate) fn first_of(
    candidates: impl IntoIterator<Item = SocketAddr>,
) -> io::Result<(TcpListener, SocketAddr)> {
    let mut failure = no_address();
    for candidate in candidates {
        let bound = TcpListener::bind(candidate).and_then(|socket| {
            // The standard library requests a queue of 128 connections, which a burst of clients fills.
            rustix::net::listen(&socket, BACKLOG as i32)?;
            let address = socket.local_addr()?;
            Ok((socket, address))
        });
        match bound {
            Ok(bound) => return Ok(bound),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Checks a socket that another program has opened, and returns its address.
///
/// # Errors
/// What is wrong with it, as a clause.
#[cfg(feature = "operations")]
pub(crate) fn check_passed(listener: &TcpListener) -> Result<SocketAddr, &'static str> {
    use rustix::net::{sockopt, SocketType};
    let is_stream = sockopt::socket_type(listener).is_ok_and(|kind| kind == SocketType::STREAM);
    // It fails for other families than IPv4 and IPv6.
    match listener.local_addr() {
        Ok(address) if is_stream => match sockopt::socket_acceptconn(listener) {
            Ok(true) => Ok(address),
            _ => Err("does not listen; with systemd, Accept=no belongs in its .socket unit"),
        },
        _ => Err(
            "is not a TCP socket; with systemd, ListenStream= has to name a port, or an address and a port",
        ),
    }
}

/// The error for a name without an address.
pub(crate) fn no_address() -> io::Error {
    io::Error::new(ErrorKind::AddrNotAvailable, "the name has no address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_opened_and_its_real_port_is_told() {
        let (socket, address) = open("HTTPS", "https", "127.0.0.1:0").unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(socket.local_addr().unwrap(), address);
    }

    #[test]
    fn the_first_address_that_can_be_had_is_taken() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let candidates = [taken.local_addr().unwrap(), SocketAddr::from(([127, 0, 0, 1], 0))];
        let (_, address) = first_of(candidates).unwrap();
        assert_ne!(address, taken.local_addr().unwrap());
    }

    #[test]
    fn what_cannot_be_opened_is_named_with_its_setting_or_its_address() {
        let message = open("HTTPS", "https", "nowhere").unwrap_err().to_string();
        assert!(message.contains("https") && message.contains("nowhere is not an address"), "{message}");
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        match open("HTTPS", "https", &address).unwrap_err() {
            Error::Listen { listener: "HTTPS", address: named, source } => {
                assert_eq!((named, source.kind()), (address, ErrorKind::AddrInUse));
            }
            other => panic!("{other}"),
        }
        assert_eq!(first_of([]).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    }
}
