//! The forms of certificates and keys that users have: PEM with lost line ends, byte order marks and other labels, DER, PKCS#7,
//! PKCS#12, requests, and keys written by other programs. `serve`, `check`, `cert show` and `cert install` say the same about
//! each, and the command that they suggest works.

mod support_command;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use lockgate::check::JSON_SCHEMA;
use rustls::pki_types::{pem::PemObject, CertificateDer};
use serde_json::Value;
use tempfile::TempDir;

use support_command::client::Client;
use support_command::schema::must_hold;
use support_command::{lockgate, outcome, Server};

/// A folder with an authority (`ca.pem`), one below it (`between.pem`), a server's certificate (`own.pem`) and its key
/// (`key.pem`); `chain.pem` has both that a server sends. All made by openssl.
struct Site(TempDir);

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

impl Site {
    fn new() -> Site {
        let site = Site(TempDir::new().unwrap());
        site.write(
            "ca.ext",
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
             subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
        );
        site.write(
            "own.ext",
            "subjectAltName=DNS:localhost\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n\
             subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
        );
        site.run(&format!("openssl req -new {KEY} -subj /CN=root -keyout ca-key.pem -out ca.csr"));
        site.run("openssl x509 -req -in ca.csr -signkey ca-key.pem -extfile ca.ext -days 90 -out ca.pem");
        site.run(&format!("openssl req -new {KEY} -subj /CN=between -keyout between.key -out between.csr"));
        site.run(
            "openssl x509 -req -in between.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -extfile ca.ext -days 80 \
             -out between.pem",
        );
        site.run(&format!("openssl req -new {KEY} -subj /CN=own -keyout key.pem -out own.csr"));
        site.issue("own.csr", "own.pem");
        site.write("chain.pem", [site.read("own.pem"), site.read("between.pem")].concat());
        site
    }

    fn issue(&self, request: &str, to: &str) {
        self.run(&format!(
            "openssl x509 -req -in {request} -CA between.pem -CAkey between.key -CAcreateserial -extfile own.ext -days 30 \
             -out {to}"
        ));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// A line of a shell, in this folder.
    #[track_caller]
    fn run(&self, line: &str) -> String {
        let output = Command::new("sh").args(["-c", line]).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// `lockgate …` in this folder, which ends by itself: its exit code, stdout and stderr.
    fn lockgate(&self, line: &str) -> (i32, String, String) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command = lockgate(&words);
        command.current_dir(self.0.path());
        outcome(command, b"")
    }

    /// Of `cert show`: the exit code, and each finding's id and place.
    fn shown(&self, cert: &str, key: &str) -> (i32, Vec<(String, String)>) {
        let (code, out, errors) = self.lockgate(&format!("cert show {cert} --key {key} --json"));
        let shown: Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{errors}"));
        assert_eq!(shown["key_matches"], true, "{cert} {key}");
        (code, findings(&shown))
    }

    /// Of `check` before serving.
    fn checked(&self, cert: &str, key: &str) -> (Vec<(String, String)>, Value) {
        let line = format!("check --cert {cert} --key {key} --https 127.0.0.1:0 --json");
        let (_, out, errors) = self.lockgate(&line);
        let shown: Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{errors}"));
        must_hold(JSON_SCHEMA, &shown);
        (findings(&shown), shown)
    }

    /// Serves, to a client that trusts the root alone; what it wrote to stderr.
    #[track_caller]
    fn serves(&self, cert: &str, key: &str) -> String {
        let mut command =
            lockgate(&["serve", "--cert", cert, "--key", key, "--https=127.0.0.1:0", "--http=off"]);
        command.current_dir(self.0.path());
        let mut server = Server::spawn(command);
        let root = CertificateDer::from_pem_slice(self.read("ca.pem").as_bytes()).unwrap();
        Client::connect(server.https_port(), &root).get();
        server.stop()
    }

    /// `serve` refuses it: what it says.
    #[track_caller]
    fn refused(&self, cert: &str, key: &str) -> String {
        let (code, _, errors) =
            self.lockgate(&format!("serve --cert {cert} --key {key} --https 127.0.0.1:0 --http off"));
        assert_eq!(code, 78, "{cert} {key}: {errors}");
        errors.trim_end().lines().last().unwrap().trim_start_matches("lockgate: ").to_string()
    }
}

fn findings(shown: &Value) -> Vec<(String, String)> {
    let findings = shown["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    findings.map(|finding| (text(&finding["id"]), text(&finding["place"]))).collect()
}

fn line_of(text: &str, part: &str) -> usize {
    1 + text.lines().position(|line| line.contains(part)).unwrap()
}

#[test]
fn a_lost_line_end_between_two_sections_loses_nothing_and_is_named() {
    let site = Site::new();
    let joined = site.read("chain.pem").replace(
        "-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----",
        "-----END CERTIFICATE----------BEGIN CERTIFICATE-----",
    );
    site.write("joined.pem", &joined);
    let line = format!("line {}", line_of(&joined, "----------"));
    assert_eq!(site.shown("joined.pem", "key.pem"), (1, vec![("unread-part".into(), line.clone())]));
    let (found, shown) = site.checked("joined.pem", "key.pem");
    assert!(found.contains(&("unread-part".into(), format!("joined.pem, {line}"))), "{found:?}");
    let log = site.serves("joined.pem", "key.pem");
    assert!(log.contains(&format!("joined.pem: {line}: a section begins behind the END")), "{log}");
    // The fix, pasted.
    let fix =
        shown["findings"].as_array().unwrap().iter().find(|found| found["id"] == "unread-part").unwrap();
    site.run(fix["fix"].as_str().unwrap());
    assert_eq!(site.shown("joined.new.pem", "key.pem"), (0, Vec::new()));
    // Before an END line.
    site.write("joined.pem", site.read("chain.pem").replace("\n-----END", "-----END"));
    let (code, found) = site.shown("joined.pem", "key.pem");
    assert!(code == 1 && found.len() == 2 && found.iter().all(|(id, _)| id == "unread-part"), "{found:?}");
    let log = site.serves("joined.pem", "key.pem");
    assert!(log.contains(r"sed 's/-----END /\n&/' joined.pem > joined.new.pem"), "{log}");
    site.run(r"sed 's/-----END /\n&/' joined.pem > joined.new.pem");
    assert_eq!(site.shown("joined.new.pem", "key.pem"), (0, Vec::new()));
    // The same with a key between two certificates, and with carriage returns.
    let all = [site.read("own.pem"), site.read("key.pem"), site.read("between.pem")].concat();
    for all in [all.clone(), all.replace('\n', "\r\n")] {
        site.write(
            "all.pem",
            all.replace("-----\r\n-----", "----------").replace("-----\n-----", "----------"),
        );
        let (code, found) = site.shown("all.pem", "all.pem");
        assert_eq!((code, found.len()), (1, 2), "{found:?}");
        site.serves("all.pem", "all.pem");
    }
}

#[test]
fn what_is_not_read_is_named_with_its_line_and_comments_are_not() {
    let site = Site::new();
    let (own, between) = (site.read("own.pem"), site.read("between.pem"));
    let without_begin = between.replace("-----BEGIN CERTIFICATE-----\n", "");
    let four_dashes = between.replace("-----BEGIN CERTIFICATE-----", "----BEGIN CERTIFICATE-----");
    let behind = own.replace("-----END CERTIFICATE-----", "-----END CERTIFICATE----- and more");
    let other = between.replace("CERTIFICATE", "ATTRIBUTE CERTIFICATE");
    let between_lines = own.lines().count();
    for (text, line) in [
        (format!("{own}{without_begin}"), between_lines + 1),
        (format!("{own}# below\n{four_dashes}"), between_lines + 2),
        (behind.clone(), between_lines),
        (format!("{own}{other}"), between_lines + 1),
        (format!("{own}\n{}", site.read("own.csr")), between_lines + 2),
        (format!("{own}{}", other.replace("ATTRIBUTE CERTIFICATE", "X509 CRL")), between_lines + 1),
        (format!("{own}\n\n{}", site.run("openssl pkey -in key.pem -pubout")), between_lines + 3),
    ] {
        site.write("odd.pem", &text);
        let line = format!("line {line}");
        let (code, found) = site.shown("odd.pem", "key.pem");
        assert!(code == 1 && found.contains(&("unread-part".into(), line.clone())), "{text}: {found:?}");
        let (found, _) = site.checked("odd.pem", "key.pem");
        assert!(found.contains(&("unread-part".into(), format!("odd.pem, {line}"))), "{text}: {found:?}");
        let mut server = {
            let mut command = lockgate(&[
                "serve",
                "--cert",
                "odd.pem",
                "--key",
                "key.pem",
                "--https=127.0.0.1:0",
                "--http=off",
            ]);
            command.current_dir(site.0.path());
            Server::spawn(command)
        };
        server.https_port();
        let log = server.stop();
        assert!(log.contains(&format!("odd.pem: {line}: ")), "{text}: {log}");
    }
    // The server's own is the one that is not read: the next is not taken for it in silence.
    site.write("odd.pem", own.replace("-----BEGIN", "----BEGIN") + &between);
    let said = site.refused("odd.pem", "key.pem");
    assert!(said.contains("odd.pem: ") && said.contains("and on line 1 there is a BEGIN"), "{said}");
    // A second key, in the key's file.
    site.write("keys.pem", [site.read("key.pem"), site.read("ca-key.pem")].concat());
    let (_, found) = site.shown("chain.pem", "keys.pem");
    assert_eq!(found, [("unread-part".to_string(), "keys.pem, line 6".to_string())]);

    // What OpenSSL and others write beside sections.
    let text = site.run("openssl x509 -in own.pem -text");
    site.run("openssl pkcs12 -export -in chain.pem -inkey key.pem -passout pass:x -name friend -out bag.p12");
    let bag = site.run("openssl pkcs12 -in bag.p12 -nodes -passin pass:x");
    let bundle = format!("# own\n\nOwn\n===\n{own}\n; then\nBetween: 1\n=======\n{between}---\nserver\n");
    let parameters = site.run("openssl ecparam -name prime256v1");
    for (cert, key) in [
        (format!("{text}{between}"), site.read("key.pem")),
        (bag.clone(), bag),
        (bundle, format!("{parameters}{}", site.read("key.pem"))),
    ] {
        site.write("commented.pem", cert);
        site.write("commented.key", key);
        assert_eq!(site.shown("commented.pem", "commented.key"), (0, Vec::new()));
        let log = site.serves("commented.pem", "commented.key");
        assert!(!log.contains("WARN"), "{log}");
    }
}

#[test]
fn what_openssl_reads_is_read_and_the_rest_is_named_with_what_converts_it() {
    let site = Site::new();
    let chain = site.read("chain.pem");
    site.run("openssl x509 -in own.pem -trustout -addtrust serverAuth -setalias me -out trusted.pem");
    for (name, contents) in [
        ("trusted-chain.pem", [site.read("trusted.pem"), site.read("between.pem")].concat().into_bytes()),
        ("x509.pem", chain.replace("CERTIFICATE", "X509 CERTIFICATE").into_bytes()),
        ("bom.pem", [b"\xef\xbb\xbf", chain.as_bytes()].concat()),
    ] {
        site.write(name, contents);
        site.run(&format!("openssl x509 -in {name} -noout"));
        assert_eq!(site.shown(name, "key.pem"), (0, Vec::new()), "{name}");
        let log = site.serves(name, "key.pem");
        assert!(!log.contains("WARN"), "{name}: {log}");
    }
    site.write("bom.key", [b"\xef\xbb\xbf", site.read("key.pem").as_bytes()].concat());
    assert_eq!(site.shown("chain.pem", "bom.key").0, 0);

    // OpenSSL does not read these. Behind blanks is told and read all the same, so that no other certificate is taken for the
    // server's own.
    let indented: String = site.read("own.pem").lines().map(|line| format!("\t {line}\n")).collect();
    site.write("tabs.pem", indented + &site.read("between.pem"));
    assert_eq!(site.shown("tabs.pem", "key.pem"), (1, vec![("unread-part".into(), "line 1".into())]));
    let log = site.serves("tabs.pem", "key.pem");
    let sed = "sed 's/^[[:blank:]]*//' tabs.pem > tabs.new.pem";
    assert!(log.contains(sed), "{log}");
    site.run(sed);
    site.run("openssl x509 -in tabs.new.pem -noout");
    assert_eq!(site.shown("tabs.new.pem", "key.pem"), (0, Vec::new()));

    for order in ["UTF-16LE", "UTF-16BE"] {
        site.run(&format!("iconv -f ASCII -t {order} chain.pem > order.pem"));
        let (_, _, said) = site.lockgate("cert show order.pem");
        let iconv = format!("iconv -f {order} -t ASCII order.pem > order.new.pem");
        assert!(said.contains(&iconv), "{said}");
        site.run(&iconv);
        assert_eq!(site.read("order.new.pem"), chain);
    }
    for (from, to) in [("chain.pem", "utf16.pem"), ("key.pem", "utf16.key")] {
        site.run(&format!("iconv -f ASCII -t UTF-16 {from} > {to}"));
    }
    let iconv = "iconv -f UTF-16 -t ASCII utf16.pem > utf16.new.pem";
    let (code, _, said) = site.lockgate("cert show utf16.pem");
    assert!(code == 78 && said.contains("UTF-16") && said.contains(iconv), "{said}");
    assert!(site.refused("utf16.pem", "key.pem").contains(iconv));
    assert!(site
        .refused("chain.pem", "utf16.key")
        .ends_with("iconv -f UTF-16 -t ASCII utf16.key > utf16.key.pem"));
    let (_, shown) = site.checked("utf16.pem", "key.pem");
    assert_eq!(shown["findings"][0]["fix"], iconv);
    site.run(iconv);
    site.serves("utf16.new.pem", "key.pem");
}

/// What each command says of these files is the same, and the command in it, run, gives a file that is served.
#[test]
fn other_forms_are_recognised_alike_and_the_named_command_converts_them() {
    let site = Site::new();
    site.run("openssl x509 -in own.pem -outform DER -out own.der");
    site.run("openssl crl2pkcs7 -nocrl -certfile chain.pem -outform DER -out bag.p7b");
    site.run("openssl crl2pkcs7 -nocrl -certfile chain.pem -out bag.p7.pem");
    site.write("adcs.cer", site.read("bag.p7.pem").replace("PKCS7", "CERTIFICATE"));
    site.run("openssl pkcs12 -export -in chain.pem -inkey key.pem -passout pass:x -out 'it is.p12'");
    site.run("cp 'it is.p12' bag.p12 && openssl req -in own.csr -outform DER -out request.der");
    site.run("openssl pkey -in key.pem -pubout -out public.pem && openssl pkey -in key.pem -pubout -outform DER -out public.der");
    site.run("openssl pkey -in key.pem -outform DER -out key.der");
    site.run("openssl pkcs8 -topk8 -in key.pem -outform DER -passout pass:x -out locked.der");
    let pkcs7 = "it is PKCS#7, a bag of certificates; write them as PEM";
    let request = "it is a request for a certificate (CSR) and not the certificate";
    let by_ca = "-copy_extensions copy -days 365 -CA ca.pem -CAkey ca-key.pem";
    for (file, what, command, further) in [
        (
            "own.der",
            "it is a certificate in DER",
            "openssl x509 -inform DER -in own.der -out own.der.pem",
            "",
        ),
        ("bag.p7b", pkcs7, "openssl pkcs7 -inform DER -print_certs -in bag.p7b -out bag.p7b.pem", ""),
        ("bag.p7.pem", pkcs7, "openssl pkcs7 -print_certs -in bag.p7.pem -out bag.p7.new.pem", ""),
        ("adcs.cer", pkcs7, "openssl pkcs7 -print_certs -in adcs.cer -out adcs.cer.pem", ""),
        ("bag.p12", "it is PKCS#12", "openssl pkcs12 -in bag.p12 -nodes -out bag.p12.pem", " -passin pass:x"),
        (
            "own.csr",
            request,
            &format!("openssl x509 -req -in own.csr {by_ca} -out own.csr.pem"),
            " -extfile own.ext",
        ),
        (
            "request.der",
            request,
            &format!("openssl x509 -req -inform DER -in request.der {by_ca} -out request.der.pem"),
            " -extfile own.ext",
        ),
        ("public.pem", "it is a public key alone", "", ""),
        ("public.der", "it is a public key alone", "", ""),
    ] {
        let said = site.refused(file, "key.pem");
        assert!(said.starts_with(&format!("{file}: cannot be used: {what}")), "{said}");
        assert!(command.is_empty() || said.ends_with(&format!(": {command}")), "{said}");
        let (found, shown) = site.checked(file, "key.pem");
        assert!(found.iter().any(|(id, place)| id == "identity-unusable" && place == file), "{found:?}");
        let finding = &shown["findings"][0];
        assert!(finding["seen"].as_str().unwrap().contains(what), "{finding}");
        if !command.is_empty() {
            assert_eq!(finding["fix"], command);
        }
        let (code, out, errors) = site.lockgate(&format!("cert show {file}"));
        if file == "own.der" {
            // It is shown, and what serve would say is said.
            assert!(code == 1 && out.contains("not-pem") && out.contains(command), "{out}{errors}");
        } else {
            assert!(code == 78 && errors.contains(&said), "{errors}");
        }
        let (code, _, errors) =
            site.lockgate(&format!("cert install {file} --key key.pem --cert installed.pem"));
        let is_taken = ["own.der", "bag.p7b", "bag.p7.pem", "adcs.cer"].contains(&file);
        assert!(if is_taken { code == 0 } else { code == 78 && errors.contains(&said) }, "{file}: {errors}");
        if is_taken && file != "own.der" {
            assert_eq!(site.read("installed.pem"), site.read("chain.pem"));
            site.run("rm installed.pem");
        }
        if command.is_empty() {
            continue;
        }
        site.run(&format!("{command}{further}"));
        let new = command.rsplit(' ').next().unwrap();
        let key = if file == "bag.p12" { new } else { "key.pem" };
        assert_eq!(site.shown(new, key).1, [], "{file}");
    }
    // A name with a blank in it, to be pasted.
    let mut command = lockgate(&["cert", "show", "it is.p12"]);
    command.current_dir(site.0.path());
    let (_, _, errors) = outcome(command, b"");
    assert!(errors.contains("openssl pkcs12 -in 'it is.p12' -nodes -out 'it is.p12.pem'"), "{errors}");

    for (file, what, command, further) in [
        (
            "key.der",
            "it is a private key in DER",
            "openssl pkey -inform DER -in key.der -out key.der.pem",
            "",
        ),
        (
            "locked.der",
            "it is a private key in DER behind a passphrase",
            "openssl pkey -inform DER -in locked.der -out locked.der.pem",
            " -passin pass:x",
        ),
        ("bag.p12", "it is PKCS#12", "openssl pkcs12 -in bag.p12 -nodes -out bag.p12.pem", " -passin pass:x"),
        ("bag.p7b", "no private key", "", ""),
        ("own.csr", "holds no private key", "", ""),
        ("own.der", "holds no private key", "", ""),
        ("public.pem", "it is a public key; give the private key", "", ""),
        ("public.der", "it is a public key; give the private key", "", ""),
    ] {
        let said = site.refused("chain.pem", file);
        assert!(said.starts_with(&format!("{file}: cannot be used: it is")) && said.contains(what), "{said}");
        let (code, _, errors) = site.lockgate(&format!("cert show chain.pem --key {file}"));
        assert!(code == 78 && errors.contains(&said), "{errors}");
        let (found, _) = site.checked("chain.pem", file);
        assert!(found.iter().any(|(id, place)| id == "identity-unusable" && place == file), "{found:?}");
        if command.is_empty() {
            continue;
        }
        assert!(said.ends_with(&format!(": {command}")), "{said}");
        site.run(&format!("{command}{further}"));
        site.serves("chain.pem", command.rsplit(' ').next().unwrap());
    }
}

/// The same slip in the files of authorities: for clients, and for the check of a server.
#[test]
fn files_of_authorities_are_read_and_recognised_in_the_same_way() {
    let site = Site::new();
    site.run("openssl x509 -in ca.pem -outform DER -out ca.der");
    site.run("openssl crl2pkcs7 -nocrl -certfile ca.pem -outform DER -out ca.p7b");
    let joined = [site.read("between.pem").trim_end(), &site.read("ca.pem")].concat();
    site.write("joined.pem", &joined);
    site.write("bom.pem", [b"\xef\xbb\xbf", site.read("ca.pem").as_bytes()].concat());
    let serve = "serve --cert chain.pem --key key.pem --https 127.0.0.1:0 --http off";
    for (file, command) in [
        ("ca.der", "openssl x509 -inform DER -in ca.der -out ca.der.pem"),
        ("ca.p7b", "openssl pkcs7 -inform DER -print_certs -in ca.p7b -out ca.p7b.pem"),
    ] {
        let (code, _, errors) = site.lockgate(&format!("{serve} --client-ca {file}"));
        assert!(code == 78 && errors.trim_end().ends_with(command), "{errors}");
        let (code, _, errors) = site.lockgate(&format!("check https://127.0.0.1:1/ --ca {file}"));
        assert!(code == 3 && errors.contains(command), "{code} {errors}");
    }
    let words: Vec<&str> =
        serve.split(' ').chain(["--client-ca", "joined.pem", "--client-auth", "optional"]).collect();
    let mut command = lockgate(&words);
    command.current_dir(site.0.path());
    let mut server = Server::spawn(command);
    let port = server.https_port();
    for ca in ["joined.pem", "bom.pem"] {
        let (_, out, errors) = site.lockgate(&format!("check https://localhost:{port}/ --ca {ca} --json"));
        let report: Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{errors}"));
        must_hold(JSON_SCHEMA, &report);
        assert_eq!(report["facts"]["certificate"]["trusted"], "an authority of the given file", "{ca}");
    }
    let log = server.stop();
    let line = site.read("between.pem").lines().count();
    assert!(log.contains(&format!("joined.pem: line {line}: a section begins behind the END")), "{log}");
}

#[test]
fn names_that_no_client_can_ask_for_are_told_wherever_a_certificate_is_read() {
    let site = Site::new();
    let names = ["DNS:x", "https://x", "x:8443", "x/admin", "192.168.1.0/24", "*.*.example"];
    for name in names {
        let extensions =
            site.read("own.ext").replace("subjectAltName=DNS:localhost", "subjectAltName=@names");
        let of = |name: &str| format!("{extensions}[names]\nDNS.1=localhost\nDNS.2={name}\n");
        site.write("named.ext", of(name));
        site.run(
            "openssl x509 -req -in own.csr -CA between.pem -CAkey between.key -CAcreateserial -extfile named.ext -days 30 \
             -out named.pem",
        );
        site.write("named.pem", [site.read("named.pem"), site.read("between.pem")].concat());
        let (code, found) = site.shown("named.pem", "key.pem");
        assert_eq!((code, found), (2, vec![("unmatchable-name".into(), "certificate 1".into())]), "{name}");
        let (found, _) = site.checked("named.pem", "key.pem");
        assert!(found.contains(&("unmatchable-name".into(), "named.pem, certificate 1".into())), "{found:?}");
        let mut command = lockgate(&[
            "serve",
            "--cert",
            "named.pem",
            "--key",
            "key.pem",
            "--https=127.0.0.1:0",
            "--http=off",
        ]);
        command.current_dir(site.0.path());
        let mut server = Server::spawn(command);
        let port = server.https_port();
        let (_, out, errors) = site.lockgate(&format!("check https://localhost:{port}/ --ca ca.pem --json"));
        let report: Value =
            serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{errors}"));
        must_hold(JSON_SCHEMA, &report);
        assert!(findings(&report).iter().any(|(id, _)| id == "unmatchable-name"), "{out}");
        let log = server.stop();
        assert!(
            log.lines().any(|line| line.contains("WARN") && line.contains("(unmatchable-name)")),
            "{log}"
        );
    }
}

/// `cert csr` makes a request with a key that is there.
#[test]
fn a_key_that_no_request_can_be_made_with_is_told_by_its_true_reason() {
    let site = Site::new();
    site.run("openssl pkey -in key.pem -outform DER -out key.der && openssl genrsa -out small.pem 1024");
    site.run("openssl ec -in key.pem -out older.pem");
    for (key, words) in [
        ("key.der", "it is a private key in DER"),
        ("small.pem", "RSA of 1024 bits"),
        ("older.pem", "openssl pkey -in older.pem -out new-key.pem"),
        ("own.csr", "it is a request for a certificate"),
    ] {
        let (code, _, errors) = site.lockgate(&format!("cert csr --name a.example --key {key}"));
        assert!(code == 78 && errors.contains(words), "{key}: {errors}");
    }
    site.run("openssl pkey -in older.pem -out new-key.pem");
    assert_eq!(site.lockgate("cert csr --name a.example --key new-key.pem").0, 0);
}

#[test]
fn keys_are_read_by_their_structure_whatever_their_label() {
    let site = Site::new();
    let relabel = |from: &str, to: &str, label: &str| {
        let text = site.read(from);
        let own = text.split("-----").nth(1).unwrap().trim_start_matches("BEGIN ").to_string();
        site.write(to, text.replace(&own, label));
    };
    // Each key's own certificate.
    let pair = |make: &str| {
        site.run(&format!("{make} -out made.key"));
        site.run("openssl req -new -key made.key -subj /CN=own -out made.csr");
        site.issue("made.csr", "made.pem");
        site.write("made-chain.pem", [site.read("made.pem"), site.read("between.pem")].concat());
    };
    for curve in ["P-256", "P-384"] {
        pair(&format!("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve}"));
        for (line, label) in [
            ("openssl ec -in made.key -no_public -out odd.key", ""),
            ("openssl ec -in made.key -no_public | openssl pkcs8 -topk8 -nocrypt -out odd.key", ""),
            ("openssl ec -in made.key -out odd.key", "PRIVATE KEY"),
            ("openssl pkey -in made.key -out odd.key", "EC PRIVATE KEY"),
            ("openssl pkey -in made.key -out odd.key", "RSA PRIVATE KEY"),
            ("openssl ec -in made.key -param_enc explicit -out odd.key", ""),
            ("openssl ec -in made.key -param_enc explicit -no_public -out odd.key", ""),
            ("openssl ec -in made.key -conv_form compressed -out odd.key", ""),
            ("openssl pkey -in made.key -ec_param_enc explicit -out odd.key", ""),
        ] {
            site.run(line);
            if !label.is_empty() {
                relabel("odd.key", "odd.key", label);
            }
            assert_eq!(site.shown("made-chain.pem", "odd.key").1, [], "{line} {label}");
            site.serves("made-chain.pem", "odd.key");
            // In the place of another's key it is told as what it is.
            let said = site.refused("chain.pem", "odd.key");
            assert!(said.contains("does not belong to the certificate"), "{line}: {said}");
            let (_, out, _) = site.lockgate("cert show chain.pem --key odd.key");
            assert!(out.contains("key-mismatch"), "{line}: {out}");
        }
    }
    pair("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048");
    for (line, label) in [
        ("openssl rsa -in made.key -traditional -out odd.key", "PRIVATE KEY"),
        ("openssl pkey -in made.key -out odd.key", "RSA PRIVATE KEY"),
        ("openssl pkey -in made.key -out odd.key", "EC PRIVATE KEY"),
    ] {
        site.run(line);
        relabel("odd.key", "odd.key", label);
        assert_eq!(site.shown("made-chain.pem", "odd.key").1, [], "{line} {label}");
        site.serves("made-chain.pem", "odd.key");
    }
}

#[test]
fn a_key_that_cannot_be_used_is_told_by_its_true_reason() {
    let site = Site::new();
    for (make, why) in [
        ("openssl genrsa -3 2048", "RSA of 2048 bits with the public exponent 3; "),
        ("openssl genrsa -primes 3 2048", "RSA with more than two primes; "),
        ("openssl genrsa 1024", "RSA of 1024 bits; "),
        ("openssl ecparam -genkey -noout -name secp521r1", "ECDSA on the curve P-521; "),
        ("openssl ecparam -genkey -noout -name secp256k1", "ECDSA on the curve secp256k1; "),
        (
            "openssl ecparam -genkey -noout -name secp256k1 -param_enc explicit",
            "ECDSA on the curve that is written out in it; ",
        ),
        ("openssl genpkey -algorithm ED448", "Ed448; "),
        ("openssl genpkey -algorithm X25519", "X25519; "),
        ("openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048", "RSA-PSS; "),
    ] {
        site.run(&format!("{make} > bad.key 2>/dev/null"));
        let said = site.refused("chain.pem", "bad.key");
        assert!(said.contains(why) && said.contains("it must be ECDSA P-256 or P-384"), "{make}: {said}");
        let (_, _, errors) = site.lockgate("cert show chain.pem --key bad.key");
        assert!(errors.contains(&said), "{make}: {errors}");
    }
    // Base64 and one SEQUENCE, and nothing that is known.
    site.write("bad.key", "-----BEGIN PRIVATE KEY-----\nMAMBAf8=\n-----END PRIVATE KEY-----\n");
    let said = site.refused("chain.pem", "bad.key");
    assert!(
        said.contains("none of PKCS#8, PKCS#1 and SEC 1")
            && said.ends_with("openssl pkey -in bad.key -out bad.key.pem"),
        "{said}"
    );
    site.run(
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:x -out locked.pem",
    );
    let said = site.refused("chain.pem", "locked.pem");
    assert!(said.contains("(openssl pkey -in locked.pem -out locked.new.pem)"), "{said}");
}
