//! The server behind the proxy in a drill: this program once more, in a process of its own, so that it can be killed and frozen. What
//! a request's path says is what it gets.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};

use crate::client::reset;

/// The argument with which this program is a backend.
pub const ARGUMENT: &str = "--backend";
/// Thousands of connections have a thread each.
const STACK_BYTES: usize = 64 * 1024;

/// A backend that runs.
pub struct Backend {
    child: Child,
    pub address: SocketAddr,
}

impl Backend {
    pub fn start() -> Backend {
        Backend::start_at(0)
    }

    fn start_at(port: u16) -> Backend {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        let mut child =
            command.args([ARGUMENT, &port.to_string()]).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says its port");
        Backend { child, address: ([127, 0, 0, 1], line.trim().parse().expect("a port")).into() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it anew on the same port.
    pub fn start_again(&mut self) {
        self.kill();
        *self = Backend::start_at(self.address.port());
    }

    /// Stops it as a debugger does, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The backend's own main.
pub fn run(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    // The library's queue of 128 is too short for thousands at once.
    rustix::net::listen(&listener, 4_096).expect("it listens");
    println!("{}", listener.local_addr().expect("it has an address").port());
    // Requests that are answered later hold no thread.
    let (sleep, sleeping) = channel::<(Instant, TcpStream, Vec<u8>)>();
    thread::spawn(move || {
        let mut waiting = Vec::new();
        loop {
            match sleeping.recv_timeout(Duration::from_millis(20)) {
                Ok(one) => waiting.push(one),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            waiting.retain_mut(|(until, tcp, answer)| {
                let is_due = *until <= now;
                if is_due {
                    let _ = tcp.write_all(answer);
                }
                !is_due
            });
        }
    });
    for tcp in listener.incoming().map_while(Result::ok) {
        let sleep = sleep.clone();
        let serve = move || {
            let mut come = Vec::new();
            let mut tcp = tcp;
            let _ = tcp.set_nodelay(true);
            while let Ok(Some(request)) = head(&mut tcp, &mut come) {
                let path = request.path.clone();
                if let Some(ms) = path.strip_prefix("/sleep/") {
                    let ms = ms.split('/').next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
                    let answer = answer(&path, "Connection: close\r\n");
                    let _ = sleep.send((Instant::now() + Duration::from_millis(ms), tcp, answer));
                    return;
                }
                if !matches!(serve(&mut tcp, &mut come, &request), Ok(true)) {
                    return;
                }
            }
        };
        thread::Builder::new().stack_size(STACK_BYTES).spawn(serve).expect("a thread");
    }
}

struct Request {
    path: String,
    body: usize,
}

fn head(tcp: &mut TcpStream, come: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let mut piece = [0; 4_096];
    let end = loop {
        if let Some(at) = come.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        match tcp.read(&mut piece)? {
            0 => return Ok(None),
            read => come.extend_from_slice(&piece[..read]),
        }
    };
    let head = String::from_utf8_lossy(&come[..end]).to_ascii_lowercase();
    come.drain(..end);
    let path = head.split(' ').nth(1).unwrap_or("/").to_string();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Ok(Some(Request { path, body: length.and_then(|length| length.parse().ok()).unwrap_or(0) }))
}

/// A right answer: its body is the path.
fn answer(path: &str, fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{path}", path.len()).into_bytes()
}

/// Does what the path says, and returns whether the connection goes on.
fn serve(tcp: &mut TcpStream, come: &mut Vec<u8>, request: &Request) -> io::Result<bool> {
    let path = &*request.path;
    let mut words = path.split('/').skip(1);
    let kind = words.next().unwrap_or_default();
    let number: usize = words.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    if kind == "early" {
        tcp.write_all(&answer(path, "Connection: close\r\n"))?;
        return Ok(false);
    }
    let mut piece = [0; 4_096];
    while come.len() < request.body {
        match tcp.read(&mut piece)? {
            0 => return Ok(false),
            read => come.extend_from_slice(&piece[..read]),
        }
    }
    come.drain(..request.body);
    let whole = answer(path, "");
    match kind {
        "drip" => {
            for byte in whole {
                tcp.write_all(&[byte])?;
                thread::sleep(Duration::from_millis(number as u64));
            }
        }
        "reset" => {
            tcp.write_all(&whole[..number.min(whole.len() - 1)])?;
            reset(tcp);
            return Ok(false);
        }
        "cut" => {
            tcp.write_all(&whole[..number.min(whole.len() - 1)])?;
            return Ok(false);
        }
        "garbage" => {
            let mut seed = number as u32;
            let bytes: Vec<u8> = (0..300)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 24) as u8
                })
                .collect();
            tcp.write_all(&bytes)?;
            return Ok(false);
        }
        "twice" => tcp.write_all(&[&whole[..], &whole].concat())?,
        "last" => {
            // Closes just as the next request comes.
            tcp.write_all(&whole)?;
            if come.is_empty() {
                let _ = tcp.read(&mut [0; 1]);
            }
            return Ok(false);
        }
        "bytes" => {
            tcp.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {number}\r\n\r\n").as_bytes())?;
            io::copy(&mut io::repeat(b'x').take(number as u64), tcp)?;
        }
        _ => tcp.write_all(&whole)?,
    }
    Ok(true)
}
