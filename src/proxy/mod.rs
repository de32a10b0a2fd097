//! A reverse proxy: a handler that passes requests on to a server behind this one, and its answers back. `request` and `response`
//! decide what is passed on, `exchange` and `body` do it. Knows the wire and the sockets to backends, and neither the server in
//! front of it nor its routes: it wakes a client's connection as any response does that comes later. Programs and the command call
//! it.

mod asked;
mod backend;
mod balancer;
mod blocking;
mod body;
mod chosen;
mod connection;
mod content;
mod ejection;
mod error_page;
mod exchange;
mod failure;
mod fields;
mod handler;
mod health;
mod kept;
mod lookup;
mod methods;
mod outgoing;
mod pending;
mod prefix;
mod proxied;
mod public_url;
mod queue;
mod request;
mod response;
pub(crate) mod shared;
mod shortage;
mod target;
mod targets;
mod tls;
mod trailers;
mod trial;
mod tunnel;

use std::fmt;
#[cfg(feature = "check")]
use std::io;
#[cfg(feature = "check")]
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::http::request::Request;
use crate::router::Router;
use crate::url::without_userinfo;
#[cfg(any(feature = "check", feature = "serve"))]
pub(crate) use backend::Backend;
use chosen::NO_CA_FILE;
#[cfg(feature = "check")]
pub(crate) use connection::TlsFault;
use handler::pass_on;
use prefix::Prefix;
pub use proxied::Proxied;
use shared::{ClientCert, Settings, Shared};
#[cfg(feature = "serve")]
pub use target::backend_fault;
use target::Target;
#[cfg(feature = "check")]
pub(crate) use trial::Trial;

pub use health::{AnswerTotals, FailureTotals, ProxyHealth, RefusedTotals, TargetHealth};

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
/// let router = Router::new().get("/state", |_: &mut lockgate::Request| "on").nest("/api", proxy);
/// # router.check().unwrap();
/// # Ok::<(), lockgate::Error>(())
/// ```
///
/// No thread waits for the backend: while it works, the client's connection is parked like an idle one. Answers pass as they come
/// and only as fast as the client takes them, so events arrive at once and large files take no memory. Bodies of requests pass as
/// they come and as fast as the backend takes them; no thread waits for either, and both directions can go on at a time. A client
/// that leaves ends its request at the backend too. A clone is the same proxy.
///
/// # What the backend gets
///
/// The request is written anew from what was read (RFC 9110 §7.6, RFC 9112), so that only what this server has understood reaches
/// the backend. `Host` stays what the client has asked for ([`Proxy::host`] sets another). Fields of one connection, and what
/// `Connection` names, are removed. `Forwarded`, `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host` and `Via` tell of
/// the client; what a client sends under these names, under `X-Real-IP` or as `Client-Cert` is removed. The path keeps its
/// spelling. [`Proxy::client_cert`] tells of the client's certificate. A WebSocket is passed on, and is a tunnel once the backend has
/// accepted it, until it has been silent for [`tunnel_timeout`](Proxy::tunnel_timeout); a request for another protocol is passed on
/// without `Upgrade`. No backend gets TRACE: the client gets 405, because the answer would show what browsers hide from scripts.
/// OPTIONS with `Max-Forwards` is passed on with one less, and with 0 it is answered here (RFC 9110 §7.6.2).
///
/// A body keeps its length if the client has told it or if it has come whole with the head. Else it goes on in chunks, written anew,
/// with `Connection: close`: a backend that does not know chunks can then not take them for further requests. Such a body goes
/// to no backend whose last answer was HTTP/1.0 while there is another, and else it is collected first, which holds a worker. Trailers of requests are read and dropped.
/// [`Limits::body_bytes`](crate::Limits::body_bytes), `body_timeout` and `body_min_rate` hold: the client gets 413 or 408, and the
/// backend sees a request that is cut. Time in which the backend takes nothing does not count against the client. At most 64 KiB
/// ([`Limits::body_buffer_bytes`](crate::Limits::body_buffer_bytes)) come with the head, and 32 KiB are held at a time after that. A
/// client that is slow with its body has a request at the backend for that time, and a place of [`at_a_time`](Proxy::at_a_time).
///
/// `Expect: 100-continue` is passed on (RFC 9110 §10.1.1). The client gets the backend's 100, or after a second this server's, so
/// that a backend that does not know of it gets its body. A backend that answers before it has read the body is heard at once. The rest of
/// the body is then read past if its length is told and short, or else the connection is closed, unless the backend's answer goes on: then it still
/// gets the body.
///
/// The body passes as it comes only if the handler that the router is given returns what the proxy's does. Behind a handler that
/// returns something else, and where a layer reads the body, it is collected as for all handlers.
///
/// # What the client gets
///
/// The answer as the backend gives it, without the fields of one connection. URLs of the backend itself in `Location`,
/// `Content-Location`, `Refresh` and `Link` lead to what the client has asked for, over HTTPS: those with its host and port as given
/// to [`Proxy::to`], or with what [`Proxy::host`] sets. So a cookie with its host as `Domain` loses that. Cookies get `Secure`
/// ([`Proxy::keep_cookies`] leaves that). An answer that is cut is cut for the
/// client too, and never looks whole. 102 and 103 (Early Hints) pass at once, at most 32 of them and not to clients of HTTP/1.0.
/// Trailer fields pass to a client that has asked with `TE: trailers`, without those that frame, route or authenticate (RFC 9110
/// §6.5.1); else they are dropped. They are never merged into the head.
///
/// | the backend | the client gets |
/// |---|---|
/// | cannot be reached; a backend that has just answered is waited for, up to 3 seconds | 502 |
/// | ends the connection before its answer; a safe request (GET, HEAD, OPTIONS) is sent once more first, and a kept connection that was just closed does not count | 502 |
/// | gives an answer whose end or fields are ambiguous | 502 |
/// | does not accept the connection within [`connect_timeout`](Proxy::connect_timeout) | 504 |
/// | does not answer within [`answer_timeout`](Proxy::answer_timeout) | 504 |
/// | sends nothing more of an answer for [`silence_timeout`](Proxy::silence_timeout) | the answer, cut |
/// | has as many requests as [`at_a_time`](Proxy::at_a_time) allows, and the [`queue`](Proxy::queue) is full or takes too long | 503 |
/// | is one of several, none of which can be reached | 503 |
///
/// A 503, and the 502 of a backend that cannot be reached, have `Retry-After`. The body is a problem document, or a small page for a
/// client whose `Accept` prefers `text/html`. The log says why, with the backend's name.
///
/// # Several backends and their failures
///
/// [`Proxy::and_to`] adds a backend. Each has its own kept connections and its own [health](Proxy::health). A request that was not
/// sent, or a safe one that got no answer, is tried once more at another backend if there is one.
///
/// A backend that fails three times in a row is ejected, and the log says so:
/// - One that accepts no connections gets no requests until it does. It is asked every 200 ms, by requests that come or wait and
///   without sending anything; when nothing comes back, as from a machine that is switched off, anew every 900 ms. So while
///   requests come, it is used again within a second of its return (with a name that has several addresses, which are asked in
///   turn, within a second for each). This holds for a single backend as well: requests wait for it, up to 3 seconds after it has
///   gone; after that they get their 502 as soon as it was asked once more.
/// - One that ends connections without an answer, does not answer in time, breaks its answers or completes no TLS handshake gets
///   no requests for 1 second, then one at a time to see whether it answers. If it does not, the pause doubles, up to 32 seconds.
///   A late answer to the last request that got none in time ends the pause, within a second while requests come; otherwise its
///   return is noticed when the pause has ended.
///   The last backend that accepts connections is never ejected for its answers: otherwise a client could shut out all others
///   with a request that breaks it.
///
/// Three, because one failure may be the fault of one request. An answer with the status 500 is an answer, and no failure. A
/// client that leaves, or whose body does not come whole, tells nothing of the backend. Nor does what this machine lacks for a
/// connection (open files, ports, memory): the request waits for it up to 3 seconds and gets 503, and the log names the limit.
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
    /// What was said of TLS to the backends.
    tls: tls::Settings,
}

impl Proxy {
    /// A proxy to the backend at this place: `http://HOST:PORT`, `https://HOST:PORT` with a [CA file](Proxy::ca_file), or `unix:PATH`
    /// for a socket in the file system.
    ///
    /// A name is looked up now, for 2 seconds at most, and again every 30 seconds while requests come, or every 2 seconds while its
    /// addresses take no connections. A thread of its own, `lockgate-lookup`, does that, and ends then; no request waits for it.
    /// The addresses are tried one after the other. A name that cannot be looked up is no error, because a device may start before
    /// its network: the log says so, and requests get a 502 until it can be.
    ///
    /// # Errors
    /// [`Error::Setting`]: this is no such place.
    pub fn to(backend: &str) -> Result<Proxy, Error> {
        let shared = Shared::new(vec![parse(backend)?], Settings::default());
        Ok(Proxy { shared: Arc::new(shared), tls: tls::Settings::default() })
    }

    /// A further backend that answers the same. A request goes to the one with the fewest requests in flight; equally busy ones
    /// take turns. See [the failures of backends](Proxy#several-backends-and-their-failures).
    ///
    /// # Errors
    /// As [`Proxy::to`].
    pub fn and_to(self, backend: &str) -> Result<Proxy, Error> {
        let further = parse(backend)?;
        let targets = self.shared.targets.all().cloned().chain([further]).collect();
        Ok(Proxy { shared: Arc::new(Shared::new(targets, self.shared.settings.clone())), tls: self.tls })
    }

    /// What `Host` says to the backend, instead of what the client has asked for: a name or an address, with a port if that is not
    /// the default (RFC 9110 §7.2). Anything else is a fault, which [`check`](Proxy::check) tells.
    pub fn host(self, host: impl Into<String>) -> Proxy {
        let host = host.into();
        self.set(|settings| settings.set_host(host))
    }

    /// How long to wait for a connection. Defaults to 5 seconds. From 1 ms to 365 days, as every time of a proxy; another one is a
    /// fault, which [`check`](Proxy::check) tells.
    pub fn connect_timeout(self, most: Duration) -> Proxy {
        self.set(|settings| settings.set_time("connect_timeout", most, |all| &mut all.connect))
    }

    /// How long to wait for the head of the answer, once the first bytes of the request were sent. Defaults to 60 seconds.
    pub fn answer_timeout(self, most: Duration) -> Proxy {
        self.set(|settings| settings.set_time("answer_timeout", most, |all| &mut all.first_byte))
    }

    /// How long the backend may send nothing in the middle of an answer. Defaults to 60 seconds. Streams of events
    /// (`text/event-stream`) may be silent for as long as they like.
    pub fn silence_timeout(self, most: Duration) -> Proxy {
        self.set(|settings| settings.set_time("silence_timeout", most, |all| &mut all.between_bytes))
    }

    /// How long a tunnel of a WebSocket may be silent in both directions; then it is closed. Defaults to an hour, as is usual for
    /// `timeout tunnel` of HAProxy; nginx closes after `proxy_read_timeout`, a minute. Once the client has sent its last, it is a
    /// minute at most, and a backend that sends nothing more ends the tunnel. A peer whose network is gone is noticed sooner, within
    /// some minutes (TCP keepalive). A tunnel counts as a request for [`at_a_time`](Proxy::at_a_time) for as long as
    /// it lasts.
    pub fn tunnel_timeout(self, most: Duration) -> Proxy {
        self.set(|settings| settings.set_time("tunnel_timeout", most, |all| &mut all.tunnel))
    }

    /// Tells the backend who the client is by its verified certificate: `Client-Cert` (RFC 9440), a byte sequence in base64 between
    /// colons. Off by default: the field can take some kilobytes of each request, and RFC 9440 §2.4 makes it a choice of who runs
    /// the backend, which has to trust it only from this proxy. A request of a client that has shown no certificate has no such
    /// field: what clients send under this name and `Client-Cert-Chain` is always removed.
    ///
    /// ```
    /// let proxy = lockgate::Proxy::to("http://127.0.0.1:3000")?.client_cert();
    /// # Ok::<(), lockgate::Error>(())
    /// ```
    pub fn client_cert(self) -> Proxy {
        self.set(|settings| settings.client_cert = ClientCert::Own)
    }

    /// As [`client_cert`](Proxy::client_cert), and the certificates that the client has sent behind its own, in their order, as
    /// `Client-Cert-Chain`.
    pub fn client_cert_chain(self) -> Proxy {
        self.set(|settings| settings.client_cert = ClientCert::Chain)
    }

    /// Takes this prefix off the path before the backend gets it: of `/api/users?all` with the prefix `/api` it gets `/users?all`, and
    /// of `/api` it gets `/`. A slash at the prefix's end makes no difference.
    ///
    /// ```
    /// use lockgate::{Proxy, Router};
    ///
    /// let router = Router::new().nest("/api", Proxy::to("http://127.0.0.1:3000")?.strip_prefix("/api")?);
    /// # router.check().unwrap();
    /// # Ok::<(), lockgate::Error>(())
    /// ```
    ///
    /// | the client asks for | the backend gets, with `strip_prefix("/api")` |
    /// |---|---|
    /// | `/api`, `/api/` | `/` |
    /// | `/api/a%20b?c=d` | `/a%20b?c=d`: all else keeps its spelling |
    /// | `/%61pi/x` | `/x`: another spelling of the same path |
    /// | `/api/x//y` | `/x//y` |
    /// | `/api//x` | nothing, and the client 400: other programs take `//x` for a host |
    /// | `/api/..;/x` | nothing, and the client 400, also without a prefix: servlet containers take it for `/x` |
    /// | `/apix`, `/API` | nothing, and the client 404: the prefix is one of whole segments, and letters have a case |
    ///
    /// The backend is told of the prefix in `X-Forwarded-Prefix`. Redirects (`Location`) to its own paths get the prefix, and so does the
    /// `Path` of its cookies, but of `__Host-` cookies. What has the prefix already stays as it is. Links within a page stay too: a page
    /// with links such as `/app.js` needs a backend that knows its prefix.
    ///
    /// # Errors
    /// [`Error::Setting`]: it does not begin with `/`, has an empty or a dot segment, or has something else than plain characters.
    pub fn strip_prefix(self, prefix: &str) -> Result<Proxy, Error> {
        let prefix = Prefix::parse(prefix)
            .map_err(|fault| Error::Setting { setting: "proxy", fault: format!("{prefix}: {fault}") })?;
        Ok(self.set(|settings| settings.prefix = Some(prefix)))
    }

    /// Passes the backend's cookies on as they are, without adding `Secure`.
    pub fn keep_cookies(self) -> Proxy {
        self.set(|settings| settings.secure_cookies = false)
    }

    /// How many requests may be at one backend at a time, at least 1; 0 is a fault, which [`check`](Proxy::check) tells. Each takes a file descriptor beside its client's. Further
    /// ones wait in the [queue](Proxy::queue). Defaults to 1,024.
    pub fn at_a_time(self, most: usize) -> Proxy {
        self.set(|settings| settings.set_most(most))
    }

    /// How many requests may wait until a backend has room. All backends share one queue: who has come first goes first, to the
    /// backend that has room first. A waiting request holds no thread, only its connection and its own bytes. Further ones get a
    /// 503 with `Retry-After`; with 0 all do that find no room. Defaults to 1,024.
    ///
    /// While no backend can be reached, as many more may wait as may be [at the backends](Proxy::at_a_time).
    pub fn queue(self, most: usize) -> Proxy {
        self.set(|settings| settings.most_waiting = most)
    }

    /// How long a request waits in the queue for room. Then it gets a 503 with `Retry-After`. Defaults to 5 seconds.
    pub fn queue_timeout(self, most: Duration) -> Proxy {
        self.set(|settings| settings.set_time("queue_timeout", most, |all| &mut all.queue_timeout))
    }

    /// How many requests may be at its backends.
    pub(crate) fn most_at_backends(&self) -> u64 {
        (self.shared.targets.all().count() as u64).saturating_mul(self.shared.settings.most as u64)
    }

    /// Whether it reaches any backend over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.shared.targets.all().any(|target| target.secure.is_some())
    }

    /// Where its backends are, for a look at them before requests come.
    #[cfg(any(feature = "check", feature = "serve"))]
    pub(crate) fn backends(&self) -> Vec<Backend> {
        let host = self.shared.settings.host.set();
        self.shared.targets.all().map(|target| target.backend(host)).collect()
    }

    /// TLS to the backend of this number on a connection that was opened for a look at it, as for requests.
    #[cfg(feature = "check")]
    pub(crate) fn try_tls(
        &self,
        number: usize,
        stream: TcpStream,
        until: std::time::Instant,
    ) -> io::Result<Trial> {
        let host = self.shared.targets.all().nth(number).and_then(|target| target.secure.as_ref());
        match host.zip(self.shared.settings.secures.as_ref()) {
            Some((host, secures)) => Trial::new(secures.secure(host)?, stream, until),
            None => Err(io::Error::other(NO_CA_FILE)),
        }
    }

    /// Whether a backend has asked for a client's certificate since this was called last, and whether there is one to show.
    #[cfg(feature = "check")]
    pub(crate) fn was_asked_for_certificate(&self) -> (bool, bool) {
        self.shared.settings.secures.as_ref().map_or((false, false), |secures| secures.was_asked())
    }

    /// Trusts the certificates of this PEM file, and no others, for backends over HTTPS: their own authority's, or a backend's own
    /// certificate if it has signed itself. A backend's certificate has to be valid, and to be for the host of its URL. Certificates
    /// of public authorities are not trusted, because a backend behind a device seldom has one; give that authority's certificate
    /// if it has.
    ///
    /// The connection is TLS 1.3 or 1.2. Handshakes hold no thread, connections are kept, and new ones resume sessions. A backend
    /// without a right certificate gets nothing of a request; the client gets a 502, and the log says why.
    ///
    /// ```no_run
    /// let proxy = lockgate::Proxy::to("https://10.0.0.2:8443")?.ca_file("/etc/app/backend-ca.pem")?;
    /// # Ok::<(), lockgate::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Identity`]: the file cannot be read, or holds no certificate. [`Error::Setting`]: a certificate cannot be an
    /// authority's.
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Result<Proxy, Error> {
        self.tls.trust(path.as_ref())?;
        self.secure()
    }

    /// Shows this certificate (PEM, with its chain) to backends over HTTPS that ask for one, and proves it with this key. The log
    /// warns of a key file that other users of the machine may read or write.
    ///
    /// # Errors
    /// [`Error::Identity`]: a file cannot be read, or the two do not belong together.
    pub fn client_certificate(
        mut self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Proxy, Error> {
        self.tls.show(certificate.as_ref(), key.as_ref())?;
        self.secure()
    }

    /// Accepts every certificate of backends over HTTPS. Then anybody between this program and a backend can read and change
    /// everything: it is for trying things out. Each handler that is made logs a warning.
    ///
    /// # Errors
    /// [`Error::Setting`]: TLS cannot be set up.
    pub fn danger_accept_any_certificate(mut self) -> Result<Proxy, Error> {
        self.tls.accept_any();
        self.secure()
    }

    fn secure(self) -> Result<Proxy, Error> {
        let secures = self.tls.client()?;
        Ok(self.set(|settings| settings.secures = secures))
    }

    /// Whether every setting can be, and everything was said that the backends need. Otherwise the handler answers 502 to every
    /// request. A router that a proxy is nested or merged into tells of it in [`Router::check`], and so does the server's `bind`. A
    /// [handler](Proxy::handler) is a function, which cannot tell: it writes the fault to the log when it is made.
    ///
    /// # Errors
    /// [`Error::Setting`]: a backend over HTTPS, and no [`ca_file`](Proxy::ca_file); or the first setting that is out of its range.
    pub fn check(&self) -> Result<(), Error> {
        if let Some(fault) = &self.shared.settings.fault {
            return Err(Error::Setting { setting: "proxy", fault: fault.clone() });
        }
        let mut secure = self.shared.targets.all().filter(|target| target.secure.is_some());
        match secure.next() {
            Some(target) if self.shared.settings.secures.is_none() => {
                Err(Error::Setting { setting: "proxy", fault: format!("{}: {NO_CA_FILE}", target.name) })
            }
            _ => Ok(()),
        }
    }

    /// Changes the settings. They are shared once there is a handler, which then keeps its own.
    fn set(self, change: impl FnOnce(&mut Settings)) -> Proxy {
        let mut settings = self.shared.settings.clone();
        change(&mut settings);
        Proxy { shared: self.shared.with(settings), tls: self.tls }
    }

    /// The handler that passes requests on, for [`Router::fallback`](crate::Router::fallback), [`any`](crate::Router::any) and
    /// the others.
    pub fn handler(&self) -> impl Fn(&mut Request<'_>) -> Proxied + Send + Sync + 'static {
        if let Err(error) = self.check() {
            log::error!(target: "lockgate::proxy", "{error}");
        }
        if self.tls.accepts_any() {
            let names = self.shared.targets.names();
            log::warn!(
                target: "lockgate::proxy",
                "DANGER: every certificate of {names} is accepted. Anybody in between can read and change all that passes; give the CA \
                 file instead"
            );
        }
        let shared = self.shared.clone();
        move |request| Proxied(pass_on(&shared, request))
    }

    /// How the backends are, at this moment. It counts what passes through the handlers of this proxy and of its clones, since
    /// its last setting was made.
    pub fn health(&self) -> ProxyHealth {
        self.shared.targets.health()
    }

    /// Lets a server count and sum up what the proxy logs.
    #[cfg(feature = "operations")]
    pub(crate) fn log_to(&self, log_limiter: &Arc<crate::log_limiter::LogLimiter>) {
        self.shared.targets.log_to(log_limiter);
    }
}

fn parse(backend: &str) -> Result<Target, Error> {
    Target::parse(backend).map_err(|fault| Error::Setting {
        setting: "proxy",
        fault: format!("{}: {fault}", without_userinfo(backend)),
    })
}

/// A router with nothing but the proxy, for [`Router::nest`] and [`Router::merge`]: it answers all paths and all methods.
impl From<Proxy> for Router {
    fn from(proxy: Proxy) -> Router {
        let mut router = Router::new().fallback(proxy.handler());
        if let Err(fault) = proxy.check() {
            router.note_fault(fault);
        }
        router
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.shared.targets.all().map(|target| &target.name).collect();
        f.debug_struct("Proxy").field("to", &names).finish_non_exhaustive()
    }
}
