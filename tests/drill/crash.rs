//! `kill -9` while the demo's certificates, or a device's CA and certificate, are being written: the next start always works,
//! and an existing CA stays.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::server::built;
use crate::{Size, Verdict};

pub fn demo(size: Size) -> Verdict {
    drill(size, |dir, _| vec!["demo".into(), "--dir".into(), dir.into()])
}

/// With another name each time, so that there is something to write at every start.
pub fn device(size: Size) -> Verdict {
    drill(size, |dir, start| {
        let mut line: Vec<String> = ["serve", "--device", "--state", dir, "--name"].map(String::from).into();
        line.push(format!("start-{start}.local"));
        line
    })
}

/// `line` makes a command line of a directory and the number of the start in it.
fn drill(size: Size, line: fn(&str, u32) -> Vec<String>) -> Verdict {
    let times = size.pick(20, 200);
    let mut faults = Vec::new();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name);
    let start = |certs: &Path, number: u32| start(line(&certs.to_string_lossy(), number));
    let took = {
        let began = Instant::now();
        let mut child = start(&path("first"), 0);
        let up = wait_until_up(&mut child);
        kill(child);
        assert!(up, "it starts on a clean directory");
        began.elapsed()
    };
    let mut interrupted = 0;
    for round in 0..times {
        let certs = path(&round.to_string());
        let child = start(&certs, 0);
        thread::sleep(took * round / times);
        kill(child);
        interrupted += u32::from(!certs.join("cert.pem").exists());
        look(&certs, round, &mut faults);
        let ca = fs::read(certs.join("ca.pem"));
        // Killed at the second start too, and at the third left alone.
        let child = start(&certs, 1);
        thread::sleep(took * (times - round) / times);
        kill(child);
        look(&certs, round, &mut faults);
        let mut child = start(&certs, 2);
        if !wait_until_up(&mut child) {
            faults.push(format!("round {round}: it did not start again"));
        }
        kill(child);
        let is_a_device = certs.join("ca-key.pem").exists();
        if is_a_device && ca.is_ok_and(|ca| fs::read(certs.join("ca.pem")).ok() != Some(ca)) {
            faults.push(format!("round {round}: another CA"));
        }
    }
    Verdict {
        figures: format!("{times} times killed twice, {interrupted} before the certificate was there"),
        faults,
    }
}

fn look(certs: &Path, round: u32, faults: &mut Vec<String>) {
    for entry in fs::read_dir(certs).into_iter().flatten().flatten() {
        let is_key = entry.file_name().to_string_lossy().contains("key");
        let mode = entry.metadata().map(|metadata| metadata.permissions().mode() & 0o777).unwrap_or(0);
        if is_key && mode != 0o600 {
            faults.push(format!("round {round}: a key with mode {mode:o}"));
        }
    }
}

fn start(line: Vec<String>) -> Child {
    Command::new(built("lockgate"))
        .args(line)
        .args(["-q", "-q", "--https", "127.0.0.1:0", "--http", "off"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts")
}

fn wait_until_up(child: &mut Child) -> bool {
    let stdout = child.stdout.take().expect("stdout is piped");
    BufReader::new(stdout).lines().map_while(Result::ok).any(|line| line.contains("server running on"))
}

fn kill(mut child: Child) {
    child.kill().expect("it runs, or has ended by itself");
    child.wait().expect("it has ended");
}
