//! Many idle WebSockets, each after a message and its echo.

use std::io::{ErrorKind, Read, Write};
use std::thread;

use crate::client::{Target, Tls};
use crate::server::Server;
use crate::{Size, Verdict};

/// What an idle one may take, in KiB.
const MOST_KIB: u64 = 12;
const THREADS: usize = 2;

pub fn idle(size: Size) -> Verdict {
    let count = size.pick(300, 5_000);
    let server = Server::example(&[]);
    // What the first ones make the program keep is not theirs.
    let first = open(&server.target, size.pick(20, 100));
    let before = server.footprint();
    let sockets = open(&server.target, count);
    let after = server.footprint();
    let each = (after.memory_kib.saturating_sub(before.memory_kib) * 1024) / count as u64;
    let mut faults = Vec::new();
    if sockets.len() != count {
        faults.push(format!("only {} of {count} opened", sockets.len()));
    }
    // With few, what the allocator takes ahead counts more.
    if size == Size::Full && each > MOST_KIB * 1024 {
        faults.push(format!("more than {MOST_KIB} KiB for one"));
    }
    if after.threads > before.threads {
        faults.push("threads for them".to_string());
    }
    // They are still there.
    let answered = sockets
        .into_iter()
        .chain(first)
        .map(|mut socket| echo(&mut socket, b'?'))
        .filter(Result::is_ok)
        .count();
    if answered != count + size.pick(20, 100) {
        faults.push(format!("only {answered} answered after a while"));
    }
    Verdict {
        figures: format!("{count} idle WebSockets, {each} bytes each; {} threads", after.threads),
        faults,
    }
}

fn open(target: &Target, count: usize) -> Vec<Tls> {
    let threads: Vec<_> = (0..THREADS)
        .map(|part| {
            let count = count / THREADS + usize::from(part < count % THREADS);
            let target = target.clone();
            thread::spawn(move || (0..count).filter_map(|_| open_one(&target).ok()).collect::<Vec<Tls>>())
        })
        .collect();
    threads.into_iter().flat_map(|thread| thread.join().expect("clients do not panic")).collect()
}

fn open_one(target: &Target) -> std::io::Result<Tls> {
    let mut tls = target.tls()?;
    tls.write_all(
        b"GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        tls.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(ErrorKind::InvalidData.into());
    }
    echo(&mut tls, b'!')?;
    Ok(tls)
}

/// Sends a text of this letter, and waits until it comes back. The frame of a client is masked, here with zeros (RFC 6455 §5.3).
fn echo(socket: &mut Tls, letter: u8) -> std::io::Result<()> {
    socket.write_all(&[0x81, 0x81, 0, 0, 0, 0, letter])?;
    let mut frame = [0; 3];
    socket.read_exact(&mut frame)?;
    if frame == [0x81, 1, letter] {
        Ok(())
    } else {
        Err(ErrorKind::InvalidData.into())
    }
}
