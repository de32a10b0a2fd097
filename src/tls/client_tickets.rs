//! Tickets of clients with certificates: a ticket resumes its session only while the client's certificate would be accepted.
//!
//! rustls takes the client's chain over from the session and does not check it again. Without this, a client that has renewed its
//! certificate would be known by the expired one, and refused, for as long as it has a ticket: each answer brings a new one.
//! Now it makes a full handshake and shows the new certificate. `server_config` wraps the tickets with it.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::ProducesTickets;

use super::Clients;

#[derive(Debug)]
pub(super) struct ClientTickets {
    pub tickets: Arc<dyn ProducesTickets>,
    pub clients: Clients,
}

impl ProducesTickets for ClientTickets {
    fn enabled(&self) -> bool {
        self.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let session = self.tickets.decrypt(cipher)?;
        // A form that is not known here resumes nothing: the client shows its certificate again.
        let chain = chain_of(&session)?;
        let is_accepted = match &chain[..] {
            [] => !self.clients.are_required(),
            chain => self.clients.check(chain).is_ok(),
        };
        is_accepted.then_some(session)
    }
}

/// The client's chain in a session, as rustls writes it (`ServerSessionValue`). rustls has no other way to it before it resumes.
///
/// ```text
/// 0, or 1 and the server's name after its length 1 | version 2 | cipher suite 2 | secret after its length 1 |
/// extended master secret 1 | 0, or 1 and the chain after its length 3: each certificate after its length 3 | …
/// ```
fn chain_of(session: &[u8]) -> Option<Vec<CertificateDer<'_>>> {
    let mut rest = session;
    if number(&mut rest, 1)? == 1 {
        part(&mut rest, 1)?;
    }
    take(&mut rest, 4)?;
    part(&mut rest, 1)?;
    take(&mut rest, 1)?;
    let mut chain = Vec::new();
    match number(&mut rest, 1)? {
        0 => {}
        1 => {
            let mut certificates = part(&mut rest, 3)?;
            while !certificates.is_empty() {
                chain.push(CertificateDer::from(part(&mut certificates, 3)?));
            }
        }
        _ => return None,
    }
    Some(chain)
}

fn take<'s>(rest: &mut &'s [u8], length: usize) -> Option<&'s [u8]> {
    let taken = rest.get(..length)?;
    *rest = &rest[length..];
    Some(taken)
}

fn number(rest: &mut &[u8], bytes: usize) -> Option<usize> {
    Some(take(rest, bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// What stands after its length.
fn part<'s>(rest: &mut &'s [u8], bytes: usize) -> Option<&'s [u8]> {
    let length = number(rest, bytes)?;
    take(rest, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_found_in_a_session_and_half_a_session_has_none() {
        let with_name =
            b"\x01\x09localhost\x03\x04\x13\x01\x02ss\x00\x01\x00\x00\x09\x00\x00\x02ab\x00\x00\x01c";
        let chain = chain_of(with_name).unwrap();
        assert_eq!(chain.iter().map(|der| &der[..]).collect::<Vec<_>>(), [&b"ab"[..], b"c"]);
        let by_address = b"\x00\x03\x03\xc0\x2b\x02ss\x01\x00";
        assert_eq!(chain_of(by_address), Some(Vec::new()));
        for session in [&with_name[..], by_address] {
            for length in 0..session.len() {
                assert_eq!(chain_of(&session[..length]), None, "{length}");
            }
        }
        assert_eq!(chain_of(b"\x00\x03\x03\xc0\x2b\x02ss\x01\x02"), None);
    }
}
