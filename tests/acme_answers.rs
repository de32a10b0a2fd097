//! Unexpected answers from an ACME server: an issued certificate is kept, nothing unusable is stored, and a later attempt
//! always works. The server is the stub in support_acme.
#![cfg(feature = "acme")]

mod support_acme;

use std::fs;
use std::path::Path;

use lockgate::{Acme, AcmeFault, AcmeStatus, Error, Identity, Urgency};
use serde_json::{json, Value};
use tempfile::TempDir;

use support_acme::https;
use support_acme::stub::Stub;

fn acme(stub: &Stub, state: &Path) -> Acme {
    Acme::new(stub.directory(), state).ca_file(&stub.authority.ca).name("a.example.org")
}

fn obtain(acme: &Acme) -> Result<Identity, Error> {
    acme.obtain("127.0.0.1:0", Urgency::Now)
}

/// As if the last order had been made long ago.
fn let_time_pass(state: &Path) {
    let file = state.join("acme/renewal.json");
    let mut book: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    book["last_order"] = 0.into();
    fs::write(&file, book.to_string()).unwrap();
}

/// Writes another URL into the account's file.
fn change_account(state: &Path, url: &Value) {
    let mut files = fs::read_dir(state.join("acme")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.to_string_lossy().contains("account-")).unwrap();
    let mut account: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    account["url"] = url.clone();
    fs::write(&file, account.to_string()).unwrap();
}

/// How many certificates are in the chain that is kept.
fn kept(state: &Path) -> usize {
    https::roots_in(&state.join("acme/certificate.pem")).len()
}

// What an authority offers beside the certificate.

#[test]
fn another_chain_that_cannot_be_had_never_costs_the_certificate() {
    for alternate in [
        "/certificate/gone",
        "/certificate/garbage",
        "/certificate/foreign",
        "ftp://x",
        "https://localhost:1/",
    ] {
        let stub = Stub::start();
        let state = TempDir::new().unwrap();
        stub.add_to_certificates(&format!("\r\nLink: <{alternate}>;rel=\"alternate\""));
        let acme = acme(&stub, state.path()).chain("Other Root");
        assert!(obtain(&acme).unwrap().is_valid_for("a.example.org"), "{alternate}");
        assert_eq!((stub.orders().len(), kept(state.path())), (1, 1), "{alternate}");
        assert_eq!(AcmeStatus::read(state.path()).unwrap().failures, 0, "{alternate}");
    }
}

#[test]
fn another_chain_is_found_however_its_link_is_written() {
    for fields in [
        "Link: </certificate/other>;rel=\"alternate\"",
        "Link: <certificate/other>;rel=alternate",
        "Link: </directory>;rel=\"index\",</certificate/other>;rel=\"alternate\"",
        "Link: </certificate/other>;rel=\"alternate up\"",
        "Link: </certificate/gone>;rel=alternate, </certificate/other>; REL=\"Alternate\"",
        "Link: </directory>;rel=index\r\nlink: </certificate/other>;title=\"a, b;\";rel=alternate",
    ] {
        let stub = Stub::start();
        let state = TempDir::new().unwrap();
        stub.add_to_certificates(&format!("\r\n{fields}"));
        obtain(&acme(&stub, state.path()).chain("Other Root")).unwrap();
        assert_eq!(kept(state.path()), 2, "{fields}");
    }
}

// URLs.

#[test]
fn an_authority_that_says_relative_references_is_understood_and_whole_urls_are_kept() {
    let stub = Stub::start();
    stub.be_relative();
    stub.suggest(1_000_000, 2_000_000);
    let state = TempDir::new().unwrap();
    for orders in 1..=2 {
        obtain(&acme(&stub, state.path())).unwrap();
        assert_eq!(stub.orders().len(), orders);
        let_time_pass(state.path());
    }
    let status = AcmeStatus::read(state.path()).unwrap();
    let directory = stub.directory();
    let account = directory.replace("/directory", "/account/1");
    assert_eq!((status.accounts, stub.accounts()), (vec![(directory, account)], 1));
}

#[test]
fn urls_that_an_earlier_version_kept_and_that_are_none_are_done_without() {
    let stub = Stub::start();
    let state = TempDir::new().unwrap();
    obtain(&acme(&stub, state.path())).unwrap();
    let_time_pass(state.path());
    let dir = state.path().join("acme");
    change_account(state.path(), &json!("/account/1"));
    let order = json!({"url": "/order/1", "directory": stub.directory(), "names": ["a.example.org"], "key": "", "csr": ""});
    fs::write(dir.join("order.json"), order.to_string()).unwrap();
    obtain(&acme(&stub, state.path())).unwrap();
    // With its key it is the same account.
    assert_eq!((stub.orders().len(), stub.accounts()), (2, 1));
    assert!(!dir.join("order.json").exists());
}

#[test]
fn an_order_whose_url_cannot_be_used_is_not_kept() {
    for location in ["", "ftp://localhost/order/1", "https://"] {
        let stub = Stub::start();
        let state = TempDir::new().unwrap();
        let order = json!({"status": "ready", "authorizations": [], "finalize": "/order/1/finalize"});
        stub.answer_next_order(&format!("201 Created\r\nLocation: {location}"), &order);
        let error = obtain(&acme(&stub, state.path())).unwrap_err().to_string();
        assert!(error.contains("/order: the answer's Location is no URL to go on with"), "{error}");
        assert_eq!(AcmeStatus::read(state.path()).unwrap().order, None, "{location}");
        let_time_pass(state.path());
        obtain(&acme(&stub, state.path())).unwrap();
    }
}

#[test]
fn an_order_that_is_valid_without_a_certificate_has_ended() {
    for certificate in [json!(null), json!(7), json!("http://localhost/certificate")] {
        let stub = Stub::start();
        let state = TempDir::new().unwrap();
        stub.show_finalized(Some(("", json!({"certificate": certificate}))));
        let error = obtain(&acme(&stub, state.path())).unwrap_err();
        assert!(matches!(&error, Error::Acme { fault: AcmeFault::OrderFailed { .. }, .. }), "{error}");
        assert!(error.to_string().contains("valid and says no URL"), "{error}");
        assert_eq!(AcmeStatus::read(state.path()).unwrap().order, None);
        stub.show_finalized(None);
        let_time_pass(state.path());
        obtain(&acme(&stub, state.path())).unwrap();
    }
}

#[test]
fn a_certificate_that_cannot_be_had_once_is_had_the_next_time_and_twice_ends_its_order() {
    let stub = Stub::start();
    let state = TempDir::new().unwrap();
    for elsewhere in ["/certificate/gone", "/certificate/garbage"] {
        let before = stub.orders().len();
        stub.show_finalized(Some(("", json!({"certificate": elsewhere}))));
        obtain(&acme(&stub, state.path())).unwrap_err();
        assert!(AcmeStatus::read(state.path()).unwrap().order.is_some(), "{elsewhere}");
        stub.show_finalized(Some(("", json!({}))));
        obtain(&acme(&stub, state.path())).unwrap();
        assert_eq!(stub.orders().len(), before + 1, "{elsewhere}");

        let_time_pass(state.path());
        stub.show_finalized(Some(("", json!({"certificate": elsewhere}))));
        obtain(&acme(&stub, state.path())).unwrap_err();
        obtain(&acme(&stub, state.path())).unwrap_err();
        assert_eq!(AcmeStatus::read(state.path()).unwrap().order, None, "{elsewhere}");
        let_time_pass(state.path());
    }
}

#[test]
fn an_answer_to_finalize_that_is_no_order_does_not_end_it() {
    let stub = Stub::start();
    let state = TempDir::new().unwrap();
    stub.finalize_without_body();
    stub.show_finalized(Some(("", json!({}))));
    obtain(&acme(&stub, state.path())).unwrap();
    assert_eq!((stub.orders().len(), kept(state.path())), (1, 1));
}

// The directory and the account.

#[test]
fn a_directory_that_redirects_is_refused_with_where_it_leads() {
    let stub = Stub::start();
    let state = TempDir::new().unwrap();
    for (fields, words) in [
        (
            "301 Moved Permanently\r\nLocation: /v2/directory",
            "/v2/directory, which is not followed; give that URL",
        ),
        ("308 Permanent Redirect\r\nLocation: https://b.example/dir", "to https://b.example/dir, which"),
        ("302 Found", "does not say where to"),
    ] {
        stub.move_directory(fields);
        let error = obtain(&acme(&stub, state.path())).unwrap_err().to_string();
        assert!(error.contains("/directory: it redirects (status 30") && error.contains(words), "{error}");
    }
}

#[test]
fn an_account_that_was_deactivated_gives_way_to_a_new_one_with_a_new_key() {
    let stub = Stub::start();
    let state = TempDir::new().unwrap();
    obtain(&acme(&stub, state.path())).unwrap();
    stub.deactivate();
    let_time_pass(state.path());
    obtain(&acme(&stub, state.path())).unwrap();
    assert_eq!(stub.accounts(), 2);
    let status = AcmeStatus::read(state.path()).unwrap();
    assert!(status.accounts[0].1.ends_with("/account/2"), "{status:?}");
    // The same when its URL is not known.
    stub.deactivate();
    let_time_pass(state.path());
    change_account(state.path(), &json!(null));
    obtain(&acme(&stub, state.path())).unwrap();
    assert_eq!(stub.accounts(), 3);
    // What is refused for another reason keeps its account.
    let_time_pass(state.path());
    stub.refuse_next("403 Forbidden", "unauthorized");
    obtain(&acme(&stub, state.path())).unwrap_err();
    assert_eq!(stub.accounts(), 3);
}

// Words.

/// What would steer a terminal, turn writing around, or fill the log.
fn foreign() -> String {
    "\u{1b}[2J\u{9b}31m\u{202e}\u{2066}\r\nx".repeat(3_000)
}

#[track_caller]
fn assert_harmless(said: &str) {
    let hides = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!said.chars().any(hides) && said.len() < 8_000, "{} bytes: {said:.2000}", said.len());
}

#[test]
fn what_an_authority_says_is_shown_and_kept_in_one_line_of_bounded_length() {
    let stub = Stub::start();
    let state = TempDir::new().unwrap();
    let problem = json!({"type": foreign(), "detail": foreign(), "subproblems": [
        {"identifier": {"value": foreign()}, "detail": foreign()},
    ]});
    let mut errors = Vec::new();
    let mut fail = |part: &str| {
        let error = obtain(&acme(&stub, state.path())).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
        errors.push(error);
    };
    stub.answer_next_order("400 Bad Request", &problem);
    fail("/order: refused with status 400: ");
    let_time_pass(state.path());
    stub.show_finalized(Some(("", json!({"status": "invalid", "error": problem}))));
    fail("the order failed: ");
    let_time_pass(state.path());
    stub.show_finalized(None);
    let order = json!({"status": "ready", "authorizations": [foreign()], "finalize": foreign()});
    stub.answer_next_order("201 Created\r\nLocation: /order/1", &order);
    fail("authorizations in the answer is no URL");
    stub.move_directory("301 Moved\r\nLocation: http://\u{9b}31m\u{202e}x");
    fail("it redirects (status 301) to http://\\u{9b}31m");
    for error in errors {
        assert_harmless(&error.to_string());
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
    // And what an earlier version kept.
    for raw in [false, true] {
        let dir = state.path().join("acme");
        if raw {
            let order = json!({"url": foreign(), "directory": "", "names": [], "key": "", "csr": ""});
            fs::write(dir.join("order.json"), order.to_string()).unwrap();
            let mut book: Value =
                serde_json::from_slice(&fs::read(dir.join("renewal.json")).unwrap()).unwrap();
            book["last_error"] = foreign().into();
            book["plan"] = json!({"certificate": "", "renew_at": 1, "explanation": foreign()});
            fs::write(dir.join("renewal.json"), book.to_string()).unwrap();
        }
        let status = AcmeStatus::read(state.path()).unwrap();
        assert!(status.last_error.is_some(), "{status:?}");
        assert_harmless(&status.to_string());
        let shown = [status.last_error, status.order, status.explanation];
        shown.iter().flatten().for_each(|text| assert_harmless(text));
    }
}
