//! The findings about the certificates that a site sends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme};

use crate::certs::{from_now, leaf, Leaf, Root, DAY};
use crate::site::{answer, beside, date, seen, Site};

type Change = fn(&mut CertificateParams);

/// Where the issuer's certificate is to be had (RFC 5280 §4.2.2.1): `http://ca.test/i.crt`.
fn issuer_at(params: &mut CertificateParams) {
    let url = b"http://ca.test/i.crt";
    let mut content = vec![0x30, 34, 0x30, 32, 6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2, 0x86, 20];
    content.extend_from_slice(url);
    params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content));
}

/// The policy of the CA/Browser Forum for domains (Baseline Requirements §7.1.6.1), as public authorities have it.
fn of_the_forum(params: &mut CertificateParams) {
    let content = vec![0x30, 10, 0x30, 8, 6, 6, 0x67, 0x81, 0x0c, 1, 2, 1];
    params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 32], content));
}

#[test]
fn each_fault_of_a_leaf_is_found_alone() {
    let root = Root::new();
    let cases: [(&[&str], Change); 12] = [
        (&[], |_| {}),
        (&["expired"], |p| {
            p.not_before = from_now!(-90 * DAY);
            p.not_after = from_now!(-DAY);
        }),
        (&["not-yet-valid"], |p| p.not_before = from_now!(DAY)),
        (&["expires-soon"], |p| {
            p.not_before = from_now!(-85 * DAY);
            p.not_after = from_now!(5 * DAY);
        }),
        (&["renewal-due"], |p| {
            p.not_before = from_now!(-70 * DAY);
            p.not_after = from_now!(20 * DAY);
        }),
        (&["private-lifetime"], |p| p.not_after = from_now!(900 * DAY)),
        (&["name-mismatch"], |p| {
            p.subject_alt_names = vec![rcgen::SanType::DnsName("device.local".try_into().unwrap())];
        }),
        (&["no-names"], |p| p.subject_alt_names.clear()),
        (&["key-usage"], |p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment]),
        (&["no-server-auth"], |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
        (&["no-extended-key-usage"], |p| p.extended_key_usages.clear()),
        // The address of the issuer is not a fault when the issuer is the root.
        (&[], issuer_at),
    ];
    for (expected, change) in cases {
        let site = Site::with(root.leaf(change)).start();
        assert_eq!(site.found(&root), expected);
    }
}

#[test]
fn names_that_the_certificate_has_are_listed() {
    let root = Root::new();
    let site = Site::with(root.leaf(|p| {
        p.subject_alt_names = vec![
            rcgen::SanType::DnsName("device.local".try_into().unwrap()),
            rcgen::SanType::IpAddress("192.0.2.7".parse().unwrap()),
        ];
    }))
    .start();
    let seen = seen(&site.report(&root), "name-mismatch");
    assert!(seen.contains("localhost") && seen.contains("device.local, 192.0.2.7"), "{seen}");
}

#[test]
fn the_report_says_why_a_chain_is_not_trusted() {
    let (root, other) = (Root::new(), Root::new());
    // The right authority is given, another one, and none.
    let site = Site::new(&root).start();
    assert_eq!(site.found(&root), [""; 0]);
    let report = site.report(&other);
    assert_eq!(beside(&report), ["untrusted-authority"]);
    assert!(seen(&report, "untrusted-authority").contains("was issued by CN=test root"));
    assert!(!report.findings()[0].fix().contains("--ca ca.pem"), "{}", report.findings()[0].fix());
    let report = site.check().run().unwrap();
    assert!(report.findings()[0].fix().contains("--ca ca.pem"), "{}", report.findings()[0].fix());

    // It is self-signed. It is trusted once clients have it, and is still a warning.
    let own = leaf(None, |_| {});
    let file = root.dir().join("own.pem");
    let pem = lockgate::Certificate::from_der(&own.der).unwrap().to_pem();
    std::fs::write(&file, pem).unwrap();
    let site = Site::with(own).start();
    assert_eq!(site.found(&root), ["untrusted-self-signed"]);
    assert_eq!(beside(&site.check().ca_file(&file).run().unwrap()), ["self-signed"]);
}

#[test]
fn an_intermediate_certificate_that_is_missing_is_named() {
    let root = Root::new();
    let of_intermediate = |change: Change| leaf(Some(&root.below), change);
    let whole = |leaf: Leaf| {
        let mut site = Site::with(leaf);
        site.chain.push(root.below.der().clone());
        site
    };
    assert_eq!(whole(of_intermediate(|_| {})).start().found(&root), [""; 0]);

    let report = Site::with(of_intermediate(issuer_at)).start().report(&root);
    assert_eq!(beside(&report), ["missing-intermediate"]);
    let missing = seen(&report, "missing-intermediate");
    assert!(
        missing.contains("CN=test intermediate") && missing.contains("http://ca.test/i.crt"),
        "{missing}"
    );
    // A certificate without the address of its issuer may come from an unknown authority.
    let site = Site::with(of_intermediate(|_| {})).start();
    let report = site.report(&root);
    assert_eq!(beside(&report), ["untrusted-authority"]);
    assert!(seen(&report, "untrusted-authority").contains("CN=test intermediate"));
    let fix = report.findings()[0].fix();
    assert!(fix.contains("fullchain.pem") && fix.contains("CN=test intermediate"), "{fix}");
    // The remedy does not ask for the file that was given.
    assert!(!fix.contains("--ca ca.pem"), "{fix}");
    // A public authority never signs with its root, so an intermediate is missing for certain.
    let report = Site::with(of_intermediate(of_the_forum)).start().report(&root);
    assert_eq!(beside(&report), ["missing-intermediate"]);
    assert!(report.findings()[0].fix().contains("fullchain.pem"), "{}", report.findings()[0].fix());
    let without = site.check().run().unwrap();
    assert!(without.findings()[0].fix().contains("--ca ca.pem"), "{}", without.findings()[0].fix());
}

#[test]
fn certificates_beside_the_servers_own_are_checked() {
    let (root, other) = (Root::new(), Root::new());
    let of_intermediate = || leaf(Some(&root.below), |_| {});
    let sent = |leaf: Leaf, more: &[&rustls::pki_types::CertificateDer<'static>]| {
        let mut site = Site::with(leaf);
        site.chain.extend(more.iter().map(|der| (*der).clone()));
        site.start()
    };
    let (below, top) = (root.below.der(), root.root.der());
    assert_eq!(sent(of_intermediate(), &[below, top]).found(&root), ["root-included"]);
    assert_eq!(sent(of_intermediate(), &[top, below]).found(&root), ["root-included", "wrong-order"]);
    assert_eq!(sent(of_intermediate(), &[below, other.below.der()]).found(&root), ["unrelated-certificate"]);
    assert_eq!(sent(of_intermediate(), &[below, below]).found(&root), ["duplicate-certificate"]);
    let report = sent(of_intermediate(), &[below, top]).report(&other);
    assert_eq!(beside(&report), ["root-included", "untrusted-authority"]);
    assert!(seen(&report, "untrusted-authority")
        .contains("which the server sends and this machine does not trust"));
}

#[test]
fn an_authority_is_no_server() {
    let root = Root::new();
    let site = Site::with(root.leaf(|p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained))).start();
    assert_eq!(site.found(&root), ["ca-as-leaf"]);
}

#[test]
fn an_authority_that_may_not_sign_for_the_name_breaks_the_chain() {
    let root = Root::new();
    let limited = |domain: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "limited");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.use_authority_key_identifier_extension = true;
        params.not_before = from_now!(-DAY);
        params.not_after = from_now!(500 * DAY);
        params.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName(domain.to_string())],
            excluded_subtrees: Vec::new(),
        });
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertifiedIssuer::signed_by(params, key, &root.root).unwrap()
    };
    for (domain, expected) in [("localhost", &[][..]), ("device.local", &["untrusted-chain"])] {
        let issuer = limited(domain);
        let mut site = Site::with(leaf(Some(&issuer), |_| {}));
        site.chain.push(issuer.der().clone());
        assert_eq!(site.start().found(&root), expected, "{domain}");
    }
}

/// Another certificate at each handshake.
#[derive(Debug)]
struct InTurns([Arc<CertifiedKey>; 2], AtomicBool);

impl ResolvesServerCert for InTurns {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let index = usize::from(self.1.fetch_xor(true, Ordering::SeqCst));
        Some(self.0[index].clone())
    }
}

#[test]
fn two_certificates_with_one_serial_number_are_noticed() {
    let root = Root::new();
    for (serials, expected) in
        [([5_u8, 5], &["no-resumption", "repeated-serial"][..]), ([5, 6], &["no-resumption"])]
    {
        let pair = serials.map(|serial| {
            let leaf = root.leaf(|p| p.serial_number = Some(vec![serial].into()));
            let key =
                rustls::crypto::ring::default_provider().key_provider.load_private_key(leaf.key).unwrap();
            Arc::new(CertifiedKey::new(vec![leaf.der], key))
        });
        let tls = |config: &mut ServerConfig| {
            // An earlier session would be resumed with the earlier certificate.
            config.send_tls13_tickets = 0;
            config.cert_resolver = Arc::new(InTurns(pair, AtomicBool::new(false)));
        };
        let mut found = Site { tls: Box::new(tls), ..Site::new(&root) }.start().found(&root);
        // Without a name either certificate may come.
        found.retain(|id| *id != "other-certificate-without-name");
        assert_eq!(found, expected);
    }
}

/// Signs with another key than the certificate's.
#[derive(Debug)]
struct Impostor(Arc<dyn SigningKey>);

impl SigningKey for Impostor {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.0.choose_scheme(offered)
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[test]
fn a_server_that_has_only_copied_the_certificate_is_found_out() {
    let root = Root::new();
    let (copied, own) = (root.leaf(|_| {}).der, root.leaf(|_| {}).key);
    let tls = move |config: &mut ServerConfig| {
        let key = rustls::crypto::ring::default_provider().key_provider.load_private_key(own).unwrap();
        let key = CertifiedKey::new(vec![copied], Arc::new(Impostor(key)));
        #[derive(Debug)]
        struct One(Arc<CertifiedKey>);
        impl ResolvesServerCert for One {
            fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
                Some(self.0.clone())
            }
        }
        config.cert_resolver = Arc::new(One(Arc::new(key)));
    };
    assert_eq!(Site { tls: Box::new(tls), ..Site::new(&root) }.start().found(&root), ["key-unproven"]);
}

#[test]
fn clocks_are_compared() {
    let root = Root::new();
    let at = |seconds: i64| {
        let mut site = Site::new(&root);
        site.https = Arc::new(move |request| {
            let mut answer = crate::site::good(request);
            let text = String::from_utf8(answer.bytes).unwrap();
            let (before, after) = text.split_once("Date: ").unwrap();
            let (_, after) = after.split_once("\r\n").unwrap();
            answer.bytes = format!("{before}Date: {}\r\n{after}", date(seconds)).into_bytes();
            answer
        });
        site.start().report(&root)
    };
    assert_eq!(beside(&at(60)), [""; 0]);
    let ahead = at(3_600);
    assert_eq!(beside(&ahead), ["clocks-differ"]);
    assert!(!seen(&ahead, "clocks-differ").contains("likely"));
    // Before the certificate was made: the server's clock is wrong.
    let behind = at(-3_600 * 48);
    assert!(seen(&behind, "clocks-differ").contains("the server's is likely wrong"));
}

#[test]
fn a_public_certificate_differs_from_a_devices_own() {
    let root = Root::new();
    let site = Site::new(&root).start();
    let public = site.check().public_roots_file(root.file()).run().unwrap();
    assert_eq!(public.facts()["certificate"]["trusted"], "a public authority");
    let given = site.report(&root);
    assert_eq!(given.facts()["certificate"]["trusted"], "an authority of the given file");
    let mut empty = Site::with(root.leaf(|p| p.distinguished_name = DistinguishedName::new()));
    empty.https = Arc::new(|request| answer(request, "200 OK", "", "{}"));
    assert_eq!(empty.start().report(&root).facts()["certificate"]["subject"], "");
}
