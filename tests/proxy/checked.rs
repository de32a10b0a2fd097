//! What the check before a start says of backends over HTTPS: it makes the handshake of requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use lockgate::check::{Preflight, Report};
use lockgate::Proxy;
use rcgen::{date_time_ymd, BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::https::{backend, config, files, head, ok, provider, say, to, trusted, trusting};
use super::support::{authority, authority_pem, pem_pair};

/// The findings about backends, as `id: what was seen`, and what the facts say of each.
fn said(proxy: Proxy) -> (Vec<String>, Report) {
    let report = Preflight::new().https("127.0.0.1:0").proxy(proxy).run();
    let of_backends = report.findings().iter().filter(|finding| finding.id().starts_with("backend-"));
    let said = of_backends.map(|finding| format!("{}: {}", finding.id(), finding.seen())).collect();
    (said, report)
}

/// The one finding there is.
fn finding(proxy: Proxy) -> String {
    let (said, report) = said(proxy);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(report.unknown().iter().all(|unknown| !unknown.contains("https://")), "{:?}", report.unknown());
    said.into_iter().next().unwrap()
}

/// A backend with this certificate, which answers 204.
fn answering(config: ServerConfig) -> SocketAddr {
    backend(config, |tls| {
        head(tls)?;
        say(tls, "HTTP/1.1 204 No Content\r\n\r\n")
    })
}

#[test]
fn a_right_backend_is_asked_over_tls_and_any_answer_of_its_is_right() {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    for status in ["200 OK", "400 Bad Request", "403 Forbidden", "503 Service Unavailable"] {
        let kept = heads.clone();
        let address = backend(trusted(), move |tls| {
            kept.lock().unwrap().push(head(tls)?);
            say(
                tls,
                format!("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\n"),
            )
        });
        let (said, report) = said(trusting(address, &authority_pem()));
        assert_eq!(said, [""; 0]);
        let fact = &report.facts()["backends"][0];
        assert_eq!(fact["status"].as_u64().unwrap().to_string(), status[..3]);
        assert!(report.unknown().iter().all(|unknown| !unknown.contains("certificate of")));
    }
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 4);
    assert!(heads[0].starts_with("HEAD / HTTP/1.1\r\nhost: localhost:"), "{heads:?}");
}

#[test]
fn a_certificate_of_another_host_issuer_or_time_is_named_and_nothing_is_asked() {
    let dated = |from: i32, to: i32| {
        let (certificate, key) = pem_pair(|params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
        });
        config(&certificate, &key)
    };
    let own = |is_ca: IsCa| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        params.is_ca = is_ca;
        config(&params.self_signed(&key).unwrap().pem(), &key.serialize_pem())
    };
    let (other_name, other_key) = pem_pair(|params| {
        params.subject_alt_names = CertificateParams::new(vec!["app.test".into()]).unwrap().subject_alt_names
    });
    for (config, id, words) in [
        (config(&other_name, &other_key), "backend-wrong-name", "is not for the host of its URL"),
        (own(IsCa::NoCa), "backend-unknown-issuer", "not signed by an authority of the CA file"),
        // As `openssl req -x509` makes one.
        (
            own(IsCa::Ca(BasicConstraints::Unconstrained)),
            "backend-unknown-issuer",
            "is not itself in the CA file",
        ),
        (dated(2020, 2021), "backend-certificate-dates", "has expired"),
        (dated(2090, 2091), "backend-certificate-dates", "is not valid yet"),
    ] {
        let asked = Arc::new(Mutex::new(0));
        let kept = asked.clone();
        let address = backend(config, move |tls| {
            *kept.lock().unwrap() += head(tls)?.len();
            say(tls, ok(""))
        });
        let found = finding(trusting(address, &authority_pem()));
        assert!(found.starts_with(&format!("{id}: the backend https://localhost:")), "{found}");
        assert!(found.contains(words), "{found}");
        assert_eq!(*asked.lock().unwrap(), 0, "{id}");
    }
    // The same server by its address, which the certificate does not have.
    let address = answering(trusted());
    let (_folder, paths) = files(&[("ca.pem", &authority_pem())]);
    let by_address = Proxy::to(&format!("https://{address}")).unwrap().ca_file(&paths[0]).unwrap();
    assert!(finding(by_address).starts_with("backend-wrong-name: "));
    // Nobody verifies it, and it is there.
    let (found, _) = said(to(answering(dated(2020, 2021))).danger_accept_any_certificate().unwrap());
    assert_eq!(found, [""; 0]);
}

/// A backend that verifies its clients, by TLS of this version.
fn verifying(
    version: &'static SupportedProtocolVersion,
    is_demanded: bool,
    answer: &'static str,
) -> SocketAddr {
    let mut roots = RootCertStore::empty();
    roots.add(authority()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let clients = if is_demanded { clients } else { clients.allow_unauthenticated() };
    let (certificate, key) = pem_pair(|_| {});
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
        .unwrap();
    backend(config, move |tls| {
        head(tls)?;
        say(tls, answer)
    })
}

#[test]
fn a_backend_that_demands_a_clients_certificate_is_named_and_one_with_it_is_right() {
    const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    const NGINX: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 230\r\n\r\n";
    let (certificate, key) = pem_pair(|_| {});
    let own_key = KeyPair::generate().unwrap();
    let unknown =
        CertificateParams::new(vec!["localhost".to_string()]).unwrap().self_signed(&own_key).unwrap();
    let (_folder, paths) = files(&[
        ("own.pem", &certificate),
        ("own.key", &key),
        ("unknown.pem", &unknown.pem()),
        ("unknown.key", &own_key.serialize_pem()),
    ]);
    for version in [&TLS12, &TLS13] {
        for (is_demanded, answer, words) in
            [(true, GOOD, "client's certificate"), (false, NGINX, "got none, and answers HEAD / with 400")]
        {
            let address = verifying(version, is_demanded, answer);
            let proxy = trusting(address, &authority_pem());
            let found = finding(proxy.clone());
            assert!(found.starts_with("backend-wants-certificate: ") && found.contains(words), "{found}");
            // It asks, and does without.
            assert_eq!(said(trusting(verifying(version, false, GOOD), &authority_pem())).0, [""; 0]);
            let right = proxy.clone().client_certificate(&paths[0], &paths[1]).unwrap();
            // With a certificate, 400 is an answer like others.
            assert_eq!(said(right).0, [""; 0]);
        }
        let address = verifying(version, true, GOOD);
        let proxy = trusting(address, &authority_pem()).client_certificate(&paths[2], &paths[3]).unwrap();
        let found = finding(proxy);
        assert!(found.starts_with("backend-wants-certificate: ") && found.contains("got one"), "{found}");
    }
}

#[test]
fn a_backend_without_tls_or_without_an_answer_in_time_is_named() {
    // Plain HTTP that answers, one that closes, and one that resets.
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"220 mail.test ESMTP\r\n", b""] {
        let plain = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = trusting(plain.local_addr().unwrap(), &authority_pem());
        thread::spawn(move || {
            for tcp in plain.incoming() {
                let mut tcp = tcp.unwrap();
                let _ = tcp.read(&mut [0; 2048]);
                let _ = tcp.write_all(answer);
            }
        });
        let found = finding(proxy);
        assert!(found.starts_with("backend-speaks-plain: "), "{found}");
    }
    // One after the other wait for all of their five seconds, so they wait beside each other.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let no_handshake = trusting(mute.local_addr().unwrap(), &authority_pem());
    let waits = |said: &'static str| {
        backend(trusted(), move |tls| {
            head(tls)?;
            say(tls, said)?;
            // Until the check leaves.
            let _ = tls.read(&mut [0]);
            Some(())
        })
    };
    let [silent, slow] = [waits(""), waits("HTTP/1.1 200 OK\r\nServer: a")];
    let checks = [
        (no_handshake, "completes no TLS handshake within 5 s"),
        (trusting(silent, &authority_pem()), "does not answer HEAD / within 5 s"),
        (trusting(slow, &authority_pem()), "does not come whole within 5 s"),
    ]
    .map(|(proxy, words)| thread::spawn(move || (finding(proxy), words)));
    for check in checks {
        let (found, words) = check.join().unwrap();
        assert!(found.starts_with("backend-silent: ") && found.contains(words), "{found}");
    }
}

#[test]
fn a_backend_that_answers_something_else_over_tls_or_has_no_tls_that_fits_is_named() {
    let odd = |answer: &'static str| {
        backend(trusted(), move |tls| {
            head(tls)?;
            say(tls, answer)
        })
    };
    for (answer, words) in [
        ("SSH-2.0-x\r\n", "does not begin with HTTP/1.1 or HTTP/1.0"),
        ("HTTP/1.1 200 OK\r\nServer: a", "ends within its head"),
        ("", "is the end of the connection"),
    ] {
        let found = finding(trusting(odd(answer), &authority_pem()));
        assert!(found.starts_with("backend-not-http: ") && found.contains(words), "{found}");
    }
    // TLS, and no protocol in common.
    let mut other = trusted();
    other.alpn_protocols = vec![b"h2".to_vec()];
    let found = finding(trusting(answering(other), &authority_pem()));
    assert!(found.starts_with("backend-tls-fails: "), "{found}");
}
