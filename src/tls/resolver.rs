//! The identities in use and the rules for clients, exchangeable while the server runs, and the rustls configuration
//! around them.
//!
//! Knows rustls; nothing of files. Called by the server: [`Live::config`] for every connection, [`Live::replace`] at each
//! reload, and `resolve` by rustls in every full handshake.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring::Ticketer;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite};

use super::challenges::Challenges;
use super::{provider, Clients, Identity, Refused};
use crate::error::Error;

/// What is spoken here, the better first (RFC 7301 §6): a client of HTTP/1.0, such as `curl --http1.0`, offers that alone.
/// One that offers others only is refused by rustls with `no_application_protocol`; one that offers none is served.
const ALPN: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// What an authority speaks that validates a name, and nobody else (RFC 8737 §6.2).
pub(crate) const ALPN_CHALLENGE: &[u8] = b"acme-tls/1";

/// What new connections get: the identities, and the rustls configuration around them. Exchanged as a whole, so that
/// tickets given under the old one do not resume sessions under the new one: who has replaced a certificate because its
/// key was stolen wants nobody to go on with it, and a client that was revoked must not come back with its ticket.
#[derive(Debug)]
pub(crate) struct Live {
    current: RwLock<Arc<Serving>>,
    /// How often the rules for clients were exchanged.
    rules: AtomicU64,
}

/// One state of [`Live`].
pub(crate) struct Serving {
    pub(crate) config: Arc<ServerConfig>,
    /// At least one; the first is for clients that name none of the others.
    pub(crate) identities: Vec<Identity>,
    /// Which clients are let in; `None` when they are not asked for certificates.
    pub(crate) clients: Option<Clients>,
    /// How large a record may be; `None` for what TLS allows.
    record_bytes: Option<usize>,
}

/// How large records may be asked for, in bytes. Below, most of a record would be what encryption adds.
pub(crate) const RECORD_BYTES: RangeInclusive<usize> = 128..=16 * 1024;

/// What a record has beside its content, in bytes: a header of 5, and at most 24 for the encryption (TLS 1.2 with AES-GCM: a
/// nonce of 8 and a tag of 16; TLS 1.3 has 17).
const RECORD_OVERHEAD: usize = 29;

/// rustls counts a header's bytes as part of what is to be at most so many.
const COUNTED_BY_RUSTLS: usize = 5;

impl Live {
    /// `identities` must not be empty; the first is the default.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the operating system has no random numbers for the keys of the session tickets.
    pub(crate) fn new(identities: Vec<Identity>, clients: Option<Clients>) -> Result<Live, Error> {
        let serving = Arc::new(Serving::new(identities, clients, None)?);
        Ok(Live { current: RwLock::new(serving), rules: AtomicU64::new(0) })
    }

    /// The same with records of at most so many bytes, a number within [`RECORD_BYTES`].
    ///
    /// # Errors
    ///
    /// Those of [`new`](Live::new).
    pub(crate) fn with_record_bytes(self, most: Option<usize>) -> Result<Live, Error> {
        if most.is_none() {
            return Ok(self);
        }
        let Serving { identities, clients, .. } = &*self.current();
        let serving = Arc::new(Serving::new(identities.clone(), clients.clone(), most)?);
        Ok(Live { current: RwLock::new(serving), ..self })
    }

    pub(crate) fn current(&self) -> Arc<Serving> {
        // A lock is poisoned by a panic while it is held, and an assignment leaves a whole value behind.
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    /// Changes the identities, from the next handshake on. Connections stay as they are.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Live::new); then nothing has changed.
    pub(crate) fn replace(&self, identities: Vec<Identity>) -> Result<(), Error> {
        let current = self.current();
        let serving = Arc::new(Serving::new(identities, current.clients.clone(), current.record_bytes)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = serving;
        Ok(())
    }

    /// Changes the rules for clients, from the next handshake on; [`check_client`](Live::check_client) knows them too.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Live::new); then nothing has changed.
    pub(crate) fn replace_clients(&self, clients: Clients) -> Result<(), Error> {
        let current = self.current();
        let serving =
            Arc::new(Serving::new(current.identities.clone(), Some(clients), current.record_bytes)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = serving;
        self.rules.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Another number after each change of the rules for clients.
    pub(crate) fn rules(&self) -> u64 {
        self.rules.load(Ordering::Acquire)
    }

    /// Whether a client with this chain is let in by the rules of now; else why not.
    pub(crate) fn check_client(&self, chain: &[CertificateDer<'_>]) -> Result<(), Refused> {
        self.current().clients.as_ref().map_or(Ok(()), |clients| clients.check(chain))
    }

    /// Takes identities whose chains are those in use, but that come from a newer look at their sources.
    pub(crate) fn note(&self, identities: Vec<Identity>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let (config, clients, record_bytes) =
            (current.config.clone(), current.clients.clone(), current.record_bytes);
        *current = Arc::new(Serving { config, identities, clients, record_bytes });
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
    fn new(
        identities: Vec<Identity>,
        clients: Option<Clients>,
        record_bytes: Option<usize>,
    ) -> Result<Serving, Error> {
        let challenges = identities.iter().filter_map(Identity::challenges).cloned().collect();
        let resolver = Resolver { identities: identities.clone(), challenges };
        let config = server_config(Arc::new(resolver), clients.as_ref(), record_bytes)?;
        Ok(Serving { config, identities, clients, record_bytes })
    }

    /// Whether one of the certificates is for this host, as [`Identity::is_valid_for`].
    pub(crate) fn is_valid_for(&self, host: &str) -> bool {
        self.identities.iter().any(|identity| identity.is_valid_for(host))
    }
}

/// Gives a client the identity that has the name it asks for (RFC 6066 §3). A name that stands there as it is comes before a
/// wildcard, and who asks for none, for an address or for a name that nobody has gets the first: a client that does not
/// accept it can say so better than an alert can.
#[derive(Debug)]
struct Resolver {
    identities: Vec<Identity>,
    /// Of those whose names an authority may be validating.
    challenges: Vec<Arc<Challenges>>,
}

impl Resolver {
    fn choose(&self, name: Option<&str>) -> Option<&Identity> {
        let has = |identity: &&Identity, name: &str| {
            identity.dns_names().iter().any(|own| own.eq_ignore_ascii_case(name))
        };
        let named = name.filter(|_| self.identities.len() > 1).and_then(|name| {
            let exact = self.identities.iter().find(|identity| has(identity, name));
            // RFC 9525 §6.3: the wildcard stands for one whole label.
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
        // RFC 8737 §3: an authority offers this protocol alone. Without a proof for the name there is nothing to show it.
        if hello.alpn().is_some_and(|offered| offered.eq([ALPN_CHALLENGE])) {
            let name = hello.server_name()?;
            return self.challenges.iter().find_map(|board| board.certificate(name));
        }
        self.choose(hello.server_name()).map(Identity::certified_key)
    }
}

/// What every connection's handshake is made with: TLS 1.3 and 1.2, HTTP/1.1, client certificates only if there are rules
/// for them.
///
/// # Errors
///
/// [`Error::Io`] when the operating system has no random numbers for the keys of the session tickets.
fn server_config(
    resolver: Arc<Resolver>,
    clients: Option<&Clients>,
    record_bytes: Option<usize>,
) -> Result<Arc<ServerConfig>, Error> {
    let answers_challenges = !resolver.challenges.is_empty();
    let failed =
        |error: rustls::Error| Error::Io { doing: "setting up TLS", source: io::Error::other(error) };
    let verifier =
        clients.map_or_else(WebPkiClientVerifier::no_client_auth, |clients| clients.verifier.clone());
    let provider = provider();
    let cipher_suites = in_order(&provider.cipher_suites, has_aes());
    let provider = CryptoProvider { cipher_suites, ..(*provider).clone() };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(failed)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    if answers_challenges {
        config.alpn_protocols.push(ALPN_CHALLENGE.to_vec());
    }
    config.max_fragment_size =
        record_bytes.map(|most| most.saturating_sub(RECORD_OVERHEAD) + COUNTED_BY_RUSTLS);
    // Ours first, as testers of servers ask.
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

/// The cipher suites, the better first: those that cost least come first, since none is known to be weak. AES-128 comes
/// before AES-256, which many clients name first, because it brings SHA-256 in place of SHA-384, and a handshake hashes more
/// than it encrypts: processors have instructions for SHA-256, few for SHA-384. Who offers nothing but AES-256 gets it.
/// Without instructions for AES, which many small ARM processors lack, ChaCha20 is several times as fast.
///
/// A client that names ChaCha20 first may lack those instructions itself. rustls cannot heed that and else go by the
/// server's order; before the client's own order, which would heed it, stands what testers of servers ask for.
fn in_order(suites: &[SupportedCipherSuite], has_aes: bool) -> Vec<SupportedCipherSuite> {
    let is_best = |suite: &SupportedCipherSuite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => has_aes,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => !has_aes,
        _ => false,
    };
    let (mut suites, others): (Vec<_>, Vec<_>) = suites.iter().partition(|suite| is_best(suite));
    suites.extend(others);
    suites
}

/// Whether the processor has the instructions that AES-GCM is made of.
fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    let has_aes =
        std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    let has_aes =
        std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    let has_aes = false;
    has_aes
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
            self.issue_for(&["localhost"])
        }

        fn issue_for(&self, names: &[&str]) -> Identity {
            let key = KeyPair::generate().unwrap();
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let params = CertificateParams::new(names).unwrap();
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
    fn the_order_is_by_what_the_processor_can_do_and_leaves_no_suite_out() {
        let all = &provider().cipher_suites;
        for (has_aes, first) in [(true, "AES_128"), (false, "CHACHA20")] {
            let ordered = in_order(all, has_aes);
            assert_eq!(ordered.len(), all.len());
            for version in [ProtocolVersion::TLSv1_3, ProtocolVersion::TLSv1_2] {
                let best = ordered.iter().find(|suite| suite.version().version == version).unwrap();
                assert!(best.suite().as_str().unwrap().contains(first), "{best:?}");
            }
        }
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
    fn a_client_gets_the_identity_of_the_name_that_it_asks_for() {
        let authority = Authority::new();
        let names: [&[&str]; 4] = [
            &["first.example"],
            &["*.second.example"],
            &["a.second.example", "third.example"],
            &["third.example"],
        ];
        let identities = names.map(|names| authority.issue_for(names)).into();
        let resolver = Resolver { identities, challenges: Vec::new() };
        for (asked, index) in [
            (None, 0),
            (Some("first.example"), 0),
            (Some("nobody.example"), 0),
            (Some("b.second.example"), 1),
            (Some("B.SECOND.Example"), 1),
            // As it stands there before a wildcard; the first of two that are the same.
            (Some("a.second.example"), 2),
            (Some("third.example"), 2),
            // One label, whole.
            (Some("second.example"), 0),
            (Some("c.b.second.example"), 0),
            (Some("com"), 0),
        ] {
            let chosen = resolver.choose(asked).unwrap();
            assert_eq!(leaf(chosen), leaf(&resolver.identities[index]), "{asked:?}");
        }
    }

    #[test]
    fn debug_shows_nothing_of_the_key() {
        let live = Live::new(vec![Authority::new().issue()], None).unwrap();
        assert!(format!("{live:?}").contains("Identity { dns_names: [\"localhost\"]"));
    }
}
