//! The virtual board: qemu with a disk, and what can be done to it from outside. The serial line runs commands inside (init.sh)
//! and brings what lockgate logs; qemu's monitor resets it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any step takes, also on a machine that is busy with other things. A hang is a failure, and this is when it shows.
const PATIENCE: Duration = Duration::from_secs(180);

/// The board's memory in MiB.
pub const MEMORY: u32 = 64;

/// Errors of the kernel are shown; after a panic it restarts. Debian's kernel keeps 16 MiB for large buffers of devices (CMA).
/// Programs can have some of it, but sockets cannot: with it the kernel ends lockgate at 342 connections, for lack of memory,
/// while 17 MiB are free. This board has no such devices.
const KERNEL: &str = "console=ttyAMA0 quiet loglevel=4 panic=-1 cma=0 cryptomgr.notests";

/// What the kernel writes when something ended that must not.
const THE_END: [&str; 2] = ["Out of memory", "Kernel panic"];

/// The files of a board: the kernel, the initramfs and the disk that it starts with (make.sh).
pub struct Parts {
    folder: PathBuf,
}

impl Parts {
    pub fn of(folder: PathBuf) -> Parts {
        Parts { folder }
    }

    /// A new disk with an empty file system, for the state.
    pub fn disk(&self, name: &str) -> PathBuf {
        let disk = self.folder.join(format!("{name}.img"));
        std::fs::copy(self.folder.join("state.img"), &disk).expect("a disk");
        disk
    }
}

/// A board that runs. It loses its power when it is dropped.
pub struct Board {
    qemu: Child,
    serial: ChildStdin,
    lines: Receiver<String>,
    monitor: BufReader<UnixStream>,
    transcript: PathBuf,
    commands: u32,
    /// When the power came, or the last reset.
    pub since: Instant,
    /// The ports of the loopback that lead to the board's 443 and 80.
    pub https: u16,
    pub http: u16,
}

impl Board {
    /// Switches it on. `clock` is what its clock shows then, such as 1970-01-01T00:00:00.
    pub fn start(parts: &Parts, disk: &Path, clock: &str) -> Board {
        let file = |name: &str| parts.folder.join(name);
        let socket = disk.with_extension("monitor");
        let _ = std::fs::remove_file(&socket);
        let since = Instant::now();
        let mut qemu = Command::new("qemu-system-arm")
            // The kernel gets no random seed, as on a board without a boot loader that has one.
            .args(["-machine", "virt,dtb-randomness=off", "-cpu", "cortex-a7", "-m", &MEMORY.to_string()])
            .args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-qmp"])
            .arg(format!("unix:{},server=on,wait=off", socket.display()))
            .arg("-kernel")
            .arg(file("vmlinuz"))
            .arg("-initrd")
            .arg(file("initramfs"))
            .args(["-append", KERNEL, "-drive"])
            .arg(format!("file={},if=none,format=raw,id=state", disk.display()))
            .args(["-device", "virtio-blk-device,drive=state", "-netdev"])
            // Nothing but these two ports leads in, and nothing out.
            .arg("user,id=net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:0-:443,hostfwd=tcp:127.0.0.1:0-:80")
            .args(["-device", "virtio-net-device,netdev=net", "-rtc", &format!("base={clock}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-system-arm starts");
        let serial = qemu.stdin.take().expect("it is piped");
        let transcript = disk.with_extension("log");
        let lines = listen(qemu.stdout.take().expect("it is piped"), &transcript);
        let monitor = monitor(&socket);
        let mut board =
            Board { qemu, serial, lines, monitor, transcript, commands: 0, since, https: 0, http: 0 };
        let network = board.monitor("human-monitor-command", r#"{"command-line": "info usernet"}"#);
        board.https = forwarded(&network, "443");
        board.http = forwarded(&network, "80");
        board
    }

    /// Waits for a line with these words, which lockgate, the kernel or init writes.
    #[track_caller]
    pub fn expect(&mut self, words: &str) -> String {
        self.next(|line| line.contains(words))
            .unwrap_or_else(|| self.fail(&format!("{words:?} is not written")))
    }

    /// Waits until lockgate serves, and the serial line is heard.
    #[track_caller]
    pub fn expect_service(&mut self) {
        self.expect("board: ready");
        self.expect("HTTPS API server running on");
    }

    /// Runs a line of shell inside, which must succeed, and returns what it writes.
    #[track_caller]
    pub fn run(&mut self, command: &str) -> String {
        let mark = self.send(command);
        let (mut written, end) = (String::new(), format!("{mark}exit "));
        while let Some(line) = self.next(|line| line.contains(&mark)) {
            // Lines of lockgate may stand before it.
            let line = &line[line.find(&mark).expect("the line has it")..];
            if let Some(code) = line.strip_prefix(&end) {
                assert_eq!(code, "0", "{command}: {written}");
                return written;
            }
            written.push_str(&line[mark.len()..]);
            written.push('\n');
        }
        self.fail(&format!("{command:?} does not end"))
    }

    /// Begins to run a line of shell inside. What it writes begins with the mark that is returned.
    pub fn send(&mut self, command: &str) -> String {
        self.commands += 1;
        let mark = format!("[{}] ", self.commands);
        let line = format!("{{ {command}; echo \"exit $?\"; }} 2>&1 | sed 's/^/{mark}/'\n");
        self.serial.write_all(line.as_bytes()).expect("the serial line is there");
        self.serial.flush().expect("the serial line is there");
        mark
    }

    /// Has the disk write no more than this often in a second, 0 for as often as it can. With a slow disk a reset comes in the
    /// middle of a write more often.
    pub fn write_no_faster(&mut self, times_a_second: u32) {
        let arguments = format!(
            r#"{{"device": "state", "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": {times_a_second}}}"#
        );
        self.monitor("block_set_io_throttle", &arguments);
    }

    /// Presses the reset button: memory and what was not written to the disk are lost.
    pub fn reset(&mut self) {
        self.monitor("system_reset", "{}");
        self.since = Instant::now();
    }

    /// Pulls the plug.
    pub fn power_off(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        // It has ended by itself only when a test fails.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }

    fn next(&mut self, is_wanted: impl Fn(&str) -> bool) -> Option<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())).ok()?;
            if THE_END.iter().any(|words| line.contains(words)) {
                self.fail("the kernel ended it");
            }
            if is_wanted(&line) {
                return Some(line);
            }
        }
    }

    fn monitor(&mut self, command: &str, arguments: &str) -> String {
        let line = format!("{{\"execute\": {command:?}, \"arguments\": {arguments}}}\n");
        self.monitor.get_mut().write_all(line.as_bytes()).expect("the monitor is there");
        loop {
            let mut line = String::new();
            let length = self.monitor.read_line(&mut line).expect("the monitor answers");
            assert!(length > 0 && !line.contains("\"error\""), "{command}: {line}");
            // Events come between.
            if line.contains("\"return\"") {
                return line;
            }
        }
    }

    /// All that the board has written since its start.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.transcript).unwrap_or_default()).into_owned()
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        let written = self.written();
        let lines: Vec<&str> = written.lines().collect();
        panic!(
            "{what}; the end of {}:\n{}",
            self.transcript.display(),
            lines[lines.len().saturating_sub(30)..].join("\n")
        );
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The lines that come over the serial line, which are also written to a file.
fn listen(serial: impl Read + Send + 'static, transcript: &Path) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    let mut transcript = File::create(transcript).expect("a file for what the board writes");
    thread::spawn(move || {
        let mut serial = BufReader::new(serial);
        let mut line = Vec::new();
        while serial.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let _ = transcript.write_all(&line);
            let text = String::from_utf8_lossy(&line).trim_end().to_string();
            line.clear();
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    lines
}

/// Connects to qemu's monitor, which is there soon after its start.
fn monitor(socket: &Path) -> BufReader<UnixStream> {
    let until = Instant::now() + PATIENCE;
    let stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < until, "{}: {error}", socket.display()),
        }
        thread::sleep(Duration::from_millis(10));
    };
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    let mut monitor = BufReader::new(stream);
    monitor.read_line(&mut String::new()).expect("qemu greets");
    monitor.get_mut().write_all(b"{\"execute\": \"qmp_capabilities\"}\n").expect("the monitor is there");
    monitor.read_line(&mut String::new()).expect("qemu answers");
    monitor
}

/// The port of the loopback that leads to a port of the board. A line of qemu's table holds, among others, the address and the
/// port outside, and the address and the port inside.
fn forwarded(table: &str, inside: &str) -> u16 {
    let line = table.split("\\r\\n").map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|words| {
        words.first().is_some_and(|word| word.contains("HOST_FORWARD")) && words.get(5) == Some(&inside)
    });
    line.and_then(|words| words[3].parse().ok())
        .unwrap_or_else(|| panic!("no port leads to {inside}: {table}"))
}
