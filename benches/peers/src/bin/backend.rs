//! What servers are measured in front of: `backend PORT`. Plain HTTP/1.1 over bare epoll on one thread, with canned answers, so that
//! it takes little of the CPU that it shares with them. It finds the end of a head, takes a body by its length, sends 1 MiB as
//! the socket takes it, and echoes WebSocket messages of one frame. It closes what it does not know.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use peers::{Outcome, LARGE_BYTES};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::net::{accept_with, SocketFlags};

const EVENTS: usize = 64;
/// The token of the listening socket; other tokens are places in the table of connections.
const LISTENER: u64 = u64::MAX;
/// How much is read at a time, in bytes.
const ROOM_BYTES: usize = 64 * 1024;
const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: Mon, 30 Nov 2026 12:00:00 GMT\r\n";
/// To the key that the benchmark's client sends, which is that of RFC 6455 §1.3.
const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// RFC 6455 §5.2: a short message's head with its mask.
const FRAME_HEAD_BYTES: usize = 6;

struct Connection {
    tcp: TcpStream,
    stage: Stage,
    /// The beginning of an incomplete head or frame.
    rest: Vec<u8>,
    /// How much of the large answer is sent, while it is being sent.
    large_sent: Option<usize>,
    waits_to_write: bool,
}

enum Stage {
    Head,
    Body { left: usize, length: usize },
    Tunnel,
}

/// A request is not what the benchmark sends.
struct Unknown;

fn main() -> Outcome<()> {
    let port = std::env::args().nth(1).ok_or("arguments: PORT")?.parse()?;
    let listener = peers::listener(port)?;
    listener.set_nonblocking(true)?;
    let mut large = answer(LARGE_BYTES).into_bytes();
    large.resize(large.len() + LARGE_BYTES, b'x');
    serve(&listener, &large)
}

fn answer(length: usize) -> String {
    format!("{HEAD}content-length: {length}\r\n\r\n")
}

fn serve(listener: &TcpListener, large: &[u8]) -> Outcome<()> {
    let watch = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&watch, listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let small = answer(peers::DATA.len()) + peers::DATA;
    let mut table: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
    let mut room = vec![0; ROOM_BYTES];
    let mut out = Vec::new();
    loop {
        events.clear();
        match epoll::wait(&watch, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                while let Ok(socket) = accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                    let place = free.pop().unwrap_or_else(|| {
                        table.push(None);
                        table.len() - 1
                    });
                    epoll::add(&watch, &socket, EventData::new_u64(place as u64), EventFlags::IN)?;
                    table[place] = Some(Connection::new(socket));
                }
                continue;
            }
            let place = key as usize;
            let Some(connection) = &mut table[place] else { continue };
            let stays = connection.advance(&mut room, &mut out, small.as_bytes(), large);
            if !stays {
                table[place] = None;
                free.push(place);
                continue;
            }
            let waits = connection.large_sent.is_some();
            if waits != connection.waits_to_write {
                connection.waits_to_write = waits;
                let wanted = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
                epoll::modify(&watch, &connection.tcp, EventData::new_u64(key), wanted)?;
            }
        }
    }
}

impl Connection {
    fn new(socket: OwnedFd) -> Connection {
        let tcp = socket.into();
        Connection { tcp, stage: Stage::Head, rest: Vec::new(), large_sent: None, waits_to_write: false }
    }

    /// Returns whether the connection stays open.
    fn advance(&mut self, room: &mut [u8], out: &mut Vec<u8>, small: &[u8], large: &[u8]) -> bool {
        loop {
            let read = match self.tcp.read(room) {
                Ok(0) => return false,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            };
            out.clear();
            if self.take(&room[..read], out, small).is_err() {
                return false;
            }
            // The socket's buffer is far above these answers.
            if !out.is_empty() && self.tcp.write_all(out).is_err() {
                return false;
            }
            if read < room.len() {
                break;
            }
        }
        while let Some(sent) = self.large_sent {
            match self.tcp.write(&large[sent..]) {
                Ok(some) => self.large_sent = Some(sent + some).filter(|&sent| sent < large.len()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        true
    }

    /// Takes what has come, and writes the answers to `out`.
    fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>, small: &[u8]) -> Result<(), Unknown> {
        while !bytes.is_empty() {
            match &mut self.stage {
                Stage::Body { left, length } => {
                    let taken = (*left).min(bytes.len());
                    bytes = &bytes[taken..];
                    *left -= taken;
                    if *left == 0 {
                        let body = format!("{{\"length\":{length}}}");
                        out.extend_from_slice((answer(body.len()) + &body).as_bytes());
                        self.stage = Stage::Head;
                    }
                }
                // Heads and frames nearly always come whole.
                Stage::Head | Stage::Tunnel if self.rest.is_empty() => {
                    match self.take_one(bytes, out, small)? {
                        0 => {
                            self.rest.extend_from_slice(bytes);
                            return Ok(());
                        }
                        taken => bytes = &bytes[taken..],
                    }
                }
                Stage::Head | Stage::Tunnel => {
                    let mut all = std::mem::take(&mut self.rest);
                    let before = all.len();
                    all.extend_from_slice(bytes);
                    match self.take_one(&all, out, small)? {
                        0 => {
                            self.rest = all;
                            return Ok(());
                        }
                        taken => bytes = &bytes[taken - before..],
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes a head or a frame; returns its length, or 0 if it is not complete.
    fn take_one(&mut self, bytes: &[u8], out: &mut Vec<u8>, small: &[u8]) -> Result<usize, Unknown> {
        if let Stage::Tunnel = self.stage {
            return echo(bytes, out);
        }
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(0) };
        let head = &bytes[..end];
        if head.starts_with(b"GET /api/data ") {
            out.extend_from_slice(small);
        } else if head.starts_with(b"GET /large ") {
            self.large_sent = Some(0);
        } else if head.starts_with(b"POST /len ") {
            let length = field(head, "content-length").and_then(|value| value.parse().ok()).ok_or(Unknown)?;
            self.stage = Stage::Body { left: length, length };
        } else if head.starts_with(b"GET /socket ") && field(head, "upgrade").is_some() {
            out.extend_from_slice(ACCEPTED);
            self.stage = Stage::Tunnel;
        } else {
            return Err(Unknown);
        }
        Ok(end + 4)
    }
}

/// Sends a message back without its mask; returns the frame's length, or 0 if it is not complete.
fn echo(bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Unknown> {
    let Some(&[kind, length, a, b, c, d]) = bytes.get(..FRAME_HEAD_BYTES) else { return Ok(0) };
    let length = usize::from(length & 0x7f);
    if length > 125 {
        return Err(Unknown);
    }
    let Some(data) = bytes.get(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + length) else { return Ok(0) };
    out.extend_from_slice(&[kind, length as u8]);
    out.extend(data.iter().zip([a, b, c, d].iter().cycle()).map(|(byte, mask)| byte ^ mask));
    Ok(FRAME_HEAD_BYTES + length)
}

/// The value of a field of a head.
fn field<'h>(head: &'h [u8], name: &str) -> Option<&'h str> {
    let line = head.split(|&byte| byte == b'\n').find(|line| {
        line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
    })?;
    Some(std::str::from_utf8(&line[name.len() + 1..]).ok()?.trim())
}
