//! Bundles for tests, and a process that is killed at a step.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use ring::digest::{digest, SHA256};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustix::process::{getpid, kill_process, Signal};

use crate::web::digest::hex;

const DIR: &str = "LOCKGATE_UPDATE_DIR";
const STEP: &str = "LOCKGATE_UPDATE_STEP";

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap()
}

/// The public key of what signs here.
pub(super) fn key() -> [u8; 32] {
    pair().public_key().as_ref().try_into().unwrap()
}

pub(super) fn bundle_of(compatible: &str, version: u64, image: &[u8]) -> Vec<u8> {
    let sha256 = hex(digest(&SHA256, image).as_ref());
    let bytes = image.len();
    let head = format!(
        "lockgate update 1\ncompatible {compatible}\nversion {version}\nbytes {bytes}\nsha256 {sha256}\n"
    );
    let signature = hex(pair().sign(head.as_bytes()).as_ref());
    [head.as_bytes(), format!("signature {signature}\n\n").as_bytes(), image].concat()
}

/// The folder, in a process that is to be killed.
pub(super) fn crash_at() -> Option<PathBuf> {
    env::var_os(DIR).map(PathBuf::from)
}

/// Runs the test of this name as a process that is killed at this step. Returns false when it ended before.
pub(super) fn crashed_at(test: &str, dir: &Path, step: u32) -> bool {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", test]).env(DIR, dir).env(STEP, step.to_string());
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() || text.contains("1 passed"), "{text}");
    assert!(output.status.code().map_or(true, |code| code == 0), "{text}");
    !output.status.success()
}

/// A moment at which a process may be killed.
pub(super) fn step() {
    static STEPS: AtomicU32 = AtomicU32::new(0);
    let Some(last) = env::var(STEP).ok().and_then(|step| step.parse::<u32>().ok()) else { return };
    if STEPS.fetch_add(1, Ordering::Relaxed) + 1 == last {
        kill_process(getpid(), Signal::KILL).unwrap();
    }
}
