//! What holds of the path that real connections take through the proxy, on which no thread waits for either side: a client and its
//! backends send any bytes, in any pieces. A backend never sees a request that the client has not sent, nor one twice that may not be
//! sent twice, and every body as it was; the client gets an answer as the backend means it, or one of the proxy's own, or an end. And
//! nothing hangs. Knows nothing of the other tests: the fuzzer has a target that calls `hold`, and `random` calls it here.
//!
//! An input's first byte is the plan (from `0` on): 1 the backend answers when it has the head, 2 it closes after each answer, 4 it
//! sends a body after the head of an answer to HEAD, 8 the client resets its connection in the end. What follows are the client's
//! bytes and the backend's answers in turn, each after a 0xfd. In all of them 0xfe ends a piece, which is sent by itself; after 0xff
//! of the client another client gets an answer first.

mod backend;
mod client;
mod reading;

use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lockgate::{Identity, Limits, Proxy, Router, Running, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore};

use backend::{Plan, Seen, State};
use client::Client;
use reading::{meant, replies, requests, Asked, Meant, Reply};

/// After which something is taken to hang.
const SAFETY: Duration = Duration::from_secs(20);
/// Low, so that small inputs reach them: a body above this is passed on as it comes.
const BUFFER_BYTES: usize = 64;
const HEAD_BYTES: usize = 1_024;
const BODY_BYTES: u64 = 2_048;
const MOST_PAUSES: usize = 4;

/// What became of an input's requests.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Requests that are whole, in a simple reading.
    pub asked: usize,
    /// Answers that are the backend's.
    pub passed_on: usize,
    /// The statuses of the proxy's own.
    pub own: Vec<u16>,
}

struct World {
    address: SocketAddr,
    client: Arc<ClientConfig>,
    proxy: Proxy,
    shared: Arc<(Mutex<State>, Condvar)>,
    /// One input at a time, and the number of the last.
    turn: Mutex<u32>,
    /// A client that is always right.
    other: Mutex<Option<Client>>,
    _running: Running,
    /// The socket of the backend.
    path: PathBuf,
}

/// The panics of all but tests.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("lockgate-parked-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let shared: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let of_backend = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), of_backend.clone());
                thread::spawn(move || {
                    if let Err(fault) = backend::serve(stream, &shared) {
                        lock(&shared.0).faults.push(fault);
                    }
                });
            }
        });
        let proxy = Proxy::to(&format!("unix:{}", path.display())).unwrap();
        let proxy = proxy.answer_timeout(SAFETY * 2).silence_timeout(SAFETY * 2);

        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        let certificate = params.signed_by(&key, &*authority).unwrap().pem();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();

        let mut limits = Limits::default();
        limits.head_bytes = HEAD_BYTES;
        limits.body_bytes = BODY_BYTES;
        limits.body_buffer_bytes = BUFFER_BYTES;
        limits.queue_timeout = SAFETY;
        let server = Server::builder(Router::new().fallback(proxy.handler()))
            .https("127.0.0.1:0")
            .identity(Identity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap())
            .limits(limits)
            .bind()
            .unwrap();
        let address = server.local_addr();
        let running = server.spawn().unwrap();
        // It keeps panics from the hook that there was before, and not from this one.
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.location().is_some_and(|location| location.file().contains("tests/")) {
                lock(&PANICS).push(info.to_string());
            }
            before(info);
        }));
        World {
            address,
            client: Arc::new(client),
            proxy,
            shared,
            turn: Mutex::default(),
            other: Mutex::default(),
            _running: running,
            path,
        }
    })
}

/// Removes what lies in the file system. Nothing holds any more then.
pub fn clean_up() {
    let _ = std::fs::remove_file(&world().path);
}

/// Holds for every input.
pub fn hold(input: &[u8]) -> Outcome {
    let Some((plan, rest)) = input.split_first() else { return Outcome::default() };
    let plan = plan.wrapping_sub(b'0');
    let plan = Plan {
        is_early: plan & 1 > 0,
        closes: plan & 2 > 0,
        sends_bodies_to_head: plan & 4 > 0,
        resets: plan & 8 > 0,
    };
    let mut parts = rest.split(|byte| *byte == 0xfd);
    let script = parts.next().unwrap_or_default();
    let pieces = |part: &[u8]| part.split(|byte| *byte >= 0xfe).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let answers: Vec<Vec<Vec<u8>>> = parts.map(pieces).collect();
    let sent: Vec<u8> = script.iter().copied().filter(|byte| *byte < 0xfe).collect();

    let world = world();
    let mut turn = lock(&world.turn);
    *turn += 1;
    // Of its own, so that the backend knows whose request it is: the proxy says the address, and removes what a client says of it.
    let [_, high, middle, low] = turn.to_be_bytes();
    let own = Ipv4Addr::new(127, 2 + high % 200, middle, low);
    let whole: Vec<Vec<u8>> = answers.iter().map(|pieces| pieces.concat()).collect();
    let mut state = lock(&world.shared.0);
    let busy = state.busy;
    *state = State { plan, client: own.to_string(), answers, busy, ..State::default() };
    drop(state);

    let asked = requests(&sent);
    let received = world.converse(own, script, &asked, plan);
    world.settle();
    let panics = lock(&PANICS).clone();
    assert!(panics.is_empty(), "{panics:?}");
    let mut state = lock(&world.shared.0);
    assert!(state.faults.is_empty(), "{:?}", state.faults);
    let seen = std::mem::take(&mut state.seen);
    drop(state);
    are_sent(&seen, &asked);
    let mut outcome =
        Outcome { asked: asked.iter().filter(|one| one.is_whole).count(), ..Outcome::default() };
    for (at, reply) in received.iter().enumerate() {
        let asked = asked.get(at);
        let method = asked.map_or("GET", |asked| &asked.method);
        let is_it = |seen: &&Seen| asked.is_some_and(|asked| asked.is(seen));
        let is_meant = seen.iter().filter(is_it).any(|seen| {
            let answer = whole.get(seen.answer).map_or(&[][..], |answer| answer);
            matches!(meant(answer, method).0, Meant::Whole(status, body) if status == reply.status && reply.is(&body))
        });
        let more_follows = seen.iter().filter(is_it).any(|seen| seen.more_follows);
        match is_meant {
            true => outcome.passed_on += 1,
            false => {
                assert!(reply.is_own(method), "{reply:?} to {asked:?}, which was seen as {seen:?}");
                outcome.own.push(reply.status);
            }
        }
        if more_follows {
            // Of what comes after that nobody can tell whose it is.
            break;
        }
    }
    outcome
}

/// Asserts that the client has sent each of these, and those that may not be sent twice as often as they were seen. One that the
/// proxy has given up may be seen later than the next.
fn are_sent(seen: &[Seen], asked: &[Asked]) {
    let mut taken = vec![false; asked.len()];
    let (whole, parts): (Vec<&Seen>, Vec<&Seen>) = seen.iter().partition(|seen| seen.is_whole);
    for one in whole.into_iter().chain(parts) {
        let may_be_twice = matches!(&*one.method, "GET" | "HEAD" | "OPTIONS");
        let found =
            asked.iter().zip(&mut taken).find(|(asked, taken)| asked.is(one) && (may_be_twice || !**taken));
        let (_, taken) = found
            .unwrap_or_else(|| panic!("the client has not sent {one:?}, or not twice: {asked:?}, {seen:?}"));
        *taken = true;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// All whole answers of what the server sends.
    fn converse(&self, own: Ipv4Addr, script: &[u8], asked: &[Asked], plan: Plan) -> Vec<Reply> {
        let mut client = Client::connect(self.address, &self.client, own);
        let mut pauses = 0;
        for piece in script.split_inclusive(|byte| *byte >= 0xfe) {
            let bytes = piece.strip_suffix(&[0xfe]).or(piece.strip_suffix(&[0xff])).unwrap_or(piece);
            if client.send(bytes).is_err() {
                // The server has closed, and what it has said before may be lost with that.
                break;
            }
            if piece.ends_with(&[0xff]) && pauses < MOST_PAUSES {
                pauses += 1;
                self.ask_aside();
            }
        }
        if plan.resets {
            rustix::net::sockopt::set_socket_linger(&client.tcp, Some(Duration::ZERO)).unwrap();
            return Vec::new();
        }
        let whole = asked.iter().filter(|asked| asked.is_whole).count();
        let mut says_more = true;
        loop {
            let (replies, is_over) = replies(&client.received, asked);
            if says_more && (replies.len() >= whole || is_over) {
                says_more = false;
                let _ = client.tcp.shutdown(Shutdown::Write);
            }
            if !client.more() {
                return replies;
            }
        }
    }

    /// Another client asks. Its answer, unless that was another's and was cut.
    fn ask_aside(&self) -> Option<Reply> {
        let mut other = lock(&self.other);
        let mut client =
            other.take().unwrap_or_else(|| Client::connect(self.address, &self.client, Ipv4Addr::LOCALHOST));
        client.received.clear();
        client.send(b"GET /aside HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the server takes a request");
        loop {
            let (replies, is_over) = replies(&client.received, &[]);
            if let Some(reply) = replies.into_iter().next() {
                *other = Some(client).filter(|_| !is_over);
                return Some(reply);
            }
            if !client.more() {
                return None;
            }
        }
    }

    /// Waits until nothing is under way any more. Then the proxy knows what is wrong with the connections that it has kept.
    fn settle(&self) {
        let until = Instant::now() + SAFETY;
        loop {
            let health = self.proxy.health();
            let in_flight: usize = health.targets.iter().map(|target| target.in_flight).sum();
            let state = lock(&self.shared.0);
            let busy = state.busy;
            if in_flight == 0 && health.waiting == 0 && busy == 0 {
                break;
            }
            assert!(Instant::now() < until, "{in_flight} in flight, {} waiting, {busy} busy", health.waiting);
            drop(self.shared.1.wait_timeout(state, Duration::from_millis(2)));
        }
        let more_follows = lock(&self.shared.0).seen.iter().any(|seen| seen.more_follows);
        loop {
            let answer = self.ask_aside();
            if answer.as_ref().is_some_and(|answer| answer.body == b"aside") {
                break;
            }
            // What follows may have been taken for an answer, and that answer comes now.
            assert!(
                more_follows && Instant::now() < until,
                "another client has got {answer:?}, {:?}",
                self.proxy.health()
            );
        }
    }
}
