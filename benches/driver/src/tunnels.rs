//! Thousands of idle WebSockets through a server to its backend: the memory of each, and what a message costs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{getrlimit, Resource};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::client::{self, Client, KeyExchange};
use crate::process::Process;
use crate::Outcome;

/// The most tunnels, if the open files allow it: each takes two of its server.
pub const MOST: usize = 10_000;
/// Open files of a server for something else than tunnels.
const OTHER_FILES: u64 = 200;
/// Tunnels before the measurement, so that one-time costs do not count.
const FIRST: usize = 50;
/// In how many tunnels a message is on its way at a time.
const AT_A_TIME: usize = 64;
/// How often a message goes through each tunnel.
const ROUNDS: usize = 2;
/// With the key of RFC 6455 §1.3, which the backend knows the answer to.
const OPEN: &[u8] =
    b"GET /socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const TEXT: &[u8; 32] = b"{\"sensor\":\"hall 7\",\"celsius\":21}";
/// RFC 6455 §5.2: a text in one frame, and a mask.
const HEAD: [u8; 6] = [0x81, 0x80 | TEXT.len() as u8, 1, 2, 3, 4];

type Tunnel = StreamOwned<ClientConnection, TcpStream>;

/// How many tunnels a server can have, and at most `wanted`.
pub fn fitting(wanted: usize) -> usize {
    within(getrlimit(Resource::Nofile).current, wanted)
}

/// The same with this many open files, or without a limit of them.
fn within(files: Option<u64>, wanted: usize) -> usize {
    let most = files.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES) / 2);
    usize::try_from(most).map_or(wanted, |most| wanted.min(most))
}

/// Opens this many tunnels, and sends messages through them; returns figures as name and value.
pub fn run(
    tunnels: usize,
    port: u16,
    certificate: &CertificateDer<'static>,
    server: &Process,
    time: Duration,
) -> Outcome<Vec<(String, f64)>> {
    let config = client::tls(certificate, KeyExchange::X25519, Resumption::disabled())?;
    for _ in 0..FIRST {
        echo(&mut [open(port, &config)?])?;
    }
    let base = server.memory_kib()?;
    let before = server.cpu()?;
    let mut all = client::open(tunnels, || {
        let mut tunnel = open(port, &config)?;
        echo(std::slice::from_mut(&mut tunnel))?;
        Ok(tunnel)
    })?;
    let opening = server.cpu()? - before;
    // Work that is left over does not count as idle.
    thread::sleep(time / 4);
    let held = server.memory_kib()?.saturating_sub(base);
    let before = (server.cpu()?, Instant::now());
    thread::sleep(time);
    let idle = (server.cpu()? - before.0).as_secs_f64() / before.1.elapsed().as_secs_f64();
    let before = server.cpu()?;
    for _ in 0..ROUNDS {
        all.chunks_mut(AT_A_TIME).try_for_each(echo)?;
    }
    let messages = server.cpu()? - before;
    let each = |cpu: Duration, count: usize| cpu.as_secs_f64() * 1e6 / count as f64;
    let figure = |name: &str, value: f64| (name.to_string(), value);
    Ok(vec![
        figure("kib_each", held as f64 / tunnels as f64),
        figure("message_us", each(messages, ROUNDS * tunnels)),
        figure("open_us", each(opening, tunnels)),
        figure("idle_cpu_us", idle * 1e6),
        figure("threads", server.threads()? as f64),
    ])
}

/// The names of the figures in order of importance, with a description of each.
pub fn figures() -> Vec<(String, String)> {
    let all = [
        ("kib_each", "KiB a tunnel"),
        ("message_us", "server CPU a message and its echo, µs"),
        ("open_us", "CPU µs to open one"),
        ("idle_cpu_us", "idle CPU µs a second"),
        ("threads", "threads"),
    ];
    all.map(|(name, title)| (name.to_string(), title.to_string())).to_vec()
}

/// Opens a tunnel.
fn open(port: u16, config: &Arc<ClientConfig>) -> Outcome<Tunnel> {
    let (tls, tcp) = Client::connect(port, config)?.begin(OPEN)?;
    let mut tunnel = StreamOwned::new(tls, tcp);
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        tunnel.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    match head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT) {
        true => Ok(tunnel),
        false => Err(format!("no tunnel: it answers {head}").into()),
    }
}

/// Sends a message through each of them, and then reads what comes back.
fn echo(tunnels: &mut [Tunnel]) -> Outcome<()> {
    let (message, expected) = message();
    for tunnel in &mut *tunnels {
        tunnel.write_all(&message)?;
        tunnel.flush()?;
    }
    let mut come = vec![0; expected.len()];
    for tunnel in tunnels {
        tunnel.read_exact(&mut come)?;
        if come != expected {
            return Err("a tunnel gives back something else than was sent".into());
        }
    }
    Ok(())
}

/// The frame of a message, and that of its echo, which has no mask.
fn message() -> (Vec<u8>, Vec<u8>) {
    let masked = TEXT.iter().zip(HEAD[2..].iter().cycle()).map(|(byte, mask)| byte ^ mask);
    let message = HEAD.iter().copied().chain(masked).collect();
    (message, [&[HEAD[0], TEXT.len() as u8], &TEXT[..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_tunnels_as_wanted_or_as_the_open_files_allow() {
        for (files, wanted, expected) in
            [(Some(20_000), 10_000, 9_900), (Some(20_000), 1_000, 1_000), (Some(100), 10, 0), (None, 10, 10)]
        {
            assert_eq!(within(files, wanted), expected, "{files:?} {wanted}");
        }
    }

    #[test]
    fn a_message_has_a_mask_and_its_echo_has_none() {
        let (message, echo) = message();
        assert_eq!((message.len(), echo.len()), (6 + 32, 2 + 32));
        assert_eq!((message[1], echo[1]), (0x80 | 32, 32));
        assert_eq!(message[6] ^ 1, echo[2]);
    }
}
