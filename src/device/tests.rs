//! What a device promises about its state directory, with the machine and the clock given.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use super::*;

pub(super) const DAY: i64 = 86_400;

/// A state directory without a CA.
pub(super) struct Home(TempDir);

impl Home {
    pub(super) fn new() -> Home {
        Home(TempDir::new().unwrap())
    }

    pub(super) fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.state().join(name)
    }

    pub(super) fn device(&self) -> Device {
        Device::new(self.state())
    }

    /// Starts a process at this time.
    pub(super) fn start(&self, now: i64) -> Result<Identity, String> {
        self.device().load_at(&machine(), now).map_err(|error| error.to_string())
    }

    pub(super) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.state()).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
            .collect()
    }

    pub(super) fn openssl(&self, arguments: &str) -> String {
        let mut openssl = Command::new("openssl");
        let output = openssl.args(arguments.split(' ')).current_dir(self.state()).output().unwrap();
        assert!(output.status.success(), "openssl {arguments}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The next start must fail with a message that names this file and holds these words, and must change nothing.
    #[track_caller]
    fn refuses(&self, now: i64, file: &str, words: [&str; 2]) {
        let before = self.contents();
        let message = self.start(now).unwrap_err();
        assert!(message.starts_with(&format!("{}: ", self.file(file).display())), "{message}");
        for words in words {
            assert!(message.contains(words), "{words:?} is not in: {message}");
        }
        assert_eq!(self.contents(), before);
    }
}

pub(super) fn machine() -> Machine {
    machine_with("printer", &["192.168.7.7"])
}

pub(super) fn machine_with(host_name: &str, addresses: &[&str]) -> Machine {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Machine { host_name: host_name.to_string(), addresses }
}

pub(super) fn now() -> i64 {
    unix_now()
}

pub(super) fn is_for(identity: &Identity, names: &[&str]) -> bool {
    names.iter().all(|name| identity.is_valid_for(name))
}

// The first start, and the second.

#[test]
fn the_first_start_makes_a_ca_and_a_leaf_and_the_next_one_keeps_them() {
    let home = Home::new();
    let identity = home.start(now()).unwrap();
    assert!(is_for(&identity, &["printer", "printer.local", "localhost", "127.0.0.1", "::1", "192.168.7.7"]));
    assert_eq!(identity.validity().not_after - identity.validity().not_before, 91 * DAY);
    let made = home.contents();
    assert_eq!(made.keys().collect::<Vec<_>>(), ["ca-key.pem", "ca.pem", "cert.pem", "key.pem", "lock"]);
    assert!(home.start(now()).unwrap().has_the_chain_of(&identity));
    assert_eq!(home.contents(), made);
}

#[test]
fn directory_and_keys_are_their_owners_alone() {
    let home = Home::new();
    home.start(now()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&home.state()), 0o700);
    for (name, expected) in [("ca-key.pem", 0o600), ("key.pem", 0o600), ("lock", 0o600)] {
        assert_eq!(mode(&home.file(name)), expected, "{name}");
    }
}

#[test]
fn openssl_finds_in_them_what_clients_ask_for() {
    let home = Home::new();
    home.start(now()).unwrap();
    for name in ["-verify_hostname printer.local", "-verify_ip 192.168.7.7", "-verify_ip ::1"] {
        home.openssl(&format!("verify -x509_strict -purpose sslserver {name} -CAfile ca.pem cert.pem"));
    }
    let ca = home.openssl("x509 -in ca.pem -noout -text");
    for line in [
        "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n",
        "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n",
        "X509v3 Name Constraints: critical\n                Permitted:\n                  DNS:localhost\n                  DNS:local\n                  DNS:printer\n                  IP:127.0.0.0/255.0.0.0\n",
        "                Excluded:\n                  DNS:.printer\n",
        "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n",
        "Public-Key: (256 bit)",
        "Not Before: Jan  1 00:00:00 1970 GMT",
        "Subject: CN = printer device CA ",
    ] {
        assert!(ca.contains(line), "{line:?} is not in {ca}");
    }
    let leaf = home.openssl("x509 -in cert.pem -noout -text");
    for line in [
        "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n",
        "DNS:printer, DNS:printer.local, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, IP Address:192.168.7.7\n",
        "ASN1 OID: prime256v1",
    ] {
        assert!(leaf.contains(line), "{line:?} is not in {leaf}");
    }
}

#[test]
fn no_two_devices_share_an_issuer_and_no_two_leaves_a_serial_number() {
    let (one, other) = (Home::new(), Home::new());
    let serial = |home: &Home| home.openssl("x509 -in cert.pem -noout -serial");
    let issuer = |home: &Home| home.openssl("x509 -in cert.pem -noout -issuer");
    for home in [&one, &other] {
        home.start(now()).unwrap();
    }
    assert_ne!(issuer(&one), issuer(&other));
    assert_ne!(serial(&one), serial(&other));
    let (first, same) = (serial(&one), issuer(&one));
    fs::remove_file(one.file("cert.pem")).unwrap();
    one.start(now()).unwrap();
    assert_ne!(serial(&one), first);
    assert_eq!(issuer(&one), same);
}

// What is damaged or lost.

#[test]
fn a_ca_is_never_replaced_when_a_part_of_it_is_missing_or_damaged() {
    let other = Home::new();
    other.start(now()).unwrap();
    let lost = |name: &str| {
        let home = Home::new();
        home.start(now()).unwrap();
        fs::remove_file(home.file(name)).unwrap();
        home
    };
    lost("ca-key.pem").refuses(
        now(),
        "ca-key.pem",
        ["private key is missing", "bring it back from a backup; or move"],
    );
    lost("ca.pem").refuses(
        now(),
        "ca.pem",
        ["certificate is missing", "every client that trusts it has a copy"],
    );
    for (name, why) in [("ca.pem", "is damaged"), ("ca-key.pem", "is damaged")] {
        for damage in [1, 2, 3] {
            let home = lost("lock");
            let mut contents = fs::read(home.file(name)).unwrap();
            match damage {
                1 => contents.truncate(contents.len() / 2),
                2 => contents.clear(),
                // This byte is in the base64 of the key, or of the CA's names.
                _ => contents[120] ^= 1,
            }
            fs::write(home.file(name), contents).unwrap();
            let why = if damage == 2 && name == "ca.pem" { "holds no certificate" } else { why };
            home.refuses_under_lock(name, why);
        }
    }
    for (name, at_fault, why) in [
        ("ca.pem", "ca-key.pem", "is the key of another CA"),
        ("ca-key.pem", "ca-key.pem", "is the key of another CA"),
    ] {
        let home = lost("lock");
        fs::copy(other.file(name), home.file(name)).unwrap();
        home.refuses_under_lock(at_fault, why);
    }
    // A server's certificate in its place.
    let home = lost("lock");
    fs::copy(other.file("cert.pem"), home.file("ca.pem")).unwrap();
    home.refuses_under_lock("ca.pem", "is not the certificate of a device CA");
}

impl Home {
    /// As [`refuses`](Home::refuses), where the lock's file is made again.
    #[track_caller]
    fn refuses_under_lock(&self, file: &str, why: &str) {
        fs::write(self.file("lock"), "").unwrap();
        self.refuses(now(), file, [why, "bring it back from a backup; or move ca.pem and ca-key.pem away"]);
    }
}

#[test]
fn every_bit_that_is_flipped_in_a_ca_is_noticed_or_changes_nothing() {
    let home = Home::new();
    let identity = home.start(now()).unwrap();
    let good = fs::read(home.file("ca.pem")).unwrap();
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(home.file("ca.pem"), &bad).unwrap();
        match home.start(now()) {
            // The dashes and the unused bits of the last base64 digit do not matter.
            Ok(kept) => assert!(kept.has_the_chain_of(&identity), "{at}"),
            Err(message) => assert!(message.contains("bring it back from a backup"), "{at}: {message}"),
        }
    }
}

#[test]
fn a_first_start_that_was_cut_off_anywhere_is_completed() {
    let whole = Home::new();
    whole.start(now()).unwrap();
    // In the order in which they are made.
    let order = ["ca-key.pem", "ca.pem", "key.pem", "cert.pem"];
    for made in 0..=order.len() {
        let home = Home::new();
        fs::create_dir(home.state()).unwrap();
        for name in &order[..made] {
            fs::copy(whole.file(name), home.file(name)).unwrap();
        }
        if let Some(next) = order.get(made) {
            let draft = home.file(next).with_extension("new.pem.tmp");
            fs::write(draft, "half").unwrap();
        }
        home.start(now()).unwrap_or_else(|error| panic!("after {made}: {error}"));
        let names = home.contents().into_keys().collect::<Vec<_>>();
        assert_eq!(names.len(), 4 + usize::from(made < 4), "after {made}: {names:?}");
        for name in &order[..made.min(1)] {
            assert_eq!(fs::read(home.file(name)).unwrap(), fs::read(whole.file(name)).unwrap());
        }
        home.openssl("verify -x509_strict -CAfile ca.pem cert.pem");
    }
}

#[test]
fn a_running_server_never_makes_another_ca() {
    let home = Home::new();
    let device = home.device();
    device.load_at(&machine(), now()).unwrap();
    for name in ["ca.pem", "ca-key.pem"] {
        fs::remove_file(home.file(name)).unwrap();
    }
    let message = device.load_at(&machine(), now()).unwrap_err().to_string();
    assert!(
        message.contains("ca.pem: the device's CA is gone, and no other is made while a server runs"),
        "{message}"
    );
    fs::remove_dir_all(home.state()).unwrap();
    let message = device.load_at(&machine(), now()).unwrap_err().to_string();
    assert!(message.contains("give a directory that lasts"), "{message}");
    assert!(!home.state().exists());
}

#[test]
fn what_was_not_made_for_a_device_is_never_written_over() {
    for name in ["cert.pem", "key.pem"] {
        let home = Home::new();
        fs::create_dir(home.state()).unwrap();
        fs::write(home.file(name), "the only copy").unwrap();
        let message = home.start(now()).unwrap_err();
        let start = format!("{}: was not made for a device and is left as it is", home.file(name).display());
        assert!(message.starts_with(&start), "{message}");
        assert_eq!(fs::read(home.file(name)).unwrap(), b"the only copy");
    }
}

#[test]
fn a_directory_that_cannot_be_made_or_is_none_is_named() {
    let home = Home::new();
    let below = Device::new(home.state().join("below"));
    let message = below.load_at(&machine(), now()).unwrap_err().to_string();
    assert!(message.starts_with(&format!("{}: ", home.file("below").display())), "{message}");
    assert!(message.contains("give a directory that lasts and that this user may write to"), "{message}");
    fs::write(home.state(), "").unwrap();
    let message = home.start(now()).unwrap_err();
    assert!(message.contains("state/"), "{message}");
}

#[test]
fn starts_at_the_same_moment_agree() {
    let home = Home::new();
    let barrier = std::sync::Barrier::new(4);
    let identities: Vec<Identity> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    home.start(now()).unwrap()
                })
            })
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    for identity in &identities {
        assert!(identity.has_the_chain_of(&identities[0]));
    }
    assert_eq!(home.contents().len(), 5);
}

// What is given out.

#[test]
fn the_ca_is_given_out_without_anything_beside_it() {
    let home = Home::new();
    let message = home.device().ca().unwrap_err().to_string();
    assert!(message.contains("ca.pem: there is no device CA yet"), "{message}");
    home.start(now()).unwrap();
    let pem = home.device().ca().unwrap().to_pem();
    assert!(
        pem.starts_with("-----BEGIN CERTIFICATE-----\n") && pem.ends_with("\n-----END CERTIFICATE-----\n")
    );
    // A person has put both into one file.
    let both = format!("{}{pem}", fs::read_to_string(home.file("ca-key.pem")).unwrap());
    fs::write(home.file("ca.pem"), both).unwrap();
    assert_eq!(home.device().ca().unwrap().to_pem(), pem);
}

#[test]
fn nothing_of_a_key_is_in_debug_or_in_errors() {
    let home = Home::new();
    home.start(now()).unwrap();
    let key = fs::read_to_string(home.file("ca-key.pem")).unwrap();
    let secret = &key.lines().nth(1).unwrap()[..8];
    fs::write(home.file("ca-key.pem"), key.replace("\nMI", "\nNI")).unwrap();
    let error = home.device().load_at(&machine(), now()).unwrap_err();
    assert!(!format!("{error} {error:?} {:?}", home.device()).contains(secret));
    let key = making::Key::make().unwrap();
    let pem = key.pem();
    let ca = making::Ca::make("x", &scope::Scope::default(), clock::of_ca(0), key);
    assert!(!format!("{ca:?}").contains(&pem.lines().nth(1).unwrap()[..8]));
}
