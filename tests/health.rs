//! `Health` through a device's life: healthy, a certificate that expires soon, a failed reload, a successful one.

mod support;

use std::fs;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use lockgate::{
    ClientAuth, Expiry, Handle, Identity, RedirectHealth, Request, Response, Router, Server, Severity,
};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa};
use support::{pem_pair, serve_as, Gate};
use tempfile::TempDir;

const DAY: i64 = 24 * 3600;

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// A pair in two files of this folder, valid between these days from now.
fn write_pair(dir: &TempDir, begins: i64, ends: i64) {
    let at = |days: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs((now() + days * DAY) as u64);
    let (certificate, key) = pem_pair(|params| {
        (params.not_before, params.not_after) = (at(begins), at(ends));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
    });
    fs::write(dir.path().join("cert.pem"), certificate).unwrap();
    fs::write(dir.path().join("key.pem"), key).unwrap();
}

fn identity(dir: &TempDir) -> Identity {
    Identity::from_pem_files(dir.path().join("cert.pem"), dir.path().join("key.pem")).unwrap()
}

#[test]
fn a_device_serves_its_health_and_a_failed_reload_is_reported_until_it_is_fixed() {
    let dir = TempDir::new().unwrap();
    write_pair(&dir, -1, 90);
    let handle: Arc<OnceLock<Handle>> = Arc::default();
    let asked = handle.clone();
    let router = Router::new()
        .get("/health", move |_: &mut Request| Response::json(&asked.get().unwrap().health().to_json()));
    let serving = serve_as(Server::builder(router).identity(identity(&dir)));
    handle.set(serving.handle.clone()).unwrap();

    let health = serving.handle.health();
    let one = &health.identities[0];
    assert_eq!((one.expiry, one.failure.is_none(), health.identities.len()), (Expiry::Distant, true, 1));
    assert!(health.worst() <= Some(Severity::Note), "{health:?}");
    assert!(!health.is_draining && health.clients_failure.is_none());

    let mut client = serving.connect();
    let served: serde_json::Value = serde_json::from_slice(&client.get("/health").body).unwrap();
    assert_eq!(served["status"], "good", "{served:#}");
    assert_eq!(served["schema"], "lockgate.health/1");
    assert_eq!(served["connections"]["open"], 1);
    assert_eq!(served["workers"]["busy"], 1, "the one that asks");
    assert_eq!(served["identities"][0]["expiry"], "distant");
    assert!(served["workers"]["most"].as_u64() > Some(1) && served["connections"]["most"].as_u64() > Some(1));

    // Little is left of this one.
    write_pair(&dir, -95, 5);
    serving.handle.reload().unwrap();
    let health = serving.handle.health();
    let ids: Vec<_> = health.identities[0].findings.iter().map(|finding| finding.id()).collect();
    assert!(ids.contains(&"expires-soon"), "{ids:?}");
    assert_eq!((health.identities[0].expiry, health.worst()), (Expiry::Imminent, Some(Severity::Warning)));

    fs::write(dir.path().join("cert.pem"), "damaged").unwrap();
    serving.handle.reload().unwrap_err();
    let health = serving.handle.health();
    let failure = health.identities[0].failure.as_ref().unwrap();
    assert!(
        failure.error.contains("cert.pem")
            && failure.at.elapsed().unwrap() < Duration::from_secs(DAY.unsigned_abs()),
        "{failure:?}"
    );
    let json = health.to_json();
    assert_eq!(json["status"], "warning");
    assert!(json["identities"][0]["failure"]["error"].as_str().unwrap().contains("cert.pem"), "{json:#}");
    assert_eq!(health.identities[0].expiry, Expiry::Imminent, "the old one is still in use");

    write_pair(&dir, -1, 90);
    serving.handle.reload().unwrap();
    let health = serving.handle.health();
    assert!(health.identities[0].failure.is_none() && health.worst() <= Some(Severity::Note), "{health:?}");
    assert_eq!(health.to_json()["identities"][0]["failure"], serde_json::Value::Null);
    let shown = format!("{health:?}{}", health.to_json());
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
}

#[test]
fn a_certificate_that_is_over_is_served_and_an_error_and_takes_no_good_ones_place() {
    let dir = TempDir::new().unwrap();
    write_pair(&dir, -90, -1);
    let serving = serve_as(Server::builder(Router::new()).identity(identity(&dir)));
    let in_use = || serving.handle.identity().not_after();
    let over = in_use();
    let health = serving.handle.health();
    assert_eq!((health.identities[0].expiry, health.worst()), (Expiry::Expired, Some(Severity::Error)));
    assert_eq!(health.to_json()["status"], "error");
    assert_eq!(health.identities[0].findings[0].id(), "expired");
    // One that was over later is better, one that was over before is not.
    write_pair(&dir, -90, -2);
    let error = serving.handle.reload().unwrap_err().to_string();
    assert!(error.contains("cert.pem: the certificate expired at"), "{error}");
    assert_eq!(in_use(), over);
    write_pair(&dir, -1, 90);
    serving.handle.reload().unwrap();
    let good = in_use();
    assert!(serving.handle.health().worst() <= Some(Severity::Note));
    for (begins, ends) in [(-90, -1), (1, 90)] {
        write_pair(&dir, begins, ends);
        serving.handle.reload().unwrap_err();
        assert_eq!(in_use(), good);
        let health = serving.handle.health();
        assert!(
            health.identities[0].failure.is_some() && health.worst() == Some(Severity::Warning),
            "{health:?}"
        );
    }
}

#[test]
fn a_pair_that_cannot_be_used_is_told_until_it_can_be() {
    let (dir, bad) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write_pair(&dir, -1, 90);
    write_pair(&bad, -1, 90);
    let cert = bad.path().join("cert.pem");
    let whole = fs::read(&cert).unwrap();
    fs::write(&cert, "damaged").unwrap();
    let builder = Server::builder(Router::new())
        .add_pem_files(&cert, bad.path().join("key.pem"))
        .add_pem_files(dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let serving = serve_as(builder);
    let health = serving.handle.health();
    assert_eq!((health.identities.len(), health.missing.len()), (1, 1));
    assert_eq!(health.worst(), Some(Severity::Error));
    let json = health.to_json();
    assert_eq!(json["missing"][0]["certificate"], cert.to_str().unwrap());
    assert!(json["missing"][0]["error"].as_str().unwrap().contains("holds no certificate"), "{json:#}");
    let error = serving.handle.reload().unwrap_err().to_string();
    assert!(error.contains("holds no certificate"), "{error}");
    // The server may have seen it by itself before it is asked to.
    fs::write(&cert, whole).unwrap();
    serving.handle.reload().unwrap();
    let health = serving.handle.health();
    assert_eq!((health.identities.len(), health.missing.len()), (2, 0));
    assert!(health.worst() <= Some(Severity::Note), "{health:?}");
}

#[test]
fn without_any_pair_that_can_be_used_no_server_is_opened() {
    let dir = TempDir::new().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let builder = Server::builder(Router::new()).https("127.0.0.1:0").add_pem_files(&cert, key);
    let error = builder.bind().unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: there is no such file", cert.display())), "{error}");
}

#[test]
fn files_for_clients_that_cannot_be_read_again_are_reported_and_then_used_once_they_are_fixed() {
    let dir = TempDir::new().unwrap();
    write_pair(&dir, -1, 90);
    let (authority, _) = pem_pair(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, &authority).unwrap();
    let builder =
        Server::builder(Router::new()).identity(identity(&dir)).client_auth(ClientAuth::optional(&ca));
    let serving = serve_as(builder);
    assert!(serving.handle.health().clients_failure.is_none());
    fs::write(&ca, "damaged").unwrap();
    serving.handle.reload().unwrap_err();
    let health = serving.handle.health();
    assert!(health.clients_failure.as_ref().unwrap().error.contains("ca.pem"), "{health:?}");
    assert_eq!(health.worst(), Some(Severity::Warning), "{health:?}");
    fs::write(&ca, &authority).unwrap();
    serving.handle.reload().unwrap();
    assert!(serving.handle.health().clients_failure.is_none());
}

#[test]
fn workers_in_handlers_and_the_end_are_seen() {
    let gate = Gate::new();
    let passing = gate.clone();
    let router = Router::new().get("/", move |_: &mut Request| {
        passing.pass();
        "passed"
    });
    let dir = TempDir::new().unwrap();
    write_pair(&dir, -1, 90);
    let server = Server::builder(router)
        .https("127.0.0.1:0")
        .redirect_http("127.0.0.1:0")
        .identity(identity(&dir))
        .bind()
        .unwrap();
    let (address, handle) = (server.local_addr(), server.handle());
    assert_eq!(handle.health().redirect, RedirectHealth::Waiting, "it does not run before the server does");
    assert!(handle.health().worst() <= Some(Severity::Note));
    let running = server.spawn().unwrap();
    let mut client = support::Client::connect(address).unwrap();
    client.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
    gate.wait_for(1);
    let health = handle.health();
    assert_eq!((health.workers, health.connections, health.is_draining), (1, 1, false));
    // Its thread was started before the one that has accepted.
    assert_eq!(health.redirect, RedirectHealth::Running);
    handle.stop();
    assert!(handle.health().is_draining);
    gate.open();
    assert_eq!(client.reply().text(), "passed");
    running.join().unwrap();
    let health = handle.health();
    assert_eq!((health.redirect, health.workers), (RedirectHealth::Down, 0));
}

#[test]
fn a_server_without_a_redirect_says_so() {
    let dir = TempDir::new().unwrap();
    write_pair(&dir, -1, 90);
    let server = Server::builder(Router::new()).https("127.0.0.1:0").identity(identity(&dir)).bind().unwrap();
    assert_eq!(server.handle().health().redirect, RedirectHealth::Off);
}
