//! Certificates change while the server runs, and no connection is disturbed: files replaced in any way, a program's own
//! sources, unusable files and expired certificates.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use lockgate::{
    Error, Expiry, Handle, Identity, IdentityEvent, IdentityFault, IdentitySource, Request, Router, Server,
};
use rustls::pki_types::{pem::PemObject, CertificateDer};
use support::{identity, pem_pair, serve_as, Serving, SAFETY};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// An event, without what cannot be sent: what happened, in words.
type Events = Receiver<String>;

fn serve_identity(identity: Identity) -> (Serving, Events) {
    let (sender, events) = mpsc::channel();
    let sender = Mutex::new(sender);
    let builder = Server::builder(Router::new().get("/", |_: &mut Request| "root"))
        .identity(identity)
        .on_identity_event(move |event| {
            let words = match event {
                IdentityEvent::Renewed { .. } => "renewed".to_string(),
                IdentityEvent::Failed { error, retry_in, .. } => {
                    format!("failed, next in {retry_in:?}: {error}")
                }
                IdentityEvent::Expiring { expiry, .. } => format!("expiring: {expiry:?}"),
                other => format!("{other:?}"),
            };
            // The test may be over.
            let _ = sender.lock().unwrap().send(words);
        });
    (serve_as(builder), events)
}

/// Waits for the next event, which must begin like this.
#[track_caller]
fn expect(events: &Events, words: &str) -> String {
    let event = events.recv_timeout(SAFETY).unwrap_or_else(|error| panic!("no event {words:?}: {error}"));
    assert!(event.starts_with(words), "{event}");
    event
}

/// Waits until the certificate is renewed. On a busy machine the files may be looked at while only one is there.
#[track_caller]
fn expect_renewed(events: &Events) {
    while events.recv_timeout(SAFETY).expect("renewed") != "renewed" {}
}

#[track_caller]
fn serves(serving: &Serving, certificate: &str) {
    let mut client = serving.connect();
    assert_eq!(client.get("/").text(), "root");
    assert_eq!(
        client.certificate(),
        CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap().to_vec()
    );
}

fn new_pair() -> (String, String) {
    pem_pair(|_| {})
}

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        Files { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A folder with a new pair in it: the certificate.
    fn release(&self, name: &str) -> String {
        let (certificate, key) = new_pair();
        fs::create_dir(self.path(name)).unwrap();
        fs::write(self.path(name).join("tls.crt"), &certificate).unwrap();
        fs::write(self.path(name).join("tls.key"), key).unwrap();
        certificate
    }

    /// Exchanges a symbolic link in one step.
    fn link(&self, target: &str, name: &str) {
        symlink(target, self.path("next link")).unwrap();
        fs::rename(self.path("next link"), self.path(name)).unwrap();
    }
}

fn load(folder: &Path) -> Identity {
    Identity::from_pem_files(folder.join("tls.crt"), folder.join("tls.key")).unwrap()
}

#[test]
fn files_that_are_written_or_renamed_over_are_taken_up() {
    let files = Files::new();
    let first = files.release("now");
    let (serving, events) = serve_identity(load(&files.path("now")));
    serves(&serving, &first);
    let mut open = serving.connect();

    let second = files.release("next");
    for name in ["tls.crt", "tls.key"] {
        fs::copy(files.path("next").join(name), files.path("now").join(name)).unwrap();
    }
    expect_renewed(&events);
    serves(&serving, &second);

    let third = files.release("last");
    for name in ["tls.crt", "tls.key"] {
        fs::rename(files.path("last").join(name), files.path("now").join(name)).unwrap();
    }
    expect_renewed(&events);
    serves(&serving, &third);
    assert_eq!(open.get("/").text(), "root");
}

/// As certbot has it: a folder of links, each into the archive.
#[test]
fn links_to_files_that_are_exchanged_are_taken_up() {
    let files = Files::new();
    let first = files.release("1");
    fs::create_dir(files.path("live")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("../1/{name}"), files.path("live").join(name)).unwrap();
    }
    let (serving, events) = serve_identity(load(&files.path("live")));
    serves(&serving, &first);
    let second = files.release("2");
    for name in ["tls.crt", "tls.key"] {
        files.link(&format!("../2/{name}"), &format!("live/{name}"));
    }
    expect_renewed(&events);
    serves(&serving, &second);
}

/// As Kubernetes has it: the files are links through `..data`, and that is exchanged.
#[test]
fn a_link_to_a_folder_that_is_exchanged_is_taken_up() {
    let files = Files::new();
    let first = files.release("..1");
    symlink("..1", files.path("..data")).unwrap();
    fs::create_dir(files.path("mount")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("../..data/{name}"), files.path("mount").join(name)).unwrap();
    }
    let (serving, events) = serve_identity(load(&files.path("mount")));
    serves(&serving, &first);
    for number in 2..5 {
        let next = files.release(&format!("..{number}"));
        files.link(&format!("..{number}"), "..data");
        expect_renewed(&events);
        serves(&serving, &next);
    }
}

#[test]
fn what_cannot_be_used_leaves_the_old_one_and_says_so_until_it_is_fixed() {
    let files = Files::new();
    let first = files.release("now");
    let (serving, events) = serve_identity(load(&files.path("now")));
    let (second, key) = new_pair();
    fs::write(files.path("now").join("tls.crt"), &second).unwrap();
    let event = expect(&events, "failed, next in 10s");
    assert!(event.contains("tls.key: the private key does not belong to the certificate"), "{event}");
    serves(&serving, &first);
    let error = serving.handle.reload().unwrap_err();
    assert!(matches!(error, Error::Identity { fault: IdentityFault::KeyMismatch, .. }), "{error}");
    serves(&serving, &first);

    fs::remove_file(files.path("now").join("tls.key")).unwrap();
    let event = expect(&events, "failed, next in 20s");
    assert!(event.contains("there is no such file"), "{event}");
    serves(&serving, &first);

    fs::write(files.path("now").join("tls.key"), key).unwrap();
    expect_renewed(&events);
    serves(&serving, &second);
}

#[test]
fn a_reload_by_the_handle_has_happened_when_it_returns() {
    let files = Files::new();
    files.release("now");
    let (serving, events) = serve_identity(load(&files.path("now")));
    for _ in 0..20 {
        let (certificate, key) = new_pair();
        fs::write(files.path("now").join("tls.crt"), &certificate).unwrap();
        fs::write(files.path("now").join("tls.key"), key).unwrap();
        serving.handle.reload().unwrap();
        serves(&serving, &certificate);
        expect(&events, "renewed");
    }
    // The files that are loaded already are no news.
    serving.handle.reload().unwrap();
    serving.handle.stop();
    drop(serving);
    assert!(events.try_recv().is_err());
}

/// Gives the same identity until it is told otherwise, or panics.
struct OwnSource {
    asked: Arc<AtomicUsize>,
    first: Identity,
}

impl IdentitySource for OwnSource {
    fn load(&self) -> Result<Identity, Error> {
        match self.asked.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Ok(self.first.clone()),
            2 => panic!("a fault of the program's own"),
            _ => Ok(identity()),
        }
    }

    fn look_again(&self, _: &Identity, _: SystemTime) -> Option<Duration> {
        (self.asked.load(Ordering::SeqCst) < 3).then_some(Duration::ZERO)
    }
}

#[test]
fn a_source_of_the_programs_own_is_asked_when_it_wants_to_be_and_may_panic() {
    let asked = Arc::new(AtomicUsize::new(0));
    let source = OwnSource { asked: asked.clone(), first: identity() };
    let (serving, events) = serve_identity(Identity::from_source(source).unwrap());
    let before = serving.connect().certificate();
    let event = expect(&events, "failed");
    assert!(event.contains("the source of the certificate panicked"), "{event}");
    assert_eq!(serving.connect().certificate(), before);
    serving.handle.reload().unwrap();
    expect(&events, "renewed");
    assert_ne!(serving.connect().certificate(), before);
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

/// Gives what is in its file, and panics once a server asks which file that is.
struct FilesPanic {
    identity: Identity,
    asked: AtomicUsize,
}

impl IdentitySource for FilesPanic {
    fn load(&self) -> Result<Identity, Error> {
        Ok(self.identity.clone())
    }

    fn files(&self) -> Vec<PathBuf> {
        assert!(self.asked.fetch_add(1, Ordering::SeqCst) < 2, "a fault of the program's own");
        Vec::new()
    }
}

#[test]
fn a_source_that_panics_does_not_end_the_care_for_the_others() {
    let files = Files::new();
    files.release("now");
    let bad = FilesPanic { identity: identity(), asked: AtomicUsize::new(0) };
    let (sender, events) = mpsc::channel();
    let sender = Mutex::new(sender);
    let builder = Server::builder(Router::new().get("/", |_: &mut Request| "root"))
        .identity(load(&files.path("now")))
        .add_identity(Identity::from_source(bad).unwrap())
        .on_identity_event(move |event| {
            if matches!(event, IdentityEvent::Renewed { .. }) {
                let _ = sender.lock().unwrap().send("renewed".to_string());
            }
        });
    let serving = serve_as(builder);
    let (certificate, key) = new_pair();
    fs::write(files.path("now").join("tls.crt"), &certificate).unwrap();
    fs::write(files.path("now").join("tls.key"), key).unwrap();
    expect_renewed(&events);
    serves(&serving, &certificate);
}

#[test]
fn who_is_told_of_a_renewal_may_reload_and_replace() {
    let handle = Arc::new(OnceLock::<Handle>::new());
    let (sender, done) = mpsc::channel();
    let (sender, own) = (Mutex::new(Some(sender)), handle.clone());
    let builder = Server::builder(Router::new().get("/", |_: &mut Request| "root"))
        .identity(identity())
        .on_identity_event(move |event| {
            let IdentityEvent::Renewed { .. } = event else { return };
            // The second time it is what is replaced here.
            let first = sender.lock().unwrap().take();
            if let Some(sender) = first {
                let handle = own.get().unwrap();
                handle.reload().unwrap();
                handle.replace_identity(identity()).unwrap();
                sender.send(()).unwrap();
            }
        });
    let serving = serve_as(builder);
    handle.set(serving.handle.clone()).unwrap();
    let replacing = serving.handle.clone();
    let thread = std::thread::spawn(move || replacing.replace_identity(identity()));
    done.recv_timeout(SAFETY).expect("it returns");
    thread.join().unwrap().unwrap();
}

/// Takes its time for every answer but the first: until it is let go on.
struct SlowSource {
    first: Identity,
    asked: Mutex<mpsc::Sender<()>>,
    go_on: Mutex<mpsc::Receiver<()>>,
    times: AtomicUsize,
}

impl IdentitySource for SlowSource {
    fn load(&self) -> Result<Identity, Error> {
        if self.times.fetch_add(1, Ordering::SeqCst) == 0 {
            return Ok(self.first.clone());
        }
        self.asked.lock().unwrap().send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        Ok(identity())
    }
}

#[test]
fn what_a_slow_source_gives_does_not_take_the_place_of_what_was_put_in_meanwhile() {
    let (asked, was_asked) = mpsc::channel();
    let (let_go, go_on) = mpsc::channel();
    let times = AtomicUsize::new(0);
    let (asked, go_on) = (Mutex::new(asked), Mutex::new(go_on));
    let source = SlowSource { first: identity(), asked, go_on, times };
    let (serving, events) = serve_identity(Identity::from_source(source).unwrap());
    let handle = serving.handle.clone();
    let reload = std::thread::spawn(move || handle.reload());
    was_asked.recv_timeout(SAFETY).unwrap();
    serving.handle.replace_identity(identity()).unwrap();
    expect(&events, "renewed");
    let chosen = serving.connect().certificate();
    let_go.send(()).unwrap();
    reload.join().unwrap().unwrap();
    assert_eq!(serving.connect().certificate(), chosen);
}

/// A certificate of this life, of which so much is over.
fn aged(life: Duration, over: Duration) -> Identity {
    let (certificate, key) = pem_pair(|params| {
        let begin = SystemTime::now() - over;
        params.not_before = begin.into();
        params.not_after = (begin + life).into();
    });
    Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
}

#[test]
fn the_end_of_a_certificate_is_told_before_it_hurts() {
    let (_serving, events) = serve_identity(aged(90 * DAY, 85 * DAY));
    expect(&events, "expiring: Imminent");
    let (serving, events) = serve_identity(aged(90 * DAY, 70 * DAY));
    expect(&events, "expiring: Due");
    assert_eq!(serving.handle.identity().expiry(SystemTime::now()), Expiry::Due);
    serving.handle.replace_identity(identity()).unwrap();
    expect(&events, "renewed");
    assert_eq!(serving.handle.identity().expiry(SystemTime::now()), Expiry::Distant);
}

#[test]
fn expiry_is_measured_by_the_certificates_own_life() {
    let identity = aged(100 * DAY, Duration::ZERO);
    let begin = identity.not_before();
    for (after, expected) in [
        (0, Expiry::Distant),
        (66, Expiry::Distant),
        (67, Expiry::Due),
        (89, Expiry::Due),
        (91, Expiry::Imminent),
        (99, Expiry::Imminent),
        (101, Expiry::Expired),
    ] {
        assert_eq!(identity.expiry(begin + after * DAY), expected, "{after} days");
        assert_eq!(identity.left(begin + after * DAY).is_zero(), after > 100);
    }
}
