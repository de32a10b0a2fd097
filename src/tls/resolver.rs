//! The identity in use, exchangeable while the server runs, and the rustls configuration around it.
//!
//! Knows rustls; nothing of files. Called by the server: [`server_config`] once when it binds, [`Resolver::replace`] at
//! each reload, and `resolve` by rustls in every full handshake.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring::Ticketer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::ServerConfig;

use super::{provider, Identity};
use crate::error::Error;

/// What is spoken here, the better first (RFC 7301 §6): a client of HTTP/1.0, such as `curl --http1.0`, offers that alone.
/// One that offers others only is refused by rustls with `no_application_protocol`; one that offers none is served.
const ALPN: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// Gives every client the same identity, whatever name it asks for: an appliance has one, and a client that does not
/// accept it can say so better than an alert can.
#[derive(Debug)]
pub(crate) struct Resolver {
    identity: RwLock<Identity>,
}

impl Resolver {
    pub(crate) fn new(identity: Identity) -> Resolver {
        Resolver { identity: RwLock::new(identity) }
    }

    /// From the next full handshake on. Connections stay as they are, and so do sessions that resume with a ticket.
    pub(crate) fn replace(&self, identity: Identity) {
        // A lock is poisoned by a panic while it is held, and an assignment leaves a whole identity behind.
        *self.identity.write().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    pub(crate) fn current(&self) -> Identity {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().certified_key())
    }
}

/// What every connection's handshake is made with: TLS 1.3 and 1.2, HTTP/1.1, no client certificates.
///
/// # Errors
///
/// [`Error::Io`] when the operating system has no random numbers for the keys of the session tickets.
pub(crate) fn server_config(resolver: Arc<Resolver>) -> Result<Arc<ServerConfig>, Error> {
    let failed =
        |error: rustls::Error| Error::Io { doing: "setting up TLS", source: io::Error::other(error) };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(failed)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    // Ours first: the strongest suite both sides have, as testers of servers ask.
    config.ignore_client_order = true;
    // A ticket keeps the session at the client, encrypted under a key that rotates every 6 hours. So resumption, which
    // spares a weak CPU the signature, costs no memory here, and sessions need no storage beside it.
    config.ticketer = Ticketer::new().map_err(failed)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // One, since no client of an API needs two at once. None would cost about 45 ms on the first request of a client that
    // does not set TCP_NODELAY.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::client::Resumption;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{
        AlertDescription, ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore,
        ServerConnection, SupportedProtocolVersion,
    };

    use super::*;

    struct Authority(CertifiedIssuer<'static, KeyPair>);

    impl Authority {
        fn new() -> Authority {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
        }

        fn issue(&self) -> Identity {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
            let certificate = params.signed_by(&key, &self.0).unwrap();
            Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
        }

        fn client(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).unwrap();
            let mut config = ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            config
        }
    }

    fn leaf(identity: &Identity) -> CertificateDer<'static> {
        identity.certified_key().cert[0].clone()
    }

    /// Carries bytes to and fro until neither side has any, so the client has its tickets too.
    fn handshake(
        client: &Arc<ClientConfig>,
        server: &Arc<ServerConfig>,
    ) -> (ClientConnection, ServerConnection, Result<(), rustls::Error>) {
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(client.clone(), name).unwrap();
        let mut server = ServerConnection::new(server.clone()).unwrap();
        let mut result = Ok(());
        while client.wants_write() || server.wants_write() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            let mut rest = &wire[..];
            while !rest.is_empty() {
                server.read_tls(&mut rest).unwrap();
                result = result.and(server.process_new_packets().map(drop));
            }
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            let mut rest = &wire[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                result = result.and(client.process_new_packets().map(drop));
            }
        }
        (client, server, result)
    }

    #[test]
    fn tls_1_3_and_1_2_are_spoken_with_http_1_1() {
        let authority = Authority::new();
        let identity = authority.issue();
        let server = server_config(Arc::new(Resolver::new(identity.clone()))).unwrap();
        for (version, protocol) in [
            (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
            (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        ] {
            let (client, server, result) = handshake(&Arc::new(authority.client(version)), &server);
            result.unwrap();
            assert!(!client.is_handshaking() && !server.is_handshaking());
            assert_eq!(server.protocol_version(), Some(protocol));
            assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
            let tickets = u32::from(protocol == ProtocolVersion::TLSv1_3);
            assert_eq!(client.tls13_tickets_received(), tickets);
            assert_eq!(client.peer_certificates().unwrap(), [leaf(&identity)]);
        }
    }

    #[test]
    fn the_servers_order_of_suites_counts() {
        let authority = Authority::new();
        let server = server_config(Arc::new(Resolver::new(authority.issue()))).unwrap();
        let mut reversed = (*provider()).clone();
        reversed.cipher_suites.reverse();
        let mut client = authority.client(&rustls::version::TLS13);
        let preferred = |config: &Arc<ClientConfig>| {
            let (client, _, result) = handshake(config, &server);
            result.unwrap();
            client.negotiated_cipher_suite().unwrap().suite()
        };
        let usual = preferred(&Arc::new(client.clone()));
        let roots = RootCertStore {
            roots: vec![webpki::anchor_from_trusted_cert(authority.0.der()).unwrap().to_owned()],
        };
        client = ClientConfig::builder_with_provider(Arc::new(reversed))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        assert_eq!(preferred(&Arc::new(client)), usual);
    }

    #[test]
    fn a_client_without_alpn_is_served_and_one_for_other_protocols_only_is_refused() {
        let authority = Authority::new();
        let server = server_config(Arc::new(Resolver::new(authority.issue()))).unwrap();
        let mut client = authority.client(&rustls::version::TLS13);
        client.alpn_protocols = Vec::new();
        let (_, _, result) = handshake(&Arc::new(client.clone()), &server);
        result.unwrap();
        client.alpn_protocols = vec![b"http/1.0".to_vec()];
        let (old, _, result) = handshake(&Arc::new(client.clone()), &server);
        result.unwrap();
        assert_eq!(old.alpn_protocol(), Some(&b"http/1.0"[..]));
        client.alpn_protocols = vec![b"h2".to_vec()];
        let (mut client, _, result) = handshake(&Arc::new(client), &server);
        assert_eq!(result, Err(rustls::Error::NoApplicationProtocol));
        assert_eq!(
            client.process_new_packets().unwrap_err(),
            rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
        );
    }

    #[test]
    fn sessions_resume_in_both_versions() {
        let authority = Authority::new();
        let server = server_config(Arc::new(Resolver::new(authority.issue()))).unwrap();
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let mut client = authority.client(version);
            client.resumption = Resumption::in_memory_sessions(4);
            let client = Arc::new(client);
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let (_, server, result) = handshake(&client, &server);
                result.unwrap();
                assert_eq!(server.handshake_kind(), Some(kind), "{version:?}");
            }
        }
    }

    #[test]
    fn a_replaced_identity_is_the_one_that_is_seen() {
        let authority = Authority::new();
        let (old, new) = (authority.issue(), authority.issue());
        let resolver = Arc::new(Resolver::new(old.clone()));
        let server = server_config(resolver.clone()).unwrap();
        let client = Arc::new(authority.client(&rustls::version::TLS13));
        let seen = || {
            // A client that remembers nothing, so that the handshake is a full one.
            let mut client = (*client).clone();
            client.resumption = Resumption::disabled();
            let (client, _, result) = handshake(&Arc::new(client), &server);
            result.unwrap();
            client.peer_certificates().unwrap()[0].clone().into_owned()
        };
        assert_eq!(seen(), leaf(&old));
        resolver.replace(new.clone());
        assert_eq!(seen(), leaf(&new));
        assert_eq!(leaf(&resolver.current()), leaf(&new));
        assert_ne!(leaf(&old), leaf(&new));
    }

    #[test]
    fn debug_shows_nothing_of_the_key() {
        let resolver = Resolver::new(Authority::new().issue());
        assert!(format!("{resolver:?}").contains("Identity { dns_names: [\"localhost\"]"));
    }
}
