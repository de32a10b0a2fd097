//! The floor of events: one thread, and for each subscriber one TLS record and one write. It answers one request at a time, closes
//! every connection that is not a subscriber's, and drops a subscriber that does not take an event at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use peers::Outcome;
use rustls::{ServerConfig, ServerConnection, Stream};

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 36\r\n\r\n\
    {\"message\":\"Secure data over HTTPS\"}";

struct Connection {
    tcp: TcpStream,
    tls: ServerConnection,
}

fn main() -> Outcome<()> {
    let arguments = peers::arguments()?;
    let config = Arc::new(peers::tls(&arguments)?);
    let listener = peers::listener(arguments.port)?;
    let mut subscribers = Vec::new();
    let mut number = 0;
    for tcp in listener.incoming() {
        // A client that leaves in its handshake is the next one's matter as little as one that sends nothing.
        let Ok((connection, request)) = serve(tcp?, &config) else { continue };
        match request.split_once("\r\n\r\n") {
            Some((head, data)) if head.starts_with("POST") => {
                number += 1;
                let event = format!("id: {:08x}-{number}\ndata: {data}\n\n", 0xf100_u32);
                let chunk = format!("{:x}\r\n{event}\r\n", event.len()).into_bytes();
                subscribers.retain_mut(|subscriber: &mut Connection| subscriber.send(&chunk).is_ok());
            }
            Some((head, _)) if head.starts_with("GET /api/events ") => {
                connection.tcp.set_nonblocking(true)?;
                subscribers.push(connection);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Accepts a connection and answers its request, which comes in one record.
fn serve(mut tcp: TcpStream, config: &Arc<ServerConfig>) -> Outcome<(Connection, String)> {
    let mut tls = ServerConnection::new(config.clone())?;
    let mut request = vec![0; 4096];
    let mut stream = Stream::new(&mut tls, &mut tcp);
    let read = stream.read(&mut request)?;
    request.truncate(read);
    let request = String::from_utf8(request)?;
    stream.write_all(if request.starts_with("GET /api/events ") { HEAD } else { ANSWER })?;
    stream.flush()?;
    Ok((Connection { tcp, tls }, request))
}

impl Connection {
    fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.tls.writer().write_all(bytes)?;
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.tcp)?;
        }
        Ok(())
    }
}
