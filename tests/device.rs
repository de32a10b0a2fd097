//! The device identity as its users see it: `lockgate serve --device` and `lockgate cert ca`, with real clients that trust the
//! device's CA, with a wrong clock, and with a damaged or missing state directory.

mod support_command;

use std::fs;
use std::os::unix::fs::{chown, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use rustls::pki_types::{pem::PemObject, CertificateDer};
use tempfile::TempDir;

use support_command::client::Client;
use support_command::clock::Clock;
use support_command::peers::{self, leave_out, CERTUTIL, CURL, GNUTLS, NODE, OPENSSL, PYTHON, UNSHARE};
use support_command::{lockgate, of_program, outcome, text, Server, BODY};

/// The user without any permission (Debian: nobody).
const NOBODY: u32 = 65_534;

/// A device and its state directory, which is not there at first.
struct Device {
    dir: TempDir,
}

impl Device {
    fn new() -> Device {
        Device { dir: TempDir::new().unwrap() }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.state().join(name)
    }

    fn contents(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).unwrap()
    }

    fn ca(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.file("ca.pem")).unwrap()
    }

    /// Its command line, with further arguments.
    fn command(&self, further: &[&str]) -> Command {
        let state = self.state();
        let line = ["serve", "--device", "--state", text(&state), "--https", "127.0.0.1:0", "--http", "off"];
        lockgate(&[&line[..], further].concat())
    }

    /// Boots it: the server, and its port.
    fn boot(&self, further: &[&str]) -> (Server, u16) {
        up(self.command(further))
    }

    /// As a client that trusts its CA sees it.
    fn leaf(&self, port: u16) -> CertificateDer<'static> {
        let mut client = Client::connect(port, &self.ca());
        client.get();
        client.certificate()
    }

    fn openssl(&self, test: &str, arguments: &[&str]) -> Option<(i32, String)> {
        let mut openssl = OPENSSL.command(test, arguments)?;
        openssl.current_dir(self.state());
        let (code, said, errors) = outcome(openssl, b"");
        Some((code, said + &errors))
    }
}

fn up(command: Command) -> (Server, u16) {
    let mut server = Server::spawn(command);
    let port = server.https_port();
    (server, port)
}

/// Names as the tests give them beside those of the machine.
const NAMES: [&str; 6] = ["--name", "gate.example", "--name", "127.9.9.9", "--name", "192.0.2.99"];

// Clients that trust the CA.

#[test]
fn curl_believes_it_for_its_names_and_addresses_and_no_others() {
    let test = "curl_believes_it_for_its_names_and_addresses_and_no_others";
    let device = Device::new();
    let (_server, port) = device.boot(&NAMES);
    let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let local = format!("{}.local", host.split('.').next().unwrap());
    for (host, believed) in [
        ("localhost", true),
        ("127.0.0.1", true),
        ("[::1]", true),
        ("gate.example", true),
        ("127.9.9.9", true),
        ("192.0.2.99", true),
        (&local, true),
        ("other.example", false),
        ("192.0.2.98", false),
    ] {
        for trusted in [true, false] {
            let Some(mut curl) = CURL.command(test, &["--silent", "--show-error", "--globoff"]) else {
                return;
            };
            let ca =
                if trusted { device.file("ca.pem") } else { "/etc/ssl/certs/ca-certificates.crt".into() };
            curl.args(["--connect-to", &format!("::127.0.0.1:{port}"), "--cacert", text(&ca)]);
            curl.arg(format!("https://{host}:{port}/api/data"));
            let (code, body, errors) = outcome(curl, b"");
            if believed && trusted {
                assert_eq!((code, body.as_str()), (0, BODY), "{host}: {errors}");
            } else {
                // 60: not believed; 77: this machine has no list of authorities at all.
                assert!(matches!(code, 60 | 77) && body.is_empty(), "{host}: {code} {body} {errors}");
            }
        }
    }
}

#[test]
fn openssl_accepts_it_at_its_strictest() {
    let test = "openssl_accepts_it_at_its_strictest";
    let device = Device::new();
    let (_server, port) = device.boot(&NAMES);
    let strict = ["-x509_strict", "-purpose", "sslserver", "-CAfile", "ca.pem"];
    for name in [["-verify_hostname", "gate.example"], ["-verify_ip", "192.0.2.99"], ["-verify_ip", "::1"]] {
        let line = [&["verify"][..], &strict, &name, &["cert.pem"]].concat();
        let Some(verified) = device.openssl(test, &line) else { return };
        assert_eq!(verified, (0, "cert.pem: OK\n".to_string()));
    }
    let address = format!("127.0.0.1:{port}");
    let line = [
        &["s_client", "-connect", &address, "-verify_return_error", "-verify_hostname", "localhost"][..],
        &strict,
    ];
    let Some((code, said)) = device.openssl(test, &line.concat()) else { return };
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
}

#[test]
fn node_believes_it() {
    const SCRIPT: &str = r#"
        const https = require('https');
        const ca = require('fs').readFileSync(process.argv[1]);
        const [port, host] = process.argv.slice(2);
        https.get({ host: '127.0.0.1', port, servername: host, ca, path: '/api/data' }, response => {
            response.on('data', piece => process.stdout.write(piece));
        });
    "#;
    let device = Device::new();
    let (_server, port) = device.boot(&NAMES);
    for host in ["localhost", "gate.example"] {
        let (ca, port) = (device.file("ca.pem"), port.to_string());
        let Some(node) = NODE.command("node_believes_it", &["-e", SCRIPT, text(&ca), &port, host]) else {
            return;
        };
        assert_eq!(outcome(node, b""), (0, BODY.to_string(), String::new()), "{host}");
    }
}

#[test]
fn python_believes_it_at_its_strictest() {
    const SCRIPT: &str = r#"
import http.client, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.verify_flags |= ssl.VERIFY_X509_STRICT
for host in ["localhost", "127.0.0.1"]:
    connection = http.client.HTTPSConnection(host, int(sys.argv[2]), context=context)
    connection.request("GET", "/api/data")
    print(connection.getresponse().read().decode())
"#;
    let device = Device::new();
    let (_server, port) = device.boot(&[]);
    let (ca, port) = (device.file("ca.pem"), port.to_string());
    let Some(python) = PYTHON.command("python_believes_it", &["-c", SCRIPT, text(&ca), &port]) else {
        return;
    };
    assert_eq!(outcome(python, b""), (0, format!("{BODY}\n{BODY}\n"), String::new()));
}

#[test]
fn chromium_believes_it_once_the_ca_is_in_its_store() {
    let test = "chromium_believes_it_once_the_ca_is_in_its_store";
    let device = Device::new();
    let (_server, port) = device.boot(&NAMES);
    for (host, trusted) in [
        ("localhost", false),
        ("localhost", true),
        ("127.0.0.1", true),
        ("gate.example", true),
        ("192.0.2.99", true),
        ("other.example", false),
    ] {
        let ca = device.file("ca.pem");
        let own = [&ca];
        let authorities = if host == "localhost" && !trusted { &[][..] } else { &own };
        let Some(page) = device.chromium(test, authorities, port, host) else { return };
        assert_eq!(page.contains(BODY), trusted, "{host}: {page}");
    }
}

impl Device {
    /// The page that Chromium shows for this host, at this port, when it trusts these authorities. `None` without Chromium.
    fn chromium(&self, test: &str, authorities: &[&PathBuf], port: u16, host: &str) -> Option<String> {
        let home = TempDir::new_in(self.dir.path()).unwrap();
        let store = home.path().join(".pki/nssdb");
        fs::create_dir_all(&store).unwrap();
        let database = format!("sql:{}", store.display());
        let certutil = CERTUTIL.command(test, &["-d", &database, "-N", "--empty-password"])?;
        assert_eq!(outcome(certutil, b"").0, 0);
        for ca in authorities {
            let add = ["-d", &database, "-A", "-t", "C,,", "-n", "device", "-i", text(ca)];
            assert_eq!(outcome(CERTUTIL.command(test, &add)?, b"").0, 0);
        }
        let url = format!("https://{host}:{port}/api/data");
        let chromium =
            peers::chromium(test, home.path(), &format!("127.0.0.1:{port}"), &["--dump-dom", &url])?;
        Some(outcome(chromium, b"").1)
    }
}

impl Device {
    /// Signs x.pem for x.key with the device's CA, as somebody does who has stolen its key. `None` without openssl.
    fn sign(&self, test: &str, names: &str) -> Option<()> {
        let names = format!("subjectAltName={names}");
        let request = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let further = ["-keyout", "x.key", "-subj", "/CN=x", "-addext", &names, "-out", "x.csr"];
        self.openssl(test, &[&request[..], &further].concat()).filter(|(code, _)| *code == 0)?;
        let sign = ["x509", "-req", "-in", "x.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem"];
        let further = ["-copy_extensions", "copy", "-days", "30", "-out", "x.pem"];
        let (code, said) = self.openssl(test, &[&sign[..], &further].concat())?;
        assert_eq!(code, 0, "{said}");
        Some(())
    }
}

#[test]
fn what_is_signed_with_its_ca_beyond_its_names_is_refused() {
    let test = "what_is_signed_with_its_ca_beyond_its_names_is_refused";
    let device = Device::new();
    device.boot(&["--name", "camera"]);
    for (name, refused_as) in [
        ("DNS:evil.example", Some("permitted subtree violation")),
        ("IP:198.51.100.7", Some("permitted subtree violation")),
        ("DNS:shop.camera", Some("excluded subtree violation")),
        ("DNS:camera", None),
        ("DNS:x.local", None),
        ("IP:10.9.9.9", None),
    ] {
        let Some(()) = device.sign(test, name) else { return };
        let (code, said) = device.openssl(test, &["verify", "-CAfile", "ca.pem", "x.pem"]).unwrap();
        assert_eq!(code != 0, refused_as.is_some(), "{name}: {said}");
        assert!(said.contains(refused_as.unwrap_or("x.pem: OK")), "{name}: {said}");
    }
}

/// The public top-level domain `camera` is not the device's, though it is called `camera`.
#[test]
fn clients_believe_a_host_name_of_one_label_and_nothing_below_it() {
    const NODE_SCRIPT: &str = r#"
        const [port, servername, file] = process.argv.slice(1);
        const ca = require('fs').readFileSync(file);
        const client = require('tls').connect({ host: '127.0.0.1', port, servername, ca }, () => process.exit(0));
        client.on('error', () => process.exit(60));
    "#;
    const PYTHON_SCRIPT: &str = r#"
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[3])
context.verify_flags |= ssl.VERIFY_X509_STRICT
try:
    context.wrap_socket(socket.create_connection(("127.0.0.1", sys.argv[1])), server_hostname=sys.argv[2])
except ssl.SSLCertVerificationError:
    sys.exit(60)
"#;
    let test = "clients_believe_a_host_name_of_one_label_and_nothing_below_it";
    let device = Device::new();
    let (mut own, port) = device.boot(&["--name", "camera"]);
    let ca = device.file("ca.pem");
    let believes = |port: u16, host: &str, peer: &str| {
        let port = port.to_string();
        let command = match peer {
            "curl" => CURL.command(
                test,
                &[
                    "--silent",
                    "--output",
                    "/dev/null",
                    "--connect-to",
                    &format!("::127.0.0.1:{port}"),
                    "--cacert",
                    text(&ca),
                    &format!("https://{host}:{port}/api/data"),
                ],
            ),
            "node" => NODE.command(test, &["-e", NODE_SCRIPT, &port, host, text(&ca)]),
            "python" => PYTHON.command(test, &["-c", PYTHON_SCRIPT, &port, host, text(&ca)]),
            _ => {
                let line = ["--port", &port, "--x509cafile", text(&ca), "--sni-hostname", host];
                GNUTLS.command_if_there(&[&line[..], &["--verify-hostname", host, "127.0.0.1"]].concat())
            }
        };
        let (code, _, errors) = outcome(command?, b"");
        assert!(matches!(code, 0 | 1 | 60), "{peer}: {code} {errors}");
        Some(code == 0)
    };
    for (host, is_believed) in [("camera", true), ("shop.camera", false)] {
        let Some(()) = device.sign(test, &format!("DNS:{host}")) else { return };
        let (cert, key) = (device.file("x.pem"), device.file("x.key"));
        let line =
            ["serve", "--https", "127.0.0.1:0", "--http", "off", "--cert", text(&cert), "--key", text(&key)];
        let (mut forged, forged_port) = up(lockgate(&line));
        for peer in ["curl", "node", "python", "gnutls"] {
            if let Some(believed) = believes(forged_port, host, peer) {
                assert_eq!(believed, is_believed, "{peer}: {host}");
            }
            // The device's own.
            if let Some(believed) = believes(port, host, peer) {
                assert_eq!(believed, is_believed, "{peer}: {host}");
            }
        }
        if let Some(page) = device.chromium(test, &[&ca], forged_port, host) {
            assert_eq!(page.contains(BODY), is_believed, "chromium: {host}: {page}");
        }
        forged.stop();
    }
    own.stop();
}

// The clock.

#[test]
fn a_clock_in_1970_is_served_with_and_replaced_as_soon_as_it_is_set() {
    let test = "a_clock_in_1970_is_served_with_and_replaced_as_soon_as_it_is_set";
    let device = Device::new();
    let Some(clock) = Clock::at(test, device.dir.path(), "@1970-01-01 00:10:00") else { return };
    let (mut server, port) = up(clock.wear(device.command(&[])));
    server.stderr.expect("WARN");
    // A client that knows the time, and one that does not either.
    let provisional = device.leaf(port);
    let Some(curl) = CURL.command(test, &["--silent", "--cacert", text(&device.file("ca.pem"))]) else {
        return;
    };
    let mut curl = clock.wear(curl);
    curl.arg(format!("https://localhost:{port}/api/data"));
    assert_eq!(outcome(curl, b""), (0, BODY.to_string(), String::new()));
    let Some((0, dates)) = device.openssl(test, &["x509", "-in", "cert.pem", "-noout", "-startdate"]) else {
        return;
    };
    assert_eq!(dates, "notBefore=Jan  1 00:00:00 1970 GMT\n");

    let ca = device.ca();
    clock.set("+0d");
    server.stderr.expect("it was provisional, and the clock is set now");
    server.stderr.expect("in use for new connections");
    assert_ne!(device.leaf(port), provisional);
    assert_eq!(device.ca(), ca);
    let line = ["verify", "-x509_strict", "-CAfile", "ca.pem", "cert.pem"];
    assert_eq!(device.openssl(test, &line), Some((0, "cert.pem: OK\n".to_string())));
    let Some((0, dates)) = device.openssl(test, &["x509", "-in", "cert.pem", "-noout", "-startdate"]) else {
        return;
    };
    assert!(!dates.contains("1970"), "{dates}");
}

#[test]
fn a_boot_in_1970_serves_the_certificate_that_is_there() {
    let test = "a_boot_in_1970_serves_the_certificate_that_is_there";
    let device = Device::new();
    let (mut server, port) = device.boot(&[]);
    let leaf = device.leaf(port);
    server.stop();
    let Some(clock) = Clock::at(test, device.dir.path(), "@1970-01-01 00:00:30") else { return };
    let (mut server, port) = up(clock.wear(device.command(&[])));
    assert_eq!(device.leaf(port), leaf);
    assert!(!server.stop().contains("made the device's certificate"));
}

#[test]
fn a_clock_beyond_the_end_of_the_ca_is_served_with_and_said_to_be_an_error() {
    let test = "a_clock_beyond_the_end_of_the_ca_is_served_with_and_said_to_be_an_error";
    let device = Device::new();
    device.boot(&[]).0.stop();
    let ca = device.ca();
    let Some(clock) = Clock::at(test, device.dir.path(), "+7400d") else { return };
    let (mut server, port) = up(clock.wear(device.command(&[])));
    let line = server.stderr.expect("the device's CA expired at 20");
    assert!(line.contains("ERROR") && line.contains("set the clock if it is wrong"), "{line}");
    // A client that knows the time accepts it.
    device.leaf(port);
    assert_eq!(device.ca(), ca);
    server.stderr.expect("has expired, and clients refuse it");
    server.stop();
}

#[test]
fn sixty_days_later_the_leaf_is_another_by_the_same_ca() {
    let test = "sixty_days_later_the_leaf_is_another_by_the_same_ca";
    let device = Device::new();
    let (mut server, port) = device.boot(&[]);
    let (leaf, ca) = (device.leaf(port), device.ca());
    server.stop();
    for (later, is_kept) in [("+59d", true), ("+60d", false)] {
        let Some(clock) = Clock::at(test, device.dir.path(), later) else { return };
        let (mut server, port) = up(clock.wear(device.command(&[])));
        // The clients of today accept neither a leaf nor a CA of which they cannot say that it is valid already.
        let Some(curl) = CURL.command(test, &["--silent", "--cacert", text(&device.file("ca.pem"))]) else {
            return;
        };
        let mut curl = clock.wear(curl);
        curl.arg(format!("https://localhost:{port}/api/data"));
        assert_eq!(outcome(curl, b""), (0, BODY.to_string(), String::new()), "{later}");
        let now = CertificateDer::from_pem_file(device.file("cert.pem")).unwrap();
        assert_eq!(now == leaf, is_kept, "{later}");
        assert_eq!(device.ca(), ca);
        server.stop();
    }
}

// Names.

#[test]
fn a_name_that_is_added_gets_a_new_leaf_and_keeps_the_ca() {
    let device = Device::new();
    let (mut server, port) = device.boot(&["--name", "gate.example"]);
    let (leaf, ca) = (device.leaf(port), device.ca());
    server.stop();
    let (mut server, port) = device.boot(&["--name", "gate.example", "--name", "new.gate.example"]);
    server.stderr.expect("its names are to be gate.example, new.gate.example, ");
    assert_ne!(device.leaf(port), leaf);
    assert_eq!(device.ca(), ca);
    server.stop();
    let (code, _, errors) = outcome(device.command(&["--name", "other.example"]), b"");
    assert_eq!(code, 78, "{errors}");
    assert!(
        errors.contains("ca.pem: the device's CA may not sign for other.example, only for: "),
        "{errors}"
    );
    assert!(errors.contains("move ca.pem and ca-key.pem away and start again"), "{errors}");
    assert_eq!(device.ca(), ca);
    let (code, _, errors) = outcome(device.command(&["--name", "other example"]), b"");
    assert!(
        code == 78
            && errors.contains("--name: \"other example\" is no name for a certificate: no name holds ' '"),
        "{errors}"
    );
}

#[test]
fn underscores_and_wildcards_are_names_and_clients_believe_them() {
    let test = "underscores_and_wildcards_are_names_and_clients_believe_them";
    let device = Device::new();
    let (_server, port) = device.boot(&["--name", "my_box.example", "--name", "*.gate.example"]);
    for (host, believed) in [
        ("my_box.example", true),
        ("eth0.gate.example", true),
        ("gate.example", false),
        ("a.b.gate.example", false),
    ] {
        let line = ["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", host];
        let line = [&line[..], &["-CAfile", "ca.pem", "cert.pem"]].concat();
        let Some((code, said)) = device.openssl(test, &line) else { return };
        assert_eq!(code == 0, believed, "{host}: {said}");
        let Some(mut curl) = CURL.command(test, &["--silent", "--cacert", text(&device.file("ca.pem"))])
        else {
            return;
        };
        curl.args([
            "--connect-to",
            &format!("::127.0.0.1:{port}"),
            &format!("https://{host}:{port}/api/data"),
        ]);
        let (code, body, _) = outcome(curl, b"");
        assert_eq!((code == 0, body == BODY), (believed, believed), "{host}: {code} {body}");
    }
}

/// As [`Device::command`], on a machine with another host name; `None` where this user may not pretend that.
fn on_a_machine_called(test: &str, host_name: &str, device: &Device) -> Option<Command> {
    // The program hostname accepts fewer names than the kernel does.
    const SET: &str = r#"printf %s "$0" >/proc/sys/kernel/hostname && "#;
    let isolate = if rustix::process::geteuid().is_root() { "-u" } else { "-Uru" };
    let script = format!("{SET} true");
    let mut probe = UNSHARE.command(test, &[isolate, "sh", "-c", &script, host_name])?;
    if !probe.output().unwrap().status.success() {
        leave_out(&format!("{test}: needs a host name of its own (unshare {isolate})"));
        return None;
    }
    let own = device.command(&[]);
    let script = format!(r#"{SET} exec "$@""#);
    let mut command = of_program(Path::new("unshare"), &[isolate, "sh", "-c", &script, host_name]);
    command.arg(own.get_program()).args(own.get_args());
    Some(command)
}

#[test]
fn a_host_name_that_no_certificate_may_have_is_left_out_with_a_warning_that_says_what_to_do() {
    let test = "a_host_name_that_no_certificate_may_have_is_left_out_with_a_warning_that_says_what_to_do";
    for (host_name, warning, name) in [
        ("my_box", None, Some("DNS:my_box, DNS:my_box.local, DNS:localhost")),
        ("Günter-PC", Some("is not for Günter-PC: it holds letters outside of ASCII; in a certificate it is xn--gnter-pc-65a: give xn--gnter-pc-65a.local as a name (--name)"), None),
        ("123", Some("is not for 123: it ends in a number"), Some("DNS:123.local, DNS:localhost")),
    ] {
        let device = Device::new();
        let Some(command) = on_a_machine_called(test, host_name, &device) else { return };
        let (mut server, _) = up(command);
        let log = server.stop();
        match warning {
            Some(warning) => assert!(log.lines().any(|line| line.contains("WARN") && line.contains(warning)), "{log}"),
            None => assert!(!log.contains("is not for"), "{log}"),
        }
        let line = ["x509", "-in", "cert.pem", "-noout", "-ext", "subjectAltName"];
        let Some((0, names)) = device.openssl(test, &line) else { return };
        assert!(names.contains(name.unwrap_or("DNS:localhost")), "{host_name}: {names}");
    }
}

/// In a network of its own, where the kernel itself makes a temporary address beside one from a router's prefix.
#[test]
fn addresses_that_do_not_last_are_in_no_certificate() {
    const SET_UP: &str = "\
        ip link set lo up && ip link add here type veth peer name there && ip link set there up && \
        echo 2 >/proc/sys/net/ipv6/conf/here/use_tempaddr && \
        ip link set here up && \
        ip -6 addr add fd00:1::1/64 dev here nodad && \
        ip -6 addr add fd00:1::2/64 dev here preferred_lft 0 nodad && \
        ip -6 addr add fd00:2::1/64 dev here mngtmpaddr valid_lft 9000 preferred_lft 8000 && \
        ip addr add 10.9.8.7/24 dev here";
    let test = "addresses_that_do_not_last_are_in_no_certificate";
    let device = Device::new();
    let isolate = if rustix::process::geteuid().is_root() { "-n" } else { "-Urn" };
    // The kernel gives the temporary one when it has found that the other is unique.
    let until =
        "i=0; until grep -q '^fd000002.* 01 ' /proc/net/if_inet6 && ! grep -q ' [4-7c-f][0-9a-f]  *here' \
                 /proc/net/if_inet6; do i=$((i+1)); [ $i -lt 1000 ] || exit 9; sleep 0.02; done";
    let Some(mut probe) = UNSHARE.command(test, &[isolate, "sh", "-c", &format!("{SET_UP} && {until}")])
    else {
        return;
    };
    let probed = probe.output().unwrap();
    if !probed.status.success() {
        let said = String::from_utf8_lossy(&probed.stderr).into_owned();
        return leave_out(&format!(
            "{test}: needs a network of its own (unshare {isolate}; iproute2): {said}"
        ));
    }
    let own = device.command(&[]);
    let script = format!("{SET_UP} && {{ {until}; }} && cat /proc/net/if_inet6 >&2 && exec \"$0\" \"$@\"");
    let mut command = of_program(Path::new("unshare"), &[isolate, "sh", "-c", &script]);
    command.arg(own.get_program()).args(own.get_args());
    let (mut server, _) = up(command);
    let log = server.stop();
    let leaf = lockgate::Identity::from_pem_files(device.file("cert.pem"), device.file("key.pem")).unwrap();
    for address in ["10.9.8.7", "fd00:1::1", "fd00:2::1"] {
        assert!(leaf.is_valid_for(address), "{address}\n{log}");
    }
    let mut passing = 0;
    for line in log.lines().filter(|line| line.ends_with(" here") && line.starts_with("fd00")) {
        let mut columns = line.split_whitespace();
        let address = u128::from_str_radix(columns.next().unwrap(), 16).unwrap();
        let flags = u8::from_str_radix(columns.nth(3).unwrap(), 16).unwrap();
        let address = std::net::Ipv6Addr::from(address).to_string();
        if flags & 0x21 != 0 {
            passing += 1;
            assert!(!leaf.is_valid_for(&address), "{address}\n{log}");
        }
    }
    // The deprecated one, and one that the kernel made.
    assert_eq!(passing, 2, "{log}");
}

// The state directory.

#[test]
fn two_that_boot_at_the_same_moment_serve_the_same_identity() {
    let device = Device::new();
    let (mut one, mut other) = (Server::spawn(device.command(&[])), Server::spawn(device.command(&[])));
    let (one, other) = (one.https_port(), other.https_port());
    assert_eq!(device.leaf(one), device.leaf(other));
}

#[test]
fn modes_that_let_others_in_are_reported_with_the_remedy() {
    let device = Device::new();
    device.boot(&[]).0.stop();
    let loose =
        [(device.file("ca-key.pem"), 0o644), (device.file("key.pem"), 0o660), (device.state(), 0o777)];
    for (path, mode) in &loose {
        fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
    }
    let (mut server, _) = device.boot(&[]);
    let log = server.stop();
    for (path, mode) in &loose {
        let line = log
            .lines()
            .find(|line| line.contains(&format!("mode {mode:04o}")))
            .unwrap_or_else(|| panic!("{log}"));
        assert!(line.contains("WARN") && line.contains(text(path)) && line.contains("run: chmod "), "{line}");
    }
}

#[test]
fn a_ca_that_is_damaged_or_half_lost_is_78_and_stays_as_it_is() {
    let device = Device::new();
    device.boot(&[]).0.stop();
    let (ca, key) = (device.contents("ca.pem"), device.contents("ca-key.pem"));
    let restore = || {
        fs::write(device.file("ca.pem"), &ca).unwrap();
        fs::write(device.file("ca-key.pem"), &key).unwrap();
    };
    let spoils: [(&dyn Fn(), &str); 4] = [
        (
            &|| fs::remove_file(device.file("ca-key.pem")).unwrap(),
            "ca-key.pem: the CA's private key is missing",
        ),
        (&|| fs::remove_file(device.file("ca.pem")).unwrap(), "ca.pem: the CA's certificate is missing"),
        (&|| fs::write(device.file("ca.pem"), &ca[..ca.len() / 2]).unwrap(), "ca.pem: is damaged"),
        (&|| fs::write(device.file("ca-key.pem"), "").unwrap(), "ca-key.pem: is damaged"),
    ];
    for (spoil, words) in spoils {
        spoil();
        let (code, _, errors) = outcome(device.command(&[]), b"");
        assert_eq!(code, 78, "{errors}");
        assert!(errors.contains(words) && errors.contains("move ca.pem and ca-key.pem away"), "{errors}");
        restore();
    }
    device.boot(&[]);
}

#[test]
fn a_running_server_says_that_its_state_is_lost_and_serves_on() {
    let device = Device::new();
    let (mut server, port) = device.boot(&[]);
    let (leaf, ca) = (device.leaf(port), device.ca());
    fs::remove_dir_all(device.state()).unwrap();
    // It looks again by itself within a minute.
    server.signal(Signal::HUP);
    let line = server.stderr.expect("the certificate stays as it is");
    assert!(line.contains("ERROR") && line.contains("give a directory that lasts"), "{line}");
    let mut client = Client::connect(port, &ca);
    client.get();
    assert_eq!(client.certificate(), leaf);
    assert!(!device.state().exists());
    let log = server.stop();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[test]
fn where_nothing_can_be_written_a_first_boot_is_78_and_a_good_leaf_is_used_loudly() {
    let test = "where_nothing_can_be_written_a_first_boot_is_78_and_a_good_leaf_is_used_loudly";
    let device = Device::new();
    device.boot(&[]).0.stop();
    // Not root, who may write everywhere.
    let is_root = rustix::process::geteuid().is_root();
    let program = device.dir.path().join("lockgate");
    let mut copy = Command::new("cp");
    copy.args([env!("CARGO_BIN_EXE_lockgate"), text(&program)]);
    assert_eq!(outcome(copy, b"").0, 0);
    if is_root {
        for name in ["ca.pem", "ca-key.pem", "cert.pem", "key.pem"] {
            chown(device.file(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    fs::set_permissions(device.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(device.state(), fs::Permissions::from_mode(0o555)).unwrap();
    let serve = |state: &Path| {
        let line = ["serve", "--device", "--state", text(state), "--https", "127.0.0.1:0", "--http", "off"];
        let mut command = of_program(&program, &line);
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    };
    let empty = device.file("below");
    let (code, _, errors) = outcome(serve(&empty), b"");
    assert_eq!(code, 78, "{errors}");
    assert!(errors.contains(&format!("{}: Permission denied", empty.display())), "{errors}");
    assert!(errors.contains("give a directory that lasts and that this user may write to"), "{errors}");

    let (mut server, port) = up(serve(&device.state()));
    let leaf = Client::connect(port, &device.ca()).certificate();
    assert!(!server.stop().contains("ERROR"));
    let Some(clock) = Clock::at(test, device.dir.path(), "+61d") else { return };
    fs::set_permissions(&clock.file, fs::Permissions::from_mode(0o644)).unwrap();
    let (mut server, port) = up(clock.wear(serve(&device.state())));
    assert_eq!(Client::connect(port, &device.ca()).certificate(), leaf);
    let log = server.stop();
    let line = log.lines().find(|line| line.contains("ERROR")).unwrap_or_else(|| panic!("{log}"));
    assert!(
        line.contains("could not be renewed, and is used as it is") && line.contains("Permission denied"),
        "{line}"
    );
    // So that it can be removed.
    fs::set_permissions(device.state(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_killed_boot_is_completed_by_the_next() {
    let device = Device::new();
    let mut server = Server::spawn(device.command(&[]));
    server.stderr.expect("made the device's CA");
    server.signal(Signal::KILL);
    server.wait();
    let ca = device.ca();
    let (_server, port) = device.boot(&[]);
    device.leaf(port);
    assert_eq!(device.ca(), ca);
}

// The command line.

#[test]
fn options_that_do_not_go_together_are_named() {
    for (line, words) in [
        (&["--device"][..], "--state DIR is missing"),
        (
            &["--device", "--state", "x", "--cert", "y", "--key", "z"],
            "--device and --cert do not go together",
        ),
        (&["--state", "x"], "give --device or --acme URL too"),
        (&["--name", "x"], "give --device or --acme URL too"),
    ] {
        let (code, _, errors) = outcome(lockgate(&[&["serve"][..], line].concat()), b"");
        assert!(code == 2 && errors.contains(words), "{line:?}: {code} {errors}");
    }
}

#[test]
fn a_device_can_be_configured_in_a_file() {
    let device = Device::new();
    let file = device.dir.path().join("lockgate.toml");
    let settings = "device = true\nstate = \"state\"\nname = [\"gate.example\", \"10.9.9.9\"]\nhttps = \"127.0.0.1:0\"\nhttp = \"off\"\n";
    fs::write(&file, settings).unwrap();
    let (_server, port) = up(lockgate(&["serve", "--config", text(&file)]));
    device.leaf(port);
    let leaf = lockgate::Identity::from_pem_files(device.file("cert.pem"), device.file("key.pem")).unwrap();
    assert!(leaf.is_valid_for("gate.example") && leaf.is_valid_for("10.9.9.9"));
}

#[test]
fn the_curl_line_and_the_ca_line_work_when_pasted() {
    let test = "the_curl_line_and_the_ca_line_work_when_pasted";
    let device = Device::new();
    let (mut server, _) = device.boot(&[]);
    let line = server.stdout.expect("Try it: curl ");
    let mut words = line.trim_start_matches("Try it: curl ").split(' ');
    let Some(mut curl) = CURL.command(test, &["--silent"]) else { return };
    curl.args(&mut words);
    assert_eq!(outcome(curl, b""), (0, BODY.to_string(), String::new()));
    let line = server.stdout.expect("How clients come to trust this device: lockgate ");
    let words: Vec<&str> = line.split("lockgate ").nth(1).unwrap().split(' ').collect();
    let (code, pem, how) = outcome(lockgate(&words), b"");
    assert_eq!((code, pem.as_bytes()), (0, &device.contents("ca.pem")[..]));
    for system in ["Debian", "Windows", "macOS", "iOS", "Android", "Firefox"] {
        assert!(how.contains(system), "{system} is not in {how}");
    }
    let Some((0, shown)) =
        device.openssl(test, &["x509", "-in", "ca.pem", "-noout", "-fingerprint", "-sha256"])
    else {
        return;
    };
    let fingerprint = shown.trim().rsplit('=').next().unwrap();
    assert!(how.contains(fingerprint), "{fingerprint} is not in {how}");
}

#[test]
fn before_the_first_boot_there_is_no_ca_to_be_had() {
    let device = Device::new();
    let (code, said, errors) = outcome(lockgate(&["cert", "ca", "--state", text(&device.state())]), b"");
    assert_eq!((code, said.as_str()), (78, ""), "{errors}");
    assert!(errors.contains("ca.pem: there is no device CA yet; it is made when"), "{errors}");
    assert!(!device.state().exists());
    let (code, _, errors) = outcome(lockgate(&["cert", "ca"]), b"");
    assert!(code == 2 && errors.contains("--state DIR is missing"), "{code} {errors}");
}
