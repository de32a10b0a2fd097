//! What a service manager such as systemd does with the built command: it passes sockets that outlive it, is told how it does, reads
//! priorities in its log, and takes the units in examples/packaging/systemd.

mod support_command;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::{fcntl_setfd, FdFlags};
use rustix::process::Signal;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use support_command::certificates::{Authority, Pair};
use support_command::client::Client;
use support_command::{lockgate, run, serve_line, text, Server, SAFETY};

/// Starts a program with sockets as its descriptors from 3 on, as systemd does. The numbers of the sockets come first, then the
/// names of all, the variable LISTEN_PID if it is another's, and the program with its arguments.
const PASS: &str = r#"
import fcntl, os, sys
numbers, names, owner = sys.argv[1].split(), sys.argv[2], sys.argv[3]
# Out of the way first.
copies = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in numbers]
for place, copy in enumerate(copies):
    os.dup2(copy, 3 + place, inheritable=True)
os.closerange(3 + len(copies), 200)
os.environ["LISTEN_FDS"] = str(len(copies))
os.environ["LISTEN_PID"] = owner or str(os.getpid())
if names != "-":
    os.environ["LISTEN_FDNAMES"] = names
os.execv(sys.argv[4], sys.argv[4:])
"#;

/// The command with these sockets, whose names stand with `:` between them, or `-` for none.
fn with_sockets(sockets: &[&OwnedFd], names: &str, line: &[&str]) -> Command {
    let program = lockgate(line);
    let numbers: Vec<String> = sockets.iter().map(|socket| socket.as_raw_fd().to_string()).collect();
    let mut python = Command::new("python3");
    python
        .args(["-c", PASS, &numbers.join(" "), names, ""])
        .arg(program.get_program())
        .args(program.get_args());
    python.env_remove("RUST_LOG").stdin(Stdio::null());
    python
}

/// A listening socket that a child inherits.
fn listener() -> (OwnedFd, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // As `Backlog=` of the unit: what connects during a restart waits there.
    rustix::net::listen(&listener, 4096).unwrap();
    let address = listener.local_addr().unwrap();
    (inherited(listener.into()), address)
}

fn inherited(socket: OwnedFd) -> OwnedFd {
    fcntl_setfd(&socket, FdFlags::empty()).unwrap();
    socket
}

fn line(pair: &Pair) -> [&str; 5] {
    let [serve, cert, cert_file, key, key_file, ..] = serve_line(pair);
    [serve, cert, cert_file, key, key_file]
}

/// What is answered in clear.
fn redirected(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SAFETY))?;
    stream.write_all(b"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What is answered over TLS, by a new connection.
fn secure(address: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<String> {
    let tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(SAFETY))?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), tcp);
    // As some clients do: the request is not in the segment that ends the handshake.
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    stream.write_all(b"GET /api/data HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_reload_of_settings_that_cannot_be_used_is_told_as_one_that_has_failed() {
    let authority = Authority::new();
    let pair = authority.pair("server");
    let manager = Manager::new();
    let file = manager.dir.path().join("lockgate.toml");
    fs::write(&file, "idle-timeout = 20\n").unwrap();
    let mut command = lockgate(&[&serve_line(&pair)[..], &["--config", text(&file)]].concat());
    command.env("NOTIFY_SOCKET", manager.path());
    let mut server = Server::spawn(command);
    server.https_port();
    assert!(manager.next_but_watchdog().starts_with("READY=1\n"));
    for (settings, has_failed) in [("idle-timeot = 1\n", true), ("idle-timeout = 30\n", false)] {
        fs::write(&file, settings).unwrap();
        server.signal(Signal::HUP);
        assert!(manager.next_but_watchdog().starts_with("RELOADING=1\n"));
        let ready = manager.next_but_watchdog();
        assert!(ready.starts_with("READY=1\n"), "{ready}");
        assert_eq!(ready.ends_with("; the last reload has failed, see the log"), has_failed, "{ready}");
    }
    server.stop();
}

/// What the service manager hears.
struct Manager {
    dir: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Manager {
        let dir = tempfile::TempDir::new().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(SAFETY)).unwrap();
        Manager { dir, socket }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("notify")
    }

    fn next(&self) -> String {
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).expect("the service manager hears nothing");
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    fn next_but_watchdog(&self) -> String {
        std::iter::repeat_with(|| self.next()).find(|message| message != "WATCHDOG=1").unwrap()
    }
}

#[test]
fn both_ports_are_taken_by_name_and_each_step_is_told() {
    let authority = Authority::new();
    let pair = authority.pair("server");
    let (https, https_address) = listener();
    let (http, http_address) = listener();
    let manager = Manager::new();
    let further = ["--https", "127.0.0.1:1", "--public-port", "8443", "--key", text(&pair.key)];
    let line = [&line(&pair)[..], &further[..4]].concat();
    let mut command = with_sockets(&[&http, &https], "http:https", &line);
    command.env("NOTIFY_SOCKET", manager.path()).env("WATCHDOG_USEC", "300000");
    let mut server = Server::spawn(command);
    assert_eq!(server.https_port(), https_address.port());
    assert_eq!(server.http_port(), http_address.port());
    assert_eq!(manager.next_but_watchdog(), format!("READY=1\nSTATUS=serving HTTPS on {https_address}"));
    let mut client = Client::connect(https_address.port(), &authority.certificate());
    client.get();
    let answer = redirected(http_address).unwrap();
    assert!(answer.contains("location: https://localhost:8443/a\r\n"), "{answer}");
    (0..5).for_each(|_| assert_eq!(manager.next(), "WATCHDOG=1"));
    // A program that the server starts does not keep the ports open.
    for passed in [3, 4] {
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{passed}", server.id())).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        assert_ne!(u32::from_str_radix(flags, 8).unwrap() & 0o2_000_000, 0, "O_CLOEXEC of {passed}: {flags}");
    }

    server.signal(Signal::HUP);
    let reloading = manager.next_but_watchdog();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert!(manager.next_but_watchdog().starts_with("READY=1\n"));
    fs::remove_file(&pair.cert).unwrap();
    server.signal(Signal::HUP);
    assert!(manager.next_but_watchdog().starts_with("RELOADING=1\n"));
    assert!(manager.next_but_watchdog().ends_with("; the last reload has failed, see the log"));
    server.signal(Signal::TERM);
    assert!(manager.next_but_watchdog().starts_with("STOPPING=1\n"));
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    assert!(log.contains("--https 127.0.0.1:1 is not opened"), "{log}");
    // The socket is still open, and who connects is not refused.
    TcpStream::connect(https_address).unwrap();
}

#[test]
fn a_socket_without_a_name_is_for_https_and_nothing_else_is_opened() {
    let authority = Authority::new();
    let pair = authority.pair("server");
    for names in ["-", "lockgate.socket", "unknown"] {
        let (https, address) = listener();
        let mut server = Server::spawn(with_sockets(&[&https], names, &line(&pair)));
        assert_eq!(server.https_port(), address.port());
        server
            .stderr
            .expect("plain HTTP is not answered: the service manager has passed no socket named http");
        Client::connect(address.port(), &authority.certificate()).get();
        server.stop();
    }
}

#[test]
fn what_cannot_be_taken_is_named_with_the_way_out() {
    let authority = Authority::new();
    let pair = authority.pair("server");
    let (one, two) = (listener().0, listener().0);
    let udp = inherited(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().into());
    let cases: [(&[&OwnedFd], &str, &str); 5] = [
        (&[&one], "dns", "the name dns of descriptor 3 is not known; it has to be https or http"),
        (&[&one, &two], "https:https", "two sockets have the name https"),
        (&[&one, &two], "-", "descriptor 3 has no name, and there are several"),
        (&[&one, &two], "https", "descriptor 4 has no name"),
        (&[&udp], "https", "the socket https (descriptor 3) is not a TCP socket"),
    ];
    for (sockets, names, what) in cases {
        let (status, log) = Server::spawn(with_sockets(sockets, names, &line(&pair))).wait();
        assert_eq!(status.code(), Some(78), "{log}");
        assert!(log.contains("LISTEN_FDS: ") && log.contains(what), "{log}, not {what}");
    }
    for (count, what) in [
        ("2", "descriptor 4 is not an open socket; sockets that were to be passed: 2"),
        ("4294967295", "it has to be a number of sockets"),
        ("-1", "it has to be a number of sockets"),
        ("x", "it has to be a number of sockets"),
    ] {
        let mut command = with_sockets(&[&one], "-", &line(&pair));
        let script = PASS.replace("str(len(copies))", &format!("{count:?}"));
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        command = Command::new("python3");
        command.arg("-c").arg(script).args(&arguments[2..]);
        let (status, log) = Server::spawn(command).wait();
        assert_eq!(status.code(), Some(78), "{log}");
        assert!(log.contains(what), "{log}, not {what}");
    }
    // Sockets of the shell that has started it are none of its own.
    let mut command = lockgate(&serve_line(&pair));
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    let mut server = Server::spawn(command);
    server.https_port();
    let log = server.stop();
    let told = log.lines().find(|line| line.contains("LISTEN_FDS is not for this process"));
    assert!(told.is_some_and(|line| line.contains(" WARN ")), "{log}");
    // A name of any length is told of in a line that can be read.
    let name = "n".repeat(100_000);
    let (_, log) = Server::spawn(with_sockets(&[&one], &name, &line(&pair))).wait();
    assert!(log.contains("(99936 bytes more)") && log.len() < 1_000, "{} bytes", log.len());
}

#[test]
fn what_is_given_counts_also_when_it_is_the_default() {
    let authority = Authority::new();
    let pair = authority.pair("server");
    let ((https, https_address), (http, http_address)) = (listener(), listener());
    let both = |more: &[&str]| {
        let mut server =
            Server::spawn(with_sockets(&[&https, &http], "https:http", &[&line(&pair)[..], more].concat()));
        assert_eq!(server.https_port(), https_address.port());
        server
    };
    let mut server = both(&["--http", "80", "--https", "[::]:8443"]);
    assert!(redirected(http_address).unwrap().starts_with("HTTP/1.1 301 "));
    let log = server.stop();
    assert!(log.contains("WARN  lockgate::command::serving] --http [::]:80 does not count"), "{log}");
    assert!(log.contains("WARN  lockgate::command::serving] --https [::]:8443 is not opened"), "{log}");
    // The settings may name what the units of the sockets name too.
    let [given_https, given_http] = [https_address, http_address].map(|address| address.to_string());
    for more in [&[][..], &["--https", &given_https, "--http", &given_http]] {
        let log = both(more).stop();
        assert!(!log.contains(" WARN "), "{log}");
    }

    // What is off is not served.
    let mut server = both(&["--http", "off"]);
    let told = server.stderr.expect("plain HTTP is not answered, as --http off says");
    assert!(told.contains(" WARN ") && told.contains("stop its .socket unit"), "{told}");
    Client::connect(https_address.port(), &authority.certificate()).get();
    let mut stream = TcpStream::connect(http_address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    // A server that stops has answered before.
    server.stop();
    stream.set_nonblocking(true).unwrap();
    let unanswered = stream.read(&mut [0]).unwrap_err();
    assert_eq!(unanswered.kind(), std::io::ErrorKind::WouldBlock);

    // None is as if nothing had been said.
    let mut server = Server::spawn(with_sockets(&[], "-", &serve_line(&pair)));
    server.https_port();
    assert!(redirected((Ipv4Addr::LOCALHOST, server.http_port()).into())
        .unwrap()
        .starts_with("HTTP/1.1 301 "));
    server.stop();
}

#[test]
fn the_journal_gets_the_priority_of_a_start_that_fails() {
    let authority = Authority::new();
    let log = authority.dir().join("log");
    for (arguments, told) in [
        (&["serve", "--no-such"][..], "<3>lockgate: there is no option --no-such"),
        (&["serve", "--cert", "none.pem", "--key", "none.pem"], "<3>lockgate: none.pem"),
        (&["serve", "--log-format=json", "--no-such"], "<3>{\"time\":"),
    ] {
        let stderr = File::create(&log).unwrap();
        let is = stderr.metadata().unwrap();
        let mut command = lockgate(arguments);
        command.env("JOURNAL_STREAM", format!("{}:{}", is.dev(), is.ino())).stderr(stderr);
        command.status().unwrap();
        let text = fs::read_to_string(&log).unwrap();
        assert!(text.starts_with(told) && text.lines().count() == 1, "{text}");
    }
}

/// 500 connections in a second go on while the program restarts, and none is refused.
#[test]
fn a_restart_refuses_nobody() {
    let authority = Authority::new();
    let pair = authority.pair("server");
    let (https, https_address) = listener();
    let (http, http_address) = listener();
    let spawn = || {
        let mut server = Server::spawn(with_sockets(&[&http, &https], "http:https", &line(&pair)));
        server.https_port();
        server
    };
    let mut server = spawn();
    let is_over = AtomicBool::new(false);
    let [asked, secured, refused, failed] = [0; 4].map(AtomicUsize::new);
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let count = |outcome: std::io::Result<String>, good: &str| match outcome {
        Ok(answer) if answer.starts_with(good) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            refused.fetch_add(1, Ordering::SeqCst);
        }
        other => {
            println!("{other:?}");
            failed.fetch_add(1, Ordering::SeqCst);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    secured.fetch_add(1, Ordering::SeqCst);
                    count(secure(https_address, &config), "HTTP/1.1 200 ");
                }
            });
        }
        for _ in 0..5 {
            scope.spawn(|| {
                let began = Instant::now();
                for number in 1.. {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    // A hundred a second, and no more after a pause.
                    let due = began + number * Duration::from_millis(10);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    asked.fetch_add(1, Ordering::SeqCst);
                    count(redirected(http_address), "HTTP/1.1 301 ");
                }
            });
        }
        for round in 0..5 {
            // So many come between two restarts, however fast the machine is.
            let seen = [&asked, &secured].map(|count| count.load(Ordering::SeqCst));
            let began = Instant::now();
            while asked.load(Ordering::SeqCst) < seen[0] + 300
                || secured.load(Ordering::SeqCst) < seen[1] + 20
            {
                assert!(began.elapsed() < SAFETY, "{seen:?}");
                std::thread::yield_now();
            }
            server.stop();
            // Nobody runs, and who connects waits for the next.
            let waiting = std::thread::spawn(move || redirected(http_address).unwrap());
            let certificate = authority.certificate();
            let secure =
                std::thread::spawn(move || Client::connect(https_address.port(), &certificate).get());
            server = spawn();
            assert!(waiting.join().unwrap().starts_with("HTTP/1.1 301 "), "{round}");
            secure.join().unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let [asked, secured, refused, failed] = [asked, secured, refused, failed].map(AtomicUsize::into_inner);
    println!(
        "{asked} connections in clear and {secured} over TLS, and five restarts: {refused} refused, {failed} not answered"
    );
    assert_eq!((refused, failed), (0, 0), "of {asked} and {secured}");
    assert!(asked >= 1_500 && secured >= 100);
    server.stop();
}

#[test]
fn the_journal_gets_the_priority_of_each_line_and_nobody_else_does() {
    let authority = Authority::new();
    let pair = authority.pair("server");
    let log = authority.dir().join("log");
    let serve = |journal: &str| {
        let stderr = File::create(&log).unwrap();
        let is = stderr.metadata().unwrap();
        let stream = journal.replace("DEV", &is.dev().to_string()).replace("INO", &is.ino().to_string());
        let mut command = lockgate(&serve_line(&pair));
        command.env("JOURNAL_STREAM", stream).stdout(Stdio::piped()).stderr(stderr);
        let mut server = Server::watch(command.spawn().unwrap());
        server.http_port();
        server.signal(Signal::HUP);
        fs::remove_file(&pair.cert).unwrap();
        let until = |words: &str| {
            let began = Instant::now();
            while !fs::read_to_string(&log).unwrap().contains(words) {
                assert!(began.elapsed() < SAFETY, "{}", fs::read_to_string(&log).unwrap());
                std::thread::yield_now();
            }
        };
        server.signal(Signal::HUP);
        until("the certificate stays as it is");
        server.signal(Signal::TERM);
        assert!(server.wait().0.success());
        fs::write(&pair.cert, fs::read(authority.dir().join("kept")).unwrap()).unwrap();
        fs::read_to_string(&log).unwrap()
    };
    fs::copy(&pair.cert, authority.dir().join("kept")).unwrap();
    let text = serve("DEV:INO");
    for line in text.lines() {
        let expected = match line {
            line if line.contains(" ERROR ") => "<3>[",
            line if line.contains(" WARN ") => "<4>[",
            _ => "<6>[",
        };
        assert!(line.starts_with(expected), "{line}");
    }
    assert!(text.contains("<3>[") && text.contains("<6>["), "{text}");
    // Inherited, while stderr leads elsewhere.
    for other in ["DEV:1", "1:INO", "DEV", "", "x:y"] {
        assert!(!serve(other).contains("<6>"), "{other}");
    }
}

/// Who follows the example of the help and of the errors finds the folder there.
#[test]
fn the_unit_makes_the_folder_of_the_socket_that_is_told_as_an_example() {
    let unit = include_str!("../examples/packaging/systemd/lockgate.service");
    let asked = lockgate(&["serve", "--admin", "unix:", "--device", "--state", "/nonexistent"]);
    let said = String::from_utf8(run(asked, b"").stderr).unwrap();
    let (_, path) = said.split_once("such as unix:/run/").unwrap_or_else(|| panic!("{said}"));
    let folder = path.split('/').next().unwrap();
    assert!(unit.contains(&format!("\nRuntimeDirectory={folder}\n")), "{folder}");
    // Nobody but the user and the group comes to the socket.
    assert!(unit.contains("\nRuntimeDirectoryMode=0750\n"));
}

#[test]
fn systemd_takes_the_units_and_finds_little_to_expose() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/packaging/systemd");
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("left out: there is no systemd-analyze");
        return;
    }
    let dir = tempfile::TempDir::new().unwrap();
    let names = ["lockgate.service", "lockgate.socket", "lockgate-http.socket"];
    let program = lockgate(&[]).get_program().to_owned();
    let files = names.map(|name| {
        let unit = fs::read_to_string(units.join(name)).unwrap();
        let unit = unit.replace("/usr/bin/lockgate", program.to_str().unwrap());
        fs::write(dir.path().join(name), unit).unwrap();
        dir.path().join(name)
    });
    let mut verify = Command::new("systemd-analyze");
    let output = run(
        {
            verify.args(["verify", "--man=no"]).args(&files);
            verify
        },
        b"",
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("lockgate"), "{said}");
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--no-pager"]).arg(&files[0]);
    let said = String::from_utf8(run(security, b"").stdout).unwrap();
    let score = said.rsplit("exposure level for lockgate.service: ").next().unwrap();
    let score: f64 = score.split(' ').next().unwrap().parse().unwrap();
    println!("exposure: {score}");
    assert!(score <= 1.5, "{said}");
}
