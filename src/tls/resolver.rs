//! Chooses a client's certificate by the name that the client asks for.
//!
//! rustls calls it in every full handshake.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::agent::Agent;
use super::Identity;

/// The protocol that only authorities offer, when they validate a name (RFC 8737 §6.2).
pub(crate) const ALPN_CHALLENGE: &[u8] = b"acme-tls/1";

/// Gives a client the identity with the name that it asks for (RFC 6066 §3). An exact name comes before a wildcard. A client
/// that asks for no name, for an address or for an unknown name gets the first identity: if the client does not accept it, its
/// own error is clearer than an alert would be.
#[derive(Debug)]
pub(super) struct Resolver {
    identities: Vec<Identity>,
    /// The agents of identities whose names an authority may be validating.
    agents: Vec<Arc<dyn Agent>>,
}

impl Resolver {
    pub(super) fn new(identities: Vec<Identity>) -> Resolver {
        let agents = identities.iter().filter_map(Identity::agent).cloned().collect();
        Resolver { identities, agents }
    }

    /// Whether authorities may connect to validate a name.
    pub(super) fn answers_challenges(&self) -> bool {
        !self.agents.is_empty()
    }

    fn choose(&self, name: Option<&str>) -> Option<&Identity> {
        let has = |identity: &&Identity, name: &str| {
            identity.dns_names().iter().any(|own| own.eq_ignore_ascii_case(name))
        };
        let named = name.filter(|_| self.identities.len() > 1).and_then(|name| {
            let exact = self.identities.iter().find(|identity| has(identity, name));
            // RFC 9525 §6.3: a wildcard stands for one whole label.
            exact.or_else(|| {
                let (_, parent) = name.split_once('.')?;
                let wildcard = format!("*.{parent}");
                self.identities.iter().find(|identity| has(identity, &wildcard))
            })
        });
        named.or(self.identities.first())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // RFC 8737 §3: an authority offers only this protocol. Without a proof for the name there is no certificate for it.
        if hello.alpn().is_some_and(|offered| offered.eq([ALPN_CHALLENGE])) {
            let name = hello.server_name()?;
            return self.agents.iter().find_map(|agent| agent.certificate(name));
        }
        self.choose(hello.server_name()).map(Identity::certified_key)
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;

    use super::*;

    fn issue_for(names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Identity::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap()
    }

    fn leaf(identity: &Identity) -> CertificateDer<'static> {
        identity.certified_key().cert[0].clone()
    }

    #[test]
    fn a_client_gets_the_identity_of_the_name_that_it_asks_for() {
        let names: [&[&str]; 4] = [
            &["first.example"],
            &["*.second.example"],
            &["a.second.example", "third.example"],
            &["third.example"],
        ];
        let identities = names.map(issue_for).into();
        let resolver = Resolver { identities, agents: Vec::new() };
        for (asked, index) in [
            (None, 0),
            (Some("first.example"), 0),
            (Some("nobody.example"), 0),
            (Some("b.second.example"), 1),
            (Some("B.SECOND.Example"), 1),
            // An exact name before a wildcard, and the first of two equal names.
            (Some("a.second.example"), 2),
            (Some("third.example"), 2),
            // A wildcard stands for exactly one label.
            (Some("second.example"), 0),
            (Some("c.b.second.example"), 0),
            (Some("com"), 0),
        ] {
            let chosen = resolver.choose(asked).unwrap();
            assert_eq!(leaf(chosen), leaf(&resolver.identities[index]), "{asked:?}");
        }
    }
}
