//! A stub of an ACME server, for what Pebble does not have yet: profiles (draft-aaron-acme-profiles) and renewal information
//! (RFC 9773). It wants no challenge unless a test says so, verifies no signatures (Pebble does), and records the orders.

use std::io::Read;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::PublicKeyData;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use serde_json::{json, Value};

use super::authority::{parameters, Authority};
use super::base64url::decode;
use super::https::{self, Request};

pub struct Stub {
    pub authority: Arc<Authority>,
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    window: Option<(i64, i64)>,
    /// The answers to the next orders, the first first; then they are accepted.
    refusals: Vec<String>,
    orders: Vec<Value>,
    /// What the next question for a nonce gets.
    nonce_refusal: Option<String>,
    /// The names of certificates that were asked about.
    asked: Vec<String>,
    certificate: String,
    /// What stands in the head of the certificate's answer beside the usual.
    certificate_fields: String,
    /// How the order is shown once it is finalized: its fields, and its members.
    finalized: Option<(String, Value)>,
    /// What is accepted at the finalize URL is answered with nothing.
    finalizes_silently: bool,
    /// URLs are said without scheme and host.
    is_relative: bool,
    /// The answer to every question for the directory, in place of it.
    moved: Option<String>,
    /// The accounts' public keys, and whether each is good still.
    accounts: Vec<(Value, bool)>,
    /// Where a name is to be validated in TLS, and what came of it.
    validation: Option<u16>,
    validated: Vec<Result<(), String>>,
}

impl Stub {
    pub fn start() -> Stub {
        let authority = Arc::new(Authority::new());
        let state = Arc::new(Mutex::new(State::default()));
        let pair = authority.pair("stub");
        let (issuer, shared) = (authority.clone(), state.clone());
        let port = https::serve(&pair, move |request| answer(&issuer, &mut shared.lock().unwrap(), &request));
        Stub { authority, port, state }
    }

    pub fn directory(&self) -> String {
        format!("https://localhost:{}/directory", self.port)
    }

    /// From now on renewal is suggested between these seconds from now.
    pub fn suggest(&self, start: i64, end: i64) -> (i64, i64) {
        let window = (now() + start, now() + end);
        self.state.lock().unwrap().window = Some(window);
        window
    }

    /// The next order gets this answer, from the status on.
    pub fn refuse_next(&self, status_and_fields: &str, kind: &str) {
        self.state.lock().unwrap().refusals.push(refuse(status_and_fields, kind));
    }

    /// The next order is answered with this, from the status on.
    pub fn answer_next_order(&self, status_and_fields: &str, order: &Value) {
        self.state.lock().unwrap().refusals.push(respond(status_and_fields, &order.to_string()));
    }

    /// The next question for a nonce gets this answer, from the status on.
    pub fn refuse_nonce(&self, status_and_fields: &str) {
        self.state.lock().unwrap().nonce_refusal =
            Some(format!("HTTP/1.1 {status_and_fields}\r\nContent-Length: 0\r\n\r\n"));
    }

    /// The payloads of the orders so far, those refused among them.
    pub fn orders(&self) -> Vec<Value> {
        self.state.lock().unwrap().orders.clone()
    }

    /// From now on a.example.org is validated in TLS, at this port, before it is certified.
    pub fn validate_at(&self, port: u16) {
        self.state.lock().unwrap().validation = Some(port);
    }

    pub fn validated(&self) -> Vec<Result<(), String>> {
        self.state.lock().unwrap().validated.clone()
    }

    /// From now on certificates come with these fields, such as `Link`. Chains are at /certificate/other (to "Other Root"),
    /// /certificate/foreign (of another certificate) and /certificate/garbage; elsewhere there is nothing.
    pub fn add_to_certificates(&self, fields: &str) {
        self.state.lock().unwrap().certificate_fields = fields.to_string();
    }

    /// From now on URLs are relative references.
    pub fn be_relative(&self) {
        self.state.lock().unwrap().is_relative = true;
    }

    /// Once it is finalized the order is answered with these fields and with these members in place of its own. `None` for
    /// the usual.
    pub fn show_finalized(&self, shown: Option<(&str, Value)>) {
        self.state.lock().unwrap().finalized = shown.map(|(fields, members)| (fields.to_string(), members));
    }

    pub fn finalize_without_body(&self) {
        self.state.lock().unwrap().finalizes_silently = true;
    }

    /// The directory is answered so, from the status on.
    pub fn move_directory(&self, status_and_fields: &str) {
        self.state.lock().unwrap().moved = Some(respond(status_and_fields, ""));
    }

    /// All accounts are deactivated.
    pub fn deactivate(&self) {
        self.state.lock().unwrap().accounts.iter_mut().for_each(|(_, is_good)| *is_good = false);
    }

    /// How many accounts there are, those deactivated among them.
    pub fn accounts(&self) -> usize {
        self.state.lock().unwrap().accounts.len()
    }

    pub fn asked_about(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

fn answer(authority: &Authority, state: &mut State, request: &Request) -> Vec<u8> {
    let host = request.header("Host");
    let is_relative = state.is_relative;
    let url = |path: &str| match is_relative {
        true => path.to_string(),
        false => format!("https://{host}{path}"),
    };
    if let Some(refusal) = refusal_of_account(state, request) {
        return refusal.into_bytes();
    }
    let is_open = state.validation.is_some() && state.validated.is_empty();
    let authorizations: Vec<String> = state.validation.iter().map(|_| url("/authorization")).collect();
    let order = |status: &str| {
        json!({
            "status": if is_open { "pending" } else { status },
            "authorizations": authorizations,
            "finalize": url("/order/1/finalize"),
            "certificate": url("/certificate"),
        })
    };
    let answer = match (&*request.method, &*request.path) {
        ("GET", "/directory") if state.moved.is_some() => state.moved.clone().unwrap(),
        ("GET", "/directory") => {
            let mut directory = json!({
                "newNonce": url("/nonce"),
                "newAccount": url("/account"),
                "newOrder": url("/order"),
                "meta": {"profiles": {"classic": "usual", "shortlived": "six days"}},
            });
            if state.window.is_some() {
                directory["renewalInfo"] = url("/renewal").into();
            }
            respond("200 OK", &directory.to_string())
        }
        ("HEAD", "/nonce") => {
            let usual = || "HTTP/1.1 200 OK\r\nReplay-Nonce: nonce\r\n\r\n".to_string();
            state.nonce_refusal.take().unwrap_or_else(usual)
        }
        ("POST", "/account") => {
            let key = protected(request)["jwk"].clone();
            let known = state.accounts.iter().position(|(known, _)| *known == key);
            let number = known.unwrap_or_else(|| {
                state.accounts.push((key, true));
                state.accounts.len() - 1
            });
            let status = if known.is_some() { "200 OK" } else { "201 Created" };
            respond(&format!("{status}\r\nLocation: {}", url(&format!("/account/{}", number + 1))), "{}")
        }
        ("POST", path) if path.starts_with("/account/") => respond("200 OK", "{\"status\": \"valid\"}"),
        ("POST", "/order") => {
            state.orders.push(payload(request));
            if state.refusals.is_empty() {
                respond(&format!("201 Created\r\nLocation: {}", url("/order/1")), &order("ready").to_string())
            } else {
                state.refusals.remove(0)
            }
        }
        ("POST", "/authorization") => {
            let status = if is_open { "pending" } else { "valid" };
            let challenge =
                json!({"type": "tls-alpn-01", "url": url("/challenge"), "status": status, "token": "token"});
            let name = json!({"type": "dns", "value": "a.example.org"});
            let authorization = json!({"status": status, "identifier": name, "challenges": [challenge]});
            respond("200 OK", &authorization.to_string())
        }
        ("POST", "/challenge") => {
            let result = validate(state.validation.unwrap(), "a.example.org");
            state.validated.push(result);
            respond("200 OK", "{}")
        }
        ("POST", "/order/1") if state.certificate.is_empty() || state.finalized.is_none() => {
            respond("200 OK", &order("ready").to_string())
        }
        ("POST", "/order/1") => finalized(state, order("valid")),
        ("POST", "/order/1/finalize") => {
            let csr = decode(payload(request)["csr"].as_str().unwrap());
            let names = state.orders.last().unwrap()["identifiers"].as_array().unwrap().clone();
            let names: Vec<_> = names.iter().map(|name| name["value"].as_str().unwrap()).collect();
            let certificate =
                parameters(&names, 90 * 86_400).signed_by(&PublicKey::of(&csr), &authority.issuer);
            state.certificate = certificate.unwrap().pem();
            match state.finalizes_silently {
                true => respond("200 OK", ""),
                false => finalized(state, order("valid")),
            }
        }
        ("POST", "/certificate") => {
            respond(&format!("200 OK{}", state.certificate_fields), &state.certificate)
        }
        ("POST", "/certificate/other") => {
            respond("200 OK", &format!("{}{}", state.certificate, self_signed("Other Root")))
        }
        ("POST", "/certificate/foreign") => respond("200 OK", &self_signed("Other Root")),
        ("POST", "/certificate/garbage") => respond("200 OK", "<html>"),
        ("POST", path) if path.starts_with("/certificate/") => refuse("404 Not Found", "malformed"),
        ("GET", path) if path.starts_with("/renewal/") => {
            state.asked.push(path.trim_start_matches("/renewal/").to_string());
            let (start, end) = state.window.unwrap();
            let info = json!({
                "suggestedWindow": {"start": rfc3339(start), "end": rfc3339(end)},
                "explanationURL": "https://example.org/why",
            });
            respond("200 OK\r\nRetry-After: 21600", &info.to_string())
        }
        (method, path) => panic!("{method} {path}"),
    };
    answer.into_bytes()
}

/// RFC 8555 §7.3.6: what is signed with a deactivated account, or asks for one with its key, is refused.
fn refusal_of_account(state: &State, request: &Request) -> Option<String> {
    if request.method != "POST" {
        return None;
    }
    let signed = protected(request);
    let (_, is_good) = match signed["kid"].as_str() {
        Some(kid) => state.accounts.get(kid.rsplit('/').next()?.parse::<usize>().ok()? - 1)?,
        None => state.accounts.iter().find(|(key, _)| *key == signed["jwk"])?,
    };
    (!is_good).then(|| refuse("401 Unauthorized", "unauthorized"))
}

fn finalized(state: &State, mut order: Value) -> String {
    let (fields, members) = state.finalized.clone().unwrap_or_default();
    for (name, value) in members.as_object().into_iter().flatten() {
        order[name] = value.clone();
    }
    respond(&format!("200 OK{fields}"), &order.to_string())
}

fn refuse(status_and_fields: &str, kind: &str) -> String {
    let problem = json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "because"});
    respond(status_and_fields, &problem.to_string())
}

fn self_signed(name: &str) -> String {
    let mut params = parameters(&["b.example.org"], 86_400);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

/// As an authority does it (RFC 8737 §3); and then the connection must end.
fn validate(port: u16, name: &'static str) -> Result<(), String> {
    let mut config = https::trusting(&[]);
    config.dangerous().set_certificate_verifier(Arc::new(SelfSigned));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let client = ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
    let tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    let mut stream = StreamOwned::new(client, tcp);
    let end = stream.read_to_end(&mut Vec::new());
    if stream.conn.alpn_protocol() != Some(b"acme-tls/1") {
        return Err(format!("another protocol: {end:?}"));
    }
    end.map(drop).map_err(|error| format!("the connection does not end: {error}"))
}

/// Takes any certificate that has the extension of RFC 8737 in it.
#[derive(Debug)]
struct SelfSigned;

impl ServerCertVerifier for SelfSigned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // 1.3.6.1.5.5.7.1.31, and that it is critical.
        const IDENTIFIER: &[u8] =
            &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f, 0x01, 0x01, 0xff];
        match certificate.windows(IDENTIFIER.len()).any(|window| window == IDENTIFIER) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::General("not a proof".into())),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn respond(status_and_fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status_and_fields}\r\nReplay-Nonce: nonce\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn payload(request: &Request) -> Value {
    part(request, "payload")
}

fn protected(request: &Request) -> Value {
    part(request, "protected")
}

fn part(request: &Request, name: &str) -> Value {
    let jws: Value = serde_json::from_slice(&request.body).unwrap();
    serde_json::from_slice(&decode(jws[name].as_str().unwrap())).unwrap()
}

/// Seconds since 1970 as the authority writes them; days are counted as the calendar does (Hinnant's algorithm).
fn rfc3339(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// The key in a request for a certificate: the request holds it once, behind these bytes (RFC 5480 §2.1.1, P-256).
struct PublicKey(Vec<u8>);

impl PublicKey {
    fn of(csr: &[u8]) -> PublicKey {
        const BEFORE: &[u8] = &[
            0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
            0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let at = csr.windows(BEFORE.len()).position(|window| window == BEFORE).unwrap() + BEFORE.len();
        PublicKey(csr[at..at + 65].to_vec())
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}
