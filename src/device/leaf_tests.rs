//! The tests of a device's leaf. It is kept or made anew by its age, by the machine's names and addresses, and by the clock. It is
//! made anew when it is damaged or lost.

use std::fs;

use super::clock::BUILT;
use super::tests::{is_for, machine, machine_with, now, Home, DAY};
use super::*;

#[test]
fn a_leaf_is_der_and_names_its_key() {
    let home = Home::new();
    home.device().load_at(&machine(), now()).unwrap();
    let pem = home.contents().remove("cert.pem").unwrap();
    let leaf = crate::tls::Chain::from_pem(&pem).unwrap();
    let der = leaf.certificates()[0].der();
    let has = |part: &[u8]| der.windows(part.len()).any(|window| window == part);
    // basicConstraints, critical, and without cA: FALSE is its default, and DER leaves a default out (X.690 §11.5).
    assert!(has(b"\x30\x0c\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x02\x30\x00"));
    // subjectKeyIdentifier, of 20 bytes.
    assert!(has(b"\x30\x1d\x06\x03\x55\x1d\x0e\x04\x16\x04\x14"));
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

/// A device starts its server before its network is up: clients that go to its address are not to wait for a minute.
#[test]
fn an_address_that_comes_soon_after_the_start_is_in_the_leaf_within_10_s() {
    let home = Home::new();
    let device = home.device();
    let good = device.load_at(&Machine::default(), now()).unwrap();
    assert_eq!(device.look_again(&good, SystemTime::now()), Some(Duration::from_secs(10)));
    let last = clock::PATIENCE - Duration::from_secs(1);
    assert_eq!(look_again_after(last, &good), Duration::from_secs(10));
    assert_eq!(look_again_after(clock::PATIENCE, &good), Duration::from_secs(60));
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
    assert_eq!(look_again_after(clock::PATIENCE, &good), Duration::from_secs(60));
    assert_eq!(look_again_after(clock::PATIENCE, &provisional), Duration::from_secs(10));
    // The clock goes back, as at each boot without a battery: the leaf is kept while the clock may still be set.
    let device = home.device();
    assert!(device.load_at(&machine(), 20).unwrap().has_the_chain_of(&good));
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
    let set = now();
    assert_eq!(device.load_at(&machine(), set).unwrap().validity().not_after, set + 90 * DAY);
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
