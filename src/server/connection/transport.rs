//! A TLS connection over a non-blocking stream, built on `rustls::StreamOwned`. The only file of the server that names types
//! of rustls.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::SendFlags;
use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection, StreamOwned};

pub(crate) use super::stream::Stream;
use crate::tls::{self, Agreed, Refused, ALPN_CHALLENGE};

/// How often one turn may read the socket before other connections get theirs: 256 KiB of records.
const READS_PER_TURN: u32 = 64;
/// How much one turn may write before other connections get theirs, in bytes.
const WRITTEN_PER_TURN: usize = 1024 * 1024;

/// The first byte of a TLS handshake record (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 0x16;

/// The result of an attempt to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    Blocked,
}

/// A TLS connection over a stream that never blocks.
pub(crate) struct Transport<S: Stream = TcpStream> {
    stream: StreamOwned<ServerConnection, Socket<S>>,
    /// Whether the system breaks the connection when the client confirms nothing.
    pub limits_silence: bool,
    /// Whether all that was decrypted has been read, so that rustls is not asked for more at the beginning of each turn.
    is_drained: bool,
}

/// A non-blocking stream that remembers whether another read can return anything.
struct Socket<S> {
    under: S,
    /// Whether there may be bytes to read. A short read says no; the next event says yes again.
    readable: bool,
    /// The peer has closed its side. Then a short read does not mean that there is no more: the end still has to be read.
    hung_up: bool,
    reads_left: u32,
    writes_left: usize,
    first: First,
    /// The first bytes, when they are not TLS.
    foreign: Vec<u8>,
    sent: u64,
    #[cfg(feature = "operations")]
    received: u64,
    /// Whether the bytes that TLS wants to send wait for the first response.
    holds_tickets: bool,
    /// The flags for sending.
    flags: SendFlags,
}

/// The last bytes are sent together with the end of the stream, in one segment, if the system supports it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LAST: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::MORE);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const LAST: SendFlags = SendFlags::NOSIGNAL;

/// What the first byte of the connection told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Unseen,
    Tls,
    Other(u8),
}

impl<S: Stream> Transport<S> {
    pub(crate) fn new(under: S, config: Arc<ServerConfig>) -> io::Result<Transport<S>> {
        let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
        // No buffer limit is needed, because a connection queues a piece only when the last one is sent.
        connection.set_buffer_limit(None);
        let socket = Socket {
            under,
            readable: false,
            hung_up: false,
            reads_left: 0,
            writes_left: 0,
            first: First::Unseen,
            foreign: Vec::new(),
            sent: 0,
            #[cfg(feature = "operations")]
            received: 0,
            holds_tickets: false,
            // Some programs that embed the library do not ignore SIGPIPE.
            flags: SendFlags::NOSIGNAL,
        };
        Ok(Transport {
            stream: StreamOwned::new(connection, socket),
            limits_silence: false,
            is_drained: false,
        })
    }

    /// Begins a turn, with what the events since the last turn told about reading.
    pub(crate) fn begin_turn(&mut self, readable: bool, hung_up: bool) {
        let socket = &mut self.stream.sock;
        socket.readable |= readable || hung_up;
        socket.hung_up |= hung_up;
        socket.reads_left = READS_PER_TURN;
        socket.writes_left = WRITTEN_PER_TURN;
    }

    /// Whether the turn has used up its share and there may be more to do.
    pub(crate) fn wants_another_turn(&self) -> bool {
        let socket = &self.stream.sock;
        socket.readable && socket.reads_left == 0 || socket.writes_left == 0
    }

    /// Reads plaintext, once the handshake is done. Fails with `WouldBlock` when the socket has no more. Returns 0 when the
    /// peer has closed, cleanly or not. Does what `StreamOwned` does, but does not read a socket again that has no more.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            // Sends bytes left from before. If the socket does not take them, the end of the turn waits for it.
            if self.stream.conn.wants_write() {
                let _: Flushed = self.flush()?;
            }
            let StreamOwned { conn, sock } = &mut self.stream;
            if !self.is_drained {
                match conn.reader().read(out) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_drained = true,
                    result => return result,
                }
            }
            if !sock.may_read() {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.is_drained = false;
            if conn.read_tls(sock)? == 0 {
                return Ok(0);
            }
            if let Err(error) = conn.process_new_packets() {
                return Err(self.send_alert(error));
            }
        }
    }

    /// Sends the alert that tells the reason, if the socket takes it.
    fn send_alert(&mut self, error: rustls::Error) -> io::Error {
        let StreamOwned { conn, sock } = &mut self.stream;
        let _ = conn.write_tls(sock);
        io::Error::new(ErrorKind::InvalidData, error)
    }

    /// Continues the handshake, and reads plaintext that has come with its end, as [`read`](Transport::read) does.
    ///
    /// At the end of a handshake rustls has a session ticket for the client. If a request has already come, the ticket is sent
    /// together with the response. Otherwise the next read sends it.
    ///
    /// `StreamOwned` would read until the socket has no more. Before each read rustls makes room for 4 KiB behind what it has, so a
    /// connection that waits for the other half of a message would hold 8 KiB in place of 4. But once the message was whole, that
    /// read is what gives the room back.
    pub(crate) fn shake_hands(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let holds_back = self.awaits_finished();
        loop {
            let answers = self.stream.conn.wants_write();
            if answers {
                if holds_back {
                    self.stream.sock.holds_tickets = true;
                } else {
                    let _: Flushed = self.flush()?;
                }
            }
            let StreamOwned { conn, sock } = &mut self.stream;
            match conn.reader().read(out) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
            // A client that does not take this side of the handshake is not read either.
            if !(sock.may_read() || answers) || conn.is_handshaking() && !conn.wants_read() {
                return Err(ErrorKind::WouldBlock.into());
            }
            if conn.read_tls(sock)? == 0 {
                return if conn.is_handshaking() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(0) };
            }
            if let Err(error) = conn.process_new_packets() {
                return Err(self.send_alert(error));
            }
        }
    }

    /// Whether this side has sent all of its TLS 1.3 handshake, so that only tickets and alerts are left.
    fn awaits_finished(&self) -> bool {
        let conn = &self.stream.conn;
        let has_answered =
            matches!(conn.handshake_kind(), Some(HandshakeKind::Full | HandshakeKind::Resumed));
        conn.is_handshaking()
            && !conn.wants_write()
            && has_answered
            && conn.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.stream.conn.is_handshaking()
    }

    /// Whether the client is an authority that validates a name, which needs only the handshake.
    pub(crate) fn is_challenge(&self) -> bool {
        self.stream.conn.alpn_protocol() == Some(ALPN_CHALLENGE)
    }

    /// How many bytes are decrypted but not read yet.
    pub(crate) fn decrypted(&mut self) -> usize {
        self.is_drained = false;
        // Nothing new has come, so this call only returns the state. The next read reports errors.
        self.stream.conn.process_new_packets().map_or(0, |state| state.plaintext_bytes_to_read())
    }

    /// Whether something waits to be sent.
    pub(crate) fn wants_write(&self) -> bool {
        self.stream.conn.wants_write()
    }

    /// Whether something waits to be sent that the socket did not take.
    pub(crate) fn is_blocked(&self) -> bool {
        self.wants_write() && !self.stream.sock.holds_tickets
    }

    /// Encrypts `plaintext`. [`flush`](Transport::flush) sends it.
    pub(crate) fn queue(&mut self, plaintext: &[u8]) -> io::Result<()> {
        self.stream.conn.writer().write_all(plaintext)
    }

    /// Encrypts several slices as one, so that a head and its body share a record.
    pub(crate) fn queue_all<const N: usize>(&mut self, stretches: &[&[u8]; N]) -> io::Result<()> {
        let total = stretches.iter().map(|stretch| stretch.len()).sum::<usize>();
        let slices = stretches.map(io::IoSlice::new);
        // Without a buffer limit the writer takes everything.
        let taken = self.stream.conn.writer().write_vectored(&slices)?;
        (taken == total).then_some(()).ok_or_else(|| ErrorKind::WriteZero.into())
    }

    /// Sends the queued bytes, as far as the socket takes them.
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

    /// Encrypts the written responses and sends them as far as the stream takes them. Empties `output`.
    #[inline]
    pub(crate) fn send_output(&mut self, output: &mut Vec<u8>) -> io::Result<Flushed> {
        if output.is_empty() {
            return Ok(Flushed::All);
        }
        self.stream.conn.writer().write_all(output)?;
        output.clear();
        self.flush()
    }

    /// The bytes sent since the connection began, to measure progress.
    pub(crate) fn sent(&self) -> u64 {
        self.stream.sock.sent
    }

    /// The bytes received and sent since the connection began.
    #[cfg(feature = "operations")]
    pub(crate) fn transferred(&self) -> (u64, u64) {
        (self.stream.sock.received, self.stream.sock.sent)
    }

    /// Queues the alert close_notify: nothing more will come (RFC 8446 §6.1).
    pub(crate) fn queue_close_notify(&mut self) {
        self.stream.conn.send_close_notify();
    }

    /// Sends close_notify, if the socket takes it. The connection is dropped next.
    pub(crate) fn say_goodbye(&mut self) -> io::Result<Flushed> {
        self.queue_close_notify();
        self.stream.sock.flags = LAST;
        self.flush()
    }

    /// Closes the socket's sending side. This fails only when the peer is gone, and the next read reports that too.
    pub(crate) fn shutdown_write(&self) {
        let _ = self.stream.sock.under.shutdown_write();
    }

    /// Reads and drops raw bytes without decrypting them. Returns their number, 0 at the end.
    pub(crate) fn discard(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        self.stream.sock.read(scratch)
    }

    /// Whether the client has begun a handshake. A probe that only tests whether the port is open has not.
    pub(crate) fn has_begun(&self) -> bool {
        self.stream.sock.first == First::Tls
    }

    /// The first byte that came, if it does not begin a TLS handshake.
    pub(crate) fn first_byte_not_tls(&self) -> Option<u8> {
        match self.stream.sock.first {
            First::Other(byte) => Some(byte),
            First::Unseen | First::Tls => None,
        }
    }

    /// Reads bytes that come before TLS, and need not look so, as [`discard`](Transport::discard) does.
    #[cfg(feature = "operations")]
    pub(crate) fn read_before_tls(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.stream.sock.first = First::Tls;
        let read = self.stream.sock.read(out);
        self.stream.sock.first = First::Unseen;
        read
    }

    /// Takes the first bytes, when they do not begin a TLS handshake.
    pub(crate) fn take_foreign(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.stream.sock.foreign)
    }

    /// Sends bytes without TLS, as far as the socket takes them at once.
    pub(crate) fn send_in_clear(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.sock.write_all(bytes)
    }

    /// The client's verified certificates, its own first. Empty when it has shown none.
    pub(crate) fn client_chain(&self) -> &[CertificateDer<'static>] {
        self.stream.conn.peer_certificates().unwrap_or_default()
    }

    /// What has broken the connection, by a reset or in another way. Asks the system, which tells it once.
    pub(crate) fn fault(&self) -> Option<io::Error> {
        self.stream.sock.under.fault()
    }

    /// Lets the system break the connection when the client has confirmed nothing that was sent for this long. Otherwise a
    /// client whose network is gone, and to whom little is sent, would stay for a quarter of an hour (RFC 5482).
    pub(crate) fn limit_silence(&mut self, time: Duration) {
        self.limits_silence = true;
        self.stream.sock.under.limit_silence(time);
    }

    /// Lets the system ask now and then whether the client is still there, also when nothing is sent to it (RFC 9293 §3.8.4).
    #[cfg(feature = "upgrade")]
    pub(crate) fn keep_alive(&self) {
        self.stream.sock.under.keep_alive();
    }

    /// Whether the client has closed its sending side.
    pub(crate) fn has_hung_up(&self) -> bool {
        self.stream.sock.hung_up
    }

    /// Whether the session was resumed from an earlier connection.
    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// What the handshake has agreed on.
    pub(crate) fn agreed(&self) -> Agreed {
        Agreed::by(&self.stream.conn)
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

/// Why a read failed, if the client's certificate was the reason.
pub(crate) fn client_refused(error: &io::Error) -> Option<Refused> {
    tls::refused(error.get_ref()?.downcast_ref()?)
}

impl<S: Stream> AsRawFd for Transport<S> {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.sock.under.as_raw_fd()
    }
}

impl<S: Stream> Read for Socket<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.may_read() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let read = self.under.read(out).or_else(|error| self.read_again(error, out))?;
        self.reads_left -= 1;
        #[cfg(feature = "operations")]
        {
            self.received += read as u64;
        }
        self.readable = read == out.len() || self.hung_up;
        if self.first == First::Unseen {
            self.note_first(&out[..read])?;
        }
        Ok(read)
    }
}

impl<S: Stream> Socket<S> {
    fn may_read(&self) -> bool {
        self.readable && self.reads_left > 0
    }

    /// Reads again after a signal of the system. Every other error stays one.
    #[cold]
    fn read_again(&mut self, error: io::Error, out: &mut [u8]) -> io::Result<usize> {
        let mut result = Err(error);
        while matches!(&result, Err(error) if error.kind() == ErrorKind::Interrupted) {
            result = self.under.read(out);
        }
        if matches!(&result, Err(error) if error.kind() == ErrorKind::WouldBlock) {
            self.readable = false;
        }
        result
    }

    /// Notes whether the connection begins as TLS does. An error if not.
    #[inline(never)]
    fn note_first(&mut self, bytes: &[u8]) -> io::Result<()> {
        match bytes.first() {
            Some(&HANDSHAKE_RECORD) => self.first = First::Tls,
            Some(&byte) => {
                self.first = First::Other(byte);
                self.foreign = bytes.to_vec();
                let text = "the first byte does not begin a TLS handshake";
                return Err(io::Error::new(ErrorKind::InvalidData, text));
            }
            None => {}
        }
        Ok(())
    }

    fn send_slices(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.holds_tickets = false;
        let sent = self.under.send(slices, self.flags)?;
        self.sent += sent as u64;
        self.writes_left = self.writes_left.saturating_sub(sent);
        Ok(sent)
    }
}

impl<S: Stream> Write for Socket<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send_slices(&[io::IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        // writev has no flags.
        self.send_slices(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;
    use crate::tls::{Identity, Live};

    /// Both ends of a connection, on this thread.
    struct Ends {
        client: ClientConnection,
        tcp: TcpStream,
        server: Transport,
    }

    impl Ends {
        /// The client has read all that the server needed to say, and its Finished is not sent yet.
        fn before_finished() -> Ends {
            let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
            let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
            let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
            let live = Live::new(vec![identity], None).unwrap();
            let mut roots = RootCertStore::empty();
            roots.add(made.cert.der().clone()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let name = ServerName::try_from("localhost").unwrap();

            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            for socket in [&tcp, &accepted] {
                socket.set_nodelay(true).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            }
            let mut ends = Ends {
                client: ClientConnection::new(Arc::new(config), name).unwrap(),
                tcp,
                server: Transport::new(accepted, live.config()).unwrap(),
            };
            ends.send();
            assert_eq!(ends.read(), Err(ErrorKind::WouldBlock));
            ends.receive();
            assert!(!ends.client.is_handshaking() && ends.client.wants_write());
            ends
        }

        /// All that the client has to send.
        fn send(&mut self) {
            while self.client.wants_write() {
                self.client.write_tls(&mut self.tcp).unwrap();
            }
        }

        /// A turn of the server's when something has come, with one read.
        fn read(&mut self) -> Result<Vec<u8>, ErrorKind> {
            let tcp = &self.server.stream.sock.under;
            tcp.set_nonblocking(false).unwrap();
            assert!(tcp.peek(&mut [0]).unwrap() > 0);
            tcp.set_nonblocking(true).unwrap();
            self.server.begin_turn(true, false);
            self.read_on()
        }

        fn read_on(&mut self) -> Result<Vec<u8>, ErrorKind> {
            let mut plain = [0; 100];
            let read = match self.server.is_handshaking() {
                true => self.server.shake_hands(&mut plain),
                false => self.server.read(&mut plain),
            };
            let read = read.map_err(|error| error.kind())?;
            Ok(plain[..read].to_vec())
        }

        /// What the server has sent in one go.
        fn receive(&mut self) {
            assert!(self.client.read_tls(&mut self.tcp).unwrap() > 0);
            self.client.process_new_packets().unwrap();
        }
    }

    #[test]
    fn the_ticket_goes_out_with_the_first_response() {
        let mut ends = Ends::before_finished();
        ends.client.writer().write_all(b"request").unwrap();
        ends.send();
        assert_eq!(ends.read().unwrap(), b"request");
        assert!(ends.server.wants_write() && !ends.server.is_blocked());
        let sent = ends.server.sent();
        ends.server.queue(b"response").unwrap();
        assert_eq!(ends.server.flush().unwrap(), Flushed::All);
        ends.receive();
        assert_eq!(ends.client.tls13_tickets_received(), 1);
        let mut response = [0; 8];
        ends.client.reader().read_exact(&mut response).unwrap();
        assert_eq!(&response, b"response");
        let record = 5 + "response".len() + 1 + 16;
        assert!(ends.server.sent() - sent > record as u64, "the ticket was not sent before");
    }

    #[test]
    fn the_ticket_does_not_wait_for_a_request_that_is_not_there() {
        let mut ends = Ends::before_finished();
        ends.send();
        assert_eq!(ends.read(), Err(ErrorKind::WouldBlock));
        assert!(!ends.server.is_handshaking());
        assert_eq!(ends.read_on(), Err(ErrorKind::WouldBlock));
        ends.receive();
        assert_eq!(ends.client.tls13_tickets_received(), 1);
        assert!(!ends.server.wants_write());
    }

    #[test]
    fn an_alert_in_place_of_the_ticket_is_sent_at_once() {
        let mut ends = Ends::before_finished();
        // A record that nobody has encrypted (RFC 8446 §5.2).
        ends.tcp.write_all(&[[0x17, 3, 3, 0, 32].as_slice(), &[0; 32]].concat()).unwrap();
        assert_eq!(ends.read(), Err(ErrorKind::InvalidData));
        let mut alert = [0; 5];
        ends.tcp.read_exact(&mut alert).unwrap();
        assert!(!ends.server.wants_write());
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn the_system_is_told_how_long_a_client_may_confirm_nothing() {
        let mut ends = Ends::before_finished();
        ends.server.limit_silence(Duration::from_secs(30));
        let told = rustix::net::sockopt::tcp_user_timeout(&ends.server.stream.sock.under).unwrap();
        assert_eq!(told, 30_000);
        ends.server.limit_silence(Duration::from_secs(365 * 24 * 3600));
    }

    #[test]
    fn the_last_words_come_with_the_end() {
        let mut ends = Ends::before_finished();
        ends.send();
        assert_eq!(ends.read(), Err(ErrorKind::WouldBlock));
        assert_eq!(ends.server.say_goodbye().unwrap(), Flushed::All);
        let Ends { mut client, mut tcp, server } = ends;
        drop(server);
        while client.read_tls(&mut tcp).unwrap() > 0 {
            if client.process_new_packets().unwrap().peer_has_closed() {
                return;
            }
        }
        panic!("the end came without a close_notify");
    }
}
