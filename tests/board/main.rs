//! A virtual board with 64 MiB of memory, on which lockgate runs as a device: qemu, a 32-bit ARM processor, Debian's kernel, a
//! root that cannot be written, a disk for the state, and nothing else but a shell on the serial line. The tests look at it
//! from outside, as clients do. One line a step, with figures and pass or FAIL; the steps build on each other, so the first
//! that fails is the last. `make board` builds what it needs. With the argument `short` only the first steps are done, on one
//! boot. Times are those of an emulated processor: they are told, and nothing is asserted of them.

mod client;
mod machine;

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::{pem::PemObject, CertificateDer};

use client::Client;
use machine::{Board, Parts, MEMORY};

/// Where a clock without a battery begins.
const NEVER_SET: &str = "1970-01-01T00:00:00";
/// 18 May 2033. The client's clock is set with the board's, so the clock of the machine that runs the test does not matter.
const SET: u64 = 2_000_000_000;
/// 61 days later, when two thirds of the certificate's 90 days are over.
const DUE: u64 = SET + 61 * 86_400;
/// 1 January 2040, beyond what 32 bits hold. The CA lasts until 2046.
const BEYOND_2038: u64 = 2_208_988_800;

/// The address that the board gets, long after lockgate has started.
const ADDRESS: &str = "10.0.2.15";

const CONNECTIONS: u32 = 500;

/// How often a slow disk writes, such as a bad SD card.
const WRITES_A_SECOND: u32 = 10;

/// In KiB: what lockgate may have allocated after the start. It is the heap and the stacks of six threads; `lockgate::costs`
/// promises 4 MiB with the program, which has more than that alone.
const ALLOCATED_AT_START: i64 = 1024;
/// In KiB: what the board must have left for other programs with lockgate running, a quarter of its memory.
const LEFT_AT_START: i64 = 16 * 1024;
/// In KiB: an idle connection in lockgate, as `lockgate::costs` says.
const IDLE_CONNECTION: i64 = 8;
/// In KiB: an idle connection in all, with its socket, its entry in epoll and its buffers in the kernel.
const IDLE_CONNECTION_IN_ALL: i64 = 16;

fn main() -> ExitCode {
    let Some(folder) = std::env::var_os("BOARD") else {
        eprintln!("BOARD is the folder that tests/board/make.sh prints; make board does it all");
        return ExitCode::from(64);
    };
    let folder = PathBuf::from(folder);
    let parts = Parts::of(folder.clone());
    let mut steps = Steps { passed: 0 };

    let disk = parts.disk("device");
    let mut first = Board::start(&parts, &disk, NEVER_SET);
    let (ca, took) = steps
        .step("first boot without clock, network, host name, random seed and writable root", || {
            first_boot(&mut first, &folder)
        });
    steps.step("memory after the start", || memory_after_the_start(&mut first));
    steps.step("the clock is set", || the_clock_is_set(&mut first, &ca));
    if std::env::args().skip(1).any(|argument| argument == "short") {
        return steps.end();
    }
    let idle = steps.step("500 idle connections", || idle_connections(&mut first, &ca));
    steps.step("a renewal while they are held", || renewal(&mut first, &ca, idle));
    steps.step("a clock beyond 2038", || beyond_2038(&mut first, &ca));
    steps.step("reboot -f in the middle of requests", || reboot(&mut first, &ca));
    steps.step("resets in the middle of renewals", || resets(&mut first, &ca));
    steps.step("a power cut in the middle of a renewal", || power_cut(first, &parts, &disk, &ca));
    steps.step("resets in the middle of first boots", || resets_at_first(&parts, took));
    steps.end()
}

struct Steps {
    passed: u32,
}

impl Steps {
    /// Does a step, which returns figures and what later steps need. It panics when it fails.
    fn step<T>(&mut self, name: &str, step: impl FnOnce() -> (String, T)) -> T {
        /// Says which step a panic was in.
        struct Name<'a>(&'a str, u32);
        impl Drop for Name<'_> {
            fn drop(&mut self) {
                if thread::panicking() {
                    println!("FAIL  {}\nboard: {} passed, 1 failed", self.0, self.1);
                }
            }
        }
        let failing = Name(name, self.passed);
        let began = Instant::now();
        let (figures, result) = step();
        drop(failing);
        self.passed += 1;
        println!("pass  {name} ({} s): {figures}", began.elapsed().as_secs());
        result
    }

    fn end(self) -> ExitCode {
        println!("board: {} passed, 0 failed", self.passed);
        ExitCode::SUCCESS
    }
}

/// Also returns how long lockgate took from its start until it served.
fn first_boot(board: &mut Board, folder: &Path) -> (String, (CertificateDer<'static>, Duration)) {
    let inside = board.expect("board: lockgate starts");
    let started = board.since.elapsed();
    board.expect_service();
    let serves = board.since.elapsed();
    board.run("network");
    let pem = board.run("cat /state/device/ca.pem");
    let file = folder.join("ca.pem");
    std::fs::write(&file, &pem).expect("a file for the CA");
    let url = format!("https://localhost:{}/api/data", board.https);
    assert_eq!(curl(&file, &[&url]), r#"{"message":"Secure data over HTTPS"}"#);
    let verified = board.since.elapsed();

    // The network came later, and the certificate follows.
    board.expect("in use for new connections");
    let ca = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a CA");
    connect(board, &ca, SET).get().expect("an answer");
    let to = format!("{ADDRESS}:80:127.0.0.1:{}", board.http);
    let plain = format!("http://{ADDRESS}/api/data");
    let redirect = curl(&file, &["--connect-to", &to, "--write-out", "%{http_code} %{redirect_url}", &plain]);
    assert!(redirect.ends_with(&format!("301 https://{ADDRESS}/api/data")), "{redirect}");
    let log = board.written();
    assert!(log.contains("provisional") && !log.contains("ERROR"), "{log}");
    assert!(!log.contains("(none)"), "a host name that is not set is no name: {log}");

    let starts = inside.split_whitespace().nth(3).unwrap_or_default();
    let figures = format!(
        "{starts} s for the kernel and the modules, lockgate serves after {:.1} s, first verified request after {:.1} s",
        serves.as_secs_f32(),
        verified.as_secs_f32(),
    );
    (figures, (ca, serves - started))
}

fn memory_after_the_start(board: &mut Board) -> (String, ()) {
    let log = board.written();
    let kernel = |name: &str| {
        let words = format!("board: kernel {name}: ");
        let line = log.lines().find_map(|line| line.strip_prefix(&words)).expect("init says it");
        line.split_whitespace().next().expect("a number").parse::<i64>().expect("a number")
    };
    let (total, available) = (kernel("MemTotal"), kernel("MemAvailable"));
    let Memory { allocated, resident, left } = Memory::of(board);
    let root: i64 = board.run("du -sk -x / | cut -f 1").trim().parse().expect("a number");
    assert!(allocated <= ALLOCATED_AT_START, "{allocated} KiB");
    assert!(left >= LEFT_AT_START, "{left} KiB");
    let figures = format!(
        "of {MEMORY} MiB the kernel leaves {total} KiB, and {available} KiB once modules and a root of {root} KiB are in; lockgate \
         allocates {allocated} KiB ({resident} KiB resident with its program, which is part of that root); {left} KiB are left"
    );
    (figures, ())
}

fn the_clock_is_set(board: &mut Board, ca: &CertificateDer<'static>) -> (String, ()) {
    let provisional = connect(board, ca, SET).certificate();
    board.run(&format!("set_clock {SET}"));
    let began = Instant::now();
    board.expect("it was provisional, and the clock is set now");
    board.expect("in use for new connections");
    let took = began.elapsed();
    let mut client = connect(board, ca, SET);
    client.get().expect("an answer");
    assert_ne!(client.certificate(), provisional);
    (format!("another certificate after {:.1} s, of the same CA", took.as_secs_f32()), ())
}

fn idle_connections(board: &mut Board, ca: &CertificateDer<'static>) -> (String, Vec<Client>) {
    let before = Memory::of(board);
    let began = Instant::now();
    let clients: Vec<Client> = (0..CONNECTIONS)
        .map(|_| {
            let mut client = connect(board, ca, SET);
            client.get().expect("an answer");
            client
        })
        .collect();
    let took = began.elapsed();
    let after = Memory::of(board);
    let number = i64::from(CONNECTIONS);
    let allocated = after.allocated - before.allocated;
    let in_all = before.left - after.left;
    assert!(allocated <= number * IDLE_CONNECTION, "{allocated} KiB");
    assert!(in_all <= number * IDLE_CONNECTION_IN_ALL, "{in_all} KiB");
    let figures = format!(
        "{:.1} KiB each in lockgate, {:.1} KiB each in all, {} KiB are left; {:.0} ms for a handshake and a request",
        allocated as f64 / number as f64,
        in_all as f64 / number as f64,
        after.left,
        took.as_secs_f64() * 1000.0 / number as f64,
    );
    (figures, clients)
}

fn renewal(board: &mut Board, ca: &CertificateDer<'static>, mut idle: Vec<Client>) -> (String, ()) {
    let old = connect(board, ca, SET).certificate();
    board.run(&format!("set_clock {DUE}"));
    let began = Instant::now();
    board.expect("two thirds of its life are over");
    board.expect("in use for new connections");
    let took = began.elapsed();
    let mut client = connect(board, ca, DUE);
    client.get().expect("an answer");
    assert_ne!(client.certificate(), old);
    for client in &mut idle {
        client.get().expect("a connection that is held goes on");
    }
    let left = Memory::of(board).left;
    drop(idle);
    (format!("after {:.1} s; all {CONNECTIONS} answer again, {left} KiB are left", took.as_secs_f32()), ())
}

fn beyond_2038(board: &mut Board, ca: &CertificateDer<'static>) -> (String, ()) {
    let old = connect(board, ca, DUE).certificate();
    board.run(&format!("set_clock {BEYOND_2038} && kill -HUP $(pidof lockgate)"));
    board.expect("the certificate for localhost until 2040-03-31");
    let mut client = connect(board, ca, BEYOND_2038);
    client.get().expect("an answer");
    assert_ne!(client.certificate(), old);
    // A start with this clock reads the files again, which have its time.
    board.run("no_device; device");
    board.expect("HTTPS API server running on");
    let again = connect(board, ca, BEYOND_2038);
    assert_eq!(again.certificate(), client.certificate());
    ("a certificate until 2040-03-31, which is kept at the next start".to_string(), ())
}

fn reboot(board: &mut Board, ca: &CertificateDer<'static>) -> (String, ()) {
    let before = connect(board, ca, BEYOND_2038).certificate();
    let answered = AtomicU32::new(0);
    let mut clients: Vec<Client> = (0..4).map(|_| connect(board, ca, BEYOND_2038)).collect();
    let sockets: Vec<TcpStream> = clients.iter().map(Client::socket).collect();
    let took = thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| {
                // They end with the board, and those that come are right (`Client::get`).
                while client.get().is_ok() {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 40 {
            thread::sleep(Duration::from_millis(1));
        }
        board.send("reboot -f");
        board.since = Instant::now();
        board.expect_service();
        let took = board.since.elapsed();
        // An answer that was lost with the board may be waited for.
        for socket in sockets {
            let _ = socket.shutdown(Shutdown::Both);
        }
        board.run("network");
        took
    });
    // Its clock is in 1970 again, so the certificate is kept, because it is probably good.
    must_be_the_same(board, ca);
    assert_eq!(connect(board, ca, BEYOND_2038).certificate(), before);
    let answered = answered.into_inner();
    (
        format!(
            "after {answered} answers; serves again after {:.1} s, the same certificate",
            took.as_secs_f32()
        ),
        (),
    )
}

/// Has the certificate made again on a slow disk, for one address after the other, until an instant within one of the writes.
/// The instants are spread over it.
fn in_the_middle(board: &mut Board, round: u32) {
    board.write_no_faster(WRITES_A_SECOND);
    let network = format!("ifconfig eth0:1 10.9.{round}.$((i += 1)) netmask 255.255.255.0");
    board.send(&format!(
        "i=0; while {network}; do kill -HUP $(pidof lockgate); sleep 0.2; done >/dev/null 2>&1 & true"
    ));
    // The temporary name of the certificate.
    board.send("until [ -e /state/device/cert.new.pem.tmp ]; do :; done; echo board: a file is being written >/dev/console");
    board.expect("board: a file is being written");
    thread::sleep(Duration::from_millis(u64::from(100 * round)));
}

fn resets(board: &mut Board, ca: &CertificateDer<'static>) -> (String, ()) {
    const ROUNDS: u32 = 4;
    let mut left_over = 0;
    for round in 0..ROUNDS {
        in_the_middle(board, round);
        board.reset();
        board.write_no_faster(0);
        left_over += must_come_back(board, ca, BEYOND_2038);
    }
    (
        format!(
            "{ROUNDS} resets while a file was written, {left_over} of which left its temporary file behind"
        ),
        (),
    )
}

fn power_cut(mut board: Board, parts: &Parts, disk: &Path, ca: &CertificateDer<'static>) -> (String, ()) {
    in_the_middle(&mut board, 3);
    board.power_off();
    // Now with a clock that is right from the start, so that the provisional certificate is replaced before there is a network,
    // and once more for its address.
    let mut board = Board::start(parts, disk, "2033-07-18T00:00:00");
    board.expect_service();
    board.run("network");
    let began = Instant::now();
    board.expect("in use for new connections");
    let took = began.elapsed();
    must_serve(&mut board, ca, DUE);
    let shown = connect(&board, ca, DUE).certificate();
    board.run("mount -o remount,ro /state && no_device; device");
    board.expect("HTTPS API server running on");
    must_be_the_same(&mut board, ca);
    assert_eq!(connect(&board, ca, DUE).certificate(), shown);
    board.power_off();
    let figures = format!(
        "its address was in the certificate after {:.1} s; then, with a disk that cannot be written, the same certificate",
        took.as_secs_f32()
    );
    (figures, ())
}

fn resets_at_first(parts: &Parts, took: Duration) -> (String, ()) {
    const ROUNDS: u32 = 3;
    let mut had_a_ca = 0;
    for round in 0..ROUNDS {
        let mut board = Board::start(parts, &parts.disk("first"), NEVER_SET);
        board.expect("board: lockgate starts");
        // The last one comes when the CA was just made, and the others before.
        if round + 1 == ROUNDS {
            board.expect("made the device's CA");
        } else {
            thread::sleep(took * round / ROUNDS);
        }
        had_a_ca += u32::from(board.written().contains("made the device's CA"));
        board.reset();
        board.expect_service();
        board.run("network");
        let ca = board.run("cat /state/device/ca.pem");
        let ca = CertificateDer::from_pem_slice(ca.as_bytes()).expect("a CA");
        // Its address comes into the certificate later.
        let client = Client::connect(board.https, &ca, SET, "localhost");
        client.expect("a verified connection").get().expect("an answer");
    }
    (format!("{ROUNDS} resets, {had_a_ca} of them after the CA was made"), ())
}

/// A connection whose certificate was verified. It must be had.
#[track_caller]
fn connect(board: &Board, ca: &CertificateDer<'static>, clock: u64) -> Client {
    Client::connect(board.https, ca, clock, ADDRESS).expect("a verified connection")
}

/// The board starts again, has the same CA, and serves with a certificate of it. Returns how many temporary files there are.
#[track_caller]
fn must_come_back(board: &mut Board, ca: &CertificateDer<'static>, clock: u64) -> u32 {
    board.expect_service();
    board.run("network");
    must_serve(board, ca, clock)
}

/// The board has the same CA, and serves with a certificate of it. Returns how many temporary files there are.
#[track_caller]
fn must_serve(board: &mut Board, ca: &CertificateDer<'static>, clock: u64) -> u32 {
    must_be_the_same(board, ca);
    connect(board, ca, clock).get().expect("an answer");
    // Debian's ls for armhf cannot look at a folder that was changed in 2040.
    let files = board.run("echo /state/device/*");
    let (known, others): (Vec<&str>, Vec<&str>) = files
        .split_whitespace()
        .filter_map(|path| path.strip_prefix("/state/device/"))
        .partition(|name| ["ca.pem", "ca-key.pem", "cert.pem", "key.pem", "lock"].contains(name));
    assert_eq!(known.len(), 5, "{files}");
    others.len() as u32
}

#[track_caller]
fn must_be_the_same(board: &mut Board, ca: &CertificateDer<'static>) {
    let pem = board.run("cat /state/device/ca.pem");
    assert_eq!(&CertificateDer::from_pem_slice(pem.as_bytes()).expect("a CA"), ca);
}

/// In KiB.
struct Memory {
    /// What lockgate has allocated: its heap and its stacks.
    allocated: i64,
    /// What of lockgate is in memory, its program included.
    resident: i64,
    /// What the board has left for programs.
    left: i64,
}

impl Memory {
    #[track_caller]
    fn of(board: &mut Board) -> Memory {
        let text = board.run("cat /proc/$(pidof lockgate)/status /proc/meminfo");
        let figure = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let number = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("a line");
            number.parse::<i64>().expect("a number")
        };
        Memory { allocated: figure("RssAnon"), resident: figure("VmRSS"), left: figure("MemAvailable") }
    }
}

/// What curl writes, which trusts this CA and must succeed.
#[track_caller]
fn curl(ca: &Path, arguments: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60", "--cacert"])
        .arg(ca)
        .args(arguments);
    let output = curl.output().expect("curl starts");
    std::io::stderr().write_all(&output.stderr).expect("stderr is open");
    assert!(output.status.success(), "{curl:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}
