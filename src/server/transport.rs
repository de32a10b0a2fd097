//! The non-blocking socket under `rustls::StreamOwned`, and the few things a connection does with the two. With `tls/`
//! the only place that names rustls types.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use rustix::net::{sendmsg, SendAncillaryBuffer, SendFlags};
use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection, StreamOwned};

use crate::tls::{self, Refused};

use crate::tls::ALPN_CHALLENGE;

/// How often one turn may read the socket before other connections get theirs: 256 KiB of records.
const READS_PER_TURN: u32 = 64;
/// How much one turn may write before other connections get theirs, in bytes.
const WRITTEN_PER_TURN: usize = 1024 * 1024;

/// The first byte of a TLS handshake record (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 0x16;

/// What came of trying to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    Blocked,
}

/// A TLS connection over a socket that never blocks.
pub(crate) struct Transport {
    stream: StreamOwned<ServerConnection, Socket>,
}

/// A non-blocking socket that knows whether asking it again can give anything.
struct Socket {
    tcp: TcpStream,
    /// Whether there may be bytes to read. A short read says no; the next event says yes again.
    readable: bool,
    /// The peer has closed its side: a short read is not the end then, the end still has to be read.
    hung_up: bool,
    reads_left: u32,
    writes_left: usize,
    first: First,
    sent: u64,
}

/// What the first byte of the connection said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Unseen,
    Tls,
    Other(u8),
}

impl Transport {
    pub(crate) fn new(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<Transport> {
        let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
        // What may be queued is bounded by who queues it: a connection adds a piece only when the last one is sent.
        connection.set_buffer_limit(None);
        let socket = Socket {
            tcp,
            readable: false,
            hung_up: false,
            reads_left: 0,
            writes_left: 0,
            first: First::Unseen,
            sent: 0,
        };
        Ok(Transport { stream: StreamOwned::new(connection, socket) })
    }

    /// Begins a turn: what the events since the last one said about reading.
    pub(crate) fn begin_turn(&mut self, readable: bool, hung_up: bool) {
        let socket = &mut self.stream.sock;
        socket.readable |= readable || hung_up;
        socket.hung_up |= hung_up;
        socket.reads_left = READS_PER_TURN;
        socket.writes_left = WRITTEN_PER_TURN;
    }

    /// Whether the turn's share is used up while there may be more to do.
    pub(crate) fn wants_another_turn(&self) -> bool {
        let socket = &self.stream.sock;
        socket.readable && socket.reads_left == 0 || socket.writes_left == 0
    }

    /// Reads plaintext; performs the handshake first, while there is one to do. `WouldBlock` when the socket has no more;
    /// 0 when the peer has closed, cleanly or not.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(out) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && !self.is_handshaking() => Ok(0),
            result => result,
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.stream.conn.is_handshaking()
    }

    /// Whether the client is an authority that validates a name: the handshake was all it wants.
    pub(crate) fn is_challenge(&self) -> bool {
        self.stream.conn.alpn_protocol() == Some(ALPN_CHALLENGE)
    }

    /// Whether something waits to be sent.
    pub(crate) fn wants_write(&self) -> bool {
        self.stream.conn.wants_write()
    }

    /// Encrypts `plaintext`; [`flush`](Transport::flush) sends it.
    pub(crate) fn queue(&mut self, plaintext: &[u8]) -> io::Result<()> {
        self.stream.conn.writer().write_all(plaintext)
    }

    /// Encrypts two stretches as if they were one, so that a head and its body share a record.
    pub(crate) fn queue_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<()> {
        let total = first.len() + second.len();
        let slices = [io::IoSlice::new(first), io::IoSlice::new(second)];
        // Without a buffer limit the writer takes all that it is given.
        let taken = self.stream.conn.writer().write_vectored(&slices)?;
        if taken == total {
            Ok(())
        } else {
            Err(ErrorKind::WriteZero.into())
        }
    }

    /// Sends what is queued, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<Flushed> {
        while self.stream.conn.wants_write() {
            match self.stream.conn.write_tls(&mut self.stream.sock) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) => return Err(error),
            }
        }
        Ok(Flushed::All)
    }

    /// Bytes sent since the connection began, to see progress by.
    pub(crate) fn sent(&self) -> u64 {
        self.stream.sock.sent
    }

    /// Queues the alert that says that nothing more will come (RFC 8446 §6.1).
    pub(crate) fn queue_close_notify(&mut self) {
        self.stream.conn.send_close_notify();
    }

    /// Says on the socket that nothing more will come. Fails only when the peer is gone, which the next read tells too.
    pub(crate) fn shutdown_write(&self) {
        let _ = self.stream.sock.tcp.shutdown(Shutdown::Write);
    }

    /// Reads and drops raw bytes, undecrypted: the number, 0 at the end.
    pub(crate) fn discard(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        self.stream.sock.read(scratch)
    }

    /// The first byte that came, if it does not begin a TLS handshake.
    pub(crate) fn first_byte_not_tls(&self) -> Option<u8> {
        match self.stream.sock.first {
            First::Other(byte) => Some(byte),
            First::Unseen | First::Tls => None,
        }
    }

    /// Sends bytes as they are, without TLS, as far as the socket takes them at once.
    pub(crate) fn send_in_clear(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.sock.write_all(bytes)
    }

    /// The certificates that the client has shown and that were verified, its own first; none when it has shown none.
    pub(crate) fn client_chain(&self) -> &[CertificateDer<'static>] {
        self.stream.conn.peer_certificates().unwrap_or_default()
    }

    /// Whether the session was begun in an earlier connection.
    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The TLS version, as the access log writes it.
    pub(crate) fn tls_version(&self) -> &'static str {
        match self.stream.conn.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "-",
        }
    }
}

/// Why a read failed, when it was for the client's certificate.
pub(crate) fn client_refused(error: &io::Error) -> Option<Refused> {
    tls::refused(error.get_ref()?.downcast_ref()?)
}

impl AsRawFd for Transport {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.sock.tcp.as_raw_fd()
    }
}

impl Read for Socket {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.readable || self.reads_left == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let read = loop {
            match self.tcp.read(out) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.readable &= error.kind() != ErrorKind::WouldBlock;
                    return Err(error);
                }
                Ok(read) => break read,
            }
        };
        self.reads_left -= 1;
        if read < out.len() && !self.hung_up {
            self.readable = false;
        }
        if self.first == First::Unseen {
            match out[..read].first() {
                Some(&HANDSHAKE_RECORD) => self.first = First::Tls,
                Some(&byte) => {
                    self.first = First::Other(byte);
                    return Err(io::Error::new(
                        ErrorKind::InvalidData,
                        "the first byte does not begin a TLS handshake",
                    ));
                }
                None => {}
            }
        }
        Ok(read)
    }
}

impl Socket {
    fn note_sent(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        let sent = result?;
        self.sent += sent as u64;
        self.writes_left = self.writes_left.saturating_sub(sent);
        Ok(sent)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.tcp.write(bytes);
        self.note_sent(result)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let result = match slices {
            [one] => self.tcp.write(one),
            // writev knows no way to spare a program SIGPIPE, and not every program that embeds this ignores it.
            _ => {
                let mut nothing = SendAncillaryBuffer::default();
                sendmsg(&self.tcp, slices, &mut nothing, SendFlags::NOSIGNAL).map_err(io::Error::from)
            }
        };
        self.note_sent(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
