//! A certificate for a device that no public authority reaches: `lockgate cert csr`, an authority kept with openssl, and
//! `lockgate cert install` while the server runs.

mod support_command;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use rustls::pki_types::{pem::PemObject, CertificateDer};
use tempfile::TempDir;

use support_command::client::Client;
use support_command::{lockgate, outcome, text, Server};

/// A folder with a root and an intermediate authority in it, both of openssl.
struct Site(TempDir);

impl Site {
    fn new() -> Site {
        let site = Site(TempDir::new().unwrap());
        let ca = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
                  subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
        site.write("ca.ext", ca);
        // openssl ca, for what x509 cannot do: a certificate that is over.
        let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nserial=serial\ndefault_md=sha256\n\
                      policy=p\ncopy_extensions=copy\nunique_subject=no\nrand_serial=yes\n[p]\ncommonName=optional\n";
        site.write("ca.conf", config);
        site.write("index", "");
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        site.openssl(&format!("req -new {key} -subj /CN=root -keyout root.key -out root.csr"));
        site.openssl("x509 -req -in root.csr -signkey root.key -extfile ca.ext -days 90 -out root.pem");
        site.openssl(&format!("req -new {key} -subj /CN=between -keyout between.key -out between.csr"));
        site.openssl(
            "x509 -req -in between.csr -CA root.pem -CAkey root.key -CAcreateserial -extfile ca.ext -days 90 -out between.pem",
        );
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, contents: &str) {
        fs::write(self.path(name), contents).unwrap();
    }

    #[track_caller]
    fn openssl(&self, line: &str) -> String {
        let output = Command::new("openssl")
            .args(line.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// `lockgate cert …` in this folder: its exit code, stdout and stderr.
    fn cert(&self, line: &str) -> (i32, String, String) {
        let words: Vec<&str> = std::iter::once("cert").chain(line.split_whitespace()).collect();
        let mut command = lockgate(&words);
        command.current_dir(self.0.path());
        outcome(command, b"")
    }

    #[track_caller]
    fn done(&self, line: &str) -> (String, String) {
        let (code, out, errors) = self.cert(line);
        assert_eq!(code, 0, "{line}: {errors}");
        (out, errors)
    }

    #[track_caller]
    fn refused(&self, line: &str, code: i32, words: &[&str]) {
        let (ended, out, errors) = self.cert(line);
        assert_eq!((ended, out.as_str()), (code, ""), "{line}: {errors}");
        assert_eq!(errors.matches("\nlockgate: ").count() + usize::from(errors.starts_with("lockgate: ")), 1);
        for words in words {
            assert!(errors.contains(words), "{line}: {words:?} is not in: {errors}");
        }
    }

    /// The authority's answer to a request: issued by the intermediate, with the extensions asked for.
    fn answer(&self, request: &str, to: &str) {
        self.openssl(&format!(
            "x509 -req -in {request} -copy_extensions copy -CA between.pem -CAkey between.key -CAcreateserial \
             -days 30 -out {to}"
        ));
    }
}

#[test]
fn a_request_asks_for_all_names_with_a_key_that_stays() {
    let site = Site::new();
    let (out, said) = site.done(
        "csr --name Device.Example --name *.device.example --name 192.0.2.7 --name 2001:db8::7 --key my.key",
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("The key is in my.key and stays there"), "{said}");
    assert!(!out.contains("PRIVATE") && out.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"), "{out}");
    assert_eq!(fs::metadata(site.path("my.key")).unwrap().permissions().mode() & 0o7777, 0o600);

    site.write("request.pem", &out);
    let shown = site.openssl("req -in request.pem -noout -text -verify");
    for words in [
        "Subject: CN = device.example",
        "DNS:device.example, DNS:*.device.example, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7",
        "ASN1 OID: prime256v1",
        "Digital Signature",
        "TLS Web Server Authentication",
    ] {
        assert!(shown.contains(words), "{words:?} is not in {shown}");
    }
    // It is for the key in the file.
    let public = site.openssl("pkey -in my.key -pubout");
    assert_eq!(site.openssl("req -in request.pem -noout -pubkey"), public);
}

#[test]
fn a_key_is_never_written_over() {
    let site = Site::new();
    site.done("csr --name a.example --key my.key --out request.pem");
    let key = site.read("my.key");
    // Asked again, for another name: the same key, and a new request in the old one's place.
    let (_, said) = site.done("csr --name b.example --key my.key --out request.pem");
    assert!(said.contains("my.key: is there already, and the request is for this key"), "{said}");
    assert_eq!(site.read("my.key"), key);
    assert!(site.openssl("req -in request.pem -noout -text").contains("DNS:b.example"));

    site.refused(
        "csr --name a.example --key new.key --out my.key",
        78,
        &["my.key: is there already and is no request"],
    );
    assert!(!site.path("new.key").exists());
    site.write("other", "something else");
    site.refused("csr --name a.example --key other", 78, &["other: is no private key"]);
    assert_eq!((site.read("my.key"), site.read("other").as_str()), (key, "something else"));

    for (line, words) in [
        ("csr --key my.key", "--name NAME is missing"),
        ("csr --name a", "--state DIR or --key FILE is missing"),
        ("csr --name a --key k --state s", "give one of them"),
        ("csr --name https://a --key my.key", "\"https://a\" is not accepted here"),
        ("install --key my.key --cert c", "ANSWER is missing"),
        ("install root.pem --key my.key", "--cert FILE is missing"),
        ("install root.pem --cert c", "--key FILE is missing"),
        ("install root.pem", "--state DIR is missing"),
        ("install root.pem --state s --cert c", "leave out --key and --cert"),
    ] {
        site.refused(line, 2, &[words]);
    }
}

#[test]
fn an_answer_in_any_order_is_put_in_order_under_a_running_server() {
    let site = Site::new();
    site.done("csr --name localhost --key my.key --out request.pem");
    site.answer("request.pem", "own.pem");
    let (own, between, root) = (site.read("own.pem"), site.read("between.pem"), site.read("root.pem"));
    // One file, from the root down; and one for each, one of them in DER and one twice.
    site.write("answer.pem", &[root.as_str(), &between, &own].concat());
    let (said, _) = site.done("install answer.pem --key my.key --cert cert.pem");
    assert!(said.starts_with("Installed in cert.pem: for localhost, until "), "{said}");
    assert!(said.contains(", with CN=between; 1 left out"), "{said}");
    assert_eq!(site.read("cert.pem"), format!("{own}{between}"));
    site.openssl("x509 -in between.pem -outform der -out between.der");
    site.done("install root.pem between.der own.pem own.pem --key my.key --cert again.pem");
    assert_eq!(site.read("again.pem"), site.read("cert.pem"));
    site.openssl("verify -x509_strict -CAfile root.pem -untrusted cert.pem cert.pem");
    assert_eq!(site.cert("show cert.pem --key my.key").0, 0);

    let (cert, key) = (site.path("cert.pem"), site.path("my.key"));
    let mut server = Server::spawn(lockgate(&[
        "serve",
        "--cert",
        text(&cert),
        "--key",
        text(&key),
        "--https=127.0.0.1:0",
        "--http=off",
    ]));
    let port = server.https_port();
    let trusted = CertificateDer::from_pem_slice(root.as_bytes()).unwrap();
    let leaf = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut client = Client::connect(port, &trusted);
    client.get();
    assert_eq!(client.certificate(), leaf(&own));

    // The next answer, for the same key.
    site.answer("request.pem", "next.pem");
    let next = site.read("next.pem");
    assert_ne!(next, own);
    site.done("install next.pem between.pem --key my.key --cert cert.pem");
    server.stderr.expect("in use for new connections");
    // Who was there before goes on.
    client.get();
    assert_eq!(Client::connect(port, &trusted).certificate(), leaf(&next));
    server.stop();
}

#[test]
fn what_does_not_match_or_cannot_be_served_is_refused_and_all_stays() {
    let site = Site::new();
    site.done("csr --name localhost --key my.key --out request.pem");
    site.done("csr --name another.example --key another.key --out another.csr");
    site.answer("request.pem", "own.pem");
    site.answer("another.csr", "another.pem");
    site.done("install own.pem between.pem --key my.key --cert cert.pem");
    let installed = site.read("cert.pem");

    site.refused(
        "install another.pem between.pem --key my.key --cert cert.pem",
        78,
        &["another.pem, between.pem: holds no certificate for the key in my.key, but CN=another.example (ECDSA P-256)"],
    );
    site.refused(
        "install root.pem --key my.key --cert cert.pem",
        78,
        &["root.pem: ", "but authorities only"],
    );
    site.openssl(
        "ca -batch -config ca.conf -cert between.pem -keyfile between.key -in request.pem -out over.pem \
         -startdate 20240101000000Z -enddate 20240201000000Z",
    );
    site.refused(
        "install over.pem --key my.key --cert cert.pem",
        78,
        &["over.pem: the certificate expired at 2024-02-01"],
    );
    site.refused(
        "install missing.pem --key my.key --cert cert.pem",
        78,
        &["missing.pem: there is no such file"],
    );
    site.refused(
        "install own.pem --key missing.key --cert cert.pem",
        78,
        &["missing.key: there is no such file"],
    );
    site.write("junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    site.refused("install junk.pem --key my.key --cert cert.pem", 78, &["junk.pem: ", "damaged"]);
    assert_eq!(site.read("cert.pem"), installed);

    // Slips of the hand that would cost a key.
    let key = site.read("my.key");
    site.refused("install own.pem --key my.key --cert my.key", 78, &["my.key: ", "stays as it is"]);
    let both = [site.read("own.pem"), key.clone()].concat();
    site.write("both.pem", &both);
    site.refused("install own.pem --key my.key --cert both.pem", 78, &["both.pem: holds a private key"]);
    assert_eq!((site.read("my.key"), site.read("both.pem")), (key, both));
    site.refused(
        "install own.pem --key my.key --cert none/cert.pem",
        1,
        &["none/cert.pem: cannot be written"],
    );

    // Nothing is left lying about.
    let left: Vec<_> = fs::read_dir(site.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().ends_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_state_directory_keeps_both() {
    let site = Site::new();
    let (request, said) = site.done("csr --name localhost --state state");
    assert!(said.contains("lockgate cert install ANSWER.pem --state state"), "{said}");
    site.write("request.pem", &request);
    site.answer("request.pem", "own.pem");
    let (said, _) = site.done("install between.pem own.pem --state state");
    let serve = "lockgate serve --cert state/installed/cert.pem --key state/installed/key.pem";
    assert!(said.ends_with(&format!("{serve}\n")), "{said}");
    let mode = |name: &str| fs::metadata(site.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("state/installed"), 0o700);
    assert_eq!(mode("state/installed/key.pem"), 0o600);
    assert_eq!(site.cert("show state/installed/cert.pem --key state/installed/key.pem").0, 0);
}

/// The command that `cert show` gives for a chain in the wrong order can be pasted, and fixes it.
#[test]
fn the_fix_for_a_chain_in_the_wrong_order_fixes_it() {
    let site = Site::new();
    site.done("csr --name localhost --key my.key --out request.pem");
    site.answer("request.pem", "own.pem");
    let disorder = ["between.pem", "own.pem", "root.pem"].map(|name| site.read(name)).concat();
    site.write("cert.pem", &disorder);
    let (code, out, _) = site.cert("show cert.pem --key my.key --json");
    assert_eq!(code, 2);
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["findings"][0]["id"], "leaf-not-first");
    let fix = shown["findings"][0]["fix"].as_str().unwrap().to_string();
    let fix = fix.strip_prefix("lockgate cert ").unwrap_or_else(|| panic!("{fix}"));
    site.done(fix);
    assert_eq!(site.cert("show cert.pem --key my.key").0, 0);
}
