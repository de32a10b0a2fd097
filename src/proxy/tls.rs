//! TLS to backends: rustls over a connection's socket, which never blocks. The handshake is a part of sending, so a connection waits
//! for it in the poller as for anything else. Linked only into programs that give a CA file or switch verification off. `mod` makes
//! a [`Client`], and `connection` knows it as a trait.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;
#[cfg(feature = "check")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_name, ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct,
    InvalidMessage, OtherError, RootCertStore, SignatureScheme,
};

use super::connection::{receive, send_some, NoHandshake, Read, Secure, Secures, TlsError, TlsFault};
use crate::error::Error;
use crate::tls::file::report_mode;
use crate::tls::{authorities_in_file, provider, Identity};
use crate::url::Host;

/// What TLS holds at most of what the socket does not take, in bytes: a record (RFC 8446 §5.1).
const BUFFER_BYTES: usize = 16 * 1024;

/// What a program has said of TLS to its backends.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    roots: Option<Arc<RootCertStore>>,
    /// The same certificates: each is also trusted as a backend's own.
    pinned: Arc<[CertificateDer<'static>]>,
    /// Shown to backends that ask for it.
    own: Option<Own>,
    accepts_any: bool,
}

#[derive(Clone)]
struct Own(Arc<CertifiedKey>);

/// Notes that a backend has asked for a certificate, for the check before a start.
#[cfg(feature = "check")]
#[derive(Debug)]
struct Asked {
    own: Option<Own>,
    was_asked: AtomicBool,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own")
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { roots: None, pinned: Arc::new([]), own: None, accepts_any: false }
    }
}

impl Settings {
    /// Trusts the certificates of this PEM file, and nothing else.
    pub(super) fn trust(&mut self, path: &Path) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        let certificates = authorities_in_file(path)?;
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|error| Error::Setting {
                setting: "proxy",
                fault: format!("{}: a certificate cannot be used as an authority: {error}", path.display()),
            })?;
        }
        self.roots = Some(Arc::new(roots));
        self.pinned = certificates.into();
        Ok(())
    }

    pub(super) fn show(&mut self, certificate: &Path, key: &Path) -> Result<(), Error> {
        self.own = Some(Own(Identity::of_client(certificate, key)?));
        report_mode(key);
        Ok(())
    }

    pub(super) fn accept_any(&mut self) {
        self.accepts_any = true;
    }

    pub(super) fn accepts_any(&self) -> bool {
        self.accepts_any
    }

    /// What makes the connections. `None` as long as it is not said what to trust.
    pub(super) fn client(&self) -> Result<Option<Arc<dyn Secures>>, Error> {
        let provider = provider();
        let fault = |error: &dyn fmt::Display| Error::Setting { setting: "proxy", fault: error.to_string() };
        let verifier: Arc<dyn ServerCertVerifier> = match &self.roots {
            _ if self.accepts_any => Arc::new(AcceptsAny(provider.clone())),
            Some(roots) => {
                let by_roots = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
                    .build()
                    .map_err(|error| fault(&error))?;
                Arc::new(Verifies { by_roots, pinned: self.pinned.clone() })
            }
            None => return Ok(None),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        #[cfg(feature = "check")]
        let asked = Arc::new(Asked { own: self.own.clone(), was_asked: AtomicBool::new(false) });
        #[cfg(feature = "check")]
        let mut config = builder.with_client_cert_resolver(asked.clone());
        #[cfg(not(feature = "check"))]
        let mut config = match &self.own {
            Some(own) => builder.with_client_cert_resolver(Arc::new(own.clone())),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(Arc::new(Client {
            config: Arc::new(config),
            #[cfg(feature = "check")]
            asked,
        })))
    }
}

#[cfg(feature = "check")]
impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        self.own.as_ref().map(|own| own.0.clone())
    }

    fn has_certs(&self) -> bool {
        self.own.is_some()
    }
}

#[cfg(not(feature = "check"))]
impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Makes TLS connections to backends, which resume each other's sessions.
#[derive(Debug)]
struct Client {
    config: Arc<ClientConfig>,
    #[cfg(feature = "check")]
    asked: Arc<Asked>,
}

impl Secures for Client {
    fn secure(&self, host: &Host) -> io::Result<Box<dyn Secure>> {
        let name = match host {
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(io::Error::other)?,
            Host::Ip(address) => ServerName::from(*address),
        };
        let mut connection = ClientConnection::new(self.config.clone(), name).map_err(io::Error::other)?;
        connection.set_buffer_limit(Some(BUFFER_BYTES));
        Ok(Box::new(Session { connection }))
    }

    #[cfg(feature = "check")]
    fn was_asked(&self) -> (bool, bool) {
        (self.asked.was_asked.swap(false, Ordering::Relaxed), self.asked.own.is_some())
    }
}

/// The TLS of one connection.
struct Session {
    connection: ClientConnection,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// The socket as rustls reads and writes it.
struct Raw<'s>(&'s OwnedFd);

impl io::Read for Raw<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match receive(self.0, out)? {
            Read::Bytes(read) => Ok(read),
            Read::Nothing => Err(ErrorKind::WouldBlock.into()),
            Read::End => Ok(0),
        }
    }
}

impl io::Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match send_some(self.0, bytes)? {
            0 if !bytes.is_empty() => Err(ErrorKind::WouldBlock.into()),
            sent => Ok(sent),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was read of the socket.
#[derive(PartialEq, Eq)]
enum Came {
    Some,
    Nothing,
    End,
}

impl Session {
    /// Sends what TLS has written. Returns whether that was all.
    fn flush(&mut self, socket: &OwnedFd) -> io::Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Raw(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn take_in(&mut self, socket: &OwnedFd) -> io::Result<Came> {
        match self.connection.read_tls(&mut Raw(socket)) {
            Ok(0) => return Ok(Came::End),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Came::Nothing),
            Err(error) => return Err(error),
        }
        let is_handshake = self.connection.is_handshaking();
        match self.connection.process_new_packets() {
            Ok(_) => Ok(Came::Some),
            Err(error) => {
                // The alert that tells the backend why, if the socket takes it.
                let _ = self.connection.write_tls(&mut Raw(socket));
                let (fault, mut why) = told(&error);
                if is_handshake {
                    why.insert_str(0, "the TLS handshake has failed: ");
                }
                Err(TlsError { why, fault, is_handshake }.into_io())
            }
        }
    }

    /// Goes on with the handshake. Returns whether it is complete.
    fn shake_hands(&mut self, socket: &OwnedFd) -> io::Result<bool> {
        while self.connection.is_handshaking() {
            self.flush(socket).map_err(NoHandshake::or)?;
            if !self.connection.is_handshaking() {
                break;
            }
            match self.take_in(socket).map_err(NoHandshake::or)? {
                Came::Some => {}
                Came::Nothing => return Ok(false),
                Came::End => {
                    return Err(NoHandshake::of(
                        ErrorKind::UnexpectedEof,
                        "it has ended the connection within the TLS handshake".to_string(),
                    ))
                }
            }
        }
        Ok(true)
    }
}

/// What an operator is told of a fault of TLS: what is wrong, and the way out where there is one.
fn told(error: &rustls::Error) -> (TlsFault, String) {
    use CertificateError::*;
    let (fault, text) = match error {
        // Another authority may have the same name.
        rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature) => {
            (TlsFault::Issuer, "its certificate is not signed by an authority of the CA file")
        }
        rustls::Error::InvalidCertificate(Other(other)) if is_an_authoritys(other) => {
            (TlsFault::Issuer, "its certificate is an authority's own, and is not itself in the CA file")
        }
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            (TlsFault::Dates, "its certificate has expired")
        }
        rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => {
            (TlsFault::Dates, "its certificate is not valid yet; compare the clocks")
        }
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            (TlsFault::Name, "its certificate is not for the host of its URL")
        }
        rustls::Error::InvalidCertificate(InvalidPurpose | InvalidPurposeContext { .. }) => {
            (TlsFault::Other, "its certificate is not for a server")
        }
        rustls::Error::InvalidCertificate(BadEncoding) => (TlsFault::Other, "its certificate cannot be read"),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            (TlsFault::Other, "it does not speak TLS there; if that is plain HTTP, give http:// in its URL")
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            let text = match cfg!(feature = "serve") {
                true => "it requires a client's certificate; give one with --backend-cert and --backend-key",
                false => "it requires a client's certificate; give one with Proxy::client_certificate",
            };
            (TlsFault::Client, text)
        }
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            (TlsFault::Other, "it speaks neither TLS 1.3 nor TLS 1.2")
        }
        other @ rustls::Error::AlertReceived(_) => return (TlsFault::Alert, other.to_string()),
        other => return (TlsFault::Other, other.to_string()),
    };
    (fault, text.to_string())
}

impl Secure for Session {
    fn send(&mut self, socket: &OwnedFd, mut bytes: &[u8]) -> io::Result<usize> {
        if !self.shake_hands(socket)? {
            return Ok(0);
        }
        let mut taken = 0;
        loop {
            // Bounded by the buffer of rustls.
            let some = io::Write::write(&mut self.connection.writer(), bytes)?;
            taken += some;
            bytes = bytes.get(some..).unwrap_or_default();
            match self.flush(socket) {
                Ok(true) if !bytes.is_empty() => {}
                Ok(_) => return Ok(taken),
                // What was taken may have been sent in part.
                Err(_) if taken > 0 => return Ok(taken),
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&mut self, socket: &OwnedFd, out: &mut [u8]) -> io::Result<Read> {
        // What is left from before. A backend that has closed may still have sent an answer.
        let _ = self.flush(socket);
        loop {
            match io::Read::read(&mut self.connection.reader(), out) {
                Ok(0) => return Ok(Read::End),
                Ok(read) => return Ok(Read::Bytes(read)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // It has ended without saying so in TLS: the end may be an attacker's (RFC 9112 §9.8).
                Err(error) => return Err(error),
            }
            if self.take_in(socket)? == Came::Nothing {
                return Ok(Read::Nothing);
            }
        }
    }

    fn finish(&mut self, socket: &OwnedFd) -> io::Result<bool> {
        // Again and again is fine.
        self.connection.send_close_notify();
        self.flush(socket)
    }

    fn has_unsent(&self) -> bool {
        self.connection.wants_write()
    }
}

/// Accepts what the given authorities have signed, and the given certificates themselves.
#[derive(Debug)]
struct Verifies {
    by_roots: Arc<WebPkiServerVerifier>,
    pinned: Arc<[CertificateDer<'static>]>,
}

impl ServerCertVerifier for Verifies {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.by_roots.verify_server_cert(own, others, name, ocsp, now) {
            // What `openssl req -x509` makes is an authority's, and is used as a server's. Its dates are right if this is the fault.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if is_an_authoritys(&other) && self.pinned.iter().any(|pinned| pinned == own) =>
            {
                verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_roots.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_roots.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_roots.supported_verify_schemes()
    }
}

/// Whether a certificate was refused because it is an authority's.
fn is_an_authoritys(error: &OtherError) -> bool {
    error.0.downcast_ref::<webpki::Error>() == Some(&webpki::Error::CaUsedAsEndEntity)
}

/// Accepts every certificate.
#[derive(Debug)]
struct AcceptsAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptsAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{SocketAddr, TcpListener};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::connection::{is_no_handshake, is_refused, Connection};
    use super::super::target::Address;
    use super::*;

    /// The error of sending to this address over TLS.
    fn fault_at(address: SocketAddr) -> io::Error {
        let mut settings = Settings::default();
        settings.accept_any();
        let secures = settings.client().unwrap().unwrap();
        let secure = secures.secure(&Host::Ip(address.ip())).unwrap();
        let opened = match Connection::open(&Address::Internet(address), Instant::now()) {
            Ok(opened) => opened,
            Err(error) => return error,
        };
        let mut connection = opened.secured(secure);
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            match connection.send(b"x") {
                Ok(sent) => assert!(sent == 0 && Instant::now() < until, "no error comes"),
                Err(error) => return error,
            }
            thread::yield_now();
        }
    }

    #[test]
    fn a_connection_that_breaks_within_the_handshake_is_no_refused_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let backend = thread::spawn(move || {
            let (mut backend, _) = listener.accept().unwrap();
            assert!(backend.read(&mut [0; 100]).unwrap() > 0);
            rustix::net::sockopt::set_socket_linger(&backend, Some(Duration::ZERO)).unwrap();
        });
        let error = fault_at(address);
        assert!(is_no_handshake(&error), "{error}");
        assert!(error.to_string().contains("within the TLS handshake"), "{error}");
        backend.join().unwrap();

        // The listener is closed now.
        let error = fault_at(address);
        assert!(is_refused(&error) && !is_no_handshake(&error), "{error}");
    }
}
