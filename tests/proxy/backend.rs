//! A backend that does what the test says, and keeps what it reads.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
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
    /// The lines of its trailers.
    pub trailers: String,
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
    /// What has come of requests whose end has not.
    halves: Vec<Vec<u8>>,
    connections: usize,
    open: usize,
}

pub struct Backend {
    pub address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

/// An address at which nothing listens, of a host of its own. At 127.0.0.1 another test or a client could take the port meanwhile.
pub fn free_address() -> SocketAddr {
    static LAST: AtomicU16 = AtomicU16::new(0);
    let [high, low] = LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    TcpListener::bind(SocketAddr::from(([127, 1, high, low], 0))).unwrap().local_addr().unwrap()
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
                    let mut come = Vec::new();
                    let _ = serve(tcp, number, &mut come, &*script, &shared);
                    let mut state = shared.0.lock().unwrap();
                    state.halves.extend((!come.is_empty()).then_some(come));
                    state.open -= 1;
                    drop(state);
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

    /// What was read since it was so much.
    pub fn seen_from(&self, from: usize) -> Vec<Seen> {
        self.state.0.lock().unwrap().seen[from..].to_vec()
    }

    /// What has come of requests that were not ended.
    pub fn halves(&self) -> Vec<Vec<u8>> {
        self.state.0.lock().unwrap().halves.clone()
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
    come: &mut Vec<u8>,
    script: &(dyn Fn(usize, &Seen) -> Vec<Act> + Send + Sync),
    shared: &(Mutex<State>, Condvar),
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    for number in 0.. {
        let Some(seen) = read(&mut tcp, connection, come)? else { return Ok(()) };
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
    loop {
        if let Some((seen, end)) = whole(come, connection) {
            come.drain(..end);
            return Ok(Some(seen));
        }
        if !more(come)? {
            return Ok(None);
        }
    }
}

/// A whole request at the front of these bytes, and where it ends. What the proxy writes is read as strictly as can be.
fn whole(come: &[u8], connection: usize) -> Option<(Seen, usize)> {
    let end = find(come, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&come[..end]).into_owned();
    let mut seen = Seen { connection, head, body: Vec::new(), trailers: String::new() };
    let (lengths, codings) = (seen.fields("content-length"), seen.fields("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "framed twice: {}", seen.head);
    if codings.is_empty() {
        let length = lengths.first().map_or(0, |length| length.parse().unwrap());
        seen.body = come[end..].get(..length)?.to_vec();
        return Some((seen, end + length));
    }
    assert_eq!(codings, ["chunked"]);
    let mut at = end;
    loop {
        let line = find(&come[at..], b"\r\n")?;
        let size = std::str::from_utf8(&come[at..at + line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("a chunk of {size:?}"));
        at += line + 2;
        if size == 0 {
            break;
        }
        seen.body.extend_from_slice(come[at..].get(..size)?);
        assert_eq!(come[at + size..].get(..2)?, b"\r\n");
        at += size + 2;
    }
    loop {
        let line = find(&come[at..], b"\r\n")?;
        let trailer = std::str::from_utf8(&come[at..at + line]).unwrap();
        at += line + 2;
        if trailer.is_empty() {
            return Some((seen, at));
        }
        seen.trailers.push_str(&format!("{trailer}\r\n"));
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// Long enough that a test notices what should not come, and short enough to wait for.
pub const A_MOMENT: Duration = Duration::from_millis(100);
