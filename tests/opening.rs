//! Opening the server's files never blocks: pipes, sockets and devices are refused by name, a symbolic link in the place of a
//! lock file is not followed, and signals work from the start.

mod support_command;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use rustix::fs::{flock, mknodat, FileType, FlockOperation, Mode, CWD};
use rustix::process::Signal;
use support_command::certificates::Authority;
use support_command::{lockgate, outcome, text, Server, SAFETY};
use tempfile::TempDir;

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// It ends with this code, and names the file and what it is.
#[track_caller]
fn assert_named(arguments: &[&str], code: i32, file: &Path, what: &str) {
    let (ended, _, said) = outcome(lockgate(arguments), b"");
    assert_eq!(ended, code, "{arguments:?} {said}");
    assert!(said.contains(&format!("{}: ", text(file))) && said.contains(what), "{arguments:?} {said}");
}

#[test]
fn a_pipe_or_a_device_in_the_place_of_a_file_is_named_and_not_waited_for() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let (cert, key) = (text(&pair.cert), text(&pair.key));
    let pipe_file = authority.dir().join("pipe");
    pipe(&pipe_file);
    for (other, what) in [(pipe_file.as_path(), "is a pipe"), (Path::new("/dev/zero"), "is a device")] {
        let path = text(other);
        let (ports, good) =
            (["--https", "127.0.0.1:0", "--http", "off"], ["serve", "--cert", cert, "--key", key]);
        assert_named(&[&["serve", "--cert", path, "--key", key], &ports[..]].concat(), 78, other, what);
        assert_named(&[&["serve", "--cert", cert, "--key", path], &ports[..]].concat(), 78, other, what);
        assert_named(&[&good[..], &ports, &["--client-ca", path]].concat(), 78, other, what);
        assert_named(
            &[&good[..], &ports, &["--client-ca", text(&authority.ca), "--client-crl", path]].concat(),
            78,
            other,
            what,
        );
        assert_named(&["serve", "--config", path], 78, other, what);
        assert_named(&["cert", "show", path], 78, other, what);
        let csr = ["cert", "csr", "--name", "a.example"];
        assert_named(&[&csr[..], &["--key", path]].concat(), 78, other, what);
        let new_key = authority.dir().join("new-key.pem");
        assert_named(&[&csr[..], &["--key", text(&new_key), "--out", path]].concat(), 1, other, what);
        assert_named(&["check", "--config", path], 3, other, what);
        assert_named(&["check", "https://localhost:1/", "--ca", path], 3, other, what);
        let acme =
            ["serve", "--acme", "https://localhost:1/", "--accept-terms", "--name", "a.example", "--state"];
        let state = authority.dir().join("state");
        let acme = [&acme[..], &[text(&state)], &ports].concat();
        assert_named(&[&acme[..], &["--acme-ca", path]].concat(), 78, other, what);
        assert_named(
            &[&acme[..], &["--acme-eab-kid", "x", "--acme-eab-key", path]].concat(),
            78,
            other,
            what,
        );
    }
    let state = TempDir::new().unwrap();
    for name in ["ca.pem", "ca-key.pem"] {
        let file = state.path().join(name);
        pipe(&file);
        let arguments =
            ["serve", "--device", "--state", text(state.path()), "--https", "127.0.0.1:0", "--http", "off"];
        assert_named(&arguments, 78, &file, "is a pipe");
        fs::remove_file(&file).unwrap();
    }
    let demo = TempDir::new().unwrap();
    let arguments = ["demo", "--dir", text(demo.path()), "--https", "127.0.0.1:0", "--http", "off"];
    for name in ["key.pem", "ca.pem"] {
        let file = demo.path().join(name);
        pipe(&file);
        assert_named(&arguments, 78, &file, "is a pipe");
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_certificate_that_becomes_a_pipe_stays_as_it_is() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let mut server = Server::serve(&pair, &[]);
    server.https_port();
    fs::remove_file(&pair.cert).unwrap();
    pipe(&pair.cert);
    server.signal(Signal::HUP);
    let line = server.stderr.expect("the certificate stays as it is");
    assert!(line.contains("is a pipe"), "{line}");
    server.stop();
}

#[test]
fn a_link_in_the_place_of_a_lock_is_not_followed() {
    let dir = TempDir::new().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    let ports = ["--https", "127.0.0.1:0", "--http", "off"];
    let device = dir.path().join("device");
    fs::create_dir(&device).unwrap();
    symlink(&elsewhere, device.join("lock")).unwrap();
    let arguments = [&["serve", "--device", "--state", text(&device)], &ports[..]].concat();
    assert_named(&arguments, 78, &device.join("lock"), "is a symbolic link");
    let state = dir.path().join("acme");
    fs::create_dir_all(state.join("acme")).unwrap();
    symlink(&elsewhere, state.join("acme/lock")).unwrap();
    let acme = [
        "cert",
        "obtain",
        "--acme",
        "https://localhost:1/",
        "--accept-terms",
        "--name",
        "a.example",
        "--http",
        "127.0.0.1:0",
    ];
    let (code, _, said) = outcome(lockgate(&[&acme[..], &["--state", text(&state)]].concat()), b"");
    assert!(code != 0 && said.contains("is a symbolic link"), "{code} {said}");
    assert!(!elsewhere.exists());
}

/// A device whose state another process works with, so that a server waits for it.
struct Busy {
    dir: TempDir,
    lock: File,
}

impl Busy {
    fn new() -> Busy {
        let dir = TempDir::new().unwrap();
        let lock = File::create(dir.path().join("lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        Busy { dir, lock }
    }

    /// A server that has come as far as that.
    fn waiting(&self) -> Server {
        let arguments = [
            "serve",
            "--device",
            "--state",
            text(self.dir.path()),
            "--https",
            "127.0.0.1:0",
            "--http",
            "off",
        ];
        let server = Server::spawn(lockgate(&arguments));
        let until = Instant::now() + SAFETY;
        while !has_open(server.id(), &self.dir.path().join("lock")) {
            assert!(Instant::now() < until, "it does not open the lock");
            std::thread::yield_now();
        }
        server
    }
}

fn has_open(process: u32, file: &Path) -> bool {
    let links = || -> io::Result<bool> {
        let mut open = fs::read_dir(format!("/proc/{process}/fd"))?.flatten();
        Ok(open.any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == file)))
    };
    links().unwrap_or(false)
}

#[test]
fn told_to_stop_while_it_opens_its_files_it_ends_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let busy = Busy::new();
        let mut server = busy.waiting();
        server.signal(signal);
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("stopping before anything is served"), "{log}");
    }
}

#[test]
fn told_to_load_again_while_it_opens_its_files_it_does_so_once_it_serves() {
    let busy = Busy::new();
    let mut server = busy.waiting();
    server.signal(Signal::HUP);
    flock(&busy.lock, FlockOperation::Unlock).unwrap();
    server.stderr.expect("certificates are loaded again");
    server.stop();
}
