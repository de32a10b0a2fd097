//! Checks the ports: opens each and closes it at once; and when a port is taken, checks whether this server runs on it
//! already.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::client::Client;
use super::super::line::Dialer;
use super::super::rules;
use super::inspection::Inspection;
#[cfg(feature = "operations")]
use crate::error::Error;
use crate::finding::{Finding, Rule};
use crate::listen;
#[cfg(feature = "operations")]
use crate::operations::local_listener::LocalListener;
use crate::url::Host;

/// The time limit for connecting to the program on the port, and for its handshake; it is on this machine.
const PHASE: Duration = Duration::from_secs(2);

pub(super) fn look(inspection: &mut Inspection<'_>) {
    let settings = inspection.settings;
    let https = addresses(&settings.https);
    let http = settings.redirect.as_deref().map(addresses);
    let collide = match (&https, &http) {
        (Ok(https), Some(Ok(http))) => {
            https.iter().any(|https| http.iter().any(|http| collides(*https, *http)))
        }
        _ => false,
    };
    let is_itself = listener(inspection, "HTTPS", &settings.https, https, false);
    match (&settings.redirect, http) {
        (Some(address), Some(_)) if collide => {
            let https = &settings.https;
            inspection.found(
                &rules::ONE_PORT_FOR_BOTH,
                format!("HTTPS is set to {https}, and plain HTTP to {address}"),
            );
        }
        (Some(address), Some(found)) => {
            let port = found.as_ref().ok().and_then(|found| found.first()).map(SocketAddr::port);
            listener(inspection, "HTTP", address, found, is_itself);
            if let Some(port) = port.filter(|&port| port != 80) {
                inspection.found(&rules::REDIRECT_PORT, format!("the redirect is on port {port}"));
            }
        }
        _ => inspection.found(&rules::REDIRECT_OFF, "no port answers plain HTTP"),
    }
    #[cfg(feature = "operations")]
    if let Some(address) = &settings.admin {
        admin(inspection, address, is_itself);
    }
}

/// The same with the listener for those who watch the server. It is opened last, as the server does.
#[cfg(feature = "operations")]
fn admin(inspection: &mut Inspection<'_>, address: &str, by_itself: bool) {
    let settings = inspection.settings;
    let own = addresses(address).unwrap_or_default();
    for other in [Some(&settings.https), settings.redirect.as_ref()].into_iter().flatten() {
        let others = addresses(other).unwrap_or_default();
        if own.iter().any(|own| others.iter().any(|other| collides(*own, *other))) {
            let seen = format!("admin: {address} is one port with {other}, which clients come to");
            return inspection.found(&rules::SETTING_UNUSABLE, seen);
        }
    }
    let opened = LocalListener::open(address, "admin", settings.admin_reach);
    let (rule, state) = match &opened {
        Ok(_) => return state_of(inspection, "admin", "free"),
        Err(Error::Listen { source, .. }) if by_itself && source.kind() == ErrorKind::AddrInUse => {
            return state_of(inspection, "admin", "already served");
        }
        // The rules about ports have fixes that a path does not have.
        Err(Error::Listen { .. }) if address.starts_with("unix:") => (&rules::LISTENER_FAILS, "fails"),
        Err(Error::Listen { source, .. }) => of_error(source.kind()),
        Err(_) => (&rules::SETTING_UNUSABLE, "fails"),
    };
    state_of(inspection, "admin", state);
    if let Err(error) = opened {
        inspection.failed(rule, &error);
    }
}

/// Tries one port. Returns whether this server runs on it; `by_itself` says that this is expected.
fn listener(
    inspection: &mut Inspection<'_>,
    name: &'static str,
    address: &str,
    found: io::Result<Vec<SocketAddr>>,
    by_itself: bool,
) -> bool {
    let opened = found.and_then(listen::first_of);
    let error = match opened {
        Ok(_) => {
            state_of(inspection, name, "free");
            return false;
        }
        Err(error) => error,
    };
    let is_taken = error.kind() == ErrorKind::AddrInUse;
    if is_taken && (by_itself || (name == "HTTPS" && serves_already(inspection, address))) {
        state_of(inspection, name, "already served");
        let seen = match by_itself {
            true => {
                format!("the port of {address} is taken, most likely by the same server, for plain HTTP")
            }
            false => {
                format!("the program on {address} shows one of these certificates: this server runs already")
            }
        };
        inspection.found(&rules::ALREADY_SERVED, seen);
        return true;
    }
    let (rule, state) = of_error(error.kind());
    state_of(inspection, name, state);
    let seen = match error.kind() {
        ErrorKind::AddrInUse => {
            format!(
                "{name}: another program has the port of {address}, or a lockgate with other certificates"
            )
        }
        ErrorKind::PermissionDenied => format!("{name}: this user may not open the port of {address}"),
        ErrorKind::AddrNotAvailable => {
            format!("{name}: this machine does not have the address of {address}")
        }
        _ => format!("{name}: nothing can listen on {address}: {error}"),
    };
    inspection.findings.push(Finding::new(rule, seen));
    false
}

fn state_of(inspection: &mut Inspection<'_>, name: &str, state: &str) {
    let listeners = inspection.facts.entry("listeners").or_insert_with(|| json!({}));
    if let Some(listeners) = listeners.as_object_mut() {
        listeners.insert(name.to_lowercase(), state.into());
    }
}

/// Whether the program on the port shows a certificate of these settings.
fn serves_already(inspection: &mut Inspection<'_>, address: &str) -> bool {
    let Ok(found) = addresses(address) else { return false };
    let Some(first) = found.first() else { return false };
    let ip = match first.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let mut addresses = vec![SocketAddr::new(ip, first.port())];
    if first.ip().is_unspecified() && first.is_ipv6() {
        addresses.push((Ipv4Addr::LOCALHOST, first.port()).into());
    }
    let mut dialer = Dialer::to(addresses, PHASE, Instant::now() + PHASE);
    let shown = Client::new(crate::check::PROTOCOLS, None)
        .and_then(|client| Ok(client.connect(dialer.dial(first.port())?, &Host::Ip(ip))?))
        .map(|(_, handshake)| handshake.chain);
    inspection.connections += dialer.opened();
    shown.is_ok_and(|chain| chain.first().is_some_and(|first| inspection.own.contains(first)))
}

/// Not empty.
fn addresses(address: &str) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    if found.is_empty() {
        return Err(listen::no_address());
    }
    Ok(found)
}

/// The finding for the reason why a port cannot be opened, and the port's state in a word.
fn of_error(kind: ErrorKind) -> (&'static Rule, &'static str) {
    match kind {
        ErrorKind::AddrInUse => (&rules::PORT_TAKEN, "taken"),
        ErrorKind::PermissionDenied => (&rules::PORT_NOT_PERMITTED, "not permitted"),
        ErrorKind::AddrNotAvailable => (&rules::ADDRESS_NOT_OURS, "not of this machine"),
        _ => (&rules::LISTENER_FAILS, "fails"),
    }
}

/// Whether the two listeners exclude each other. Port 0 is a different port each time.
fn collides(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.port() != 0
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_a_finding_of_its_own() {
        for (kind, id) in [
            (ErrorKind::AddrInUse, "port-taken"),
            (ErrorKind::PermissionDenied, "port-not-permitted"),
            (ErrorKind::AddrNotAvailable, "address-not-ours"),
            (ErrorKind::InvalidInput, "listener-fails"),
        ] {
            assert_eq!(of_error(kind).0.id, id);
        }
    }

    #[test]
    fn listeners_collide_on_one_port_when_their_addresses_meet() {
        let collide = |a: &str, b: &str| collides(a.parse().unwrap(), b.parse().unwrap());
        assert!(collide("[::]:443", "0.0.0.0:443"));
        assert!(collide("127.0.0.1:443", "127.0.0.1:443"));
        assert!(collide("127.0.0.1:443", "[::]:443"));
        assert!(!collide("127.0.0.1:443", "127.0.0.2:443"));
        assert!(!collide("[::]:443", "[::]:80"));
        assert!(!collide("[::]:0", "[::]:0"));
    }
}
