//! The findings with other servers: OpenSSL, nginx and Node, from Debian.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lockgate::check::{Check, Report, JSON_SCHEMA};
use tempfile::TempDir;

use crate::support_command::peers::{NGINX, NODE, OPENSSL};
use crate::support_command::schema::must_hold;
use crate::support_command::{run, text, Server, SAFETY};

/// Certificates as OpenSSL makes them, in files.
pub struct Files {
    dir: TempDir,
}

impl Files {
    /// An authority, and a certificate of this kind of key and hash under it; `None` when there is no OpenSSL.
    pub fn make(test: &str, key: &str, hash: &str) -> Option<Files> {
        let files = Files { dir: TempDir::new().unwrap() };
        let names = "basicConstraints=critical,CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\n\
                     extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n\
                     authorityKeyIdentifier=keyid\n";
        fs::write(files.path("names"), names).unwrap();
        let [ca, ca_key, cert, own_key, request, names] =
            ["ca.pem", "ca.key", "cert.pem", "key.pem", "request.pem", "names"].map(|name| files.path(name));
        let (ca, ca_key, cert, own_key) = (text(&ca), text(&ca_key), text(&cert), text(&own_key));
        let (request, names) = (text(&request), text(&names));
        for line in [
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-sha256",
                "-days",
                "100",
                "-subj",
                "/CN=peers root",
                "-addext",
                "keyUsage=critical,keyCertSign,cRLSign",
                "-keyout",
                ca_key,
                "-out",
                ca,
            ][..],
            &["req", "-newkey", key, "-nodes", "-subj", "/CN=localhost", "-keyout", own_key, "-out", request],
            &[
                "x509",
                "-req",
                "-in",
                request,
                "-CA",
                ca,
                "-CAkey",
                ca_key,
                "-CAcreateserial",
                hash,
                "-days",
                "90",
                "-extfile",
                names,
                "-out",
                cert,
            ],
        ] {
            let output = run(OPENSSL.command(test, line)?, b"");
            assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Some(files)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A further certificate of the same authority, for an ECDSA key, and that key.
    pub fn beside(&self, test: &str, name: &str) -> Option<(PathBuf, PathBuf)> {
        let [cert, key, request] =
            ["cert", "key", "request"].map(|part| self.path(&format!("{name}-{part}.pem")));
        let [ca, ca_key, names] = ["ca.pem", "ca.key", "names"].map(|name| self.path(name));
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let files = ["-keyout", text(&key), "-out", text(&request)];
        let requested = [&["req"][..], &curve, &["-subj", "/CN=localhost"], &files].concat();
        let by = ["-CA", text(&ca), "-CAkey", text(&ca_key), "-CAcreateserial", "-sha256", "-days", "90"];
        let of = ["-in", text(&request), "-extfile", text(&names), "-out", text(&cert)];
        let signed = [&["x509", "-req"][..], &by, &of].concat();
        for line in [requested, signed] {
            let output = run(OPENSSL.command(test, &line)?, b"");
            assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Some((cert, key))
    }

    /// `openssl s_server` with these further arguments, and its port.
    pub fn s_server(&self, test: &str, arguments: &[&str]) -> Option<(Server, u16)> {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let line = ["s_server", "-accept", "127.0.0.1:0", "-cert", text(&cert), "-key", text(&key), "-www"];
        let mut server = Server::spawn(OPENSSL.command(test, &[&line[..], arguments].concat())?);
        let said = server.stdout.expect("ACCEPT");
        let port = said.rsplit(':').next().unwrap().parse().unwrap_or_else(|_| panic!("{said}"));
        Some((server, port))
    }

    pub fn check(&self, port: u16, http_port: Option<u16>) -> Report {
        let check = Check::new(format!("https://localhost:{port}/"))
            .connect(Ipv4Addr::LOCALHOST.into(), None)
            .http_port(http_port)
            .ca_file(self.path("ca.pem"))
            // `s_server -www` never answers HEAD, and serves one client at a time.
            .phase_timeout(Duration::from_secs(2))
            .timeout(SAFETY);
        let report = check.run().unwrap();
        assert!(report.connections() <= 48);
        must_hold(JSON_SCHEMA, &report.to_json());
        report
    }
}

fn ids(report: &Report) -> Vec<&'static str> {
    report.findings().iter().map(|finding| finding.id()).collect()
}

/// The findings that are in `wanted`; other findings are about `s_server` itself.
fn of<'a>(report: &Report, wanted: &[&'a str]) -> Vec<&'a str> {
    let ids = ids(report);
    wanted.iter().copied().filter(|id| ids.contains(id)).collect()
}

const WEAK: [&str; 12] = [
    "ssl-3",
    "tls-1-0",
    "tls-1-1",
    "no-tls-1-3",
    "rc4-cipher",
    "des-cipher",
    "null-cipher",
    "export-cipher",
    "anonymous-cipher",
    "no-forward-secrecy",
    "cbc-cipher",
    "handshake-fails",
];

#[test]
fn openssl_as_it_can_still_be_set_up_is_seen_through() {
    let test = "openssl_as_it_can_still_be_set_up_is_seen_through";
    let Some(files) = Files::make(test, "rsa:2048", "-sha256") else { return };
    const GOOD: &str = "ECDHE+AESGCM";
    for (arguments, expected) in [
        (&["-cipher", GOOD][..], &[][..]),
        (&["-cipher", GOOD, "-no_tls1_3"], &["no-tls-1-3"]),
        (
            &["-tls1", "-cipher", "DEFAULT:@SECLEVEL=0"],
            &["tls-1-0", "no-forward-secrecy", "cbc-cipher", "handshake-fails"],
        ),
        (
            &["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"],
            &["tls-1-1", "no-forward-secrecy", "cbc-cipher", "handshake-fails"],
        ),
        (&["-cipher", "ECDHE+AESGCM:ECDHE-RSA-AES128-SHA"], &["cbc-cipher"]),
        (&["-cipher", "ECDHE+AESGCM:AES128-GCM-SHA256"], &["no-forward-secrecy"]),
        (&["-cipher", "ECDHE+AESGCM:NULL-SHA256:@SECLEVEL=0"], &["null-cipher"]),
        (&["-cipher", "ECDHE+AESGCM:ADH-AES128-GCM-SHA256:@SECLEVEL=0"], &["anonymous-cipher"]),
    ] {
        let Some((_server, port)) = files.s_server(test, arguments) else { return };
        let report = files.check(port, None);
        assert_eq!(of(&report, &WEAK), expected, "{arguments:?}: {:?}", ids(&report));
    }
}

#[test]
fn certificates_of_old_kinds_are_found() {
    let test = "certificates_of_old_kinds_are_found";
    const KINDS: [&str; 4] = ["weak-key", "weak-signature", "key-unproven", "untrusted-authority"];
    for (key, hash, expected) in [
        ("rsa:2048", "-sha256", &[][..]),
        ("rsa:1024", "-sha256", &["weak-key"]),
        ("rsa:2048", "-sha1", &["weak-signature"]),
    ] {
        let Some(files) = Files::make(test, key, hash) else { return };
        let Some((_server, port)) = files.s_server(test, &["-cipher", "DEFAULT:@SECLEVEL=0"]) else { return };
        let report = files.check(port, None);
        assert_eq!(of(&report, &KINDS), expected, "{key} {hash}: {:?}", ids(&report));
    }
}

#[test]
fn a_client_certificate_that_openssl_asks_for_is_noticed() {
    let test = "a_client_certificate_that_openssl_asks_for_is_noticed";
    let Some(files) = Files::make(test, "rsa:2048", "-sha256") else { return };
    for version in ["-tls1_2", "-tls1_3"] {
        for (arguments, expected) in [(&[version, "-verify", "1"][..], true), (&[version], false)] {
            let Some((_server, port)) = files.s_server(test, arguments) else { return };
            let found = ids(&files.check(port, None)).contains(&"client-certificate-asked");
            assert_eq!(found, expected, "{arguments:?}");
        }
    }
}

/// nginx with these server blocks, in which PORT and PLAIN are its ports.
pub struct Nginx {
    _server: Server,
    pub port: u16,
    plain: u16,
}

impl Nginx {
    fn start(test: &str, files: &Files, blocks: &str) -> Option<Nginx> {
        Nginx::start_in(test, files.dir.path(), blocks)
    }

    /// With cert.pem and key.pem of this folder.
    pub fn start_in(test: &str, dir: &Path, blocks: &str) -> Option<Nginx> {
        // Another program may take a port between its choice and its use.
        for _ in 0..5 {
            let held = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
            let [port, plain] = held.map(|listener| listener.local_addr().unwrap().port());
            let conf = dir.join("nginx.conf");
            fs::write(
                &conf,
                configuration(
                    dir,
                    &blocks.replace("PORT", &port.to_string()).replace("PLAIN", &plain.to_string()),
                ),
            )
            .unwrap();
            let error = dir.join("error");
            let line = ["-c", text(&conf), "-p", text(dir), "-e", text(&error)];
            let mut command: Command = NGINX.command(test, &line)?;
            let output = File::create(dir.join("output")).unwrap();
            let mut child =
                command.stdout(Stdio::null()).stderr(output).stdin(Stdio::null()).spawn().unwrap();
            let until = Instant::now() + SAFETY;
            let is_ready = loop {
                if child.try_wait().unwrap().is_some() {
                    break false;
                }
                if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                    break true;
                }
                assert!(Instant::now() < until, "nginx does not listen");
                std::thread::sleep(Duration::from_millis(5));
            };
            if is_ready {
                return Some(Nginx { _server: Server::watch(child), port, plain });
            }
            eprintln!("nginx does not start: {}", fs::read_to_string(dir.join("output")).unwrap());
        }
        panic!("nginx does not start");
    }
}

fn configuration(dir: &Path, blocks: &str) -> String {
    let dir = text(dir);
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|of| format!("    {of}_temp_path {dir}/temp;\n"))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log {dir}/error;\nevents {{}}\nhttp {{\n{temp}
    access_log off;
    ssl_certificate {dir}/cert.pem;
    ssl_certificate_key {dir}/key.pem;
    ssl_session_cache shared:tls:1m;
{blocks}
}}\n"
    )
}

#[test]
fn nginx_as_in_guides_has_findings_and_nginx_as_recommended_has_none() {
    let test = "nginx_as_in_guides_has_findings_and_nginx_as_recommended_has_none";
    let Some(files) = Files::make(test, "rsa:2048", "-sha256") else { return };
    const HTTPS: &str = "server { listen 127.0.0.1:PORT ssl; server_name localhost; ssl_protocols TLSv1.2 TLSv1.3;
        ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20; default_type application/json; location / { return 200 '{}'; } }";
    const OLD: &str = "server { listen 127.0.0.1:PORT ssl; ssl_protocols TLSv1 TLSv1.1 TLSv1.2;
        ssl_ciphers DEFAULT:@SECLEVEL=0; location / { return 200 '{}'; } }";
    const REFUSES: &str = "if ($http_authorization) { return 403; }";
    for (https, http, expected) in [
        (
            HTTPS,
            format!("{REFUSES} return 308 https://localhost:PORT$request_uri;"),
            &["no-post-quantum"][..],
        ),
        (
            HTTPS,
            "return 301 https://$host$request_uri;".to_string(),
            &[
                "http-redirect-port",
                "http-foreign-host",
                "http-post-becomes-get",
                "http-credentials-redirected",
                "no-post-quantum",
            ],
        ),
        (
            HTTPS,
            "location / { return 200 '{}'; }".to_string(),
            &["http-content", "http-credentials-accepted", "no-post-quantum"],
        ),
        (
            OLD,
            format!("{REFUSES} return 308 https://localhost:PORT$request_uri;"),
            &["tls-1-0", "tls-1-1", "no-forward-secrecy", "no-tls-1-3", "cbc-cipher"],
        ),
    ] {
        let blocks = format!("{https}\nserver {{ listen 127.0.0.1:PLAIN; {http} }}");
        let Some(nginx) = Nginx::start(test, &files, &blocks) else { return };
        let report = files.check(nginx.port, Some(nginx.plain));
        let mut found = ids(&report);
        found.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{blocks}");
    }
}

#[test]
fn node_as_it_comes_is_looked_at() {
    let test = "node_as_it_comes_is_looked_at";
    let Some(files) = Files::make(test, "rsa:2048", "-sha256") else { return };
    let program = "
        const fs = require('fs'), [dir, ciphers] = process.argv.slice(1);
        const options = { cert: fs.readFileSync(dir + '/cert.pem'), key: fs.readFileSync(dir + '/key.pem') };
        if (ciphers) Object.assign(options, { ciphers, ALPNProtocols: ['http/1.1'] });
        const app = (req, res) => { res.setHeader('Content-Type', 'application/json'); res.end('{}'); };
        const server = require('https').createServer(options, app);
        server.listen(0, '127.0.0.1', () => console.log('listens on :' + server.address().port));";
    for (ciphers, expected) in
        [("", &["no-forward-secrecy", "cbc-cipher"][..]), ("ECDHE+AESGCM:ECDHE+CHACHA20", &[])]
    {
        let line = ["-e", program, text(files.dir.path()), ciphers];
        let Some(command) = NODE.command(test, &line) else { return };
        let mut server = Server::spawn(command);
        let said = server.stdout.expect("listens on");
        let port = said.rsplit(':').next().unwrap().parse().unwrap();
        let report = files.check(port, None);
        let about = [
            "no-forward-secrecy",
            "cbc-cipher",
            "no-alpn",
            "tls-1-0",
            "tls-1-1",
            "head-wrong",
            "date-missing",
        ];
        assert_eq!(of(&report, &about), expected, "{:?}", ids(&report));
        assert!(ids(&report).contains(&"plain-http-unreadable"), "Node closes without a word");
    }
}
