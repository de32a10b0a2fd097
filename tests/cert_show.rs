//! What `lockgate cert show` prints, its exit codes, and that openssl reads the same values. tests/chain.rs provokes each kind
//! of finding.

mod support_command;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use support_command::certificates::Authority;
use support_command::{lockgate, outcome, text, Server};

const DAY: i64 = 24 * 60 * 60;

fn show(arguments: &[&str]) -> (i32, String, String) {
    outcome(lockgate(&[&["cert", "show"][..], arguments].concat()), b"")
}

fn show_json(arguments: &[&str]) -> (i32, Value) {
    let (code, out, errors) = show(&[arguments, &["--json"]].concat());
    assert_eq!(errors, "");
    (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}")))
}

fn openssl(dir: &Path, line: &str) -> String {
    let output = Command::new("openssl").args(line.split_whitespace()).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "openssl {line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_good_pair_is_shown_and_ends_with_0() {
    let authority = Authority::new();
    let pair = authority.pair_for("device", &["localhost", "127.0.0.1", "::1"], -3600, 90 * DAY - 3600);
    let (code, out, errors) = show(&[text(&pair.cert), "--key", text(&pair.key)]);
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    for words in [
        "one certificate, and the key belongs to it\n",
        "  subject      CN=device\n",
        "  issuer       CN=lockgate test authority\n",
        "  kind         a server or a client\n",
        "  names        localhost, 127.0.0.1, ::1\n",
        " (89 of 90 days left)\n",
        "  key          ECDSA P-256\n",
        "  signature    ECDSA with SHA-256\n",
        "  key usage    digitalSignature\n",
        "  purpose      serverAuth\n",
        "\n\nNothing to object to.\n",
    ] {
        assert!(out.contains(words), "{words:?} is not in:\n{out}");
    }
}

#[test]
fn the_worst_that_was_found_is_the_exit_code() {
    let authority = Authority::new();
    let code = |name: &str, begins, ends| {
        show(&[text(&authority.pair_for(name, &["localhost"], begins, ends).cert)])
    };
    let (note, out, _) = code("note", -80 * DAY, 20 * DAY);
    assert_eq!(note, 0);
    assert!(out.ends_with("\n1 note.\n"), "{out}");
    let (warning, out, _) = code("warning", -80 * DAY, 2 * DAY);
    assert_eq!(warning, 1);
    assert!(out.ends_with("\n1 warning.\n"), "{out}");
    let (error, out, _) = code("error", -80 * DAY, -DAY);
    assert_eq!(error, 2);
    assert!(out.contains("\nerror expired in certificate 1\n  seen         expired at "), "{out}");
    assert!(out.contains("\n  refused by   Apple, Chrome, Firefox\n  fix          renew it"), "{out}");
    assert!(out.ends_with("\n1 error.\n"), "{out}");
}

#[test]
fn what_cannot_be_read_ends_with_78_and_a_wrong_line_with_64() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let (cert, key) = (text(&pair.cert), text(&pair.key));
    for (line, code, words) in [
        (vec!["missing.pem"], 78, "missing.pem: there is no such file"),
        (vec![key], 78, "holds no certificate"),
        (vec![cert, "--key", "missing.pem"], 78, "missing.pem: there is no such file"),
        (vec![cert, "--key", cert], 78, "holds no private key"),
        (vec![], 64, "FILE is missing: give a PEM file with a certificate"),
        (vec![cert, key], 64, "is one FILE too many"),
        (vec![cert, "--workers", "2"], 64, "--workers is an option of serve and demo"),
    ] {
        let (ended, out, errors) = show(&line);
        assert_eq!((ended, out.as_str()), (code, ""), "{line:?}: {errors}");
        assert!(errors.starts_with("lockgate: ") && errors.contains(words), "{line:?}: {errors}");
    }
}

#[test]
fn json_has_all_fields_that_the_help_promises() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, shown) = show_json(&[text(&pair.cert), "--key", text(&pair.key)]);
    assert_eq!(code, 1);
    let (_, help, _) = show(&["--help"]);
    // Each object's fields are listed after a word of their own, up to a full stop.
    let listed = |after: &str| -> Vec<String> {
        let list = help.split_once(after).unwrap().1.split_once('.').unwrap().0;
        let mut plain = String::new();
        let mut depth = 0;
        for c in list.chars() {
            depth += i32::from(c == '(') - i32::from(c == ')');
            if depth == 0 && c != ')' {
                plain.push(c);
            }
        }
        let words = plain.replace('\n', " ").replace(" and ", ", ");
        let mut words: Vec<String> = words.split(',').map(|word| word.trim().to_string()).collect();
        words.sort();
        words
    };
    let fields = |value: &Value| -> Vec<String> {
        let mut fields: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        fields.sort();
        fields
    };
    assert_eq!(fields(&shown), listed("--json writes one object: "));
    assert_eq!(fields(&shown["certificates"][0]), listed("A certificate has "));
    assert_eq!(fields(&shown["findings"][0]), listed("A finding has "));
    assert_eq!(shown["version"], 1);
    assert_eq!(shown["key_matches"], true);
    assert_eq!(shown["findings"][0]["id"], "key-file-mode");
    assert_eq!(shown["findings"][0]["severity"], "warning");
    assert_eq!((&shown["errors"], &shown["warnings"]), (&0.into(), &1.into()));
}

#[test]
fn serve_warns_of_what_clients_will_object_to() {
    let authority = Authority::new();
    let long = authority.pair_for("long", &["localhost"], -DAY, 825 * DAY);
    let mut server = Server::serve(&long, &[]);
    server.https_port();
    let log = server.stop();
    let warning = log.lines().find(|line| line.contains("(private-lifetime)")).expect(&log);
    assert!(warning.contains("WARN") && warning.contains(text(&long.cert)), "{warning}");
    assert!(warning.contains("it lasts 826 days, 825 are the most"), "{warning}");
    // How much is left is said once, by the server that runs.
    let short = authority.pair_for("short", &["localhost"], -80 * DAY, 2 * DAY);
    let mut server = Server::serve(&short, &[]);
    server.https_port();
    server.stderr.expect("renew it now");
    let log = server.stop();
    assert_eq!(log.lines().filter(|line| line.contains("WARN")).count(), 1, "{log}");
    let good = authority.pair_for("good", &["localhost"], -DAY, 89 * DAY);
    let mut server = Server::serve(&good, &[]);
    server.https_port();
    let log = server.stop();
    assert!(!log.contains("WARN"), "{log}");
}

/// The command in a finding's fix, pasted into a shell, fixes it.
#[test]
fn a_fix_that_is_a_command_works_when_pasted() {
    let authority = Authority::new();
    let pair = authority.pair("a key");
    fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o644)).unwrap();
    let line = [text(&pair.cert), "--key", text(&pair.key)];
    let (_, shown) = show_json(&line);
    let fix = shown["findings"][0]["fix"].as_str().unwrap().to_string();
    assert!(fix.starts_with("chmod 600 '"), "{fix}");
    assert!(Command::new("sh").args(["-c", &fix]).status().unwrap().success());
    assert_eq!(show_json(&line).0, 0);
}

#[test]
fn openssl_reads_the_same() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    fs::write(
        dir.join("config"),
        "[req]\nprompt=no\nutf8=yes\nstring_mask=utf8only\ndistinguished_name=name\nx509_extensions=v3\n\
         [name]\nC=DE\nO=Müller, Söhne + Co\nOU=<1>; 2\nCN=device.local\nemailAddress=a@example.org\n\
         [v3]\nsubjectAltName=DNS:device.local,DNS:*.example.org,IP:192.0.2.7,IP:2001:db8::7,email:a@b.c\n\
         basicConstraints=critical,CA:TRUE,pathlen:2\nkeyUsage=critical,digitalSignature,keyCertSign\n\
         extendedKeyUsage=serverAuth,clientAuth\nauthorityInfoAccess=caIssuers;URI:http://ca.example/i.der\n\
         nameConstraints=permitted;DNS:example.org\n",
    )
    .unwrap();
    for key in [
        "ec -pkeyopt ec_paramgen_curve:P-256",
        "ec -pkeyopt ec_paramgen_curve:P-384 -sha384",
        "rsa:2048",
        "rsa:2048 -sigopt rsa_padding_mode:pss -sha512",
        "ed25519",
    ] {
        openssl(
            dir,
            &format!("req -x509 -config config -newkey {key} -nodes -days 90 -keyout key.pem -out cert.pem"),
        );
        let cert = dir.join("cert.pem");
        let (_, shown) = show_json(&[text(&cert), "--key", text(&dir.join("key.pem"))]);
        assert_eq!(shown["key_matches"], true);
        let shown = &shown["certificates"][0];
        let say = |what: &str| openssl(dir, &format!("x509 -in cert.pem -noout {what}")).trim().to_string();
        let value = |what: &str| say(what).split_once('=').unwrap().1.to_string();

        let name = "-nameopt RFC2253,-esc_msb,utf8";
        assert_eq!(shown["subject"], value(&format!("-subject {name}")));
        assert_eq!(shown["issuer"], value(&format!("-issuer {name}")));
        assert_eq!(
            shown["serial"].as_str().unwrap().trim_start_matches("00").to_uppercase(),
            value("-serial")
        );
        assert_eq!(shown["sha256"], value("-fingerprint -sha256"));
        let seconds = |option: &str| {
            let date = Command::new("date").args(["-u", "+%s", "-d", &value(option)]).output().unwrap();
            String::from_utf8(date.stdout).unwrap().trim().parse::<i64>().unwrap()
        };
        assert_eq!(shown["not_before"], seconds("-startdate"));
        assert_eq!(shown["not_after"], seconds("-enddate"));

        let all = say("-text");
        let (kind, signed) = match key.split([' ', ':']).next().unwrap() {
            "ec" if key.contains("384") => ("ECDSA P-384", "ECDSA with SHA-384"),
            "ec" => ("ECDSA P-256", "ECDSA with SHA-256"),
            "rsa" if key.contains("pss") => ("RSA of 2048 bits", "RSA-PSS with SHA-512"),
            "rsa" => ("RSA of 2048 bits", "RSA with SHA-256"),
            _ => ("Ed25519", "Ed25519"),
        };
        assert_eq!((&shown["key"], &shown["signature"]), (&kind.into(), &signed.into()), "{all}");
        assert_eq!(shown["dns_names"], serde_json::json!(["device.local", "*.example.org"]));
        assert_eq!(shown["ip_addresses"], serde_json::json!(["192.0.2.7", "2001:db8::7"]));
        assert_eq!((&shown["other_names"], &shown["path_length"]), (&1.into(), &2.into()));
        assert_eq!(shown["issuers_at"], serde_json::json!(["http://ca.example/i.der"]));
        assert_eq!(shown["has_name_constraints"], true);
        assert_eq!(shown["key_usage"], serde_json::json!(["digitalSignature", "keyCertSign"]));
        assert!(all.contains("Digital Signature, Certificate Sign"), "{all}");
        assert_eq!(shown["extended_key_usage"], serde_json::json!(["serverAuth", "clientAuth"]));
        assert_eq!((&shown["is_ca"], &shown["is_self_signed"]), (&true.into(), &true.into()));
        assert!(all.contains("CA:TRUE, pathlen:2"), "{all}");
    }
}
