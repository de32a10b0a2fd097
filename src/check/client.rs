//! The current client that a check connects as: rustls, with a verifier that records what the server shows. It accepts
//! every server, trusted or not, because the check also looks behind the handshake. So nothing secret is ever sent over it,
//! and every statement about trust comes from `trust`, never from a successful handshake.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, ResolvesClientCert, Resumption};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme, StreamOwned,
};

use super::exchange::Conversation;
use super::line::Line;
use crate::tls::provider;
use crate::url::Host;

/// The kind of a certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    Ecdsa,
    Rsa,
}

impl Keys {
    pub(super) fn other(self) -> Keys {
        match self {
            Keys::Ecdsa => Keys::Rsa,
            Keys::Rsa => Keys::Ecdsa,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Keys::Ecdsa => "ECDSA",
            Keys::Rsa => "RSA",
        }
    }

    fn are_of(self, scheme: SignatureScheme) -> bool {
        use SignatureScheme as S;
        let is_rsa = matches!(
            scheme,
            S::RSA_PKCS1_SHA1
                | S::RSA_PKCS1_SHA256
                | S::RSA_PKCS1_SHA384
                | S::RSA_PKCS1_SHA512
                | S::RSA_PSS_SHA256
                | S::RSA_PSS_SHA384
                | S::RSA_PSS_SHA512
        );
        match self {
            Keys::Rsa => is_rsa,
            Keys::Ecdsa => !is_rsa && scheme != S::ED25519,
        }
    }
}

/// The certificate and key for a server that asks for a client certificate.
pub(super) type Own = Arc<CertifiedKey>;

pub(super) type Secured = Conversation<StreamOwned<ClientConnection, Line>>;

/// Whether the client has shown its certificate to a server that asked for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It has no certificate.
    NoneShown,
    Shown,
}

/// What the handshake has shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Handshake {
    /// DER, in the order sent. Empty when a session was resumed.
    pub(super) chain: Vec<Vec<u8>>,
    /// Whether the server has shown that it has the certificate's key. Keys of old kinds cannot be checked here.
    pub(super) has_proven_key: bool,
    pub(super) wants_certificate: bool,
    pub(super) version: String,
    pub(super) suite: String,
    /// The key exchange's group (RFC 8446 §4.2.7).
    pub(super) group: Option<u16>,
    pub(super) protocol: Option<String>,
    pub(super) is_resumed: bool,
}

/// Why a handshake failed, and what was seen of it before.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: io::Error,
    /// How many bytes had arrived.
    pub(super) heard: usize,
    pub(super) shown: Handshake,
}

impl Failed {
    /// Whether the server ended, or never began, the handshake without saying why.
    pub(super) fn is_silence(&self) -> bool {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, UnexpectedEof,
        };
        let is_end = matches!(
            self.error.kind(),
            TimedOut | UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected
        );
        is_end && self.shown.chain.is_empty()
    }
}

impl From<Failed> for io::Error {
    fn from(failed: Failed) -> io::Error {
        failed.error
    }
}

/// Makes connections that remember each other's sessions.
pub(super) struct Client {
    config: Arc<ClientConfig>,
    notes: Arc<Notes>,
}

impl Client {
    /// A client with these application protocols (ALPN). It shows `own` to a server that asks for a certificate.
    pub(super) fn new(protocols: &[&str], own: Option<Own>) -> Result<Client, io::Error> {
        Client::taking(None, protocols, own)
    }

    /// The same client, which accepts signatures of these kinds of keys alone.
    pub(super) fn with_keys(&self, keys: Keys, protocols: &[&str]) -> Result<Client, io::Error> {
        Client::taking(Some(keys), protocols, self.notes.own.clone())
    }

    fn taking(keys: Option<Keys>, protocols: &[&str], own: Option<Own>) -> Result<Client, io::Error> {
        let notes = Arc::new(Notes { provider: provider(), own, keys, taken: Mutex::default() });
        let mut config = ClientConfig::builder_with_provider(offered())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(notes.clone())
            .with_client_cert_resolver(notes.clone());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(8)));
        Ok(Client { config: Arc::new(config), notes })
    }

    /// Whether the server asks for a certificate in this handshake, and whether the client has shown one.
    pub(super) fn asked(&self, handshake: &Handshake) -> Option<Asked> {
        let shown = if self.notes.own.is_some() { Asked::Shown } else { Asked::NoneShown };
        handshake.wants_certificate.then_some(shown)
    }

    /// Performs a handshake with this host's name (SNI); no name is sent for an address.
    pub(super) fn connect(&self, line: Line, host: &Host) -> Result<(Secured, Handshake), Failed> {
        self.notes.lock().clone_from(&Handshake::default());
        let failed = |error, heard| Failed { error, heard, shown: self.notes.lock().clone() };
        let name = match host {
            Host::Name(name) => {
                ServerName::try_from(name.clone()).map_err(|error| failed(io::Error::other(error), 0))?
            }
            Host::Ip(address) => ServerName::from(*address),
        };
        let connection = ClientConnection::new(self.config.clone(), name)
            .map_err(|error| failed(io::Error::other(error), 0))?;
        let mut stream = StreamOwned::new(connection, line);
        while stream.conn.is_handshaking() {
            if let Err(error) = stream.conn.complete_io(&mut stream.sock) {
                return Err(failed(error, stream.sock.heard()));
            }
        }
        let connection = &stream.conn;
        let mut seen = self.notes.lock().clone();
        seen.version = connection.protocol_version().map_or_else(String::new, |version| {
            use rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};
            match version {
                TLSv1_2 => "TLS 1.2".into(),
                TLSv1_3 => "TLS 1.3".into(),
                other => format!("{other:?}"),
            }
        });
        seen.suite = connection
            .negotiated_cipher_suite()
            .map_or_else(String::new, |suite| super::suites::name(suite.suite().into()));
        seen.group = connection.negotiated_key_exchange_group().map(|group| group.name().into());
        seen.protocol =
            connection.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned());
        seen.is_resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok((Conversation::new(stream), seen))
    }
}

/// The provider with what the client offers: what browsers offer, as far as it is built.
fn offered() -> Arc<CryptoProvider> {
    #[cfg(feature = "post-quantum")]
    return Arc::new(CryptoProvider {
        kx_groups: [&[crate::tls::post_quantum::OFFERED], &provider().kx_groups[..]].concat(),
        ..(*provider()).clone()
    });
    #[cfg(not(feature = "post-quantum"))]
    provider()
}

/// The alert with which the server ended the handshake, if the error is an alert.
pub(super) fn alert_in(error: &io::Error) -> Option<u8> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some((*alert).into()),
        _ => None,
    }
}

/// Records what a server shows. It accepts everything: see the module.
struct Notes {
    provider: Arc<CryptoProvider>,
    /// The client's own certificate.
    own: Option<Own>,
    /// The only kinds of keys whose signatures are accepted.
    keys: Option<Keys>,
    taken: Mutex<Handshake>,
}

impl Notes {
    fn lock(&self) -> std::sync::MutexGuard<'_, Handshake> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, verdict: Result<HandshakeSignatureValid, rustls::Error>) -> HandshakeSignatureValid {
        self.lock().has_proven_key = verdict.is_ok();
        HandshakeSignatureValid::assertion()
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Notes {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.lock().chain = std::iter::once(own).chain(others).map(|der| der.to_vec()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.note(verify_tls12_signature(message, own, signed, algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.note(verify_tls13_signature(message, own, signed, algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.provider.signature_verification_algorithms.supported_schemes();
        // Offered so that a server with nothing better can be checked as well.
        schemes.extend([SignatureScheme::ECDSA_SHA1_Legacy, SignatureScheme::RSA_PKCS1_SHA1]);
        schemes.retain(|scheme| self.keys.map_or(true, |keys| keys.are_of(*scheme)));
        schemes
    }
}

impl ResolvesClientCert for Notes {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.lock().wants_certificate = true;
        self.own.clone()
    }

    fn has_certs(&self) -> bool {
        // This makes rustls ask for a client certificate, which the resolver records.
        true
    }
}
