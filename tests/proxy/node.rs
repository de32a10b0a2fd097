//! A backend that is started, stopped and started again at the same place, and changes its behaviour while it runs.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::backend::free_address;
use super::support::Gate;

/// What it does about a request.
#[derive(Clone)]
pub enum Manner {
    /// Answers with its name.
    Answer,
    /// Closes the connection without an answer.
    Close,
    /// Answers half.
    Cut,
    /// Says something else.
    Garble,
    /// Comes to the gate, and answers when that is open.
    Hold(Arc<Gate>),
}

struct State {
    name: &'static str,
    manner: Mutex<Manner>,
    /// The first lines of the requests.
    asked: Mutex<Vec<String>>,
    connections: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
    stops: AtomicBool,
}

pub struct Node {
    pub address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

impl Node {
    pub fn new(name: &'static str) -> Node {
        let mut node = Node::stopped(name);
        node.start();
        node
    }

    /// A place where nobody listens yet.
    pub fn stopped(name: &'static str) -> Node {
        let address = free_address();
        let state = State {
            name,
            manner: Mutex::new(Manner::Answer),
            asked: Mutex::default(),
            connections: Mutex::default(),
            accepted: AtomicUsize::new(0),
            stops: AtomicBool::new(false),
        };
        Node { address, state: Arc::new(state), accepting: None }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn start(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        let state = self.state.clone();
        state.stops.store(false, Ordering::SeqCst);
        self.accepting = Some(thread::spawn(move || {
            for tcp in listener.incoming() {
                if state.stops.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(tcp) = tcp else { continue };
                state.accepted.fetch_add(1, Ordering::SeqCst);
                state.connections.lock().unwrap().push(tcp.try_clone().unwrap());
                let state = state.clone();
                thread::spawn(move || serve(tcp, &state));
            }
        }));
    }

    /// Ends as a process that is killed: nobody listens any more, and its connections are closed.
    pub fn stop(&mut self) {
        self.state.stops.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
        for tcp in self.state.connections.lock().unwrap().drain(..) {
            let _ = tcp.shutdown(Shutdown::Both);
        }
    }

    pub fn behave(&self, manner: Manner) {
        *self.state.manner.lock().unwrap() = manner;
    }

    /// The first lines of the requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(mut tcp: TcpStream, state: &State) -> Option<()> {
    tcp.set_nodelay(true).ok()?;
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tcp.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        tcp.read_exact(&mut body).ok()?;
        let line = head.split(" HTTP").next().unwrap().to_string();
        state.asked.lock().unwrap().push(line);
        let manner = state.manner.lock().unwrap().clone();
        let name = state.name;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        match manner {
            Manner::Answer => tcp.write_all(answer.as_bytes()).ok()?,
            Manner::Hold(gate) => {
                gate.pass();
                tcp.write_all(answer.as_bytes()).ok()?;
            }
            Manner::Cut => {
                tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf").ok()?;
                let _ = tcp.shutdown(Shutdown::Both);
            }
            Manner::Garble => tcp.write_all(b"garbage\r\n\r\n").ok()?,
            Manner::Close => {
                let _ = tcp.shutdown(Shutdown::Both);
            }
        }
    }
}
