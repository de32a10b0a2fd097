//! A connection and its client in memory, on one thread, for the tests of this folder. The test decides when the client's bytes
//! arrive, when the connection gets a turn, and when deadlines pass.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::SendFlags;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::link::Link;
use super::state::Connection;
use super::step::Turn;
use super::transport::{Stream, Transport};
use crate::backports;
use crate::http::clear_credentials::CredentialNames;
use crate::http::response_head::FieldNames;
use crate::limits::body_memory::Budget;
use crate::limits::limit::Limit;
use crate::limits::per_address::PerAddress;
use crate::limits::streams::Streams;
use crate::limits::Limits;
use crate::log_limiter::LogLimiter;
use crate::router::Router;
use crate::server::buffers::Buffers;
use crate::server::clock::{whole_millis, Millis};
use crate::server::context::Context;
use crate::server::deadline::Deadline;
use crate::server::input::Input;
use crate::server::missing::Missing;
use crate::server::places::Parked;
use crate::server::poller::Poller;
use crate::server::renewal::Renewal;
use crate::server::serve::sizes;
use crate::server::serve::Shared;
use crate::server::stopping::Stopping;
use crate::server::turn::{Handlers, Idle, Outcome, Parking, Ready, Reason, Signals};
use crate::server::workers::Workers;
use crate::tls::{Identity, Live};

/// Both directions of a connection in memory.
#[derive(Default)]
struct Cable {
    to_server: VecDeque<u8>,
    to_client: Vec<u8>,
    /// How many more bytes the client's side takes.
    room: Option<usize>,
    client_has_closed: bool,
    server_has_closed: bool,
    is_broken: bool,
}

/// One end of the connection.
#[derive(Clone, Default)]
pub(super) struct Wire(Rc<RefCell<Cable>>);

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let cable = &mut *self.0.borrow_mut();
        if cable.is_broken {
            return Err(ErrorKind::ConnectionReset.into());
        }
        cable.to_server.make_contiguous();
        match cable.to_server.read(out)? {
            0 if !cable.client_has_closed => Err(ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Wire {
    /// The client takes this many more bytes, or everything again.
    pub(super) fn takes(&self, room: impl Into<Option<usize>>) {
        self.0.borrow_mut().room = room.into();
    }
}

impl Stream for Wire {
    fn send(&self, slices: &[IoSlice<'_>], _: SendFlags) -> io::Result<usize> {
        let mut cable = self.0.borrow_mut();
        let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        if let Some(room) = &mut cable.room {
            bytes.truncate(*room);
            *room -= bytes.len();
        }
        if bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        cable.to_client.extend_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.0.borrow_mut().server_has_closed = true;
        Ok(())
    }

    fn fault(&self) -> Option<io::Error> {
        self.0.borrow().is_broken.then(|| ErrorKind::ConnectionReset.into())
    }
}

impl AsRawFd for Wire {
    fn as_raw_fd(&self) -> RawFd {
        // Nobody listens for it.
        -1
    }
}

/// A server without a listener, and the roots that its clients trust.
pub(super) struct World {
    pub shared: &'static Arc<Shared>,
    trust: Arc<ClientConfig>,
}

/// How a turn has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Parked(Option<Limit>, Idle),
    Queued,
    Again,
    AwaitsReader,
    Closed,
}

impl World {
    pub(super) fn new(router: Router) -> World {
        World::with(router, |_| {})
    }

    pub(super) fn with(router: Router, change: impl FnOnce(&mut Limits)) -> World {
        let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let tls = Arc::new(Live::new(vec![identity], None).unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        // It changes with a feature.
        #[allow(unused_mut)]
        let mut provider = rustls::crypto::ring::default_provider();
        #[cfg(feature = "post-quantum")]
        provider.kx_groups.insert(0, crate::tls::post_quantum::OFFERED);
        let trust = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut limits = Limits { workers: 2, reserve_workers: 2, ..Limits::default() };
        change(&mut limits);
        let (renewal, _) = Renewal::new(tls.clone(), (Missing::default(), None), None).unwrap();
        let poller = Poller::new(limits.workers, limits.readers()).unwrap();
        let per_address = |most| PerAddress::new(most, limits.count_loopback);
        let handlers = router.routes.handlers();
        let context = Context {
            #[cfg(feature = "operations")]
            counts: crate::server::counts::Counts::new(limits.workers + limits.reserve_workers, handlers),
            connections: limits.connections,
            workers: Workers::new(sizes(&limits), handlers),
            per_address: per_address(limits.connections_per_address),
            rate: crate::server::context::rate(&limits),
            #[cfg(feature = "operations")]
            live_limits: crate::server::live_limits::LiveLimits::new(limits.clone(), limits.connections),
            body_memory: Arc::new(Budget::new(limits.body_memory_bytes)),
            streams: Streams::new(limits.streaming_bodies, per_address(limits.streaming_bodies_per_address)),
            log_limiter: Arc::new(LogLimiter::new(|| {})),
            #[cfg(feature = "operations")]
            networks: Default::default(),
            limits,
            router,
            tls,
            renewal,
            access_log: true,
            credential_names: CredentialNames::new(&[]).unwrap(),
            field_names: FieldNames::LowerCase,
            on_response: None,
            #[cfg(feature = "operations")]
            notify: crate::server::notify::Notify::default(),
            stopping: Stopping::default(),
            stopped: AtomicBool::new(false),
        };
        let shared = Shared { context, poller };
        // A worker's buffers borrow it for as long as the worker lives.
        World { shared: Box::leak(Box::new(Arc::new(shared))), trust: Arc::new(trust) }
    }

    #[cfg(feature = "operations")]
    pub(super) fn begin_second_half_of_grace(&self) {
        self.shared.stopping.begin_second_half();
    }

    pub(super) fn drain(&self) {
        self.shared.stopping.begin();
    }

    #[cfg(feature = "handler-timeout")]
    pub(super) fn give_up(&self) {
        self.shared.stopping.give_up();
    }

    pub(super) fn stop(&self) {
        self.drain();
        self.shared.stopped.store(true, Ordering::Release);
    }

    /// The key, in the poller, of a connection that is with a worker.
    fn key(&self) -> usize {
        let (end, mut other) = backports::pipe().unwrap();
        let transport =
            Transport::new(TcpStream::from(OwnedFd::from(end)), self.shared.tls.config()).unwrap();
        let peer = peer();
        let admission = self.shared.per_address.admit(peer.ip()).unwrap();
        let link = Link::new(peer, transport, Deadline::own(Millis::MAX), admission);
        let connection = Connection::new(link, 0, 0);
        let parking = Parking { now: 1, deadline: 1_000_000, idle: Idle::No };
        let poller = &self.shared.poller;
        poller.admit(Box::new(connection), parking).unwrap();
        other.write_all(b"x").unwrap();
        let mut held = poller.watch(poller.lock(), &mut poller.clock(), None);
        held.take_ready().expect("it was not ready").connection.key()
    }

    /// A new connection. The supervisor gives its turns, so none of its readers is called.
    pub(super) fn come(&self) -> Talk {
        let wire = Wire::default();
        let transport = Transport::new(wire.clone(), self.shared.tls.config()).unwrap();
        let limits = &self.shared.limits;
        let deadline = Deadline::of(Limit::HandshakeTimeout, whole_millis(limits.handshake_timeout));
        let admission = self.shared.per_address.admit(peer().ip()).unwrap();
        let rules = self.shared.tls.rules();
        let link = Link::new(peer(), transport, deadline, admission);
        let mut connection = Box::new(Connection::new(link, rules, 0));
        connection.set_key(self.key());
        connection.expect_no_events();
        let name = ServerName::try_from("localhost").unwrap();
        let mut clock = self.shared.poller.clock();
        // Otherwise a slow machine would be a slow client.
        clock.pass(Duration::ZERO);
        Talk {
            connection: Some(connection),
            client: ClientConnection::new(self.trust.clone(), name).unwrap(),
            wire,
            input: Input::new(limits),
            buffers: Buffers::new(&self.shared.context, self.shared, clock, None),
            handlers: Handlers::Call,
            since: 0,
            heard: Vec::new(),
        }
    }

    /// A connection after its handshake.
    pub(super) fn open(&self) -> Talk {
        let mut talk = self.come();
        for _ in 0..2 {
            talk.send();
            talk.turn();
            talk.receive();
        }
        assert!(!talk.client.is_handshaking());
        talk
    }

    /// A connection after its handshake, served by a worker, which may call readers.
    pub(super) fn open_with_worker(&self) -> Talk {
        let mut talk = self.open();
        self.give_permit();
        talk.buffers.me = Some(0);
        talk
    }

    /// Gives the worker its permit, which it loses to a reader that is slow, as every reader is on a slow processor.
    pub(super) fn give_permit(&self) {
        self.shared.workers.give_permit(0);
    }
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 4711))
}

pub(super) struct Talk {
    pub connection: Option<Box<Connection<Wire>>>,
    pub client: ClientConnection,
    wire: Wire,
    pub input: Input,
    pub buffers: Buffers<'static>,
    pub handlers: Handlers,
    pub since: Millis,
    heard: Vec<u8>,
}

impl Talk {
    /// Puts everything that the client has to send on the wire.
    pub(super) fn send(&mut self) {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.wire.0.borrow_mut().to_server).unwrap();
        }
    }

    /// Takes what is on the wire for the client.
    pub(super) fn receive(&mut self) {
        let bytes = std::mem::take(&mut self.wire.0.borrow_mut().to_client);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).unwrap();
            self.client.process_new_packets().unwrap();
            let mut plain = [0; 4096];
            while let Ok(read @ 1..) = self.client.reader().read(&mut plain) {
                self.heard.extend_from_slice(&plain[..read]);
            }
        }
    }

    /// Puts bytes on the wire as they are.
    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        self.wire.0.borrow_mut().to_server.extend(bytes);
    }

    /// Takes what is on the wire as it is.
    pub(super) fn receive_raw(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.wire.0.borrow_mut().to_client)
    }

    /// The client sends this.
    pub(super) fn say(&mut self, text: impl AsRef<[u8]>) {
        for piece in text.as_ref().chunks(16 * 1024) {
            self.client.writer().write_all(piece).unwrap();
            self.send();
        }
    }

    /// The client sends this, and the connection gets its turns until it waits.
    pub(super) fn ask(&mut self, text: impl AsRef<[u8]>) -> (End, String) {
        self.say(text);
        let end = self.settle();
        (end, self.hear())
    }

    /// Gives turns until the connection waits.
    pub(super) fn settle(&mut self) -> End {
        let mut end = self.turn();
        while end == End::Again {
            end = self.turn();
        }
        end
    }

    /// What the client has received since the last call.
    pub(super) fn hear(&mut self) -> String {
        self.receive();
        String::from_utf8_lossy(&std::mem::take(&mut self.heard)).into_owned()
    }

    /// The next turn, which begins as soon as the connection is ready.
    pub(super) fn turn(&mut self) -> End {
        self.buffers.look();
        self.since = self.buffers.millis();
        let hung_up = self.wire.0.borrow().client_has_closed;
        self.advance(Reason::Signals(Signals { readable: true, hung_up, ..Signals::default() }))
    }

    /// Lets this much time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        self.buffers.clock.pass(time);
        self.buffers.look();
        self.since = self.buffers.millis();
    }

    /// Lets every deadline pass.
    pub(super) fn expire(&mut self) -> End {
        self.pass(Duration::from_secs(120));
        self.advance(Reason::Expired)
    }

    /// Lets this much time pass, at the end of which a deadline has passed.
    pub(super) fn expire_after(&mut self, time: Duration) -> End {
        self.pass(time);
        self.advance(Reason::Expired)
    }

    fn advance(&mut self, reason: Reason) -> End {
        let Talk { connection, input, buffers, handlers, since, .. } = self;
        let connection = connection.take().expect("it is closed");
        let turn = Turn { since: *since, handlers: *handlers, input, buffers };
        let (connection, end) = match connection.advance(reason, turn) {
            Outcome::Park(connection, Parking { idle, .. }) => {
                let limit = connection.limit();
                (Some(connection), End::Parked(limit, idle))
            }
            Outcome::Queue(Ready { connection, .. }) => (Some(connection), End::Queued),
            Outcome::Again(Ready { connection, .. }) => (Some(connection), End::Again),
            Outcome::AwaitReader(connection) => (Some(connection), End::AwaitsReader),
            Outcome::Closed(_) => (None, End::Closed),
        };
        self.connection = connection;
        end
    }

    /// The client sends nothing more.
    pub(super) fn close(&mut self) {
        self.wire.0.borrow_mut().client_has_closed = true;
    }

    /// The client ends with close_notify too.
    pub(super) fn say_goodbye(&mut self) {
        self.client.send_close_notify();
        self.send();
    }

    /// The connection is reset.
    pub(super) fn break_off(&mut self) {
        self.wire.0.borrow_mut().is_broken = true;
    }

    /// The client takes this many more bytes, or everything again.
    pub(super) fn takes(&mut self, room: impl Into<Option<usize>>) {
        self.wire.takes(room);
    }

    /// For what the client does in the middle of a turn.
    #[cfg(feature = "upgrade")]
    pub(super) fn wire(&self) -> Wire {
        self.wire.clone()
    }

    /// Whether the server has said that it sends nothing more.
    pub(super) fn has_ended(&self) -> bool {
        self.wire.0.borrow().server_has_closed
    }
}
