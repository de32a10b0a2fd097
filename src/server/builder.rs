//! The builder of a server, and how it opens its sockets.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use super::agents;
use super::bound::Server;
use super::context::{self, Context};
use super::identities;
use super::listener::Acceptor;
#[cfg(feature = "operations")]
use super::live_limits::LiveLimits;
use super::missing::{self, Missing};
use super::on_response::{self, OnResponse};
use super::open_files;
use super::plain_http::{PlainHttp, Surroundings};
use super::poller::Poller;
use super::renewal::{AskForMissing, IdentityEvent, Listener, Renewal};
use super::serve::sizes;
use super::serve::Shared;
#[cfg(feature = "operations")]
use super::service::Service;
use super::stopping::{self, Stopping};
use super::workers::Workers;
use crate::error::Error;
use crate::handler_call;
use crate::http::clear_credentials::CredentialNames;
use crate::http::response_head::FieldNames;
use crate::http::seen::{ResponseHead, Seen};
use crate::limits::body_memory::Budget;
use crate::limits::per_address::PerAddress;
use crate::limits::streams::Streams;
use crate::limits::Limits;
#[cfg(not(feature = "operations"))]
use crate::listen;
use crate::log_limiter::LogLimiter;
#[cfg(feature = "operations")]
use crate::operations::in_front::Networks;
use crate::redirect::HttpCredentials;
use crate::router::Router;
use crate::tls::agent;
use crate::tls::{ClientAuth, Clients, Identity, Live};

/// The settings of a server; made by [`Server::builder`].
pub struct ServerBuilder {
    router: Router,
    https: String,
    pub(super) plain: PlainHttp,
    identity: Option<Identity>,
    also: Vec<Identity>,
    also_pairs: Vec<(PathBuf, PathBuf)>,
    /// The functions that load such pairs and load missing pairs again. A program without such pairs does not link them.
    with_pairs: Option<(missing::Load, AskForMissing)>,
    listener: Option<Listener>,
    client_auth: Option<ClientAuth>,
    limits: Limits,
    access_log: bool,
    field_names: FieldNames,
    on_response: Option<Box<dyn OnResponse>>,
    tls_record_bytes: Option<usize>,
    #[cfg(feature = "operations")]
    pub(super) service: Service,
    #[cfg(feature = "operations")]
    pub(super) watched: super::watched::Settings,
    #[cfg(feature = "operations")]
    pub(super) networks: Networks,
}

impl Server {
    /// Starts the description of a server that answers with `router`.
    pub fn builder(router: Router) -> ServerBuilder {
        ServerBuilder {
            router,
            https: "[::]:8443".into(),
            plain: PlainHttp::default(),
            identity: None,
            also: Vec::new(),
            also_pairs: Vec::new(),
            with_pairs: None,
            listener: None,
            client_auth: None,
            limits: Limits::default(),
            access_log: false,
            field_names: FieldNames::default(),
            on_response: None,
            tls_record_bytes: None,
            #[cfg(feature = "operations")]
            service: Service::default(),
            #[cfg(feature = "operations")]
            watched: super::watched::Settings::default(),
            #[cfg(feature = "operations")]
            networks: Networks::default(),
        }
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("https", &self.https)
            .field("redirect", &self.plain.address())
            .field("identity", &self.identity)
            .field("client_auth", &self.client_auth)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl ServerBuilder {
    /// The address of HTTPS with its port, such as `127.0.0.1:8443` or `[::]:8443`. `[::]` accepts IPv4 too. Port 0 means any
    /// free port. Defaults to `[::]:8443`.
    pub fn https(mut self, address: impl Into<String>) -> Self {
        self.https = address.into();
        self
    }

    /// The address on which plain HTTP is redirected to HTTPS. GET and HEAD are answered with 301, which every client follows,
    /// other methods with 308, which keeps method and body (RFC 9110 §15.4). A path that HTTPS refuses gets the same 400 here.
    /// Defaults to no redirect.
    pub fn redirect_http(mut self, address: impl Into<String>) -> Self {
        self.plain.set_redirect(address.into());
        self
    }

    /// What is answered on the port of [`redirect_http`](ServerBuilder::redirect_http) in clear: a request for a method and a path
    /// that have a handler in this router. Everything else is redirected, also what would be a 404 or a 405 of this router; so it
    /// is for what a client needs before it can trust the certificate, such as the certificate of a device's own authority, a page
    /// that explains it, or a health check. The router's layers apply, and [`on_response`](ServerBuilder::on_response) does not.
    ///
    /// ```
    /// use lockgate::{Request, Response, Router, Server};
    ///
    /// # let ca = "-----BEGIN CERTIFICATE-----";
    /// let in_clear = Router::new()
    ///     .get("/", |_: &mut Request| Response::html("Get <a href=ca.pem>the authority</a>, and trust it."))
    ///     .get("/ca.pem", move |_: &mut Request| {
    ///         Response::text(ca).with_header("content-type", "application/x-pem-file")
    ///     })
    ///     .get("/health", |request: &mut Request| Response::json(&request.handle().health().to_json()));
    /// let builder = Server::builder(Router::new()).redirect_http("[::]:80").http_router(in_clear);
    /// # let _ = builder;
    /// ```
    ///
    /// Anyone on the way can read and change these answers, and what they ask for: no secret belongs here, and a client has to check
    /// what it gets, such as the fingerprint of an authority. The answer does not depend on the request's host. Requests of an
    /// authority that validates a name (http-01) come first, and [`http_credentials`](ServerBuilder::http_credentials) before
    /// everything: with [`Refuse`](HttpCredentials::Refuse) no handler is called for a request with credentials.
    ///
    /// The bounds of the redirect hold: a connection has one request and at most 10 s, the handler's time included (503). Two
    /// threads call handlers, and 64 requests may wait for them (503), so handlers that block stop each other, but no redirect. Not
    /// offered, and refused: a request with content (413), a streamed answer, and one of more than 256 KiB (500, and a line in the
    /// log), unless it is part of the program (`&'static`, an [embedded file](crate::web::Files)). Answers that clients have not
    /// taken yet have 1 MiB together (503).
    ///
    /// Without `redirect_http` it is an error of [`bind`](ServerBuilder::bind). Defaults to no such answers.
    pub fn http_router(mut self, router: Router) -> Self {
        self.plain.set_router(router);
        self
    }

    /// The host that redirects lead to, regardless of the request's host. Without it a redirect leads to the request's own host
    /// if the certificate is for that host; otherwise the request gets 421.
    pub fn public_name(mut self, host: impl Into<String>) -> Self {
        self.plain.public_name = Some(host.into());
        self
    }

    /// The port that redirects lead to, if clients use another port than the server (port forwarding). Defaults to the port of
    /// [`https`](ServerBuilder::https).
    pub fn public_port(mut self, port: u16) -> Self {
        self.plain.public_port = Some(port);
        self
    }

    /// What the redirect does with requests that carry credentials in clear. Defaults to [`HttpCredentials::Warn`].
    pub fn http_credentials(mut self, policy: HttpCredentials) -> Self {
        self.plain.credentials = policy;
        self
    }

    /// Adds a header that carries credentials, beside `Authorization`, `Proxy-Authorization`, `Cookie`, `X-Api-Key` and others
    /// of that kind (`Api-Key`, `X-Auth-Token`, `X-Access-Token`, `X-Amz-Security-Token`, `X-Goog-Api-Key`, `X-Vault-Token`,
    /// `Private-Token`). The case does not matter. A name that is not a token or is longer than 64 bytes makes
    /// [`bind`](ServerBuilder::bind) fail with [`Error::Setting`].
    pub fn credential_header(mut self, name: impl Into<String>) -> Self {
        self.plain.credential_headers.push(name.into());
        self
    }

    /// The certificate and its key. With [further identities](ServerBuilder::add_identity), it is the default, for clients that
    /// ask for none of them by name (no SNI, an IP address, an unknown name).
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Adds a certificate for clients that ask for one of its names (SNI, RFC 6066 §3). An exact name is preferred to a
    /// wildcard of another certificate; among equals the first is used. At most 1,000.
    pub fn add_identity(mut self, identity: Identity) -> Self {
        self.also.push(identity);
        self
    }

    /// Adds an optional certificate and its key, as for [`Identity::from_pem_files`]. If the files cannot be used,
    /// [`bind`](ServerBuilder::bind) logs an error and [`Health::missing`](crate::Health) lists them, and the server runs with
    /// the others. They are tried again when the files change, at increasing intervals, and at
    /// [`Handle::reload`](crate::Handle::reload). Without [`identity`](ServerBuilder::identity) and
    /// [`add_identity`](ServerBuilder::add_identity) the first pair that can be used is the default. At most 1,000 further
    /// certificates, together with those of `add_identity`.
    pub fn add_pem_files(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.also_pairs.push((certificate.into(), key.into()));
        self.with_pairs = Some((Missing::load, Renewal::ask_for_missing));
        self
    }

    /// A function that is called when a certificate is renewed, cannot be renewed, or will expire soon; the log says it too. It
    /// runs on the renewal thread or on the thread that called [`Handle::reload`](crate::Handle::reload); keep it short.
    pub fn on_identity_event(
        mut self,
        listener: impl Fn(&IdentityEvent<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Whether clients need certificates, and which are accepted. [`bind`](ServerBuilder::bind) reads its files. They are read
    /// again when they change; if the new ones cannot be used, the old ones stay. Defaults to no client certificates.
    pub fn client_auth(mut self, clients: ClientAuth) -> Self {
        self.client_auth = Some(clients);
        self
    }

    /// The server's bounds. Defaults to [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether the log gets a line for each answer to a request, at level info, with the target `lockgate::access`. Refusals
    /// have a line too. The line of an answer that was cut ends in `cut`:
    ///
    /// ```text
    /// GET /api/data 200 42 118us 192.0.2.7:50514 TLSv1.3
    /// - - 400 97 0us 192.0.2.7:50515 -
    /// GET /log 200 81920 2004114us 192.0.2.7:50516 TLSv1.3 cut
    /// ```
    ///
    /// The fields are the method, the path as it came without its query, the status, the bytes of the body, the time from the
    /// head's end in microseconds, the peer and the TLS version. `-` means unknown. Defaults to `false`.
    pub fn access_log(mut self, on: bool) -> Self {
        self.access_log = on;
        self
    }

    /// A function that may change the fields of each response that leaves the HTTPS port: those of handlers and layers, and all
    /// that the server makes by itself, such as 404 and 405, a handler's panic (500), a head that it could not read (400, 431), a
    /// body that is too large (413) or late (408), and full queues (503). So fields that browsers need, such as CORS and HSTS, are on
    /// errors too.
    ///
    /// ```
    /// use lockgate::{ResponseHead, Router, Seen, Server};
    ///
    /// const APP: &str = "https://app.example";
    ///
    /// let builder = Server::builder(Router::new()).on_response(|seen: &Seen, response: &mut ResponseHead| {
    ///     response.set_header("strict-transport-security", "max-age=31536000");
    ///     response.append_header("vary", "Origin");
    ///     if seen.header("origin") == Some(APP) {
    ///         response.set_header("access-control-allow-origin", APP);
    ///     }
    ///     if response.status().is_server_error() {
    ///         log::warn!("{:?} {:?}: {}", seen.method(), seen.route(), response.status());
    ///     }
    /// });
    /// # let _ = builder;
    /// ```
    ///
    /// The order is: the handler, the layers around it, this function, the line of the access log. It is called once for each
    /// response, just before the head is written; status and body stay as they are. With further calls of `on_response` there are
    /// several functions, which run in the order of these calls. A panic is logged, and the response goes out without the changes
    /// of the function that panicked. The function runs on the server's threads, also when they refuse a request because everything
    /// is busy, so it has to be quick and may not wait for anything.
    ///
    /// What goes out in clear does not pass: redirects of [`redirect_http`](ServerBuilder::redirect_http), and the 400 for plain
    /// HTTP to the HTTPS port. HSTS may not stand there (RFC 6797 §7.2), and a cookie would be readable.
    /// [`Router::call`](crate::Router::call) answers without a server, so it does not call the function either; a test gives it
    /// [`Seen::of`](crate::Seen::of) and [`ResponseHead::of`](crate::ResponseHead::of).
    pub fn on_response(
        mut self,
        change: impl Fn(&Seen<'_>, &mut ResponseHead<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.on_response.get_or_insert_with(on_response::functions).add(Box::new(change));
        self
    }

    /// How the names of fields are written in all responses, including refusals and redirects. Some small clients compare them
    /// letter by letter. Defaults to [`FieldNames::LowerCase`].
    ///
    /// ```
    /// use lockgate::{FieldNames, Router, Server};
    ///
    /// let builder = Server::builder(Router::new()).field_names(FieldNames::TitleCase);
    /// # let _ = builder;
    /// ```
    pub fn field_names(mut self, names: FieldNames) -> Self {
        self.field_names = names;
        self
    }

    /// The largest TLS record that is sent, in bytes, with its header and the overhead of encryption: 128 to 16,384. It is for
    /// clients whose buffers are smaller than the 16 KiB that TLS allows (RFC 8446 §5.1). It also holds for records of the
    /// handshake, with the certificate. Small records cost CPU time: each has up to 29 bytes of overhead, and is encrypted
    /// separately. Defaults to what TLS allows. [`bind`](ServerBuilder::bind) fails with [`Error::Setting`] outside of the
    /// range.
    ///
    /// Clients cannot request a size: rustls ignores the extensions `max_fragment_length` (RFC 6066 §4) and `record_size_limit`
    /// (RFC 8449), as TLS requires for unknown extensions. So this setting holds for all clients, and does not limit the
    /// records that they send.
    ///
    /// ```
    /// use lockgate::{Router, Server};
    ///
    /// let builder = Server::builder(Router::new()).tls_record_bytes(4096);
    /// # let _ = builder;
    /// ```
    pub fn tls_record_bytes(mut self, most: usize) -> Self {
        self.tls_record_bytes = Some(most);
        self
    }

    /// Checks everything and opens the sockets. Clients that connect from now on are served once [`run`](Server::run) is
    /// called. The first call in a process also sets a panic hook, so that a panic in a handler is only one line in the log
    /// (see "Handlers" on the crate's page).
    ///
    /// # Errors
    /// [`Error::Route`] for a route that cannot be served, [`Error::Setting`] for a limit out of its range, a missing identity
    /// or an invalid address, and for ticket keys that cannot be used, [`Error::Identity`] for a file of [`client_auth`](ServerBuilder::client_auth) that cannot be
    /// used, and for the first of [`add_pem_files`](ServerBuilder::add_pem_files) when there is no other certificate,
    /// [`Error::Listen`] for an address that is not available.
    pub fn bind(mut self) -> Result<Server, Error> {
        if let Some(fault) = self.router.take_fault() {
            return Err(fault);
        }
        self.plain.check()?;
        self.limits.check()?;
        handler_call::install_hook();
        #[cfg(feature = "operations")]
        let asked = self.limits.clone();
        let connections = open_files::fit(&mut self.limits, self.plain.address().is_some());
        identities::check_number(self.also.len() + self.also_pairs.len())?;
        let (ask, loaded) = match self.with_pairs {
            Some((load, ask)) => (Some(ask), load(std::mem::take(&mut self.also_pairs))),
            None => (None, (Vec::new(), Missing::default(), None)),
        };
        let (identities, missing) = identities::gather(self.identity.take(), &mut self.also, loaded)?;
        let clients = self.client_auth.take().map(Clients::load).transpose()?;
        let surroundings = agent::Surroundings {
            plain_http: self.plain.address().is_some(),
            clients_need_certificates: clients.as_ref().is_some_and(Clients::are_required),
        };
        agents::check(&identities, surroundings)?;
        let tls = Arc::new(Live::new(identities, clients)?.with_record_bytes(self.tls_record_bytes)?);
        #[cfg(feature = "operations")]
        self.service.share_keys(&tls)?;
        let (renewal, rounds) = Renewal::new(tls.clone(), (missing, ask), self.listener.take())
            .map_err(|source| Error::Io { doing: "preparing to look after certificates", source })?;

        let credential_names = CredentialNames::new(&self.plain.credential_headers)?;
        #[cfg(not(feature = "operations"))]
        let (listener, address) = listen::open("HTTPS", "https", &self.https)?;
        #[cfg(feature = "operations")]
        let (listener, address, is_passed) = self.service.listener(&self.https)?;
        #[cfg(not(feature = "operations"))]
        let acceptor = Acceptor::new(listener)?;
        #[cfg(feature = "operations")]
        let mut acceptor = Acceptor::new(listener)?;
        #[cfg(feature = "operations")]
        {
            acceptor.is_passed = is_passed;
        }
        let listening = acceptor.waker.clone();
        let log_limiter = Arc::new(LogLimiter::new(move || stopping::wake(&listening)));
        let redirect = self.plain.open(&Surroundings {
            https_port: address.port(),
            limits: &self.limits,
            encoded_slash: self.router.routes.encoded_slash(),
            field_names: self.field_names,
            tls: &tls,
            log_limiter: &log_limiter,
            #[cfg(feature = "operations")]
            proxy_from: &self.networks.proxy_protocol,
        })?;
        #[cfg(feature = "operations")]
        let admin = self.watched.open()?;
        let sizes = sizes(&self.limits);
        let poller = Poller::new(sizes.permits, sizes.readers)
            .map_err(|source| Error::Io { doing: "preparing to wait for connections", source })?;
        let context = Context {
            connections,
            workers: Workers::new(sizes, self.router.routes.handlers()),
            #[cfg(feature = "operations")]
            counts: self.watched.counts(
                sizes.most + sizes.readers,
                self.router.routes.handlers(),
                &log_limiter,
            ),
            per_address: PerAddress::new(self.limits.connections_per_address, self.limits.count_loopback),
            rate: context::rate(&self.limits),
            #[cfg(feature = "operations")]
            live_limits: LiveLimits::new(asked, connections),
            body_memory: Arc::new(Budget::new(self.limits.body_memory_bytes)),
            streams: Streams::new(
                self.limits.streaming_bodies,
                PerAddress::new(self.limits.streaming_bodies_per_address, self.limits.count_loopback),
            ),
            log_limiter,
            #[cfg(feature = "operations")]
            networks: self.networks,
            limits: self.limits,
            router: self.router,
            tls,
            renewal,
            access_log: self.access_log,
            credential_names,
            field_names: self.field_names,
            on_response: self.on_response,
            #[cfg(feature = "operations")]
            notify: self.service.notify(address),
            #[cfg(feature = "operations")]
            stopping: Stopping::new(acceptor.waker.clone(), redirect.stop)
                .with_grace(self.watched.ready_grace),
            #[cfg(not(feature = "operations"))]
            stopping: Stopping::new(acceptor.waker.clone(), redirect.stop),
            stopped: AtomicBool::new(false),
        };
        let shared = Arc::new(Shared { context, poller });
        redirect.of.is(&shared);
        let (redirect_address, redirect) = (redirect.address, redirect.serve);
        Ok(Server {
            address,
            redirect_address,
            acceptor,
            redirect,
            rounds,
            #[cfg(feature = "operations")]
            admin,
            shared,
        })
    }
}
