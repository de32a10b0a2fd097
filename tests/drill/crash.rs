//! Kill -9 while the demo's certificates are being written: the next start always works.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::{Size, Verdict};

pub fn drill(size: Size) -> Verdict {
    let times = size.pick(20, 200);
    let mut faults = Vec::new();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let took = {
        let certs = directory.path().join("first");
        let began = Instant::now();
        let mut child = start(&certs);
        let up = wait_until_up(&mut child);
        kill(child);
        assert!(up, "the demo starts on a clean directory");
        began.elapsed()
    };
    let mut interrupted = 0;
    for round in 0..times {
        let certs = directory.path().join(round.to_string());
        let child = start(&certs);
        thread::sleep(took * round / times);
        kill(child);
        interrupted += u32::from(!certs.join("key.pem").exists());
        for entry in fs::read_dir(&certs).into_iter().flatten().flatten() {
            let is_key = entry.file_name().to_string_lossy().starts_with("key");
            let mode = entry.metadata().map(|metadata| metadata.permissions().mode() & 0o777).unwrap_or(0);
            if is_key && mode != 0o600 {
                faults.push(format!("round {round}: a key with mode {mode:o}"));
            }
        }
        let mut child = start(&certs);
        if !wait_until_up(&mut child) {
            faults.push(format!("round {round}: it did not start again"));
        }
        kill(child);
    }
    Verdict { figures: format!("{times} kills, {interrupted} before the key was there"), faults }
}

fn start(certs: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args(["demo", "-q", "-q", "--https", "127.0.0.1:0", "--http", "off", "--dir"])
        .arg(certs)
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
