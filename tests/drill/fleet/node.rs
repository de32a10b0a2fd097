//! One of the servers: the built command in a process of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};

use super::haproxy::Mode;
use super::site::{text, Site, ADMIN, HTTP, HTTPS};
use crate::support_command::lockgate;

/// Far above what a node takes to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Node {
    child: Child,
    arguments: Vec<String>,
    /// Where its log is appended.
    log: PathBuf,
}

impl Node {
    /// As the comments in the configurations of HAProxy say it.
    pub fn start(site: &Site, at: usize, mode: Mode, options: &[&str]) -> Node {
        let host = site.node_host(at);
        let [https, http, admin] = [HTTPS, HTTP, ADMIN].map(|port| format!("{host}:{port}"));
        let (cert, key) = (site.of_node(at, "cert.pem"), site.of_node(at, "key.pem"));
        if !cert.exists() {
            site.give_pair(at, &site.pair);
        }
        let own = ["serve", "-q", "--https", &https, "--admin", &admin];
        let pair = ["--cert", text(&cert), "--key", text(&key)];
        let plain: &[&str] = match mode {
            Mode::Tcp => &["--http", &http, "--public-port", "443"],
            Mode::Http => &["--http", "off"],
        };
        let arguments = [&own[..], plain, &pair, mode.options(), options]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect();
        let node = Node::run(arguments, site.of_node(at, "log"), |command| command);
        node.unwrap_or_else(|log| panic!("a node has not started: {log}"))
    }

    /// Starts the command with these arguments, in what `wrap` makes of it. What it has logged, when it does not serve.
    pub fn run(
        arguments: Vec<String>,
        log: PathBuf,
        wrap: impl FnOnce(Command) -> Command,
    ) -> Result<Node, String> {
        let mut command = lockgate(&[]);
        command.args(&arguments);
        let file = File::options().append(true).create(true).open(&log).expect("a log");
        let mut command = wrap(command);
        let mut child = command.stderr(file).stdout(Stdio::piped()).spawn().expect("the node starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("lines of the node");
        let mut node = Node { child, arguments, log };
        if line.contains("running on") {
            return Ok(node);
        }
        let _ = node.child.wait();
        Err(node.log())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the node runs");
    }

    pub fn reload(&self) {
        self.signal(Signal::HUP);
    }

    pub fn freeze(&self, frozen: bool) {
        self.signal(if frozen { Signal::STOP } else { Signal::CONT });
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it as an operator does. How it ended; `None` when it did not.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Starts it anew as it was.
    pub fn start_again(&mut self) {
        self.kill();
        let node = Node::run(self.arguments.clone(), self.log.clone(), |command| command);
        *self = node.unwrap_or_else(|log| panic!("a node has not started again: {log}"));
    }

    pub fn arguments(&self) -> Vec<String> {
        self.arguments.clone()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until a line of its log has this.
    pub fn logs(&self, what: &str) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.log().contains(what) {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
