//! What a device promises about its state directory, with the machine and the clock given.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use super::clock::BUILT;
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

// Renewal.

#[test]
fn a_leaf_is_renewed_in_time_by_the_same_ca_with_the_same_key() {
    let home = Home::new();
    let begin = now();
    let device = home.device();
    let first = device.load_at(&machine(), begin).unwrap();
    let before = home.contents();
    let kept = device.load_at(&machine(), begin + 59 * DAY).unwrap();
    assert!(kept.has_the_chain_of(&first));
    let renewed = device.load_at(&machine(), begin + 60 * DAY).unwrap();
    assert_eq!(renewed.validity().not_after, begin + 150 * DAY);
    let after = home.contents();
    for name in ["ca.pem", "ca-key.pem", "key.pem"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    // The device was off for a long time.
    let late = home.start(begin + 3650 * DAY).unwrap();
    assert_eq!(late.validity().not_after, begin + 3740 * DAY);
}

#[test]
fn a_leaf_follows_the_machines_addresses_and_names() {
    let home = Home::new();
    let device = home.device();
    let first = device.load_at(&machine(), now()).unwrap();
    let moved = device.load_at(&machine_with("printer", &["10.1.1.1", "fd00::1"]), now()).unwrap();
    assert!(is_for(&moved, &["10.1.1.1", "fd00::1", "printer"]) && !moved.is_valid_for("192.168.7.7"));
    let renamed = device.load_at(&machine_with("scanner", &[]), now()).unwrap();
    assert!(is_for(&renamed, &["scanner.local"]) && !renamed.is_valid_for("printer"));
    // The CA was made for the bare name of that time.
    assert!(!renamed.is_valid_for("scanner"));
    let back = device.load_at(&machine(), now()).unwrap();
    assert!(is_for(&back, &["printer", "192.168.7.7"]) && !back.has_the_chain_of(&first));
}

#[test]
fn an_address_that_goes_is_no_reason_for_a_new_leaf_and_one_that_comes_is() {
    let home = Home::new();
    let device = home.device();
    let both = device.load_at(&machine_with("printer", &["192.168.7.7", "fd00::7"]), now()).unwrap();
    for addresses in [&["192.168.7.7"][..], &["fd00::7"], &[], &["fd00::7", "192.168.7.7"]] {
        let kept = device.load_at(&machine_with("printer", addresses), now()).unwrap();
        assert!(kept.has_the_chain_of(&both), "{addresses:?}");
        // A starting process does so too.
        let machine = machine_with("printer", addresses);
        assert!(home.device().load_at(&machine, now()).unwrap().has_the_chain_of(&both), "{addresses:?}");
    }
    let came = device.load_at(&machine_with("printer", &["192.168.7.7", "fd00::8"]), now()).unwrap();
    assert!(is_for(&came, &["192.168.7.7", "fd00::8"]) && !came.is_valid_for("fd00::7"));
    // The next leaf does not have an address that has gone.
    let machine = machine_with("printer", &["192.168.7.7"]);
    let renewed = device.load_at(&machine, now() + 70 * DAY).unwrap();
    assert!(renewed.is_valid_for("192.168.7.7") && !renewed.is_valid_for("fd00::8"));
}

#[test]
fn two_processes_that_want_other_names_do_not_replace_each_others_leaf_for_ever() {
    let home = Home::new();
    let begin = now();
    let (one, two) = (home.device().name("one.local"), home.device().name("two.local"));
    let own = one.load_at(&machine(), begin).unwrap();
    let of_two = two.load_at(&machine(), begin).unwrap();
    assert!(is_for(&of_two, &["two.local"]) && !is_for(&of_two, &["one.local"]));
    let before = home.contents();
    for _ in 0..2 {
        assert!(one.load_at(&machine(), begin).unwrap().has_the_chain_of(&own));
        assert!(two.load_at(&machine(), begin).unwrap().has_the_chain_of(&of_two));
    }
    assert_eq!(home.contents(), before);
    // It still follows the machine and the time.
    let moved = one.load_at(&machine_with("printer", &["10.1.1.1"]), begin).unwrap();
    assert!(is_for(&moved, &["one.local", "10.1.1.1"]));
    let renewed = two.load_at(&machine(), begin + 60 * DAY).unwrap();
    assert!(is_for(&renewed, &["two.local"]) && renewed.validity().not_after > of_two.validity().not_after);
}

#[test]
fn a_name_that_is_given_later_is_added_if_the_ca_may_sign_for_it() {
    let home = Home::new();
    home.device().name("gate.example").load_at(&machine(), now()).unwrap();
    let device = home.device().name("new.gate.example").name("10.9.9.9").name("gate.example");
    let identity = device.load_at(&machine(), now()).unwrap();
    assert!(is_for(&identity, &["gate.example", "new.gate.example", "10.9.9.9"]));
    assert_eq!(identity.dns_names()[0], "new.gate.example");
    assert!(!home.start(now()).unwrap().is_valid_for("gate.example"), "taken out again");
}

#[test]
fn a_name_that_the_ca_may_not_sign_for_is_an_error_and_never_a_new_ca() {
    let home = Home::new();
    home.start(now()).unwrap();
    let before = home.contents();
    for name in ["gate.example", "203.0.113.5"] {
        let message = home.device().name(name).load_at(&machine(), now()).unwrap_err().to_string();
        for words in [
            &format!("{}: ", home.file("ca.pem").display()),
            &format!("may not sign for {name}, only for: localhost, local, printer, 127.0.0.0/8, "),
            "take the name out again; or move ca.pem and ca-key.pem away",
        ] {
            assert!(message.contains(words), "{words:?} is not in: {message}");
        }
    }
    assert_eq!(home.contents(), before);
    // The way out, and the public address that the machine itself has by then.
    for name in ["ca.pem", "ca-key.pem"] {
        fs::remove_file(home.file(name)).unwrap();
    }
    let machine = machine_with("printer", &["203.0.113.5"]);
    let identity = home.device().name("gate.example").load_at(&machine, now()).unwrap();
    assert!(is_for(&identity, &["gate.example", "203.0.113.5"]));
}

#[test]
fn names_that_are_none_and_too_many_are_refused() {
    let home = Home::new();
    let message = |device: Device| device.load_at(&machine(), now()).unwrap_err().to_string();
    assert!(message(home.device().name("a b"))
        .starts_with("name: \"a b\" is no name for a certificate: no name holds ' '; give"));
    let many = (0..33).fold(home.device(), |device, n| device.name(format!("n{n}.local")));
    assert_eq!(message(many), "name: there are 33 names; give 32 at most");
    let most = (0..32).fold(home.device(), |device, n| device.name(format!("n{n}.local")));
    most.load_at(&machine(), now()).unwrap();
}

// Clocks.

#[test]
fn a_clock_in_1970_gets_a_provisional_leaf_and_a_good_one_once_it_is_set() {
    let home = Home::new();
    let device = home.device();
    let provisional = device.load_at(&machine(), 20).unwrap();
    assert_eq!(
        (provisional.validity().not_before, provisional.validity().not_after),
        (0, BUILT + 7300 * DAY)
    );
    assert!(device.load_at(&machine(), 40).unwrap().has_the_chain_of(&provisional), "kept while it is");
    // Clients with the right time accept it, because they accept the CA too.
    home.openssl("verify -x509_strict -purpose sslserver -CAfile ca.pem cert.pem");
    assert_eq!(device.look_again(&provisional, SystemTime::now()), Some(Duration::from_secs(10)));
    let ca = fs::read(home.file("ca.pem")).unwrap();
    let good = device.load_at(&machine(), now()).unwrap();
    assert_eq!(good.validity().not_after - good.validity().not_before, 91 * DAY);
    assert_eq!(device.look_again(&good, SystemTime::now()), Some(Duration::from_secs(60)));
    // The clock goes back, as at each boot without a battery: the leaf is kept while the clock may still be set.
    let device = home.device();
    assert!(device.load_at(&machine(), 20).unwrap().has_the_chain_of(&good));
    assert_eq!(device.look_again(&good, SystemTime::now()), Some(Duration::from_secs(60)));
    let patient = clock::PATIENCE - Duration::from_secs(1);
    assert!(device.load_after(patient, &machine(), 620).unwrap().has_the_chain_of(&good));
    assert_eq!(device.load_after(clock::PATIENCE, &machine(), 620).unwrap().validity().not_before, 0);
    home.openssl("verify -x509_strict -purpose sslserver -attime 20 -CAfile ca.pem cert.pem");
    assert_eq!(fs::read(home.file("ca.pem")).unwrap(), ca);
}

#[test]
fn a_clock_beyond_the_end_of_the_ca_keeps_no_device_from_starting() {
    let home = Home::new();
    home.start(now()).unwrap();
    let (ca, late) = (home.contents()["ca.pem"].clone(), now() + 7301 * DAY);
    let device = home.device();
    let identity = device.load_at(&machine(), late).unwrap();
    // By this clock it has expired, and health and the log say so. A client that knows the time accepts it.
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(late.unsigned_abs());
    assert_eq!(identity.expiry(at), crate::tls::Expiry::Expired);
    home.openssl("verify -x509_strict -purpose sslserver -CAfile ca.pem cert.pem");
    assert!(device.load_at(&machine(), late + 60).unwrap().has_the_chain_of(&identity), "kept while it is");
    assert!(home.start(late + 120).unwrap().has_the_chain_of(&identity));
    #[cfg(feature = "check")]
    {
        let message = home.device().inspect(late).unwrap_err().to_string();
        for words in ["ca.pem: the device's CA expired at 20", "set the clock if it is wrong; or move"] {
            assert!(message.contains(words), "{words:?} is not in: {message}");
        }
    }
    // Once the clock is set.
    assert_eq!(device.load_at(&machine(), now()).unwrap().validity().not_after, now() + 90 * DAY);
    assert_eq!(home.contents()["ca.pem"], ca);
}

#[test]
fn a_leaf_that_is_over_is_served_where_no_other_can_be_made() {
    let home = Home::new();
    let leaf = home.start(now()).unwrap();
    // Root may write everywhere, but not where a directory is in the way.
    fs::create_dir_all(home.file("cert.new.pem.tmp").join("x")).unwrap();
    for late in [now() + 100 * DAY, now() + 7301 * DAY, 20] {
        let device = home.device();
        let served = device.load_after(clock::PATIENCE, &machine(), late).unwrap();
        assert!(served.has_the_chain_of(&leaf), "{late}");
    }
}

#[test]
fn a_leaf_from_the_future_is_replaced() {
    let home = Home::new();
    let future = home.start(now() + 1000 * DAY).unwrap();
    let identity = home.start(now()).unwrap();
    assert!(!identity.has_the_chain_of(&future));
    assert!(identity.validity().not_before <= now());
}

// What is damaged or lost.

#[test]
fn a_leaf_that_cannot_be_used_is_made_again_by_the_same_ca() {
    for name in ["cert.pem", "key.pem"] {
        for length in [None, Some(0), Some(20), Some(100), Some(300)] {
            let home = Home::new();
            home.start(now()).unwrap();
            let ca = home.contents()["ca.pem"].clone();
            let whole = fs::read(home.file(name)).unwrap();
            match length {
                None => fs::remove_file(home.file(name)).unwrap(),
                Some(length) => fs::write(home.file(name), &whole[..length.min(whole.len() - 40)]).unwrap(),
            }
            let identity = home.start(now()).unwrap_or_else(|error| panic!("{name} {length:?}: {error}"));
            assert!(identity.is_valid_for("printer"));
            assert_eq!(home.contents()["ca.pem"], ca);
        }
    }
}

#[test]
fn a_leaf_of_another_ca_or_key_is_made_again() {
    let (home, other) = (Home::new(), Home::new());
    home.start(now()).unwrap();
    other.start(now()).unwrap();
    for names in [&["cert.pem"][..], &["key.pem"], &["cert.pem", "key.pem"]] {
        for name in names {
            fs::copy(other.file(name), home.file(name)).unwrap();
        }
        home.start(now()).unwrap();
        home.openssl("verify -x509_strict -CAfile ca.pem cert.pem");
    }
}

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
