//! What a device's CA may sign for. The tests sign all kinds of certificates, as a thief of the key could, and clients check
//! them.

use std::fs;
use std::process::Command;

use super::tests::{is_for, machine, machine_with, now, Home, DAY};
use super::*;

impl Home {
    /// Signs with the device's CA, as a thief of its key would.
    fn sign(&self, name: &str, extensions: &str) {
        let configuration = format!("[x]\nbasicConstraints=critical,CA:FALSE\n{extensions}\n");
        fs::write(self.file("x.cnf"), configuration).unwrap();
        self.openssl("ecparam -genkey -name prime256v1 -noout -out x.key");
        self.openssl(&format!("req -new -key x.key -subj /CN={name} -out x.csr"));
        self.openssl(
            "x509 -req -in x.csr -CA ca.pem -CAkey ca-key.pem -days 30 -extfile x.cnf -extensions x -out x.pem",
        );
    }

    fn verifies(&self, purpose: &str) -> bool {
        let mut openssl = Command::new("openssl");
        openssl.args(["verify", "-purpose", purpose, "-CAfile", "ca.pem", "x.pem"]);
        openssl.current_dir(self.state()).output().unwrap().status.success()
    }
}

#[test]
fn the_ca_signs_for_servers_only() {
    let home = Home::new();
    home.start(now()).unwrap();
    // The leaf's own extensions do not matter.
    for usages in ["", "extendedKeyUsage=serverAuth,clientAuth,emailProtection,codeSigning"] {
        home.sign("x", &format!("subjectAltName=DNS:printer,email:boss@bank.example\n{usages}"));
        assert!(home.verifies("sslserver"), "{usages}");
        for purpose in ["sslclient", "smimesign", "smimeencrypt"] {
            assert!(!home.verifies(purpose), "{purpose} {usages}");
        }
    }
    // Signed code, as an example of anything signed with CMS.
    home.sign("x", "extendedKeyUsage=codeSigning");
    fs::write(home.file("code"), "code").unwrap();
    home.openssl("cms -sign -binary -in code -signer x.pem -inkey x.key -outform DER -out code.p7s");
    let mut verify = Command::new("openssl");
    verify.args("cms -verify -binary -in code.p7s -inform DER -content code -CAfile ca.pem".split(' '));
    let outcome = verify.current_dir(home.state()).output().unwrap();
    let said = String::from_utf8_lossy(&outcome.stderr);
    assert!(!outcome.status.success() && said.contains("unsuitable certificate purpose"), "{said}");
    let ca = home.openssl("x509 -in ca.pem -noout -purpose");
    for (purpose, is_permitted) in [
        ("SSL server CA : Yes", true),
        ("SSL client CA : Yes", false),
        ("S/MIME signing CA : Yes", false),
        ("S/MIME encryption CA : Yes", false),
    ] {
        assert_eq!(ca.contains(purpose), is_permitted, "{purpose}: {ca}");
    }
}

#[test]
fn a_host_name_of_one_label_is_permitted_alone_and_no_top_level_domain_is() {
    let home = Home::new();
    let device = home.device().name("gate").name("x.example");
    let identity = device.load_at(&machine_with("camera", &[]), now()).unwrap();
    assert!(is_for(&identity, &["camera", "camera.local", "gate", "x.example"]));
    home.openssl("verify -x509_strict -purpose sslserver -verify_hostname camera -CAfile ca.pem cert.pem");
    for (name, is_accepted) in [
        ("camera", true),
        ("gate", true),
        ("camera.local", true),
        ("y.x.example", true),
        ("shop.camera", false),
        ("*.camera", false),
        ("a.b.camera", false),
        ("shop.gate", false),
        ("mycamera", false),
        ("example", false),
    ] {
        home.sign("x", &format!("subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth"));
        assert_eq!(home.verifies("sslserver"), is_accepted, "openssl: {name}");
        // The same in webpki, which rustls uses.
        let pem = |file: &str| fs::read(home.file(file)).unwrap();
        let believed = making::check_issued(&pem("ca.pem"), &pem("x.pem"), now());
        assert_eq!(believed.is_ok(), is_accepted, "webpki: {name}: {believed:?}");
    }
}

#[test]
fn names_that_no_ca_can_be_limited_to_are_refused_before_one_is_made() {
    let home = Home::new();
    let device = home.device().name("lan").name("gate.lan");
    let message = device.load_at(&machine(), now()).unwrap_err().to_string();
    assert!(message.starts_with("name: lan is of one label"), "{message}");
    assert!(!home.file("ca.pem").exists() && !home.file("ca-key.pem").exists());
    // The machine's own name is left out instead.
    let device = home.device().name("gate.printer");
    let identity = device.load_at(&machine(), now()).unwrap();
    assert!(is_for(&identity, &["gate.printer", "printer.local"]) && !identity.is_valid_for("printer"));
}

impl Home {
    /// A CA as earlier versions made it: for any use, and for all names below the host name.
    fn with_an_earlier_ca(&self) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::default();
        ca.distinguished_name = rcgen::DistinguishedName::new();
        ca.distinguished_name.push(rcgen::DnType::CommonName, "printer device CA 0123456789abcdef");
        ca.not_before = rcgen::date_time_ymd(1970, 1, 1);
        ca.not_after = rcgen::date_time_ymd(2045, 1, 1);
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        let domains = ["localhost", "local", "printer"].map(String::from).into();
        let scope = scope::Scope { domains, networks: scope::private_networks(), ..scope::Scope::default() };
        ca.name_constraints = Some(scope.to_constraints());
        ca.use_authority_key_identifier_extension = true;
        fs::create_dir(self.state()).unwrap();
        fs::write(self.file("ca.pem"), ca.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(self.file("ca-key.pem"), key.serialize_pem()).unwrap();
    }
}

#[test]
fn a_ca_of_an_earlier_version_is_used_and_never_replaced() {
    let home = Home::new();
    home.with_an_earlier_ca();
    let (ca, key) = (home.contents()["ca.pem"].clone(), home.contents()["ca-key.pem"].clone());
    for time in [now(), now() + 70 * DAY] {
        let identity = home.start(time).unwrap();
        assert!(is_for(&identity, &["printer", "printer.local", "192.168.7.7"]));
        home.openssl(&format!(
            "verify -x509_strict -purpose sslserver -attime {time} -CAfile ca.pem cert.pem"
        ));
    }
    assert_eq!((&home.contents()["ca.pem"], &home.contents()["ca-key.pem"]), (&ca, &key));
    let read = |home: &Home| {
        let pem = |name: &str| fs::read(home.file(name)).unwrap();
        making::Ca::read(&pem("ca.pem"), &pem("ca-key.pem")).unwrap().excess()
    };
    assert_eq!(read(&home).as_deref(), Some("mail, clients and code, and every name below printer"));
    let new = Home::new();
    new.start(now()).unwrap();
    assert_eq!(read(&new), None);
}
