//! Tests of the renewal's rounds, at given times.

use std::fs;
use std::path::Path;
use std::sync::mpsc;

use tempfile::TempDir;

use super::*;
use crate::tls::ClientAuth;

const SECOND: Duration = Duration::from_secs(1);

/// Valid all through the 21st century.
fn write(folder: &Path, names: &[&str]) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2101, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    fs::write(folder.join("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

fn at(year: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952)
}

/// The thread's work, to be run by the test, and the events that it reports.
fn prepared(folder: &Path, clients: Option<Clients>, missing: Missing) -> (Rounds, mpsc::Receiver<String>) {
    let identity = Identity::from_pem_files(folder.join("cert.pem"), folder.join("key.pem")).unwrap();
    let live = Arc::new(Live::new(vec![identity], clients).unwrap());
    let (sender, told) = mpsc::channel();
    let sender = Mutex::new(sender);
    let listener: Listener = Arc::new(move |event| {
        let said = match event {
            IdentityEvent::Renewed { identity } => format!("renewed {}", identity.dns_names().join(",")),
            IdentityEvent::Failed { retry_in, .. } => format!("failed, again in {retry_in:?}"),
            IdentityEvent::Expiring { expiry, .. } => format!("expiring {expiry:?}"),
        };
        sender.lock().unwrap().send(said).unwrap();
    });
    let (_, rounds) = Renewal::new(live, (missing, Some(Renewal::ask_for_missing)), Some(listener)).unwrap();
    (rounds, told)
}

#[test]
fn changed_files_are_served_once_they_rest_and_bad_ones_are_tried_again() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), &["a.example"]);
    let (mut rounds, told) = prepared(dir.path(), None, Missing::default());
    let (begin, clock) = (Instant::now(), at(2030));
    assert!(rounds.round(begin, clock) <= LONGEST_REST);
    write(dir.path(), &["b.example"]);
    let rest = rounds.round(begin + SECOND, clock);
    assert!(rest < SECOND, "{rest:?}");
    assert_eq!(told.try_iter().count(), 0);
    rounds.round(begin + 2 * SECOND, clock);
    assert_eq!(told.try_recv().unwrap(), "renewed b.example");

    fs::write(dir.path().join("cert.pem"), "damaged").unwrap();
    for seconds in 3..=20 {
        rounds.round(begin + seconds * SECOND, clock);
    }
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["failed, again in 10s", "failed, again in 20s"]);
    assert!(rounds.renewal.failure(Subject::Identity(0)).is_some());
    write(dir.path(), &["c.example"]);
    rounds.round(begin + 21 * SECOND, clock);
    rounds.round(begin + 22 * SECOND, clock);
    assert_eq!(told.try_recv().unwrap(), "renewed c.example");
    assert!(rounds.renewal.failure(Subject::Identity(0)).is_none());
}

#[test]
fn the_end_of_a_certificate_is_told_as_it_comes_nearer() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), &["a.example"]);
    let (mut rounds, told) = prepared(dir.path(), None, Missing::default());
    let begin = Instant::now();
    for (hours, year) in [(0, 2030), (1, 2075), (2, 2076), (3, 2095), (4, 2102)] {
        rounds.round(begin + hours * 3600 * SECOND, at(year));
    }
    let told: Vec<_> = told.try_iter().collect();
    assert_eq!(told, ["expiring Due", "expiring Imminent", "expiring Expired"]);
}

#[test]
fn pairs_that_are_missing_and_the_files_for_clients_are_looked_after_too() {
    let (dir, late) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    write(dir.path(), &["a.example"]);
    let authorities = dir.path().join("clients.pem");
    let issuer = |path: &Path| {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        fs::write(path, params.self_signed(&key).unwrap().pem()).unwrap();
    };
    issuer(&authorities);
    let clients = Clients::load(ClientAuth::optional(&authorities)).unwrap();
    let pair = (late.path().join("cert.pem"), late.path().join("key.pem"));
    let (_, missing, _) = Missing::load(vec![pair]);
    let (mut rounds, told) = prepared(dir.path(), Some(clients), missing);
    let (begin, clock) = (Instant::now(), at(2030));
    rounds.round(begin, clock);
    fs::write(&authorities, "damaged").unwrap();
    rounds.round(begin + SECOND, clock);
    rounds.round(begin + 2 * SECOND, clock);
    assert!(rounds.renewal.failure(Subject::Clients).is_some());
    issuer(&authorities);
    let before = rounds.renewal.live.rules();
    rounds.round(begin + 3 * SECOND, clock);
    rounds.round(begin + 4 * SECOND, clock);
    assert!(rounds.renewal.failure(Subject::Clients).is_none());
    assert!(rounds.renewal.live.rules() > before);

    write(late.path(), &["late.example"]);
    for seconds in 5..=30 {
        rounds.round(begin + seconds * SECOND, clock);
    }
    assert!(told.try_iter().any(|told| told == "renewed late.example"));
    assert_eq!(rounds.renewal.live.current().identities.len(), 2);
    assert!(rounds.renewal.missing().is_empty());
}

#[test]
fn the_thread_ends_when_it_is_told_to() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), &["a.example"]);
    let (rounds, _) = prepared(dir.path(), None, Missing::default());
    let renewal = rounds.renewal.clone();
    assert!(format!("{renewal:?}").starts_with("Renewal"));
    let thread = std::thread::spawn(move || rounds.run());
    renewal.stop();
    thread.join().unwrap();
}

#[test]
fn what_is_left_is_said_in_days_hours_or_minutes() {
    assert_eq!(days(Duration::from_secs(200_000)), "2 days");
    assert_eq!(days(Duration::from_secs(100_000)), "27 hours");
    assert_eq!(days(Duration::from_secs(7_000)), "116 minutes");
    assert_eq!(days(Duration::from_secs(119)), "less than two minutes");
}
