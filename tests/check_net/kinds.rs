//! Servers that have two certificates, of which a client gets the one whose key it can check.

use lockgate::check::Report;

use crate::peers::Files;
use crate::support_command::text;

const OF_KEYS: [&str; 4] = ["weak-key", "key-unproven", "untrusted-authority", "name-mismatch"];

fn about(report: &Report) -> Vec<(&'static str, Option<String>)> {
    let of_keys = report.findings().iter().filter(|finding| OF_KEYS.contains(&finding.id()));
    of_keys.map(|finding| (finding.id(), finding.place().map(str::to_string))).collect()
}

#[test]
fn both_certificates_of_a_server_are_looked_at() {
    let test = "both_certificates_of_a_server_are_looked_at";
    let (Some(rsa), Some(weak)) =
        (Files::make(test, "rsa:2048", "-sha256"), Files::make(test, "rsa:1024", "-sha256"))
    else {
        return;
    };
    for version in ["-no_ssl3", "-tls1_2"] {
        for (other, faults) in [(&rsa, false), (&weak, true)] {
            // An ECDSA certificate of the trusted authority, beside an RSA one.
            let Some((own_cert, own_key)) = other.beside(test, "ecdsa") else { return };
            let arguments = [
                version,
                "-cipher",
                "DEFAULT:@SECLEVEL=0",
                "-dcert",
                text(&own_cert),
                "-dkey",
                text(&own_key),
            ];
            let Some((_server, port)) = other.s_server(test, &arguments) else { return };
            let report = other.check(port, None);
            let kinds = [&report.facts()["certificate"], &report.facts()["other_certificate"]];
            let keys: Vec<&str> = kinds.iter().map(|kind| kind["key"].as_str().unwrap()).collect();
            assert!(
                keys.contains(&"ECDSA P-256") && keys.iter().any(|key| key.starts_with("RSA")),
                "{keys:?}"
            );
            let found = about(&report);
            assert_eq!(!found.is_empty(), faults, "{version}: {found:?}");
            if faults {
                assert!(found.iter().all(|(id, _)| *id == "weak-key"), "{found:?}");
                let place = found[0].1.as_deref().unwrap();
                assert!(place.contains("certificate 1") && place.contains("RSA"), "{place}");
            }
        }
    }
}

#[test]
fn a_server_with_one_certificate_has_no_other() {
    let test = "a_server_with_one_certificate_has_no_other";
    let Some(rsa) = Files::make(test, "rsa:2048", "-sha256") else { return };
    for version in ["-no_ssl3", "-tls1_2"] {
        let Some((_server, port)) = rsa.s_server(test, &[version]) else { return };
        let report = rsa.check(port, None);
        assert!(!report.facts().contains_key("other_certificate"), "{:?}", report.facts());
        assert_eq!(about(&report), []);
    }
}
