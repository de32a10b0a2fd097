//! Client certificates with real clients: curl, openssl s_client and Node against the built command, with an authority made by
//! openssl. A test whose program is missing is left out, and says so (see `peers`).

mod support_command;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use support_command::certificates::{Authority, Pair};
use support_command::peers::{CURL, NODE, OPENSSL};
use support_command::{lockgate, outcome, run, serve_line, text, Server, BODY};

const DAY: i64 = 24 * 60 * 60;
const GET_AND_CLOSE: &[u8] = b"GET /api/data HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The command as it serves with these options, and the authority of its own certificate.
struct Site {
    authority: Authority,
    server: Server,
    url: String,
}

impl Site {
    fn serve(options: &[&str]) -> Site {
        let authority = Authority::new();
        let mut server = Server::serve(&authority.pair("site"), options);
        let url = format!("https://localhost:{}/api/data", server.https_port());
        Site { authority, server, url }
    }

    fn port(&self) -> &str {
        self.url.trim_start_matches("https://").split('/').next().unwrap()
    }

    /// curl's exit code and what it was given.
    fn curl(&self, test: &str, options: &[&str]) -> Option<(i32, String)> {
        let fixed =
            ["--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", "50", "--cacert"];
        let mut curl = CURL.command(test, &fixed)?;
        curl.arg(&self.authority.ca).args(options).arg(&self.url);
        let (code, body, _) = outcome(curl, b"");
        Some((code, body))
    }
}

fn shown<'a>(cert: &'a Path, key: &'a Path) -> [&'a str; 4] {
    ["--cert", text(cert), "--key", text(key)]
}

fn of_pair(pair: &Pair) -> [&str; 4] {
    shown(&pair.cert, &pair.key)
}

#[test]
fn curl_is_answered_with_a_good_certificate_only() {
    let test = "curl_is_answered_with_a_good_certificate_only";
    let (clients, others) = (Authority::named("clients"), Authority::named("others"));
    let revoked = clients.client("revoked");
    let crl = clients.crl("crl", &[&revoked], DAY);
    let mut site = Site::serve(&["--client-ca", text(&clients.ca), "--client-crl", text(&crl)]);
    let good = clients.client("good");
    for version in ["1.2", "1.3"] {
        let with = |site: &Site, options: &[&str]| {
            let limit = ["--tls-max", version, if version == "1.2" { "--tlsv1.2" } else { "--tlsv1.3" }];
            site.curl(test, &[&limit, options].concat())
        };
        let Some(answer) = with(&site, &of_pair(&good)) else { return };
        assert_eq!(answer, (0, BODY.to_string()), "{version}");
        for (options, why) in [
            (&[][..], "refused, it has shown no certificate"),
            (&of_pair(&others.client("foreign")), "refused, its certificate is of no authority"),
            (&of_pair(&clients.client_valid("old", -2 * DAY, -DAY)), "refused, its certificate has expired"),
            (&of_pair(&revoked), "refused, its certificate is revoked"),
        ] {
            let (code, body) = with(&site, options).unwrap();
            assert!(code != 0 && body.is_empty(), "{version} {why}: {code} {body}");
            let line = site.server.stderr.expect(why);
            assert!(line.contains("INFO") && line.contains("127.0.0.1:"), "{line}");
        }
    }
}

#[test]
fn curl_may_come_without_a_certificate_where_it_is_optional() {
    let test = "curl_may_come_without_a_certificate_where_it_is_optional";
    let (clients, others) = (Authority::named("clients"), Authority::named("others"));
    let mut site = Site::serve(&["--client-ca", text(&clients.ca), "--client-auth", "optional"]);
    let Some(answer) = site.curl(test, &[]) else { return };
    assert_eq!(answer, (0, BODY.to_string()));
    assert_eq!(site.curl(test, &of_pair(&clients.client("good"))), Some((0, BODY.to_string())));
    assert_ne!(site.curl(test, &of_pair(&others.client("foreign"))).unwrap().0, 0);
    site.server.stderr.expect("refused, its certificate is of no authority");
}

#[test]
fn node_shows_its_certificate_and_learns_why_it_is_refused() {
    const SCRIPT: &str = "
        const [url, ca, cert, key] = process.argv.slice(1);
        const read = (path) => path && require('fs').readFileSync(path);
        const options = { ca: read(ca), cert: read(cert), key: read(key) };
        require('https').get(url, options, (response) => response.pipe(process.stdout))
            .on('error', (error) => console.log(error.code));";
    let clients = Authority::named("clients");
    let site = Site::serve(&["--client-ca", text(&clients.ca)]);
    let good = clients.client("good");
    for (pair, expected) in [
        (&[text(&good.cert), text(&good.key)][..], BODY),
        (&[], "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED\n"),
    ] {
        let line = [&["-e", SCRIPT, &site.url, text(&site.authority.ca)], pair].concat();
        let Some(node) = NODE.command("node_shows_its_certificate_and_learns_why_it_is_refused", &line)
        else {
            return;
        };
        assert_eq!(outcome(node, b""), (0, expected.to_string(), String::new()));
    }
}

/// An authority as openssl keeps one: its folder.
struct OpensslAuthority {
    dir: TempDir,
}

impl OpensslAuthority {
    fn new(test: &str) -> Option<OpensslAuthority> {
        OPENSSL.command(test, &[])?;
        let authority = OpensslAuthority { dir: TempDir::new().unwrap() };
        let dir = authority.dir.path().display();
        let configuration = format!(
            "[ca]\ndefault_ca=own\n[own]\ndatabase={dir}/index\ncrlnumber={dir}/number\ncertificate={dir}/ca.pem\n\
             private_key={dir}/ca.key\ndefault_md=sha256\ndefault_crl_days=30\ncrl_extensions=crl\n\
             [crl]\nauthorityKeyIdentifier=keyid\n[client]\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:pump.test\n"
        );
        fs::write(authority.file("cnf"), configuration).unwrap();
        fs::write(authority.file("index"), "").unwrap();
        fs::write(authority.file("number"), "01\n").unwrap();
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=plant -keyout DIR/ca.key \
             -out DIR/ca.pem -addext keyUsage=critical,keyCertSign,cRLSign",
        );
        authority.openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=pump -keyout DIR/key -out DIR/csr");
        authority.openssl(
            "x509 -req -in DIR/csr -CA DIR/ca.pem -CAkey DIR/ca.key -days 10 -extfile DIR/cnf -extensions client -out DIR/cert",
        );
        authority.release();
        Some(authority)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn openssl(&self, line: &str) {
        let mut openssl = Command::new("openssl");
        openssl.args(line.replace("DIR", text(self.dir.path())).split(' '));
        let output = run(openssl, b"");
        assert!(output.status.success(), "{line}: {output:?}");
    }

    /// Writes the revocation list anew: PEM, and the same as DER.
    fn release(&self) {
        self.openssl("ca -config DIR/cnf -gencrl -out DIR/crl.pem");
        self.openssl("crl -in DIR/crl.pem -outform DER -out DIR/new");
        fs::rename(self.file("new"), self.file("crl.der")).unwrap();
    }
}

#[test]
fn openssl_is_shut_out_when_its_own_authority_revokes_it_ticket_or_not() {
    let test = "openssl_is_shut_out_when_its_own_authority_revokes_it_ticket_or_not";
    for version in ["-tls1_3", "-tls1_2"] {
        let Some(authority) = OpensslAuthority::new(test) else { return };
        let file = |name| authority.file(name);
        let list = if version == "-tls1_3" { "crl.pem" } else { "crl.der" };
        let mut site =
            Site::serve(&["--client-ca", text(&file("ca.pem")), "--client-crl", text(&file(list))]);
        let connect = |site: &Site, session: &[&str]| {
            let (cert, key) = (file("cert"), file("key"));
            let line = ["s_client", "-connect", site.port(), "-CAfile", text(&site.authority.ca), version];
            let shown = ["-cert", text(&cert), "-key", text(&key), "-ign_eof"];
            let openssl = OPENSSL.command(test, &[&line, &shown[..], session].concat()).unwrap();
            outcome(openssl, GET_AND_CLOSE)
        };
        let session = file("session");
        let (code, said, _) = connect(&site, &["-sess_out", text(&session)]);
        assert!(code == 0 && said.contains("New, TLSv1.") && said.contains(BODY), "{version}: {said}");
        let (code, said, _) = connect(&site, &["-sess_in", text(&session)]);
        assert!(code == 0 && said.contains("Reused, TLSv1.") && said.contains(BODY), "{version}: {said}");

        authority.openssl("ca -config DIR/cnf -revoke DIR/cert");
        authority.release();
        site.server.signal(Signal::HUP);
        site.server.stderr.expect("certificates are loaded again");
        let (code, said, errors) = connect(&site, &["-sess_in", text(&session)]);
        assert!(!said.contains("Reused") && !said.contains(BODY), "{version}: {said}");
        assert!(code != 0 || errors.contains("certificate revoked"), "{version}: {code} {errors}");
        site.server.stderr.expect("refused, its certificate is revoked");
    }
}

#[test]
fn a_wrong_command_line_or_file_ends_it_and_says_what_is_wrong() {
    let clients = Authority::named("clients");
    let (pair, leaf) = (clients.pair("site"), clients.client("leaf"));
    let ends = |options: &[&str]| {
        let (code, said, errors) = outcome(lockgate(&[&serve_line(&pair)[..], options].concat()), b"");
        assert_eq!(said, "", "{options:?}");
        (code, errors)
    };
    for options in [&["--client-auth", "optional"][..], &["--client-crl", "x"]] {
        let (code, errors) = ends(options);
        assert!(code == 2 && errors.contains("--client-ca FILE is missing"), "{code} {errors}");
        assert!(errors.contains(options[0]), "{errors}");
    }
    let (code, errors) = ends(&["--client-ca", text(&clients.ca), "--client-auth", "maybe"]);
    assert!(code == 2 && errors.contains("required or optional"), "{code} {errors}");
    let (code, errors) = ends(&["--client-ca", text(&leaf.cert)]);
    assert!(
        code == 78 && errors.contains(&format!("{}: certificate 1", text(&leaf.cert))),
        "{code} {errors}"
    );
    let late = clients.crl("late", &[], -1);
    let (code, errors) = ends(&["--client-ca", text(&clients.ca), "--client-crl", text(&late)]);
    assert!(
        code == 78 && errors.contains(&format!("{}: the revocation list", text(&late))),
        "{code} {errors}"
    );
}
