//! An idle server uses no CPU: it has no periodic timer and does not poll, with or without idle connections.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Twice the time in which a server that looks up once a second would be caught.
const WINDOW: Duration = Duration::from_secs(2);
/// A machine that is busy with other things gets several chances.
const PATIENCE: Duration = Duration::from_secs(30);

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_idle_server_makes_no_wake_ups() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Running(
        Command::new(env!("CARGO_BIN_EXE_lockgate"))
            .args(["demo", "-q", "--https", "127.0.0.1:0", "--http", "127.0.0.1:0", "--dir"])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find(|line| line.contains("server running on")).unwrap();
    let port: u16 = line.rsplit(':').next().unwrap().parse().unwrap();
    // In the middle of a handshake, with a deadline that is not yet near.
    let _waiting = TcpStream::connect(("127.0.0.1", port)).unwrap();

    let until = Instant::now() + PATIENCE;
    loop {
        let before = switches(server.0.id());
        thread::sleep(WINDOW);
        let after = switches(server.0.id());
        if before == after {
            return;
        }
        assert!(Instant::now() < until, "{} wake-ups in {WINDOW:?} of idleness", after - before);
    }
}

/// How often the server's threads have gone to sleep so far, which is how often they were awake.
fn switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")).unwrap();
    tasks
        .map(|task| {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        })
        .sum()
}
