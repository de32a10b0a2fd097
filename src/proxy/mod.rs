//! A reverse proxy: a handler that passes requests on to a server behind this one, and its answers back. `request` and `response`
//! decide what is passed on, `exchange` and `body` do it. Knows the wire and the sockets to backends, and neither the server in
//! front of it nor its router: it wakes a client's connection as any response does that comes later. Programs and the command call
//! it.

mod blocking;
mod body;
mod connection;
mod exchange;
mod fields;
mod kept;
mod pending;
mod request;
mod response;
mod shared;
mod target;
mod tunnel;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::StatusCode;

use crate::error::Error;
use crate::http::into_response::IntoResponse;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::Refusal;
use exchange::{Asked, Exchange};
use pending::Awaited;
use shared::{InUse, Settings, Shared};
use target::{Host, Target};

/// Longer than any wait; it can be added to any time.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const FULL: Refusal = Refusal::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "as many requests as may be passed on at a time are being answered; try again",
);
const NO_MEMORY: Refusal = Refusal::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "the memory for requests that are passed on is used up; try again",
);

/// Passes requests on to a server behind this one, the backend, and its answers back: HTTPS in front of a program that speaks
/// plain HTTP. With the feature `proxy`.
///
/// ```
/// use lockgate::{Proxy, Router};
///
/// let proxy = Proxy::to("http://127.0.0.1:3000")?;
/// // All paths:
/// let router = Router::new().fallback(proxy.handler());
/// // Or those below /api, which the backend sees with /api before them, and others from this program:
/// let router = Router::new()
///     .get("/state", |_: &mut lockgate::Request| "on")
///     .nest("/api", Router::new().fallback(proxy.handler()));
/// # router.check().unwrap();
/// # Ok::<(), lockgate::Error>(())
/// ```
///
/// No thread waits for the backend: while it works, the client's connection is parked like an idle one. Answers pass as they come
/// and only as fast as the client takes them, so events arrive at once and large files take no memory. A client that leaves ends
/// its request at the backend too. A clone is the same proxy.
///
/// # What the backend gets
///
/// The request is written anew from what was read (RFC 9110 §7.6, RFC 9112), so that only what this server has understood reaches
/// the backend. `Host` stays what the client has asked for ([`Proxy::host`] sets another). Fields of one connection, and what
/// `Connection` names, are removed. `Forwarded`, `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host` and `Via` tell of
/// the client; what a client sends under these names, under `X-Real-IP` or as `Client-Cert` is removed. The path keeps its
/// spelling. Bodies are collected before the request is sent, up to [`Limits::body_bytes`](crate::Limits::body_bytes). A WebSocket is
/// passed on, and is a tunnel once the backend has accepted it; a request for another protocol is passed on without `Upgrade`.
///
/// # What the client gets
///
/// The answer as the backend gives it, without the fields of one connection. A redirect of the backend to itself over `http://`
/// leads to `https://`, and cookies get `Secure` ([`Proxy::keep_cookies`] leaves them alone). An answer that is cut is cut for the
/// client too, and never looks whole.
///
/// | the backend | the client gets |
/// |---|---|
/// | cannot be reached; a backend that has just answered is waited for, up to 3 seconds | 502 |
/// | ends the connection before its answer; a safe request (GET, HEAD, OPTIONS) is sent once more first | 502 |
/// | gives an answer whose end or fields are ambiguous | 502 |
/// | does not accept the connection within [`connect_timeout`](Proxy::connect_timeout) | 504 |
/// | does not answer within [`answer_timeout`](Proxy::answer_timeout) | 504 |
/// | sends nothing more of an answer for [`silence_timeout`](Proxy::silence_timeout) | the answer, cut |
/// | has as many requests as [`at_a_time`](Proxy::at_a_time) allows | 503 |
///
/// The log says why, with the backend's name.
///
/// Settings are made before the first request:
///
/// ```
/// use std::time::Duration;
///
/// let proxy = lockgate::Proxy::to("unix:/run/app.sock")?.answer_timeout(Duration::from_secs(300)).at_a_time(64);
/// # Ok::<(), lockgate::Error>(())
/// ```
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy to the backend at this place: `http://HOST:PORT`, or `unix:PATH` for a socket in the file system. A name is
    /// looked up once, now; its addresses are tried one after the other.
    ///
    /// # Errors
    /// [`Error::Setting`]: this is no such place, or the name cannot be looked up.
    pub fn to(backend: &str) -> Result<Proxy, Error> {
        let target = Target::parse(backend)
            .map_err(|fault| Error::Setting { setting: "proxy", fault: format!("{backend}: {fault}") })?;
        let settings = Settings {
            host: Host::AsAsked,
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            between_bytes: Duration::from_secs(60),
            secure_cookies: true,
            most: 1_024,
        };
        Ok(Proxy { shared: Arc::new(Shared::new(target, settings)) })
    }

    /// What `Host` says to the backend, instead of what the client has asked for.
    pub fn host(self, host: impl Into<String>) -> Proxy {
        let host = Host::Set(host.into());
        self.set(|settings| settings.host = host)
    }

    /// How long to wait for a connection. Defaults to 5 seconds.
    pub fn connect_timeout(self, most: Duration) -> Proxy {
        self.set(|settings| settings.connect = most.min(LONGEST))
    }

    /// How long to wait for the head of the answer, once the first bytes of the request were sent. Defaults to 60 seconds.
    pub fn answer_timeout(self, most: Duration) -> Proxy {
        self.set(|settings| settings.first_byte = most.min(LONGEST))
    }

    /// How long the backend may send nothing in the middle of an answer. Defaults to 60 seconds. Streams of events
    /// (`text/event-stream`) may be silent for as long as they like.
    pub fn silence_timeout(self, most: Duration) -> Proxy {
        self.set(|settings| settings.between_bytes = most.min(LONGEST))
    }

    /// Passes the backend's cookies on as they are, without adding `Secure`.
    pub fn keep_cookies(self) -> Proxy {
        self.set(|settings| settings.secure_cookies = false)
    }

    /// How many requests may be at the backend at a time. Each takes a file descriptor beside its client's. Defaults to 1,024.
    pub fn at_a_time(self, most: usize) -> Proxy {
        self.set(|settings| settings.most = most)
    }

    /// Changes the settings. They are shared once there is a handler, which then keeps its own.
    fn set(self, change: impl FnOnce(&mut Settings)) -> Proxy {
        let Shared { target, settings, .. } = &*self.shared;
        let mut settings = settings.clone();
        change(&mut settings);
        let target = Target {
            addresses: target.addresses.clone(),
            authority: target.authority.clone(),
            name: target.name.clone(),
        };
        Proxy { shared: Arc::new(Shared::new(target, settings)) }
    }

    /// The handler that passes requests on, for [`Router::fallback`](crate::Router::fallback), [`any`](crate::Router::any) and
    /// the others.
    pub fn handler(&self) -> impl Fn(&mut Request<'_>) -> Response + Send + Sync + 'static {
        let shared = self.shared.clone();
        move |request| pass_on(&shared, request)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("to", &self.shared.target.name).finish_non_exhaustive()
    }
}

fn pass_on(shared: &Arc<Shared>, request: &mut Request<'_>) -> Response {
    match begin(shared, request) {
        Ok(response) | Err(response) => response,
    }
}

fn begin(shared: &Arc<Shared>, request: &mut Request<'_>) -> Result<Response, Response> {
    let in_use = InUse::take(shared).ok_or_else(|| FULL.into_response())?;
    let authority = request::authority_of(request);
    let mut memory = shared.memory.share();
    let body = request.rest_of_body(u64::MAX).map_err(IntoResponse::into_response)?;
    if !memory.cover(body.len()) {
        return Err(NO_MEMORY.into_response());
    }
    // The head is written before the body, and needs the request, which lends the body.
    let body = body.into_owned();
    let mut bytes = Vec::with_capacity(512 + body.len());
    request::write_head(&mut bytes, request, authority.as_deref(), &shared.settings.host, body.len());
    bytes.extend_from_slice(&body);
    let now = Instant::now();
    let method = request.method().clone();
    let wants_tunnel = request::wants_tunnel(request);
    let exchange = Exchange::new(in_use, Asked { method, authority, wants_tunnel }, bytes, memory, now);
    if request.origin().waits_for_responses() {
        return Ok(Response::pending(Awaited::new(exchange)));
    }
    blocking::answer(exchange)
        .map_err(|source| Error::Io { doing: "waiting for a backend", source }.into_response())
}
