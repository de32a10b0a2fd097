//! The findings of `Chain` about certificates: each is provoked once, and a similar chain without the fault gives none.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lockgate::{Certificate, Chain, Severity};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use tempfile::TempDir;

/// 2026-06-01T00:00:00Z.
const NOW: i64 = 1_780_272_000;

fn at(seconds: i64) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.unsigned_abs())
}
const DAY: i64 = 86_400;

/// An authority with this name, issued by another or by itself.
type Authority = CertifiedIssuer<'static, KeyPair>;

/// A time for rcgen, in seconds since 1970. Its type is of a crate that nothing here names.
macro_rules! at {
    ($seconds:expr) => {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(i64::try_into($seconds).unwrap())
    };
}

fn authority(
    name: &str,
    issuer: Option<&Authority>,
    change: impl FnOnce(&mut CertificateParams),
) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params.not_before = at!(NOW - 100 * DAY);
    params.not_after = at!(NOW + 2000 * DAY);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    match issuer {
        Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer).unwrap(),
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
    }
}

/// A server's certificate that nobody objects to, changed; issued by `issuer` or by itself.
fn leaf(issuer: Option<&Authority>, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    leaf_of(KeyPair::generate().unwrap(), issuer, change)
}

fn leaf_of(
    key: KeyPair,
    issuer: Option<&Authority>,
    change: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let mut params = CertificateParams::new(["device.local".to_string(), "192.0.2.1".to_string()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "device.local");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = at!(NOW - DAY);
    params.not_after = at!(NOW + 89 * DAY);
    change(&mut params);
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    (certificate.pem(), key.serialize_pem())
}

fn ids(pem: &str) -> Vec<&'static str> {
    ids_at(NOW, pem)
}

fn ids_at(now: i64, pem: &str) -> Vec<&'static str> {
    Chain::from_pem(pem.as_bytes()).unwrap().findings(at(now)).iter().map(|finding| finding.id()).collect()
}

/// The server's own certificate, changed, with the intermediate that issued it.
fn ids_of_leaf(change: impl FnOnce(&mut CertificateParams)) -> Vec<&'static str> {
    let root = authority("root", None, |_| {});
    let intermediate = authority("intermediate", Some(&root), |_| {});
    ids(&(leaf(Some(&intermediate), change).0 + &intermediate.pem()))
}

fn extension(oid: &[u64], content: &[u8], critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
    extension.set_criticality(critical);
    extension
}

/// A list of signed certificate timestamps, as public authorities put it in.
fn logged(params: &mut CertificateParams) {
    let list = extension(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], &[4, 2, 0, 0], false);
    params.custom_extensions.push(list);
}

fn lasting(params: &mut CertificateParams, begins: i64, days: i64) {
    params.not_before = at!(begins);
    params.not_after = at!(begins + days * DAY);
}

#[test]
fn nothing_is_said_of_a_good_chain() {
    assert_eq!(ids_of_leaf(|_| {}), [""; 0]);
}

#[test]
fn names_usages_and_form_of_the_servers_own() {
    let none: &[&str] = &[];
    assert_eq!(ids_of_leaf(|p| p.subject_alt_names.clear()), ["no-names"]);
    assert_eq!(ids_of_leaf(|p| p.subject_alt_names.truncate(1)), none);

    let as_name = |p: &mut CertificateParams| {
        p.subject_alt_names = vec![SanType::DnsName("192.0.2.7".try_into().unwrap())];
    };
    assert_eq!(ids_of_leaf(as_name), ["address-as-dns-name"]);
    assert_eq!(ids_of_leaf(|p| p.subject_alt_names = vec![SanType::IpAddress([192, 0, 2, 7].into())]), none);

    let ca = |p: &mut CertificateParams| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(ids_of_leaf(ca), ["ca-as-leaf"]);
    assert_eq!(ids_of_leaf(|p| p.is_ca = IsCa::NoCa), none);

    assert_eq!(ids_of_leaf(|p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment]), ["key-usage"]);
    assert_eq!(ids_of_leaf(|p| p.key_usages.clear()), none);

    let client =
        |p: &mut CertificateParams| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert_eq!(ids_of_leaf(client), ["no-server-auth"]);
    assert_eq!(ids_of_leaf(|p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth)), none);
    assert_eq!(ids_of_leaf(|p| p.extended_key_usages.clear()), ["no-extended-key-usage"]);

    let unknown =
        |critical| ids_of_leaf(|p| p.custom_extensions.push(extension(&[1, 2, 3], &[5, 0], critical)));
    assert_eq!(unknown(true), ["unknown-critical-extension"]);
    assert_eq!(unknown(false), none);

    assert_eq!(ids_of_leaf(|p| p.use_authority_key_identifier_extension = false), ["no-authority-key-id"]);

    let serial = |bytes: &[u8]| ids_of_leaf(|p| p.serial_number = Some(SerialNumber::from_slice(bytes)));
    assert_eq!(serial(&[0]), ["bad-serial"]);
    assert_eq!(serial(&[1; 21]), ["bad-serial"]);
    // The sign's zero does not count.
    assert_eq!(serial(&[0xff; 20]), none);
    assert_eq!(serial(&[1]), none);
}

/// Names that a configuration file makes by a slip: `DNS:DNS:x`, a URL where a host belongs.
#[test]
fn names_that_no_client_can_ask_for_are_an_error_each() {
    let named = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
        let root = authority("root", None, |_| {});
        let (pem, _) = leaf(Some(&root), |p| p.subject_alt_names = names);
        let found = Chain::from_pem(pem.as_bytes()).unwrap().findings(at(NOW));
        found.iter().map(|found| (found.id(), found.severity(), found.seen().to_string())).collect::<Vec<_>>()
    };
    for name in [
        "DNS:x",
        "https://x",
        "x:8443",
        "x/admin",
        "192.168.1.0/24",
        "*.*.example",
        "x.example.",
        "a b",
        "a\0b",
    ] {
        let found = named(&["good.example", name]);
        assert_eq!(found.len(), 1, "{found:?}");
        let (id, severity, seen) = &found[0];
        assert_eq!((*id, *severity), ("unmatchable-name", Severity::Error));
        assert!(seen.contains(&name.replace('\0', "\\00")) && !seen.contains('\0'), "{seen}");
    }
    assert_eq!(named(&["DNS:a", "b:1", "good.example"]).len(), 2);
    assert_eq!(named(&["DNS:a"; 100]).len(), 16);
    assert_eq!(named(&["good.example", "*.good.example", "my_box.lan", "localhost"]), []);
}

#[test]
fn what_is_not_read_of_a_file_is_told() {
    let root = authority("root", None, |_| {});
    let (own, _) = leaf(Some(&root), |_| {});
    let found = |contents: &[u8]| {
        let found = Chain::from_pem(contents).unwrap().findings(at(NOW));
        found.iter().map(|found| (found.id(), found.place().map(String::from))).collect::<Vec<_>>()
    };
    assert_eq!(found(own.as_bytes()), []);
    let odd = format!("text\n{own}-----BEGIN THING-----\nAAAA\n-----END THING-----\n");
    let line = format!("line {}", own.lines().count() + 2);
    assert_eq!(found(odd.as_bytes()), [("unread-part", Some(line))]);
    let chain = Chain::from_pem(own.as_bytes()).unwrap();
    assert_eq!(found(chain.certificates()[0].der()), [("not-pem", None)]);
    // However much of it there is.
    let many = format!("{own}{}", "-----BEGIN THING-----\nAAAA\n-----END THING-----\n".repeat(1_000));
    assert_eq!(found(many.as_bytes()).len(), 16);
}

/// A clock that stands before the day of the build says nothing of validity.
#[test]
fn by_a_clock_that_cannot_be_right_no_certificate_is_over_or_early() {
    let root = authority("root", None, |_| {});
    let (own, _) = leaf(Some(&root), |_| {});
    assert_eq!(ids_at(0, &own), [""; 0]);
    assert_eq!(ids_at(NOW - 2 * DAY, &own), ["not-yet-valid"]);
    assert_eq!(ids_at(NOW + 90 * DAY, &own), ["expired"]);
}

#[test]
fn validity_and_lifetime() {
    let none: &[&str] = &[];
    let valid = |from: i64, to: i64| {
        ids_of_leaf(|p| {
            p.not_before = at!(NOW + from);
            p.not_after = at!(NOW + to);
        })
    };
    assert_eq!(valid(-90 * DAY, -1), ["expired"]);
    assert_eq!(valid(-90 * DAY, 0), ["expires-soon"]);
    assert_eq!(valid(1, 90 * DAY), ["not-yet-valid"]);
    assert_eq!(valid(0, 90 * DAY), none);
    // Of a hundred days a tenth and a third are left, and a second less.
    assert_eq!(valid(-90 * DAY, 10 * DAY), ["renewal-due"]);
    assert_eq!(valid(-90 * DAY - 10, 10 * DAY - 10), ["expires-soon"]);
    assert_eq!(valid(-60 * DAY, 30 * DAY), none);
    assert_eq!(valid(-60 * DAY - 3, 30 * DAY - 3), ["renewal-due"]);

    assert_eq!(ids_of_leaf(|p| lasting(p, NOW - DAY, 825)), none);
    assert_eq!(ids_of_leaf(|p| lasting(p, NOW - DAY, 826)), ["private-lifetime"]);

    // By the day of issue, and then of public authorities: 2020-09-01, 2026-03-15, 2027-03-15, 2029-03-15.
    for (from, most) in
        [(1_598_918_400, 398), (1_773_532_800, 200), (1_805_068_800, 100), (1_868_227_200, 47)]
    {
        let root = authority("root", None, |p| p.not_before = at!(0));
        let issued = |begins, days| {
            let (pem, _) = leaf(Some(&root), |p| {
                logged(p);
                lasting(p, begins, days);
            });
            ids_at(begins, &(pem + &root.pem()))
        };
        assert_eq!(issued(from, most), ["root-included"]);
        assert_eq!(issued(from, most + 1), ["public-lifetime", "root-included"]);
        // Before that day more was allowed.
        assert_eq!(issued(from - 1, most + 1), ["root-included"]);
    }
}

#[test]
fn keys_and_signatures() {
    let root = authority("root", None, |_| {});
    let of = |algorithm| ids(&leaf_of(KeyPair::generate_for(algorithm).unwrap(), Some(&root), |_| {}).0);
    assert_eq!(of(&rcgen::PKCS_ED25519), ["rare-key"]);
    assert_eq!(of(&rcgen::PKCS_ECDSA_P384_SHA384), [""; 0]);

    let none: &[&str] = &[];
    let openssl = Openssl::new();
    let ids_of = |key, options, with_extensions| {
        let made = openssl.issue(key, options, with_extensions);
        ids_at(Openssl::now(), &made)
    };
    for (key, options, expected) in [
        ("rsa -pkeyopt rsa_keygen_bits:1024", "-sha256", &["weak-key"][..]),
        ("rsa -pkeyopt rsa_keygen_bits:2048", "-sha256", none),
        ("ec -pkeyopt ec_paramgen_curve:secp256k1", "-sha256", &["weak-key"]),
        ("ec -pkeyopt ec_paramgen_curve:brainpoolP256r1", "-sha256", &["weak-key"]),
        ("ec -pkeyopt ec_paramgen_curve:P-521", "-sha256", &["rare-key"]),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "-sha256", none),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "-sha1", &["weak-signature"]),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "-sha256 -set_serial -5", &["bad-serial"]),
    ] {
        assert_eq!(ids_of(key, options, true), expected, "{key} {options}");
    }
    let old = ids_of("ec -pkeyopt ec_paramgen_curve:P-256", "-sha256", false);
    assert_eq!(old, ["old-version", "no-names", "no-extended-key-usage"]);
}

#[test]
fn the_order_of_a_chain_and_what_stands_in_it() {
    let root = authority("root", None, |_| {});
    let upper = authority("upper", Some(&root), |_| {});
    let lower = authority("lower", Some(&upper), |_| {});
    let stranger = authority("stranger", None, |_| {});
    let (own, _) = leaf(Some(&lower), |_| {});
    let [root, upper, lower, stranger] = [root, upper, lower, stranger].map(|authority| authority.pem());
    let file = |parts: &[&String]| parts.iter().map(|part| part.as_str()).collect::<String>();
    for (parts, expected) in [
        (&[&own, &lower, &upper][..], &[][..]),
        (&[&own, &lower], &[]),
        (&[&own], &[]),
        (&[&own, &upper, &lower], &["wrong-order"]),
        (&[&lower, &own, &upper], &["leaf-not-first"]),
        (&[&own, &lower, &upper, &root], &["root-included"]),
        (&[&root, &upper, &lower, &own], &["leaf-not-first", "root-included"]),
        (&[&own, &lower, &upper, &lower], &["duplicate-certificate"]),
        (&[&own, &own, &lower], &["duplicate-certificate"]),
        (&[&own, &lower, &stranger, &upper], &["unrelated-certificate"]),
        (&[&own, &upper], &["unrelated-certificate"]),
    ] {
        assert_eq!(ids(&file(parts)), expected);
        let in_order: Vec<String> = Chain::from_pem(file(parts).as_bytes())
            .unwrap()
            .in_order()
            .iter()
            .map(|certificate| certificate.subject().to_string())
            .collect();
        let right = ["CN=device.local", "CN=lower", "CN=upper"];
        assert!(right.starts_with(&in_order.iter().map(String::as_str).collect::<Vec<_>>()), "{in_order:?}");
        let lower_is_there = parts.iter().any(|part| **part == lower);
        let upper_is_there = parts.iter().any(|part| **part == upper);
        let reachable = 1 + usize::from(lower_is_there) + usize::from(lower_is_there && upper_is_there);
        assert_eq!(in_order.len(), reachable);
    }
}

#[test]
fn an_issuer_that_is_not_there() {
    let root = authority("root", None, |_| {});
    let issuer = authority("issuer", Some(&root), |_| {});
    let url = b"\x30\x12\x30\x10\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x04ab:c";
    let fetchable = extension(&[1, 3, 6, 1, 5, 5, 7, 1, 1], url, false);
    let (public, _) = leaf(Some(&issuer), logged);
    let (private, _) = leaf(Some(&issuer), |p| p.custom_extensions.push(fetchable.clone()));
    assert_eq!(ids(&public), ["missing-intermediate"]);
    assert_eq!(ids(&(public + &issuer.pem())), [""; 0]);
    let chain = Chain::from_pem(private.as_bytes()).unwrap();
    let finding = &chain.findings(at(NOW))[0];
    assert_eq!((finding.id(), finding.severity()), ("issuer-elsewhere", Severity::Note));
    assert!(finding.seen().contains("CN=issuer") && finding.seen().contains("ab:c"), "{}", finding.seen());
    assert_eq!(ids(&(private + &issuer.pem())), [""; 0]);
}

#[test]
fn an_issuer_that_is_none() {
    let none: &[&str] = &[];
    let root = authority("root", None, |_| {});
    let through = |change: fn(&mut CertificateParams)| {
        let upper = authority("upper", Some(&root), change);
        let lower = authority("lower", Some(&upper), |_| {});
        ids(&[leaf(Some(&lower), |_| {}).0, lower.pem(), upper.pem()].concat())
    };
    assert_eq!(through(|p| p.is_ca = IsCa::ExplicitNoCa), ["issuer-not-allowed"]);
    assert_eq!(through(|p| p.key_usages = vec![KeyUsagePurpose::CrlSign]), ["issuer-not-allowed"]);
    assert_eq!(through(|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))), ["issuer-not-allowed"]);
    assert_eq!(through(|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(1))), none);
    assert_eq!(through(|p| p.not_after = at!(NOW + 88 * DAY)), ["issuer-expires-first"]);
    assert_eq!(through(|p| p.not_after = at!(NOW + 89 * DAY)), none);
    assert_eq!(through(|p| p.not_after = at!(NOW - 1)), ["expired", "issuer-expires-first"]);

    // The same name and key identifier, and another key.
    let named = |p: &mut CertificateParams| p.key_identifier_method = KeyIdMethod::PreSpecified(vec![7; 20]);
    let (one, other) = (authority("one", Some(&root), named), authority("one", Some(&root), named));
    let (own, _) = leaf(Some(&one), |_| {});
    assert_eq!(ids(&(own.clone() + &other.pem())), ["broken-signature"]);
    // The right one is found beside it.
    assert_eq!(ids(&[own, other.pem(), one.pem()].concat()), ["unrelated-certificate"]);
}

#[test]
fn what_issues_itself_or_repeats_a_serial_number() {
    assert_eq!(ids(&leaf(None, |_| {}).0), ["self-signed"]);

    let numbered = |number: u8| {
        move |p: &mut CertificateParams| p.serial_number = Some(SerialNumber::from_slice(&[number]))
    };
    let root = authority("root", None, numbered(1));
    let with = |number| ids(&(leaf(Some(&root), numbered(number)).0 + &root.pem()));
    assert_eq!(with(1), ["repeated-serial", "root-included"]);
    assert_eq!(with(2), ["root-included"]);
}

#[test]
fn the_key_and_its_file() {
    let root = authority("root", None, |_| {});
    let ((own, key), (_, another)) = (leaf(Some(&root), |_| {}), leaf(Some(&root), |_| {}));
    let dir = TempDir::new().unwrap();
    let write = |name: &str, text: &str, mode| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let with = |certificates: &Path, key: &Path| -> Vec<(String, String)> {
        let chain = Chain::from_pem_file(certificates).unwrap().with_key_file(key).unwrap();
        chain
            .findings(at(NOW))
            .iter()
            .map(|found| (found.id().to_string(), found.fix().to_string()))
            .collect()
    };
    let certificate = write("cert.pem", &own, 0o644);
    assert_eq!(with(&certificate, &write("key.pem", &key, 0o600)), []);
    assert_eq!(with(&certificate, &write("another.pem", &another, 0o600))[0].0, "key-mismatch");
    let open = write("it's open.pem", &key, 0o644);
    let quoted = open.to_str().unwrap().replace('\'', r"'\''");
    assert_eq!(with(&certificate, &open), [("key-file-mode".into(), format!("chmod 600 '{quoted}'"))]);

    // In one file with the certificates, and then without being named.
    let both = write("both.pem", &(key + &own), 0o600);
    let chain = Chain::from_pem_file(&both).unwrap();
    assert_eq!(chain.has_certificate_of_key(), Some(true));
    assert!(chain.findings(at(NOW)).is_empty());
    fs::set_permissions(&both, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(Chain::from_pem_file(&both).unwrap().findings(at(NOW))[0].id(), "key-file-mode");
    // As systemd's credentials and fsGroup have it; said of root's files only when the tests are run as root.
    if fs::metadata(&both).unwrap().uid() == 0 {
        for mode in [0o440, 0o640] {
            fs::set_permissions(&both, fs::Permissions::from_mode(mode)).unwrap();
            assert!(Chain::from_pem_file(&both).unwrap().findings(at(NOW)).is_empty(), "{mode:o}");
        }
    }

    // The key says which is the server's own, whatever stands first.
    let two = write("two.pem", &(leaf(Some(&root), |_| {}).0 + &own), 0o644);
    let chain = Chain::from_pem_file(&two).unwrap();
    assert_eq!(chain.in_order()[0].to_pem(), chain.certificates()[0].to_pem());
    let key = dir.path().join("key.pem");
    assert_eq!(chain.with_key_file(&key).unwrap().in_order()[0].to_pem(), own.replace("\r\n", "\n"));
}

#[test]
fn what_cannot_be_read_is_an_error_with_a_way_out() {
    let (own, key) = leaf(None, |_| {});
    let der =
        Certificate::from_der(Chain::from_pem(own.as_bytes()).unwrap().certificates()[0].der()).unwrap();
    for (contents, words) in [
        (b"".to_vec(), "holds no certificate"),
        (key.into_bytes(), "holds no certificate"),
        (b"-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n".to_vec(), "openssl pkcs7 -print_certs"),
        (der.der()[..200].to_vec(), "holds no certificate"),
        (own.replacen("MII", "NII", 1).into_bytes(), "certificate 1 in it is damaged"),
    ] {
        let error = Chain::from_pem(&contents).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    // One certificate in DER is as good as PEM.
    let read = Chain::from_pem(der.der()).unwrap();
    assert_eq!(read.certificates()[0].fingerprint(), der.fingerprint());
    assert!(Certificate::from_der(&der.der()[1..]).is_err());
}

/// Many certificates with the name of the issuer that is looked for: the work that they cause is bounded.
#[test]
fn a_file_full_of_namesakes_costs_no_more_than_a_few_signatures() {
    let named = |p: &mut CertificateParams| p.key_identifier_method = KeyIdMethod::PreSpecified(vec![7; 20]);
    let issuer = authority("one", None, named);
    let mut text = leaf(Some(&issuer), |_| {}).0;
    let namesake = authority("one", Some(&issuer), named);
    for _ in 0..60 {
        text.push_str(&authority("one", Some(&namesake), named).pem());
    }
    text.push_str(&issuer.pem());
    let chain = Chain::from_pem(text.as_bytes()).unwrap();
    let findings = chain.findings(at(NOW));
    // The right one is too far down to be tried.
    assert_eq!(findings[0].id(), "broken-signature");
    assert!(findings.iter().all(|finding| finding.seen().len() < 500));
}

/// Certificates that rcgen does not make, by an authority that openssl keeps.
struct Openssl(TempDir);

impl Openssl {
    fn new() -> Openssl {
        let openssl = Openssl(TempDir::new().unwrap());
        openssl.run(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=root -keyout ca.key -out ca.pem",
        );
        let extensions = "subjectAltName=DNS:device.local\nkeyUsage=critical,digitalSignature\n\
                          extendedKeyUsage=serverAuth\nauthorityKeyIdentifier=keyid\n";
        fs::write(openssl.0.path().join("extensions"), extensions).unwrap();
        openssl
    }

    fn now() -> i64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
    }

    fn issue(&self, key: &str, options: &str, with_extensions: bool) -> String {
        self.run(&format!("req -new -newkey {key} -nodes -subj /CN=device.local -keyout key -out request"));
        let extensions = if with_extensions { "-extfile extensions" } else { "" };
        let mut line =
            format!("x509 -req -in request -CA ca.pem -CAkey ca.key -days 90 {options} {extensions}");
        if !line.contains("-set_serial") {
            line.push_str(" -set_serial 77");
        }
        self.run(line.trim_end())
    }

    fn run(&self, line: &str) -> String {
        let output = Command::new("openssl")
            .args(line.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl {line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}
