//! For each finding a case with it, and a case without.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::check::Verdict;
use crate::finding::Finding;
use crate::tls::Identity;
use std::path::{Path, PathBuf};

#[path = "../../../tests/support_command/schema.rs"]
mod schema;

const NOW: i64 = built::BUILT + 86_400;
const DAY: i64 = 86_400;

fn machine() -> Machine {
    Machine { now: NOW, memory: Some(1 << 40), open_files: 1_000_000 }
}

fn pair(dir: &TempDir, begins: i64, ends: i64) -> (PathBuf, PathBuf) {
    let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
    let at = |time: i64| rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(time as u64);
    (params.not_before, params.not_after) = (at(begins), at(ends));
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let files = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    fs::write(&files.0, params.signed_by(&key, &authority()).unwrap().pem()).unwrap();
    write_private(&files.1, &key.serialize_pem());
    files
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(1970, 1, 1), rcgen::date_time_ymd(2120, 1, 1));
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn write_private(path: &Path, contents: &str) {
    fs::write(path, contents).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Settings without a fault, on free ports that differ each time.
fn good(dir: &TempDir) -> Preflight {
    let (cert, key) = pair(dir, NOW - DAY, NOW + 90 * DAY);
    Preflight::new().pem_files(cert, key).https("127.0.0.1:0").redirect_http("127.0.0.1:0")
}

fn ids(preflight: &Preflight, machine: &Machine) -> Vec<&'static str> {
    let report = preflight.run_on(machine);
    schema::must_hold(crate::check::JSON_SCHEMA, &report.to_json());
    let mut ids: Vec<_> = report.findings().iter().map(Finding::id).collect();
    // Tests never use port 80, and no machine trusts their authority.
    ids.retain(|id| !["redirect-port", "issuer-not-in-file"].contains(id));
    ids
}

#[test]
fn good_settings_are_clean() {
    let dir = TempDir::new().unwrap();
    let report = good(&dir).run_on(&machine());
    let ids: Vec<_> = report.findings().iter().map(Finding::id).collect();
    assert_eq!((ids, report.verdict()), (vec!["issuer-not-in-file", "redirect-port"], Verdict::Clean));
    let json = report.to_json();
    assert_eq!((&json["schema"], &json["kind"]), (&"lockgate.check/1".into(), &"before".into()));
    assert_eq!(json["facts"]["listeners"], json!({"https": "free", "http": "free"}));
    assert_eq!(json["facts"]["certificates"][0]["days_left"], 90);
    let summary = report.summary();
    assert!(
        summary.ends_with("the server is ready, for clients that trust CN=authority itself."),
        "{summary}"
    );
}

#[test]
fn unusable_certificates_and_keys_are_reported_once_in_the_servers_words() {
    let dir = TempDir::new().unwrap();
    let preflight = good(&dir);
    let cert = dir.path().join("cert.pem");
    let key = dir.path().join("key.pem");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(ids(&preflight, &machine()), ["key-file-mode"]);
    // Five minutes of clock skew, and a clock before the day of the build.
    for (now, found) in
        [(NOW - 300, &[][..]), (built::BUILT - 1, &["clock-implausible"]), (0, &["clock-implausible"])]
    {
        let dir = TempDir::new().unwrap();
        let (cert, key) = pair(&dir, NOW, NOW + 90 * DAY);
        let preflight =
            Preflight::new().pem_files(cert, key).https("127.0.0.1:0").redirect_http("127.0.0.1:0");
        assert_eq!(ids(&preflight, &Machine { now, ..machine() }), found, "{now}");
    }

    let swapped = Preflight::new().pem_files(&key, &cert).https("127.0.0.1:0").redirect_http("127.0.0.1:0");
    assert_eq!(ids(&swapped, &machine()), ["identity-unusable"]);
    assert!(swapped.run_on(&machine()).findings()[0].seen().contains("the two are swapped"));

    for (now, id) in [(NOW + 91 * DAY, "expired"), (NOW - DAY / 2, "not-yet-valid")] {
        let dir = TempDir::new().unwrap();
        let (cert, key) = pair(&dir, NOW, NOW + 90 * DAY);
        let preflight = Preflight::new().pem_files(cert, key).https("127.0.0.1:0");
        let found = ids(&preflight, &Machine { now, ..machine() });
        assert!(found.contains(&id) && !found.contains(&"identity-unusable"), "{found:?}");
    }
    write_private(&key, &KeyPair::generate().unwrap().serialize_pem());
    assert_eq!(ids(&preflight, &machine()), ["key-mismatch"]);
    fs::remove_file(&key).unwrap();
    let report = preflight.run_on(&machine());
    assert_eq!(report.findings()[0].id(), "identity-unusable");
    assert!(report.findings()[0].place().unwrap().ends_with("key.pem"), "{:?}", report.findings()[0]);
}

#[test]
fn a_place_names_the_file() {
    let dir = TempDir::new().unwrap();
    let (cert, key) = pair(&dir, NOW - 95 * DAY, NOW + 5 * DAY);
    let report = Preflight::new().pem_files(&cert, key).https("127.0.0.1:0").run_on(&machine());
    let found = report.findings().iter().find(|finding| finding.id() == "expires-soon").unwrap();
    assert_eq!(found.place(), Some(&*format!("{}, certificate 1", cert.display())));
}

#[test]
fn settings_that_are_wrong_or_missing() {
    assert_eq!(ids(&Preflight::new().https("127.0.0.1:0"), &machine()), ["setting-unusable", "redirect-off"]);
    let dir = TempDir::new().unwrap();
    let preflight = good(&dir).setting_fault("lockgate.toml:1: is not TOML");
    assert_eq!(ids(&preflight, &machine()), ["setting-unusable"]);
}

#[test]
fn a_clock_that_cannot_be_right() {
    let dir = TempDir::new().unwrap();
    let preflight = good(&dir);
    for (now, is_found) in [(built::BUILT - 1, true), (built::BUILT, false)] {
        let found = ids(&preflight, &Machine { now, ..machine() });
        assert_eq!(found.contains(&"clock-implausible"), is_found, "{found:?}");
    }
}

#[test]
fn limits_open_files_and_memory() {
    let dir = TempDir::new().unwrap();
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        good(&dir).limits(limits)
    };
    let wrong = limits(|limits| (limits.head_fields, limits.workers) = (257, 0));
    assert_eq!(ids(&wrong, &machine()), ["limit-out-of-range", "limit-out-of-range"]);
    let report = limits(|limits| limits.drain_timeout = std::time::Duration::ZERO).run_on(&machine());
    let seen = report.findings()[0].seen();
    assert!(seen.starts_with("drain-timeout: 0ns is out of range"), "{seen}");
    let few = Machine { open_files: 1_024, ..machine() };
    assert_eq!(ids(&good(&dir), &few), ["connections-cut-down"]);
    assert_eq!(ids(&limits(|limits| limits.connections = 832), &few), [""; 0]);
    #[cfg(feature = "proxy")]
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let with_proxy = |connections: usize| {
            let proxy = crate::Proxy::to(&url).unwrap().at_a_time(100);
            let preflight = good(&dir).limits(Limits { connections, ..Limits::default() }).proxy(proxy);
            let report = preflight.run_on(&few);
            let found = report.findings().iter().filter(|finding| finding.id() == "connections-cut-down");
            found.map(|finding| finding.seen().to_string()).collect::<Vec<_>>().join("; ")
        };
        // Nobody answers there, which is another finding.
        drop(listener);
        assert_eq!(with_proxy(732), "");
        assert_eq!(
            with_proxy(733),
            "beside 733 connections, 1024 open files leave room for 99 of 100 requests at backends"
        );
        assert!(with_proxy(10_000).contains("leave room for 0 of 100 requests at backends"));
        assert_eq!(with_proxy(50), "", "no more than there are connections");
    }
    let small = Machine { memory: Some(256 << 20), ..machine() };
    assert_eq!(ids(&good(&dir), &small), ["memory-short"]);
    assert_eq!(ids(&limits(|limits| limits.connections = 500), &small), [""; 0]);
    let said = |preflight: &Preflight, mib: u64| {
        let report = preflight.run_on(&Machine { memory: Some(mib << 20), ..machine() });
        let short = report.findings().iter().find(|finding| finding.id() == "memory-short");
        short.map(|finding| finding.seen().to_string()).unwrap_or_default()
    };
    let said_of_small = said(&good(&dir), 45);
    assert!(said_of_small.contains("the other limits alone come to"), "{said_of_small}");
    // A device of 64 MiB, of which the kernel leaves 45, with the limits of `lockgate::costs` and more connections.
    let device = |connections: usize| {
        let small = Limits {
            workers: 1,
            reserve_workers: 8,
            redirect_connections: 32,
            body_memory_bytes: 1 << 20,
            ..Limits::default()
        };
        good(&dir).limits(Limits { connections, ..small })
    };
    let said_of_device = said(&device(600), 45);
    let fit = said_of_device.split_whitespace().filter_map(|word| word.parse().ok()).next_back();
    let fit: usize = fit.unwrap_or_else(|| panic!("{said_of_device}"));
    assert!(said_of_device.ends_with(&format!("{fit} connections fit")), "{said_of_device}");
    assert_eq!((said(&device(fit), 45).as_str(), said(&device(fit + 1), 45).is_empty()), ("", false));
    // A request at a backend takes 74 KiB more, and its body.
    #[cfg(feature = "proxy")]
    {
        let proxied =
            |connections| device(connections).proxy(crate::Proxy::to("http://127.0.0.1:1").unwrap());
        let report =
            |preflight: &Preflight| preflight.run_on(&machine()).to_json()["facts"]["memory"].clone();
        let of = |preflight: &Preflight| report(preflight)["ceiling_bytes"].as_u64().unwrap();
        assert_eq!(of(&proxied(10)) - of(&device(10)), 10 * (74 + 1024) * 1024);
        let said = said(&proxied(fit), 45);
        assert!(
            said.contains("connections fit") && !said.ends_with(&format!("{fit} connections fit")),
            "{said}"
        );
    }
    let unknown = good(&dir).run_on(&Machine { memory: None, ..machine() });
    assert_eq!((unknown.verdict(), unknown.unknown().len()), (Verdict::Clean, 1));
}

#[test]
fn ports_that_are_taken_shared_or_elsewhere() {
    let dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    // A program that does not answer takes the two seconds of the time limit; an answer ends the wait sooner.
    std::thread::spawn(move || while taken.accept().is_ok() {});
    assert_eq!(ids(&good(&dir).https(&address), &machine()), ["port-taken"]);
    assert_eq!(ids(&good(&dir).redirect_http(&address), &machine()), ["port-taken"]);
    let free = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let both = good(&dir).https(&free).redirect_http(&free);
    assert_eq!(ids(&both, &machine()), ["one-port-for-both"]);
    // No machine has an address of TEST-NET-1 (RFC 5737).
    assert_eq!(ids(&good(&dir).https("192.0.2.1:0"), &machine()), ["address-not-ours"]);
    assert_eq!(ids(&good(&dir).https("nonsense"), &machine()), ["listener-fails"]);
}

#[test]
fn a_server_that_runs_with_the_same_certificate_is_known_again() {
    let dir = TempDir::new().unwrap();
    let (cert, key) = pair(&dir, 0, 4_000_000_000);
    let server = crate::Server::builder(crate::Router::new())
        .https("127.0.0.1:0")
        .redirect_http("127.0.0.1:0")
        .identity(Identity::from_pem_files(&cert, &key).unwrap())
        .bind()
        .unwrap();
    let (https, http) = (server.local_addr().to_string(), server.redirect_addr().unwrap().to_string());
    let running = server.spawn().unwrap();
    #[cfg(feature = "operations")]
    let of_admin = TcpListener::bind("127.0.0.1:0").unwrap();
    let preflight = Preflight::new().pem_files(cert, key).https(&https).redirect_http(&http);
    #[cfg(feature = "operations")]
    let preflight = preflight.admin(of_admin.local_addr().unwrap().to_string());
    let report = preflight.run_on(&machine());
    let found: Vec<_> = report.findings().iter().map(Finding::id).collect();
    assert_eq!(found.iter().filter(|id| **id == "already-served").count(), 2, "{found:?}");
    assert!(!found.contains(&"port-taken") && report.connections() > 0, "{found:?}");
    // A program with another certificate is another server.
    let other = TempDir::new().unwrap();
    let found = ids(&good(&other).https(&https), &machine());
    assert_eq!(found, ["port-taken"]);
    running.handle().stop();
    running.join().unwrap();
}

#[cfg(feature = "operations")]
#[test]
fn the_admin_listener_is_opened_as_the_server_opens_it() {
    let dir = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let with = |address: &str| good(&dir).admin(address).run_on(&machine());
    let told = |address: &str| {
        let report = with(address);
        schema::must_hold(crate::check::JSON_SCHEMA, &report.to_json());
        let found = &report.findings()[0];
        (found.id(), found.seen().to_string(), report.to_json()["facts"]["listeners"]["admin"].to_string())
    };
    assert_eq!(ids(&good(&dir).admin("127.0.0.1:0"), &machine()), [""; 0]);
    assert_eq!(with("127.0.0.1:0").to_json()["facts"]["listeners"]["admin"], "free");
    let (id, seen, state) = told(&address);
    assert_eq!((id, &*state), ("port-taken", "\"taken\""), "{seen}");
    assert!(seen.contains("for the admin on") && seen.contains(&address), "{seen}");
    let (id, seen, state) = told(&format!("unix:{}", dir.path().join("nowhere/admin.sock").display()));
    assert_eq!((id, &*state), ("listener-fails", "\"fails\""), "{seen}");
    assert!(seen.contains("/nowhere is not there; make it"), "{seen}");
    assert_eq!(told("0.0.0.0:0").0, "setting-unusable");
    assert_eq!(ids(&good(&dir).admin("0.0.0.0:0").admin_anywhere(), &machine()), [""; 0]);
    // A socket that the check has made is gone again.
    let path = dir.path().join("admin.sock");
    assert_eq!(ids(&good(&dir).admin(format!("unix:{}", path.display())), &machine()), [""; 0]);
    assert!(!path.exists());
    drop(taken);
    let both = good(&dir).https(&address).admin(&address);
    let report = both.run_on(&machine());
    assert!(report.findings()[0].seen().contains("is one port with"), "{:?}", report.findings());
}

#[test]
fn the_redirect_is_off_or_elsewhere() {
    let dir = TempDir::new().unwrap();
    let (cert, key) = pair(&dir, NOW - DAY, NOW + 90 * DAY);
    let off = Preflight::new().pem_files(cert, key).https("127.0.0.1:0");
    assert_eq!(ids(&off, &machine()), ["redirect-off"]);
    for (address, is_found) in [("127.0.0.1:80", false), ("127.0.0.1:0", true)] {
        let report = good(&dir).redirect_http(address).run_on(&machine());
        assert_eq!(
            report.findings().iter().any(|finding| finding.id() == "redirect-port"),
            is_found,
            "{address}"
        );
    }
}

#[test]
fn files_for_clients() {
    let dir = TempDir::new().unwrap();
    let ca = dir.path().join("ca.pem");
    let issuer = authority();
    fs::write(&ca, issuer.pem()).unwrap();
    assert_eq!(ids(&good(&dir).client_auth(ClientAuth::required(&ca)), &machine()), [""; 0]);
    let crl = dir.path().join("crl");
    fs::write(&crl, "damaged").unwrap();
    let preflight = good(&dir).client_auth(ClientAuth::required(&ca).crl(&crl));
    assert_eq!(ids(&preflight, &machine()), ["client-auth-unusable"]);
    let missing = good(&dir).client_auth(ClientAuth::required(dir.path().join("none")));
    assert_eq!(ids(&missing, &machine()), ["client-auth-unusable"]);

    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(2100, 1, 1),
        crl_number: rcgen::SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    fs::write(&crl, list.signed_by(&issuer).unwrap().pem().unwrap()).unwrap();
    assert_eq!(ids(&preflight, &machine()), [""; 0]);
    // In 2095 the certificate has expired as well.
    let late = Machine { now: 3_944_678_400, ..machine() };
    assert!(ids(&preflight, &late).contains(&"client-crl-due"));
}

#[cfg(feature = "device")]
mod with_a_state {
    use crate::IdentitySource;

    use super::*;

    fn of(device: Device) -> Preflight {
        Preflight::new().device(device).https("127.0.0.1:0").redirect_http("127.0.0.1:0")
    }

    /// By the machine's own clock, because the device's certificate uses it.
    fn today() -> Machine {
        let now = crate::calendar::unix_now();
        Machine { now, ..machine() }
    }

    #[test]
    fn a_state_directory_that_is_not_there_or_cannot_be() {
        let dir = TempDir::new().unwrap();
        assert_eq!(ids(&of(Device::new(dir.path().join("state"))), &today()), ["state-missing"]);
        assert!(!dir.path().join("state").exists(), "nothing is made");
        assert_eq!(ids(&of(Device::new(dir.path().join("a/b"))), &today()), ["state-unusable"]);
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(ids(&of(Device::new(dir.path().join("file"))), &today()), ["state-unusable"]);
    }

    #[test]
    fn a_device_that_has_served() {
        let dir = TempDir::new().unwrap();
        let state = dir.path().join("state");
        Device::new(&state).load().unwrap();
        let files = || fs::read_dir(&state).unwrap().count();
        let (preflight, there) = (of(Device::new(&state)), files());
        assert_eq!(ids(&preflight, &today()), [""; 0]);
        assert_eq!(
            ids(&of(Device::new(&state).name("outside.example.com")), &today()),
            ["device-ca-unusable"]
        );
        assert_eq!(ids(&of(Device::new(&state).name("not a name")), &today()), ["setting-unusable"]);

        fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(ids(&preflight, &today()), ["state-open-to-others"]);
        fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(state.join("ca-key.pem"), Permissions::from_mode(0o660)).unwrap();
        assert_eq!(ids(&preflight, &today()), ["key-file-mode"]);
        write_private(&state.join("ca-key.pem"), "damaged");
        assert_eq!(ids(&preflight, &today()), ["device-ca-unusable"]);
        assert_eq!(files(), there, "nothing is written");
    }

    #[cfg(feature = "acme")]
    #[test]
    fn a_certificate_from_an_authority() {
        let dir = TempDir::new().unwrap();
        Device::new(dir.path()).load().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        let acme = || Acme::new("letsencrypt", dir.path()).name("gateway.example.org");
        let of = |acme: Acme| Preflight::new().acme(acme).https("127.0.0.1:0").redirect_http("127.0.0.1:0");
        assert_eq!(ids(&of(acme().accept_terms()), &today()), [""; 0]);
        assert_eq!(ids(&of(acme()), &today()), ["acme-terms-not-accepted"]);
        let silent = Preflight::new().acme(acme().accept_terms()).https("127.0.0.1:0");
        assert_eq!(ids(&silent, &today()), ["acme-challenge-unanswered", "redirect-off"]);
        let alpn = Preflight::new()
            .acme(acme().accept_terms().challenge(crate::Challenge::TlsAlpn01))
            .https("127.0.0.1:0");
        assert_eq!(ids(&alpn, &today()), ["redirect-off"]);
        assert_eq!(ids(&of(acme().accept_terms().contact("nobody")), &today()), ["setting-unusable"]);
    }
}

#[cfg(feature = "operations")]
#[test]
fn ticket_keys_are_read_as_the_server_does_it() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("ticket-keys");
    let preflight = || good(&dir).ticket_keys(&file);
    let seen = |preflight: &Preflight, id: &str| {
        let report = preflight.run_on(&machine());
        let finding = report.findings().iter().find(|finding| finding.id() == id).cloned().unwrap();
        assert_eq!(finding.place(), file.to_str());
        format!("{} {}", finding.seen(), finding.fix())
    };
    assert_eq!(ids(&preflight(), &machine()), ["ticket-keys-unusable"]);
    assert!(seen(&preflight(), "ticket-keys-unusable").contains("there is no such file"));
    let keys = crate::TicketKeys::generate().unwrap();
    let exchanged = |days: i64| {
        let rotated = crate::calendar::iso8601_of(NOW - days * DAY);
        let now = crate::iso8601(keys.rotated_at().unwrap());
        keys.to_file_text().replace(&now, &rotated)
    };
    write_private(&file, &exchanged(30));
    assert_eq!(ids(&preflight(), &machine()), [""; 0]);
    write_private(&file, &exchanged(40));
    assert_eq!(ids(&preflight(), &machine()), ["ticket-keys-old"]);
    let old = seen(&preflight(), "ticket-keys-old");
    assert!(old.contains("40 days ago") && old.contains("lockgate ticket-keys rotate "), "{old}");
    write_private(&file, &exchanged(0));
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(ids(&preflight(), &machine()), ["ticket-keys-open-to-others"]);
    let open = seen(&preflight(), "ticket-keys-open-to-others");
    assert!(open.contains("these ticket keys (mode 0644)") && open.contains("chmod 6"), "{open}");
    write_private(&file, "version 1\n");
    let damaged = seen(&preflight(), "ticket-keys-unusable");
    assert!(damaged.starts_with(file.to_str().unwrap()), "{damaged}");
}

#[cfg(feature = "operations")]
#[test]
fn a_network_with_everybody_in_it_is_warned_of() {
    let dir = TempDir::new().unwrap();
    let network = |text: &str| text.parse::<Cidr>().unwrap();
    for (everybody, few) in [("0.0.0.0/0", "10.0.0.0/8"), ("::/0", "fc00::/7")] {
        let named = good(&dir).proxy_protocol_from([network(few)]).trust_forwarded([network(few)]);
        assert!(!ids(&named, &machine()).contains(&"anybody-in-front"));
        let proxies = good(&dir).proxy_protocol_from([network(few), network(everybody)]);
        assert!(ids(&proxies, &machine()).contains(&"anybody-in-front"));
        let trusted = good(&dir).trust_forwarded([network(everybody)]);
        assert!(ids(&trusted, &machine()).contains(&"anybody-in-front"));
    }
}

/// A note says that its issuer is there, and none that it is not.
#[test]
fn a_root_behind_its_own_certificate_is_told_once() {
    let dir = TempDir::new().unwrap();
    let issuer = authority();
    let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
    let at = |time: i64| rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(time as u64);
    (params.not_before, params.not_after) = (at(NOW - DAY), at(NOW + 90 * DAY));
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let own = params.signed_by(&key, &issuer).unwrap().pem();
    let [both, alone, of_both] = ["both.pem", "alone.pem", "key.pem"].map(|name| dir.path().join(name));
    fs::write(&both, own.clone() + &issuer.pem()).unwrap();
    fs::write(&alone, own).unwrap();
    write_private(&of_both, &key.serialize_pem());
    let with = Preflight::new().pem_files(&both, &of_both).https("127.0.0.1:0").redirect_http("127.0.0.1:0");
    let all = |preflight: &Preflight| {
        let report = preflight.run_on(&machine());
        let found = report.findings().iter().filter(|finding| finding.id() != "redirect-port");
        found.map(Finding::id).collect::<Vec<_>>()
    };
    assert_eq!(all(&with), ["root-included"]);
    // What is told of one file is not told of another.
    assert_eq!(all(&with.pem_files(&alone, &of_both)), ["root-included", "issuer-not-in-file"]);
}
