//! Renewal information (RFC 9773), profiles and rate limits of an ACME server. The server is the stub in support_acme, because
//! Pebble does not have them yet.
#![cfg(feature = "acme")]

mod support_acme;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use lockgate::{Acme, AcmeStatus, Challenge, Error, Identity, Router, Server, Urgency};
use serde_json::Value;
use tempfile::TempDir;

use support_acme::serving::Serving;
use support_acme::stub::Stub;
use support_acme::SAFETY;

const DAY: i64 = 86_400;

fn acme(stub: &Stub, state: &Path) -> Acme {
    Acme::new(stub.directory(), state).ca_file(&stub.authority.ca).name("a.example.org")
}

fn obtain(acme: &Acme, urgency: Urgency) -> Result<Identity, Error> {
    acme.obtain("127.0.0.1:0", urgency)
}

/// As if the last order had been made long ago.
fn let_time_pass(state: &Path) {
    let file = state.join("acme/renewal.json");
    let mut book: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    book["last_order"] = 0.into();
    fs::write(&file, book.to_string()).unwrap();
}

/// Waits until the agent has noted when it will renew.
fn planned(state: &Path) -> AcmeStatus {
    let until = Instant::now() + SAFETY;
    loop {
        let status = AcmeStatus::read(state).unwrap();
        if status.renew_at.is_some() {
            return status;
        }
        assert!(Instant::now() < until, "{status:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_time_in_the_suggested_window_is_picked_once_and_survives_a_restart() {
    let stub = Stub::start();
    let (start, end) = stub.suggest(20 * DAY, 40 * DAY);
    let state = TempDir::new().unwrap();
    let serving = Serving::start(acme(&stub, state.path()), 0, 0);
    serving.renewed();
    let status = planned(state.path());
    serving.stop();
    let renew_at = status.renew_at.unwrap();
    let at = |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
    let (start, end) = (at(start), at(end));
    assert!((start..=end).contains(&renew_at), "{status:?}");
    assert_eq!(status.window, Some((start, end)));
    assert_eq!(status.explanation.as_deref(), Some("https://example.org/why"));
    let asked = stub.asked_about();
    let (issuer, serial) = asked[0].split_once('.').unwrap();
    assert!(!issuer.is_empty() && !serial.is_empty(), "{asked:?}");

    let serving = Serving::start(acme(&stub, state.path()), 0, 0);
    assert_eq!(planned(state.path()).renew_at, Some(renew_at));
    serving.stop();
    assert_eq!(stub.orders().len(), 1);
    assert!(stub.orders()[0].get("replaces").is_none());
}

#[test]
fn a_window_that_has_begun_renews_at_once_and_says_what_is_replaced() {
    let stub = Stub::start();
    stub.suggest(20 * DAY, 40 * DAY);
    let state = TempDir::new().unwrap();
    obtain(&acme(&stub, state.path()), Urgency::IfDue).unwrap();
    let_time_pass(state.path());
    stub.suggest(-100, -50);
    let serving = Serving::start(acme(&stub, state.path()), 0, 0);
    let second = serving.renewed();
    serving.stop();
    assert!(second.is_valid_for("a.example.org"));
    let orders = stub.orders();
    assert_eq!(orders.len(), 2);
    assert_eq!(orders[1]["replaces"], stub.asked_about()[0]);
}

#[test]
fn an_authority_that_does_not_like_what_is_replaced_is_asked_without() {
    let stub = Stub::start();
    stub.suggest(20 * DAY, 40 * DAY);
    let state = TempDir::new().unwrap();
    let acme = acme(&stub, state.path());
    obtain(&acme, Urgency::IfDue).unwrap();
    let_time_pass(state.path());
    stub.refuse_next("409 Conflict", "alreadyReplaced");
    obtain(&acme, Urgency::Now).unwrap();
    let orders = stub.orders();
    assert_eq!(orders.len(), 3);
    assert!(orders[1]["replaces"].is_string() && orders[2].get("replaces").is_none());
}

#[test]
fn without_advice_renewal_is_planned_by_the_certificates_life() {
    let stub = Stub::start();
    let state = TempDir::new().unwrap();
    let serving = Serving::start(acme(&stub, state.path()), 0, 0);
    let identity = serving.renewed();
    let status = planned(state.path());
    serving.stop();
    let life = identity.not_after().duration_since(identity.not_before()).unwrap();
    let latest = identity.not_before() + life * 2 / 3;
    assert!((latest - life / 30..=latest).contains(&status.renew_at.unwrap()), "{status:?}");
    assert_eq!(status.window, None);
}

#[test]
fn a_profile_is_ordered_when_the_authority_has_it_and_refused_with_those_that_it_has() {
    let stub = Stub::start();
    let state = TempDir::new().unwrap();
    let error =
        obtain(&acme(&stub, state.path()).profile("eternal"), Urgency::IfDue).unwrap_err().to_string();
    assert!(error.contains("it has no profile eternal, only classic, shortlived"), "{error}");
    assert!(stub.orders().is_empty());
    obtain(&acme(&stub, state.path()).profile("shortlived"), Urgency::IfDue).unwrap();
    assert_eq!(stub.orders()[0]["profile"], "shortlived");
    // Another profile is another certificate.
    let_time_pass(state.path());
    obtain(&acme(&stub, state.path()).profile("classic"), Urgency::IfDue).unwrap();
    assert_eq!(stub.orders().len(), 2);
}

#[test]
fn a_connection_that_proves_a_name_ends_after_its_handshake() {
    let stub = Stub::start();
    let state = TempDir::new().unwrap();
    let port = support_acme::free_port();
    stub.validate_at(port);
    let serving = Serving::start(acme(&stub, state.path()).challenge(Challenge::TlsAlpn01), port, 0);
    serving.renewed();
    serving.stop();
    assert_eq!(stub.validated(), [Ok(())]);
}

#[test]
fn an_authority_that_wants_to_be_left_alone_is_left_alone() {
    let stub = Stub::start();
    let state = TempDir::new().unwrap();
    stub.refuse_next("429 Too Many Requests\r\nRetry-After: 7200", "rateLimited");
    let error = obtain(&acme(&stub, state.path()), Urgency::IfDue).unwrap_err().to_string();
    assert!(error.contains("because (rateLimited); it wants to be left alone for 7200 s"), "{error}");
    let status = AcmeStatus::read(state.path()).unwrap();
    assert_eq!(
        status.next_attempt.unwrap().duration_since(status.last_error_at.unwrap()).unwrap().as_secs(),
        7_200
    );
    assert_eq!(stub.orders().len(), 1);

    // Who is too busy for a nonce says so too.
    let state = TempDir::new().unwrap();
    stub.refuse_nonce("503 Service Unavailable\r\nRetry-After: 1800");
    obtain(&acme(&stub, state.path()), Urgency::IfDue).unwrap_err();
    let status = AcmeStatus::read(state.path()).unwrap();
    assert_eq!(
        status.next_attempt.unwrap().duration_since(status.last_error_at.unwrap()).unwrap().as_secs(),
        1_800
    );

    // A server tells it, and waits.
    let state = TempDir::new().unwrap();
    stub.refuse_next("503 Service Unavailable\r\nRetry-After: 3600", "serverInternal");
    let serving = Serving::start(acme(&stub, state.path()), 0, 0);
    let (error, retry_in) = serving.failed();
    assert!(error.contains("status 503: because"), "{error}");
    assert_eq!(retry_in, Duration::from_secs(3_600));
    serving.stop();
    assert_eq!(stub.orders().len(), 2);
}

#[test]
fn two_certificates_are_not_kept_in_one_directory() {
    let stub = Stub::start();
    let state = TempDir::new().unwrap();
    let identity = |name| Identity::acme(acme(&stub, state.path()).name(name)).unwrap();
    let server = Server::builder(Router::new())
        .https("127.0.0.1:0")
        .redirect_http("127.0.0.1:0")
        .identity(identity("b.example.org"))
        .add_identity(identity("c.example.org"));
    let error = server.bind().unwrap_err().to_string();
    assert!(error.contains("keeps one certificate, and two are to be obtained there"), "{error}");
}

#[test]
fn a_command_for_a_timer_renews_when_the_authority_says() {
    let stub = Stub::start();
    stub.suggest(20 * DAY, 40 * DAY);
    let state = TempDir::new().unwrap();
    let acme = acme(&stub, state.path());
    for _ in 0..2 {
        obtain(&acme, Urgency::IfDue).unwrap();
    }
    assert_eq!((stub.orders().len(), stub.asked_about().len()), (1, 1));
    // The next question is due, and the answer has changed.
    stub.suggest(-100, -50);
    let file = state.path().join("acme/renewal.json");
    let mut book: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    (book["plan"]["ask_at"], book["last_order"]) = (0.into(), 0.into());
    fs::write(&file, book.to_string()).unwrap();
    obtain(&acme, Urgency::IfDue).unwrap();
    assert_eq!((stub.orders().len(), stub.asked_about().len()), (2, 2));
}
