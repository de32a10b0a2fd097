//! `--hsts`: tells browsers to use HTTPS only, for names whose certificate they trust by default. What is served changes while the
//! server runs, so it is judged again once a minute. `serve` adds it to all responses over HTTPS; plain HTTP has none of it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use lockgate::internal::hsts_protects;
use lockgate::{Handle, HeaderValue, Identity, ResponseHead, Seen};

use crate::command::route::Hsts;

/// How long a judgement holds.
const HOLDS: Duration = Duration::from_secs(60);
/// A client may ask for any name.
const MOST_NAMES: usize = 256;

/// What is told to browsers, and to those of which names.
#[derive(Clone)]
pub(in crate::command) struct Told(Arc<Inner>);

struct Inner {
    field: HeaderValue,
    /// Whether those who ask for this name, and are shown one of these, are protected.
    protects: fn(&str, &[Identity]) -> bool,
    /// Browsers that ask for any name forget it.
    is_for_all: bool,
    /// Known once there is a server.
    handle: OnceLock<Handle>,
    judged: Mutex<(Instant, Vec<(String, bool)>)>,
}

impl Told {
    pub(in crate::command) fn new(hsts: Hsts) -> Told {
        Told::judged_by(hsts, hsts_protects)
    }

    fn judged_by(Hsts { seconds }: Hsts, protects: fn(&str, &[Identity]) -> bool) -> Told {
        // Digits only.
        let field = HeaderValue::try_from(format!("max-age={seconds}"))
            .unwrap_or(HeaderValue::from_static("max-age=0"));
        let judged = Mutex::new((Instant::now(), Vec::new()));
        Told(Arc::new(Inner { field, protects, is_for_all: seconds == 0, handle: OnceLock::new(), judged }))
    }

    /// The server whose certificates are judged.
    pub(in crate::command) fn serve(&self, handle: Handle) {
        let _ = self.0.handle.set(handle);
    }

    /// Adds the field, unless the answer has one of its own.
    pub(in crate::command) fn add_to(&self, seen: &Seen<'_>, response: &mut ResponseHead<'_>) {
        let Some(host) = seen.header("host") else { return };
        // An address in brackets has no name before its first colon.
        let name = host.split(':').next().unwrap_or_default();
        if self.0.is_for_all || self.protects(name) {
            let fields = response.headers_mut();
            fields.entry("strict-transport-security").or_insert_with(|| self.0.field.clone());
        }
    }

    fn protects(&self, name: &str) -> bool {
        let Some(handle) = self.0.handle.get() else { return false };
        let now = Instant::now();
        let mut judged = self.0.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, known) = &mut *judged;
        if now.saturating_duration_since(*since) >= HOLDS || known.len() >= MOST_NAMES {
            known.clear();
            *since = now;
        }
        if let Some((_, protects)) = known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return *protects;
        }
        let protects = (self.0.protects)(name, &handle.identities());
        known.push((name.to_string(), protects));
        protects
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};

    use lockgate::internal::hsts_protects_by;
    use lockgate::{Request, Response, Router, Server};
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::pki_types::TrustAnchor;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

    use super::*;

    /// Those that browsers trust by default, as far as the test goes.
    static PUBLIC: OnceLock<Vec<TrustAnchor<'static>>> = OnceLock::new();

    fn protects(name: &str, identities: &[Identity]) -> bool {
        hsts_protects_by(name, identities, PUBLIC.get().unwrap())
    }

    /// The field of the response to a client that asks for this host.
    fn told(config: &Arc<ClientConfig>, server: SocketAddr, path: &str, host: &str) -> Vec<String> {
        let name = "api.example.com".try_into().unwrap();
        let connection = ClientConnection::new(config.clone(), name).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect(server).unwrap());
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, _) = response.split_once("\r\n\r\n").unwrap();
        let fields = head.lines().filter_map(|line| line.strip_prefix("strict-transport-security: "));
        fields.map(String::from).collect()
    }

    /// No certificate of a test is one of a public authority, so the rule is given another list of them.
    #[test]
    fn a_name_with_a_certificate_that_browsers_trust_is_told_and_no_other() {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["api.example.com", "gateway.local", "192.0.2.7"].map(String::from).to_vec();
        let own = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let identity = Identity::from_pem(own.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        PUBLIC.set(roots.roots.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);

        let year = Hsts { seconds: 31_536_000 };
        for (judge, is_told) in [(protects as fn(&str, &[Identity]) -> bool, true), (hsts_protects, false)] {
            let field = Told::judged_by(year, judge);
            let router = Router::new().get("/", |_: &mut Request| "here").get("/own", |_: &mut Request| {
                Response::text("here").with_header("Strict-Transport-Security", "max-age=7")
            });
            let added = field.clone();
            let server = Server::builder(router)
                .https("127.0.0.1:0")
                .identity(identity.clone())
                .on_response(move |seen, response| added.add_to(seen, response))
                .bind()
                .unwrap();
            let address = server.local_addr();
            let running = {
                field.serve(server.handle());
                server.spawn().unwrap()
            };
            let of_name: &[&str] = if is_told { &["max-age=31536000"] } else { &[] };
            for (path, host, expected) in [
                ("/", "api.example.com", of_name),
                ("/", "API.Example.COM:8443", of_name),
                // Also an answer of the server itself.
                ("/nothing", "api.example.com", of_name),
                ("/own", "api.example.com", &["max-age=7"]),
                // Its certificate is for these too, and no public authority gives one for the first of them.
                ("/", "gateway.local", &[]),
                ("/", "192.0.2.7", &[]),
                ("/", "other.example.com", &[]),
            ] {
                assert_eq!(told(&config, address, path, host), expected, "{path} {host}");
            }
            running.handle().stop();
            running.join().unwrap();
        }
    }
}
