//! What the tests of the command share: the built binary as a child process, certificates made at run time, programs that act
//! as clients, and a client of our own. Every wait is for an event, with a bound far above what a passing test needs, so that a
//! hang fails.

// Each test program uses a part of this.

#![allow(dead_code)]

pub mod certificates;
pub mod client;
pub mod clock;
pub mod peers;
pub mod schema;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};

/// Longer than anything here takes, also on a machine that is busy.
pub const SAFETY: Duration = Duration::from_secs(60);

pub const BODY: &str = r#"{"message":"Secure data over HTTPS"}"#;

/// The command, not started yet, with an environment that does not depend on who runs the tests. It is the one that was built for
/// this test, or that in the folder `LOCKGATE_BUILT`: so tests that are built in a moment can look at a release build.
pub fn lockgate(arguments: &[&str]) -> Command {
    match std::env::var_os("LOCKGATE_BUILT") {
        Some(folder) => {
            let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("lockgate");
            assert!(program.exists(), "LOCKGATE_BUILT names a folder without {}", program.display());
            of_program(program, arguments)
        }
        None => of_program(env!("CARGO_BIN_EXE_lockgate"), arguments),
    }
}

pub fn of_program(program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// A running server. It is killed when it is dropped.
pub struct Server {
    child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
    /// Whether what it says is in its log, and not on stdout.
    says_in_log: bool,
}

impl Server {
    /// Starts a command that serves; returns at once.
    pub fn spawn(mut command: Command) -> Server {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let formats = ["json", "logfmt", "--log-format=json", "--log-format=logfmt"];
        let says_in_log = command.get_args().any(|word| formats.iter().any(|format| word == *format));
        let mut server = Server::watch(command.spawn().unwrap());
        server.says_in_log = says_in_log;
        server
    }

    /// Watches a child whose stdout and stderr, if they are piped, become lines.
    pub fn watch(mut child: Child) -> Server {
        let stdout = Lines::of("stdout", child.stdout.take());
        let stderr = Lines::of("stderr", child.stderr.take());
        Server { child, stdout, stderr, says_in_log: false }
    }

    /// `lockgate serve` on free ports of the loopback, with further arguments.
    pub fn serve(pair: &certificates::Pair, further: &[&str]) -> Server {
        Server::spawn(lockgate(&[&serve_line(pair)[..], further].concat()))
    }

    /// `lockgate demo` on free ports of the loopback, with further arguments.
    pub fn demo(dir: &Path, further: &[&str]) -> Server {
        let line = ["demo", "--dir", text(dir), "--https", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        Server::spawn(lockgate(&[&line[..], further].concat()))
    }

    /// The HTTPS port, once it says that it serves.
    pub fn https_port(&mut self) -> u16 {
        port_of(&self.said("HTTPS API server running on https://localhost:"))
    }

    /// The port of the redirects; said after the HTTPS port.
    pub fn http_port(&mut self) -> u16 {
        port_of(&self.said("Redirecting http://localhost:"))
    }

    /// What it says behind these words, once it does.
    #[track_caller]
    pub fn said(&mut self, words: &str) -> String {
        let lines = if self.says_in_log { &mut self.stderr } else { &mut self.stdout };
        lines.expect(words).split_once(words).unwrap().1.to_string()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end: how it ended, and all that it wrote to stderr.
    pub fn wait(&mut self) -> (ExitStatus, String) {
        let log = self.stderr.all();
        self.stdout.all();
        (self.child.wait().unwrap(), log)
    }

    /// Ends it by SIGTERM, which must succeed: all that it wrote to stderr.
    #[track_caller]
    pub fn stop(&mut self) -> String {
        self.signal(Signal::TERM);
        let (status, log) = self.wait();
        assert_eq!(status.code(), Some(0), "{status}\n{log}");
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended, and then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn serve_line(pair: &certificates::Pair) -> [&str; 9] {
    let (cert, key) = (text(&pair.cert), text(&pair.key));
    ["serve", "--cert", cert, "--key", key, "--https", "127.0.0.1:0", "--http", "127.0.0.1:0"]
}

/// The port that a text begins with.
fn port_of(text: &str) -> u16 {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().unwrap_or_else(|_| panic!("no port in {text:?}"))
}

/// A stream's lines, as they come.
pub struct Lines {
    name: &'static str,
    coming: Receiver<String>,
    /// What has been looked at already.
    seen: Vec<String>,
}

impl Lines {
    fn of(name: &'static str, stream: Option<impl Read + Send + 'static>) -> Lines {
        let (sender, coming) = mpsc::channel();
        if let Some(stream) = stream {
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = Vec::new();
                while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                    let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_string();
                    line.clear();
                    if sender.send(text).is_err() {
                        return;
                    }
                }
            });
        }
        Lines { name, coming, seen: Vec::new() }
    }

    /// The next line that holds these words. Those before it are passed over.
    #[track_caller]
    pub fn expect(&mut self, words: &str) -> String {
        let until = Instant::now() + SAFETY;
        loop {
            match self.coming.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line.clone()),
                Err(error) => {
                    panic!("{words:?} is not in {} ({error}):\n{}", self.name, self.seen.join("\n"))
                }
            }
            if let Some(line) = self.seen.last().filter(|line| line.contains(words)) {
                return line.clone();
            }
        }
    }

    /// All lines from the first on, once the stream has ended.
    #[track_caller]
    pub fn all(&mut self) -> String {
        let until = Instant::now() + SAFETY;
        loop {
            match self.coming.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.seen.join("\n"),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} does not end:\n{}", self.name, self.seen.join("\n"))
                }
            }
        }
    }
}

/// Runs a program to its end, which must come in time; `input` is its stdin.
#[track_caller]
pub fn run(command: Command, input: &[u8]) -> Output {
    run_within(SAFETY, command, input)
}

/// As [`run`], for a program that has more to do.
#[track_caller]
pub fn run_within(limit: Duration, mut command: Command, input: &[u8]) -> Output {
    let shown = format!("{command:?}");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    std::thread::spawn(move || {
        // A program that has heard enough closes its stdin.
        let _ = std::io::Write::write_all(&mut stdin, &input);
    });
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match ended.recv_timeout(limit) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            kill_process(pid, Signal::KILL).unwrap();
            panic!("does not end: {shown}: {:?}", ended.recv().map(Result::ok));
        }
    }
}

/// As [`run`], with the exit code and what was written: stdout and stderr as text.
#[track_caller]
pub fn outcome(command: Command, input: &[u8]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = run(command, input);
    let code = status.code().unwrap_or_else(|| panic!("ended by signal {:?}", status.signal()));
    (code, String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned())
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
