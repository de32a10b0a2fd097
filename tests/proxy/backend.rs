//! A backend that does what the test says, and keeps what it reads.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::{reset, Gate, SAFETY};

/// A request as the backend has read it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The number of the connection that it came on, from 0.
    pub connection: usize,
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn line(&self) -> &str {
        self.head.split("\r\n").next().unwrap()
    }

    /// The values of the fields with this name.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// What a backend does about a request.
#[derive(Clone)]
pub enum Act {
    Say(Vec<u8>),
    /// Waits for the test, and tells it that it is here.
    Wait(Arc<Gate>),
    /// Sends so many bytes back as they come.
    Echo(usize),
    /// Waits until its peer has closed the connection, and tells the test.
    AwaitEnd(Arc<Gate>),
    Close,
    Reset,
}

pub fn say(text: impl AsRef<[u8]>) -> Vec<Act> {
    vec![Act::Say(text.as_ref().to_vec())]
}

/// A 200 with this body and its length.
pub fn ok(body: impl AsRef<[u8]>) -> Vec<Act> {
    let body = body.as_ref();
    say([format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat())
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    connections: usize,
    open: usize,
}

pub struct Backend {
    pub address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Backend {
    /// The script gets the number of the request on its connection, from 0, and the request.
    pub fn new(script: impl Fn(usize, &Seen) -> Vec<Act> + Send + Sync + 'static) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Backend::on(listener, script)
    }

    pub fn on(
        listener: TcpListener,
        script: impl Fn(usize, &Seen) -> Vec<Act> + Send + Sync + 'static,
    ) -> Backend {
        let address = listener.local_addr().unwrap();
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let (shared, script) = (state.clone(), Arc::new(script));
        thread::spawn(move || {
            for tcp in listener.incoming() {
                let (tcp, shared, script) = (tcp.unwrap(), shared.clone(), script.clone());
                let mut state = shared.0.lock().unwrap();
                let number = state.connections;
                state.connections += 1;
                state.open += 1;
                drop(state);
                thread::spawn(move || {
                    let _ = serve(tcp, number, &*script, &shared);
                    shared.0.lock().unwrap().open -= 1;
                    shared.1.notify_all();
                });
            }
        });
        Backend { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was read so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.0.lock().unwrap().seen.clone()
    }

    pub fn connections(&self) -> usize {
        self.state.0.lock().unwrap().connections
    }

    /// Waits until so many connections are open.
    pub fn await_open(&self, open: usize) {
        let state = self.state.0.lock().unwrap();
        let (state, waited) =
            self.state.1.wait_timeout_while(state, SAFETY, |state| state.open != open).unwrap();
        assert!(!waited.timed_out(), "{} are open", state.open);
    }
}

fn serve(
    mut tcp: TcpStream,
    connection: usize,
    script: &(dyn Fn(usize, &Seen) -> Vec<Act> + Send + Sync),
    shared: &(Mutex<State>, Condvar),
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut come = Vec::new();
    for number in 0.. {
        let Some(seen) = read(&mut tcp, connection, &mut come)? else { return Ok(()) };
        let acts = script(number, &seen);
        shared.0.lock().unwrap().seen.push(seen);
        for act in acts {
            match act {
                Act::Say(bytes) => tcp.write_all(&bytes)?,
                Act::Wait(gate) => gate.pass(),
                Act::Echo(bytes) => {
                    let mut piece = vec![0; bytes];
                    tcp.read_exact(&mut piece)?;
                    tcp.write_all(&piece)?;
                }
                Act::AwaitEnd(gate) => {
                    tcp.set_read_timeout(Some(SAFETY))?;
                    let end = tcp.read(&mut [0]);
                    assert!(
                        !matches!(end, Err(ref error) if error.kind() == ErrorKind::WouldBlock),
                        "it stays"
                    );
                    gate.open();
                    gate.pass();
                    return Ok(());
                }
                Act::Close => return Ok(()),
                Act::Reset => {
                    reset(tcp);
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// The next request. `None` when there is none.
fn read(tcp: &mut TcpStream, connection: usize, come: &mut Vec<u8>) -> io::Result<Option<Seen>> {
    let mut more = |come: &mut Vec<u8>| {
        let mut piece = [0; 64 * 1024];
        let read = tcp.read(&mut piece)?;
        come.extend_from_slice(&piece[..read]);
        io::Result::Ok(read > 0)
    };
    let end = loop {
        if let Some(at) = come.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if !more(come)? {
            assert!(come.is_empty(), "half a request: {:?}", String::from_utf8_lossy(come));
            return Ok(None);
        }
    };
    let head = String::from_utf8(come.drain(..end).collect()).unwrap();
    let mut seen = Seen { connection, head, body: Vec::new() };
    assert_eq!(seen.fields("transfer-encoding"), [] as [&str; 0]);
    let lengths = seen.fields("content-length");
    assert!(lengths.len() <= 1, "{}", seen.head);
    let length = lengths.first().map_or(0, |length| length.parse().unwrap());
    while come.len() < length {
        if !more(come)? {
            return Ok(None);
        }
    }
    seen.body = come.drain(..length).collect();
    Ok(Some(seen))
}

/// Long enough that a test notices what should not come, and short enough to wait for.
pub const A_MOMENT: Duration = Duration::from_millis(100);
