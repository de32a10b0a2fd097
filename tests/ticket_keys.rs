//! Several servers resume each other's sessions by a file of ticket keys that they share (`--ticket-keys`), and servers that
//! differ do not. The built command serves, and makes and exchanges the keys.

mod support_command;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{chown, symlink, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::Signal;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use support_command::certificates::{Authority, Pair};
use support_command::{lockgate, outcome, run, text, Server, SAFETY};
use tempfile::TempDir;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
const REQUEST: &[u8] = b"GET /api/data HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A client with its sessions, which trusts these authorities and may have a certificate.
fn client(
    version: &'static SupportedProtocolVersion,
    trusted: &[&Authority],
    own: Option<&Pair>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for authority in trusted {
        roots.add(authority.certificate()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::pem_file_iter(&pair.cert).unwrap().map(Result::unwrap).collect();
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&pair.key).unwrap()).unwrap()
        }
    };
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

/// Asks once, over a new connection: whether the session was resumed, and the status. `None` when the server refuses.
fn visit(client: &Arc<ClientConfig>, port: u16) -> Option<(bool, String)> {
    let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    tcp.set_read_timeout(Some(SAFETY)).unwrap();
    let connection =
        ClientConnection::new(client.clone(), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, tcp);
    let mut answer = Vec::new();
    stream.write_all(REQUEST).and_then(|()| stream.read_to_end(&mut answer)).ok()?;
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.strip_prefix("HTTP/1.1 ").unwrap().split(' ').next().unwrap().to_string();
    Some((stream.conn.handshake_kind() == Some(HandshakeKind::Resumed), status))
}

fn resumes(client: &Arc<ClientConfig>, port: u16) -> bool {
    let (resumed, status) = visit(client, port).unwrap();
    assert_eq!(status, "200");
    resumed
}

fn new_keys(file: &Path) {
    let (code, said, errors) = outcome(lockgate(&["ticket-keys", "new", text(file)]), b"");
    assert_eq!(code, 0, "{errors}");
    assert!(said.contains("the current key is ") && said.contains("every server gets this file"), "{said}");
}

/// The name of the current key, after the exchange.
fn rotate(file: &Path) -> String {
    let (code, said, errors) = outcome(lockgate(&["ticket-keys", "rotate", text(file)]), b"");
    assert_eq!(code, 0, "{errors}");
    said.lines().next().unwrap().rsplit(' ').next().unwrap().to_string()
}

#[test]
fn several_that_change_the_same_file_at_once_do_it_one_after_the_other() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("keys");
    let at_once = |what: &str| {
        let run = || {
            let mut command = lockgate(&["ticket-keys", what, text(&file)]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        };
        let all: Vec<_> = (0..6).map(|_| run()).collect();
        all.into_iter()
            .map(|child| {
                let done = child.wait_with_output().unwrap();
                (done.status.code().unwrap(), String::from_utf8(done.stderr).unwrap())
            })
            .collect::<Vec<_>>()
    };
    for _ in 0..5 {
        let made = at_once("new");
        assert_eq!(made.iter().filter(|(code, _)| *code == 0).count(), 1, "{made:?}");
        let others = made.iter().filter(|(code, said)| *code == 78 && said.contains("is there already"));
        assert_eq!(others.count(), 5, "{made:?}");
        let rotated = at_once("rotate");
        assert!(rotated.iter().all(|(code, _)| *code == 0), "{rotated:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::remove_file(&file).unwrap();
    }
}

/// As `scp` and a rename do it.
fn hand_out(from: &Path, to: &Path) {
    let new = to.with_extension("new");
    fs::copy(from, &new).unwrap();
    fs::rename(new, to).unwrap();
}

fn serve(pair: &Pair, keys: &Path, further: &[&str]) -> (Server, u16) {
    let mut server = Server::serve(pair, &[&["--ticket-keys", text(keys)], further].concat());
    let port = server.https_port();
    (server, port)
}

/// Three servers, each with a certificate and a key of its own for the same names.
struct Fleet {
    authority: Authority,
    dir: TempDir,
    servers: Vec<Server>,
    ports: Vec<u16>,
}

impl Fleet {
    fn new(shares: bool) -> Fleet {
        let (authority, dir) = (Authority::new(), TempDir::new().unwrap());
        new_keys(&dir.path().join("master"));
        let mut fleet = Fleet { authority, dir, servers: Vec::new(), ports: Vec::new() };
        for node in 0..3 {
            let pair = fleet.authority.pair(&format!("node{node}"));
            hand_out(&fleet.master(), &fleet.file(node));
            let (server, port) = if shares {
                serve(&pair, &fleet.file(node), &[])
            } else {
                let mut server = Server::serve(&pair, &[]);
                let port = server.https_port();
                (server, port)
            };
            fleet.servers.push(server);
            fleet.ports.push(port);
        }
        fleet
    }

    fn master(&self) -> PathBuf {
        self.dir.path().join("master")
    }

    fn file(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("node{node}"))
    }

    /// Visits one server after the other: how many times, and how often a session was resumed.
    fn tour(&self, client: &Arc<ClientConfig>, rounds: usize) -> (usize, usize) {
        let ports =
            (0..rounds).flat_map(|round| [0, 1, 2].map(|node| self.ports[(node + round % 2 * node) % 3]));
        let mut last = None;
        let mut found = (0, 0);
        for port in ports {
            let resumed = resumes(client, port);
            if last.is_some_and(|last| last != port) {
                found = (found.0 + 1, found.1 + usize::from(resumed));
            }
            last = Some(port);
        }
        found
    }
}

#[test]
fn servers_resume_each_others_sessions_also_while_the_keys_are_exchanged_in_any_order() {
    let mut fleet = Fleet::new(true);
    for version in VERSIONS {
        let client = client(version, &[&fleet.authority], None);
        let (mut visits, mut resumed) = fleet.tour(&client, 20);
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]] {
            let id = rotate(&fleet.master());
            for node in order {
                hand_out(&fleet.master(), &fleet.file(node));
                let line = format!("the keys of session tickets are read again, and in use: {id}");
                fleet.servers[node].stderr.expect(&line);
                let found = fleet.tour(&client, 3);
                (visits, resumed) = (visits + found.0, resumed + found.1);
            }
        }
        println!("{version:?}: {resumed} of {visits} sessions were resumed on another server");
        assert!(resumed * 100 >= visits * 98 && visits > 100, "{version:?}: {resumed} of {visits}");
    }
    fleet.servers.iter_mut().for_each(|server| drop(server.stop()));
}

#[test]
fn servers_without_a_file_resume_their_own_sessions_only() {
    let fleet = Fleet::new(false);
    for version in VERSIONS {
        let client = client(version, &[&fleet.authority], None);
        let (visits, resumed) = fleet.tour(&client, 10);
        println!("{version:?}: {resumed} of {visits}, without a file");
        assert!(visits > 10 && resumed == 0, "{version:?}: {resumed}");
        assert!(resumes(&client, fleet.ports[2]) || resumes(&client, fleet.ports[2]));
    }
}

#[test]
fn openssl_resumes_at_another_server() {
    let fleet = Fleet::new(true);
    let session = fleet.dir.path().join("session");
    for version in ["-tls1_2", "-tls1_3"] {
        let ask = |port: u16, with: &str| {
            let mut openssl = std::process::Command::new("openssl");
            let address = format!("127.0.0.1:{port}");
            openssl.args(["s_client", "-connect", &address, "-servername", "localhost", version, "-ign_eof"]);
            openssl.args([
                "-verify_return_error",
                "-CAfile",
                text(&fleet.authority.ca),
                with,
                text(&session),
            ]);
            let output = run(openssl, REQUEST);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains("HTTP/1.1 200"), "{said}");
            said.lines()
                .find(|line| line.starts_with("New, ") || line.starts_with("Reused, "))
                .unwrap()
                .to_string()
        };
        assert!(ask(fleet.ports[0], "-sess_out").starts_with("New, "));
        for port in &fleet.ports[1..] {
            assert!(ask(*port, "-sess_in").starts_with("Reused, "), "{version}");
        }
    }
}

/// CVE-2023-41337, CVE-2025-23048, CVE-2025-23419: a session that a server has let in by its rules is not resumed by another.
#[test]
fn servers_that_differ_resume_nothing_of_each_other_although_they_have_the_same_keys() {
    let (ours, others) = (Authority::new(), Authority::named("another authority"));
    let dir = TempDir::new().unwrap();
    let keys = dir.path().join("keys");
    new_keys(&keys);
    let (mine, same) = (ours.pair("a"), ours.pair("b"));
    let named = ours.pair_for("c", &["localhost", "more.example"], -9_999, 9_999);
    let foreign = others.pair("d");
    let (ca, other_ca) = (text(&ours.ca), text(&others.ca));
    let list = ours.crl("clients.crl", &[], 9_999);
    let optional: &[&str] = &["--client-ca", ca, "--client-auth", "optional"];
    let servers: Vec<(Server, u16)> = [
        (&mine, &[][..]),
        (&same, &[]),
        (&named, &[]),
        (&foreign, &[]),
        (&mine, optional),
        (&mine, &["--client-ca", ca]),
        (&same, &["--client-ca", ca]),
        (&mine, &["--client-ca", ca, "--client-crl", text(&list)]),
        (&mine, &["--client-ca", other_ca, "--client-auth", "optional"]),
        (&mine, &["--client-ca", other_ca]),
    ]
    .map(|(pair, further)| serve(pair, &keys, further))
    .into();
    // Which server has the configuration of which.
    let kinds = [0, 0, 1, 2, 3, 4, 4, 5, 6, 7];
    let own = ours.client("client");
    for version in VERSIONS {
        for with in [None, Some(&own)] {
            for (first, kind) in servers.iter().zip(kinds) {
                for (second, other) in servers.iter().zip(kinds) {
                    let client = client(version, &[&ours, &others], with);
                    if visit(&client, first.1).is_none() {
                        continue;
                    }
                    let found = visit(&client, second.1);
                    let resumed = found.is_some_and(|(resumed, _)| resumed);
                    assert_eq!(resumed, kind == other, "{version:?} {kind} {other} {}", with.is_some());
                }
            }
        }
    }
}

#[test]
fn a_revoked_client_comes_back_with_its_ticket_nowhere() {
    let authority = Authority::new();
    let keys = authority.dir().join("keys");
    new_keys(&keys);
    let own = authority.client("client");
    let lists = [authority.crl("one.crl", &[], 9_999), authority.crl("two.crl", &[], 9_999)];
    let ca = text(&authority.ca);
    let mut servers: Vec<_> = ["a", "b"]
        .iter()
        .zip(&lists)
        .map(|(name, list)| {
            serve(&authority.pair(name), &keys, &["--client-ca", ca, "--client-crl", text(list)])
        })
        .collect();
    for version in VERSIONS {
        authority.crl("one.crl", &[], 9_999);
        fs::copy(&lists[0], &lists[1]).unwrap();
        for (server, _) in &mut servers {
            server.signal(Signal::HUP);
            server.stderr.expect("certificates are loaded again");
        }
        let client = client(version, &[&authority], Some(&own));
        assert!(!resumes(&client, servers[0].1));
        assert!(resumes(&client, servers[1].1));
        authority.crl("one.crl", &[&own], 9_999);
        fs::copy(&lists[0], &lists[1]).unwrap();
        for (server, port) in &mut servers {
            server.signal(Signal::HUP);
            server.stderr.expect("certificates are loaded again");
            assert_eq!(visit(&client, *port), None);
        }
    }
}

#[test]
fn a_bad_file_changes_nothing_while_the_server_runs_and_keeps_it_from_starting() {
    let authority = Authority::new();
    let (pair, keys) = (authority.pair("a"), authority.dir().join("keys"));
    new_keys(&keys);
    let good = fs::read(&keys).unwrap();
    let (mut server, port) = serve(&pair, &keys, &[]);
    let client = client(&rustls::version::TLS13, &[&authority], None);
    assert!(!resumes(&client, port));
    // The same file again ends no session.
    server.signal(Signal::HUP);
    server.stderr.expect("the keys of session tickets are read again");
    assert!(resumes(&client, port));
    // Half of it, as while it is copied.
    fs::write(&keys, &good[..good.len() / 2]).unwrap();
    let line = server.stderr.expect("the keys of session tickets stay as they are, next try in 10s");
    assert!(line.contains(text(&keys)) && line.contains("copy it again from another server"), "{line}");
    assert!(resumes(&client, port));
    server.signal(Signal::HUP);
    server.stderr.expect("the keys of session tickets stay as they are: ");
    assert!(resumes(&client, port));
    let again = Server::serve(&pair, &["--ticket-keys", text(&keys)]).wait();
    assert_eq!(again.0.code(), Some(78), "{}", again.1);
    assert!(again.1.contains("--ticket-keys: ") && again.1.contains(text(&keys)), "{}", again.1);
    fs::remove_file(&keys).unwrap();
    let none = Server::serve(&pair, &["--ticket-keys", text(&keys)]).wait();
    assert!(none.1.contains("there is no such file; make it on one server"), "{}", none.1);
    fs::write(&keys, good).unwrap();
    server.stderr.expect("the keys of session tickets are read again");
    assert!(resumes(&client, port));
    // It was written anew, and everybody may read it.
    let log = server.stop();
    assert!(log.contains("others than its owner may read or write these ticket keys"), "{log}");
    assert!(log.contains("chmod 6") && !log.contains("ticket_keys:"), "{log}");
}

#[test]
fn the_settings_file_names_the_keys_and_the_check_reads_them() {
    let authority = Authority::new();
    let pair = authority.pair("a");
    let config = authority.dir().join("lockgate.toml");
    let (cert, key) = (text(&pair.cert), text(&pair.key));
    let settings = format!(
        "cert = {cert:?}\nkey = {key:?}\nhttps = \"127.0.0.1:0\"\nhttp = \"off\"\nticket-keys = \"keys\"\n"
    );
    fs::write(&config, settings).unwrap();
    let check = || outcome(lockgate(&["check", "--config", text(&config)]), b"");
    let (code, said, _) = check();
    assert!(
        code == 2 && said.contains("ticket-keys-unusable") && said.contains("lockgate ticket-keys new"),
        "{said}"
    );
    new_keys(&authority.dir().join("keys"));
    let (code, said, errors) = check();
    assert!(code == 0 && !said.contains("ticket-keys"), "{said}{errors}");
    let mut server = Server::spawn(lockgate(&["serve", "--config", text(&config)]));
    server.https_port();
    server.stop();
}

#[test]
fn an_exchange_replaces_the_file_whole_and_leaves_it_to_its_owner() {
    let dir = TempDir::new().unwrap();
    let (file, link) = (dir.path().join("keys"), dir.path().join("link"));
    new_keys(&file);
    let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&file), 0o600);
    let before = fs::read_to_string(&file).unwrap();
    let (code, _, errors) = outcome(lockgate(&["ticket-keys", "new", text(&file)]), b"");
    assert!(
        code == 78 && errors.contains("is there already") && errors.contains("ticket-keys rotate"),
        "{errors}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    // What a writer has left that was killed.
    fs::write(dir.path().join("keys.0123456789abcdef.tmp"), &before).unwrap();
    symlink("keys", &link).unwrap();
    let (owner, group) = (fs::metadata(&file).unwrap().uid(), fs::metadata(&file).unwrap().gid());
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        chown(&file, Some(12_345), Some(54_321)).unwrap();
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    rotate(&link);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(mode(&file), 0o640);
    let found = fs::metadata(&file).unwrap();
    let expected = if is_root { (12_345, 54_321) } else { (owner, group) };
    assert_eq!((found.uid(), found.gid()), expected);
    let after = fs::read_to_string(&file).unwrap();
    let key = |text: &str, role: &str| {
        let line = text.lines().find(|line| line.starts_with(role)).unwrap();
        line.split(' ').nth(1).unwrap().to_string()
    };
    assert_eq!(key(&after, "current"), key(&before, "next"));
    assert_eq!(key(&after, "last"), key(&before, "current"));
    assert!(!before.contains(&key(&after, "next")));
    let mut names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["keys", "link"]);

    fs::write(&file, "version 1\n").unwrap();
    let (code, _, errors) = outcome(lockgate(&["ticket-keys", "rotate", text(&file)]), b"");
    assert!(
        code == 78 && errors.contains("has no key next") && !errors.contains("--ticket-keys:"),
        "{errors}"
    );
    let begin = format!("lockgate: {}: ", text(&file));
    assert!(errors.starts_with(&begin), "{errors}");
    // The way out leads out.
    let out = format!("mv {0} {0}.bad && lockgate ticket-keys new {0}", text(&file));
    assert!(errors.contains(&out), "{errors}");
    let (code, _, errors) = outcome(lockgate(&["ticket-keys", "new", text(&file)]), b"");
    assert!(
        code == 78 && errors.contains("move it away first: mv ") && !errors.contains("rotate"),
        "{errors}"
    );
    let (code, _, errors) = outcome(lockgate(&["ticket-keys", "new", text(dir.path())]), b"");
    assert!(code == 78 && errors.contains("is a directory; give the path of a file in it"), "{errors}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "version 1\n");
    let (code, _, errors) = outcome(lockgate(&["ticket-keys", "rotate"]), b"");
    assert!(code == 2 && errors.contains("FILE"), "{errors}");
}
