//! An update bundle that OpenSSL has signed, as the documentation says, is installed over HTTPS; one that somebody else has
//! signed is not. A test whose program is missing is left out, and says so (see `peers`).

// A part of it is used here.

#[allow(dead_code)]
#[path = "support_command/peers.rs"]
mod peers;
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use lockgate::web::{SlotStatus, Update};
use lockgate::{Error, Request, Response, Router};
use tempfile::TempDir;

use peers::OPENSSL;
use support::{noise, serve_within, Reply, Serving};

/// What the documentation of `Update` says, word for word but for curl.
const SCRIPT: &str = r#"
set -e
printf 'lockgate update 1\ncompatible pump\nversion 7\nbytes %s\nsha256 %s\n' \
    "$(stat -c %s image)" "$(sha256sum <image | cut -d' ' -f1)" >head
openssl pkeyutl -sign -rawin -inkey key.pem -in head -out signature
{ cat head; printf 'signature %s\n\n' "$(od -An -tx1 -v signature | tr -d ' \n')"; cat image; } >bundle
"#;

/// A new key pair in `key.pem`, and its public key.
fn generate(dir: &Path) -> [u8; 32] {
    let script = "openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -pubout -outform DER | tail -c 32";
    let output = Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap();
    output.stdout.try_into().unwrap()
}

fn bundle(dir: &Path) -> Vec<u8> {
    let output = Command::new("sh").args(["-c", SCRIPT]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(dir.join("bundle")).unwrap()
}

fn put(serving: &Serving, bundle: &[u8]) -> Reply {
    let head = "PUT /api/firmware HTTP/1.1\r\nHost: localhost\r\n";
    let mut client = serving.connect();
    let _ = client
        .try_send(&[format!("{head}Content-Length: {}\r\n\r\n", bundle.len()).as_bytes(), bundle].concat());
    client.reply()
}

#[test]
fn a_bundle_that_openssl_has_signed_is_installed_and_starts_next() {
    let test = "a_bundle_that_openssl_has_signed_is_installed_and_starts_next";
    if OPENSSL.command(test, &[]).is_none() {
        return;
    }
    let (dir, slots) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let image = noise(3_000_000);
    fs::write(dir.path().join("image"), &image).unwrap();
    let key = generate(dir.path());
    let update = Update::slot(slots.path()).key(key).compatible("pump");
    let installs = update.clone();
    let router =
        Router::new().put("/api/firmware", move |request: &mut Request| -> Result<Response, Error> {
            Ok(Response::text(installs.install(request)?.version.to_string()))
        });
    let serving = serve_within(router, |limits| limits.body_bytes = 16 << 20);

    let good = bundle(dir.path());
    let mut damaged = good.clone();
    damaged[2_000_000] ^= 1;
    assert_eq!(put(&serving, &damaged).status, 400);
    // Cut in the middle of the image: the client leaves.
    let mut client = serving.connect();
    client.send(format!(
        "PUT /api/firmware HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        good.len()
    ));
    client.send(&good[..1_000_000]);
    client.reset();
    generate(dir.path());
    let forged = bundle(dir.path());
    let reply = put(&serving, &forged);
    assert_eq!(reply.status, 403);
    assert_eq!(reply.problem()["detail"], "the bundle is not signed with a key of this device");
    assert_eq!(update.status().unwrap(), (SlotStatus::Empty, None));

    let reply = put(&serving, &good);
    assert_eq!((reply.status, reply.text()), (200, "7"));
    let boot = update.boot().unwrap().unwrap();
    assert_eq!((boot.version, boot.status), (7, SlotStatus::Tried));
    assert!(fs::read(&boot.path).unwrap() == image);
    update.mark_good().unwrap();
    assert_eq!(update.status().unwrap(), (SlotStatus::Good, Some(7)));
}
