//! The server in a drill: a built program in a process of its own, observed from outside.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

use crate::client::Target;

const SERVE: [&str; 7] = ["serve", "-q", "-q", "--https", "127.0.0.1:0", "--http", "off"];

/// A program that was built with this one, or that in the folder `LOCKGATE_BUILT`: so drills that are built in a moment can look at
/// a release build.
pub fn built(name: &str) -> PathBuf {
    let folder = match std::env::var_os("LOCKGATE_BUILT") {
        Some(folder) => Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
        None => {
            let this = std::env::current_exe().expect("this program has a path");
            this.ancestors().nth(2).expect("it lies in deps").to_path_buf()
        }
    };
    let program = folder.join(name);
    assert!(program.exists(), "there is no {}; the drills need: cargo build --release --features cli --bin lockgate --example drill_server", program.display());
    program
}

pub struct Server {
    child: Child,
    pub target: Target,
    /// What it was started with, unless its caller keeps it.
    _files: Option<TempDir>,
}

/// What a process has taken of the machine.
#[derive(Debug, Clone, Copy)]
pub struct Footprint {
    pub memory_kib: u64,
    pub threads: u64,
    pub descriptors: u64,
}

impl Server {
    /// The example whose handlers misbehave as a drill wants it, with some of its limits changed.
    pub fn example(limits: &[&str]) -> Server {
        let program = built("examples/drill_server");
        Server::start_self_signed(&program, |command, certificate, key| {
            // What its handlers say when they fail as they should is not the drill's.
            command.arg(certificate).arg(key).args(limits).stderr(Stdio::null());
        })
    }

    /// The command, as users run it.
    pub fn command(options: &[&str]) -> Server {
        Server::start_self_signed(&built("lockgate"), |command, certificate, key| {
            command.args(SERVE).arg("--cert").arg(certificate).arg("--key").arg(key).args(options);
        })
    }

    /// The same with the caller's certificate, and the certificate that signs it.
    pub fn command_as(certificate: &Path, key: &Path, root: CertificateDer<'static>) -> Server {
        let mut command = Command::new(built("lockgate"));
        command.args(SERVE).arg("--cert").arg(certificate).arg("--key").arg(key);
        Server::start(command, root, None)
    }

    fn start_self_signed(program: &Path, arguments: impl Fn(&mut Command, &Path, &Path)) -> Server {
        let files = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| -> PathBuf { files.path().join(name) };
        let (certificate, key) = (path("cert.pem"), path("key.pem"));
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
        fs::write(&certificate, made.cert.pem()).expect("writing the certificate");
        fs::write(&key, made.signing_key.serialize_pem()).expect("writing the key");
        let mut command = Command::new(program);
        arguments(&mut command, &certificate, &key);
        Server::start(command, made.cert.der().clone(), Some(files))
    }

    fn start(mut command: Command, root: CertificateDer<'static>, files: Option<TempDir>) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("the server says where it is");
        let port: u16 = line.trim().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        let target = Target::new(SocketAddr::from(([127, 0, 0, 1], port)), root);
        Server { child, target, _files: files }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn footprint(&self) -> Footprint {
        let pid = self.child.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
        let value = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).expect("a known field");
            line.split_whitespace().nth(1).and_then(|value| value.parse().ok()).expect("a number")
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("the server runs").count() as u64;
        Footprint { memory_kib: value("VmRSS:"), threads: value("Threads:"), descriptors }
    }

    /// CPU time so far, user and system.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the server runs");
        let after_name = stat.rsplit(')').next().expect("the format of proc(5)");
        let ticks: u64 = after_name.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
        Duration::from_millis(ticks * 10)
    }

    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).expect("the server runs");
    }

    /// Waits for the end, at most for `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
                _ => return None,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
