//! The identities in use and the rules for clients, which can be replaced while the server runs.
//!
//! Holds the rustls configuration, and knows nothing of files. The server calls [`Live::config`] for every connection and
//! [`Live::replace`] at each reload.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::CertificateDer;
use rustls::ServerConfig;

use super::resolver::Resolver;
use super::server_config::{server_config, RECORD_BYTES};
#[cfg(feature = "operations")]
use super::ticket_keys::SharedKeys;
#[cfg(feature = "operations")]
use super::ticket_scope::Scope;
use super::{Clients, Identity, Refused};
use crate::error::Error;

/// The identities and the rustls configuration for new connections. They are replaced as a whole, so that tickets from the old
/// configuration do not resume sessions under the new one: no session may continue under a certificate whose key was stolen,
/// and a revoked client must not come back with its ticket.
///
/// With shared keys of tickets (`ticket_keys`), a session continues under a renewed certificate with the same names of the same
/// authority, because other servers cannot tell it from one that they had. Rules for clients end all sessions as before.
#[derive(Debug)]
pub(crate) struct Live {
    current: RwLock<Arc<Serving>>,
    /// How often the rules for clients were replaced.
    rules: AtomicU64,
}

/// One state of [`Live`].
pub(crate) struct Serving {
    pub(crate) config: Arc<ServerConfig>,
    /// At least one. The first is for clients that ask for no name or an unknown name.
    pub(crate) identities: Vec<Identity>,
    /// The rules for clients' certificates. `None` when clients are not asked for one.
    pub(crate) clients: Option<Clients>,
    tuning: Tuning,
}

/// What stays when the identities and the rules for clients are replaced.
#[derive(Clone, Default)]
struct Tuning {
    /// The largest record in bytes. `None` for the maximum of TLS.
    record_bytes: Option<usize>,
    /// The keys of tickets that servers share. `None` for keys of this server alone.
    #[cfg(feature = "operations")]
    shared_keys: Option<Arc<SharedKeys>>,
}

impl Live {
    /// `identities` must not be empty; the first is the default.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the operating system has no random numbers for the keys of the session tickets.
    pub(crate) fn new(identities: Vec<Identity>, clients: Option<Clients>) -> Result<Live, Error> {
        let serving = Arc::new(Serving::new(identities, clients, Tuning::default())?);
        Ok(Live { current: RwLock::new(serving), rules: AtomicU64::new(0) })
    }

    /// Limits records to `most` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Live::new), and [`Error::Setting`] for a number that is not within [`RECORD_BYTES`].
    pub(crate) fn with_record_bytes(self, most: Option<usize>) -> Result<Live, Error> {
        match most {
            None => return Ok(self),
            Some(bytes) if !RECORD_BYTES.contains(&bytes) => {
                return Err(Error::Setting {
                    setting: "tls_record_bytes",
                    fault: format!(
                        "{bytes} is out of range; give the most bytes of a TLS record, from {} to {}",
                        RECORD_BYTES.start(),
                        RECORD_BYTES.end()
                    ),
                });
            }
            Some(_) => {}
        }
        let Serving { identities, clients, tuning, .. } = &*self.current();
        // It has more than this only with a feature.
        #[allow(clippy::needless_update)]
        let tuning = Tuning { record_bytes: most, ..tuning.clone() };
        let serving = Arc::new(Serving::new(identities.clone(), clients.clone(), tuning)?);
        Ok(Live { current: RwLock::new(serving), ..self })
    }

    /// Encrypts tickets with these keys, from the next handshake on.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Live::new); then nothing has changed.
    #[cfg(feature = "operations")]
    pub(crate) fn replace_shared_keys(&self, keys: SharedKeys) -> Result<(), Error> {
        let current = self.current();
        let tuning = Tuning { shared_keys: Some(Arc::new(keys)), ..current.tuning.clone() };
        let serving = Arc::new(Serving::new(current.identities.clone(), current.clients.clone(), tuning)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = serving;
        Ok(())
    }

    pub(crate) fn current(&self) -> Arc<Serving> {
        // The lock may be poisoned by a panic, but an assignment always leaves a whole value.
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    /// Changes the identities, from the next handshake on. Open connections keep theirs.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Live::new); then nothing has changed.
    pub(crate) fn replace(&self, identities: Vec<Identity>) -> Result<(), Error> {
        let current = self.current();
        let serving = Arc::new(Serving::new(identities, current.clients.clone(), current.tuning.clone())?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = serving;
        Ok(())
    }

    /// Changes the rules for clients, from the next handshake on, and for [`check_client`](Live::check_client).
    ///
    /// # Errors
    ///
    /// Those of [`new`](Live::new); then nothing has changed.
    pub(crate) fn replace_clients(&self, clients: Clients) -> Result<(), Error> {
        let current = self.current();
        let serving =
            Arc::new(Serving::new(current.identities.clone(), Some(clients), current.tuning.clone())?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = serving;
        self.rules.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// A number that changes with each change of the rules for clients.
    pub(crate) fn rules(&self) -> u64 {
        self.rules.load(Ordering::Acquire)
    }

    /// Whether the current rules accept a client with this chain.
    pub(crate) fn check_client(&self, chain: &[CertificateDer<'_>]) -> Result<(), Refused> {
        self.current().clients.as_ref().map_or(Ok(()), |clients| clients.check(chain))
    }

    /// Stores identities that were loaded again but have the same chains as those in use.
    pub(crate) fn note(&self, identities: Vec<Identity>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let (config, clients, tuning) =
            (current.config.clone(), current.clients.clone(), current.tuning.clone());
        *current = Arc::new(Serving { config, identities, clients, tuning });
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("identities", &self.identities)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

impl Serving {
    fn new(identities: Vec<Identity>, clients: Option<Clients>, tuning: Tuning) -> Result<Serving, Error> {
        let config = server_config(
            Resolver::new(identities.clone()),
            clients.as_ref(),
            tuning.record_bytes,
            #[cfg(feature = "operations")]
            tuning.shared_keys.as_ref().map(|shared| {
                let rules = clients.as_ref().map(|clients| &clients.digest);
                shared.keys.ticketer(&Scope::of(&identities, rules))
            }),
        )?;
        Ok(Serving { config, identities, clients, tuning })
    }

    /// The keys of tickets that servers share, if there are any.
    #[cfg(feature = "operations")]
    pub(crate) fn shared_keys(&self) -> Option<&Arc<SharedKeys>> {
        self.tuning.shared_keys.as_ref()
    }

    /// Whether one of the certificates is for this host, by [`Identity::is_valid_for`].
    pub(crate) fn is_valid_for(&self, host: &str) -> bool {
        self.identities.iter().any(|identity| identity.is_valid_for(host))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::client::Resumption;
    use rustls::pki_types::ServerName;
    use rustls::{
        AlertDescription, CipherSuite, ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion,
        RootCertStore, ServerConnection, SupportedProtocolVersion,
    };

    use super::super::provider;
    use super::super::server_config::has_aes;
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
            let params = CertificateParams::new(["localhost".to_string()]).unwrap();
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

    /// Passes bytes in both directions until neither side has more, so that the client also gets its tickets.
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
        let server = Live::new(vec![identity.clone()], None).unwrap().config();
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
        let server = Live::new(vec![authority.issue()], None).unwrap().config();
        let mut reversed = (*provider()).clone();
        reversed.cipher_suites.reverse();
        let mut client = authority.client(&rustls::version::TLS13);
        let preferred = |config: &Arc<ClientConfig>| {
            let (client, _, result) = handshake(config, &server);
            result.unwrap();
            client.negotiated_cipher_suite().unwrap().suite()
        };
        let usual = preferred(&Arc::new(client.clone()));
        let cheapest = if has_aes() {
            CipherSuite::TLS13_AES_128_GCM_SHA256
        } else {
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        };
        assert_eq!(usual, cheapest);
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
        let server = Live::new(vec![authority.issue()], None).unwrap().config();
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
        let server = Live::new(vec![authority.issue()], None).unwrap().config();
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
    fn a_replaced_identity_is_the_one_that_is_seen_and_no_session_of_before_resumes() {
        let authority = Authority::new();
        let (old, new) = (authority.issue(), authority.issue());
        let live = Live::new(vec![old.clone()], None).unwrap();
        let mut client = authority.client(&rustls::version::TLS13);
        client.resumption = Resumption::in_memory_sessions(4);
        let client = Arc::new(client);
        let seen = |kind| {
            let (client, server, result) = handshake(&client, &live.config());
            result.unwrap();
            assert_eq!(server.handshake_kind(), Some(kind));
            client.peer_certificates().unwrap()[0].clone().into_owned()
        };
        assert_eq!(seen(HandshakeKind::Full), leaf(&old));
        assert_eq!(seen(HandshakeKind::Resumed), leaf(&old));
        live.note(vec![old.clone()]);
        assert_eq!(seen(HandshakeKind::Resumed), leaf(&old));
        live.replace(vec![new.clone()]).unwrap();
        assert_eq!(seen(HandshakeKind::Full), leaf(&new));
        assert_eq!(leaf(&live.current().identities[0]), leaf(&new));
        assert_ne!(leaf(&old), leaf(&new));
    }

    #[test]
    fn debug_shows_nothing_of_the_key() {
        let live = Live::new(vec![Authority::new().issue()], None).unwrap();
        assert!(format!("{live:?}").contains("Identity { dns_names: [\"localhost\"]"));
    }
}
