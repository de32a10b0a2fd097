//! The floor: rustls over bare epoll, two threads, a canned answer, no HTTP beyond finding the end of a head. No router, no
//! limit, no timer, no log, and nothing that a real client may need. An HTTPS server can hardly cost less.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use peers::Outcome;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::net::{accept_with, SocketFlags};
use rustls::{ServerConfig, ServerConnection};

const THREADS: usize = 2;
const EVENTS: usize = 64;
/// The token of the listening socket; other tokens are places in the table of connections.
const LISTENER: u64 = u64::MAX;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 36\r\n\
    date: Mon, 23 Nov 2026 19:00:00 GMT\r\n\r\n{\"message\":\"Secure data over HTTPS\"}";

struct Connection {
    tcp: TcpStream,
    tls: ServerConnection,
    /// The beginning of an incomplete head.
    rest: Vec<u8>,
}

fn main() -> Outcome<()> {
    let arguments = peers::arguments()?;
    let config = Arc::new(peers::tls(&arguments)?);
    let listener = peers::listener(arguments.port)?;
    listener.set_nonblocking(true)?;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| serve(&listener, &config))).collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })
}

fn serve(listener: &TcpListener, config: &Arc<ServerConfig>) -> Outcome<()> {
    let watch = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&watch, listener, EventData::new_u64(LISTENER), EventFlags::IN | EventFlags::EXCLUSIVE)?;
    let mut table: Vec<Option<Box<Connection>>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
    let mut room = vec![0; 16 * 1024];
    let mut answers = Vec::new();
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
                    let tls = ServerConnection::new(config.clone())?;
                    table[place] = Some(Box::new(Connection { tcp: socket.into(), tls, rest: Vec::new() }));
                }
                continue;
            }
            let place = key as usize;
            let Some(connection) = &mut table[place] else { continue };
            if !connection.advance(&mut room, &mut answers) {
                table[place] = None;
                free.push(place);
            }
        }
    }
}

impl Connection {
    /// Returns whether the connection stays open.
    fn advance(&mut self, room: &mut [u8], answers: &mut Vec<u8>) -> bool {
        match self.tls.read_tls(&mut self.tcp) {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Ok(0) | Err(_) => return false,
        }
        if self.tls.process_new_packets().is_err() {
            return false;
        }
        answers.clear();
        loop {
            match self.tls.reader().read(room) {
                Ok(0) => return false,
                Ok(read) if self.rest.is_empty() => {
                    let end = answer(&room[..read], answers);
                    self.rest.extend_from_slice(&room[end..read]);
                }
                Ok(read) => {
                    self.rest.extend_from_slice(&room[..read]);
                    let end = answer(&self.rest, answers);
                    self.rest.drain(..end);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        // The limits of the buffer and of the socket are far above the requests of a client that waits for its answers.
        if !answers.is_empty() && self.tls.writer().write_all(answers).is_err() {
            return false;
        }
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut self.tcp).is_err() {
                return false;
            }
        }
        true
    }
}

/// Answers every head that ends in `input`; returns the end of the last one.
fn answer(input: &[u8], answers: &mut Vec<u8>) -> usize {
    let mut end = 0;
    for found in memchr::memmem::find_iter(input, b"\r\n\r\n") {
        answers.extend_from_slice(ANSWER);
        end = found + 4;
    }
    end
}
