//! How a server is described and opened.

use std::net::SocketAddr;

use crate::error::Error;
use crate::router::Router;
use crate::server::limits::Limits;
use crate::server::shutdown::{Handle, Running};
use crate::tls::Identity;

/// What the redirect does with a request that carries credentials over plain HTTP, where anyone on the way can read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpCredentials {
    /// Redirect, and warn in the log. The default.
    #[default]
    Warn,
    /// Answer 403 with a problem document and no `Location`, so that the leak shows at once.
    Refuse,
}

/// A server that is being described; made by [`Server::builder`].
#[derive(Debug)]
pub struct ServerBuilder {
    router: Router,
    https: String,
    redirect: Option<String>,
    public_name: Option<String>,
    public_port: Option<u16>,
    credentials: HttpCredentials,
    credential_headers: Vec<String>,
    identity: Option<Identity>,
    limits: Limits,
    access_log: bool,
}

/// A server whose sockets are open and whose certificate is checked.
#[derive(Debug)]
pub struct Server {}

impl Server {
    /// Describes a server that answers with `router`.
    pub fn builder(router: Router) -> ServerBuilder {
        ServerBuilder {
            router,
            https: "[::]:8443".into(),
            redirect: None,
            public_name: None,
            public_port: None,
            credentials: HttpCredentials::default(),
            credential_headers: Vec::new(),
            identity: None,
            limits: Limits::default(),
            access_log: false,
        }
    }

    /// The address that HTTPS is served on; the real port when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        todo!()
    }

    /// The address that redirects are served on, if they are.
    pub fn redirect_addr(&self) -> Option<SocketAddr> {
        todo!()
    }

    /// How many connections may be open at a time: [`Limits::connections`], or less when the open-file limit leaves less.
    pub fn connections(&self) -> usize {
        todo!()
    }

    /// A handle that stops the server or gives it another certificate, from any thread.
    pub fn handle(&self) -> Handle {
        todo!()
    }

    /// Serves until a [`Handle`] says stop, then drains.
    pub fn run(self) -> Result<(), Error> {
        todo!()
    }

    /// Serves on threads of its own.
    pub fn spawn(self) -> Result<Running, Error> {
        todo!()
    }
}

impl ServerBuilder {
    /// Where HTTPS is served: an address with a port, `127.0.0.1:8443` or `[::]:8443`. `[::]` takes IPv4 too. Port 0
    /// takes any free one. Defaults to `[::]:8443`.
    pub fn https(mut self, address: impl Into<String>) -> Self {
        self.https = address.into();
        self
    }

    /// Where plain HTTP is answered with redirects to HTTPS. Defaults to nowhere.
    pub fn redirect_http(mut self, address: impl Into<String>) -> Self {
        self.redirect = Some(address.into());
        self
    }

    /// The host that redirects lead to, whatever host the request names. Without it a redirect leads to the request's own
    /// host when the certificate is for it, and is refused with 421 when not.
    pub fn public_name(mut self, host: impl Into<String>) -> Self {
        self.public_name = Some(host.into());
        self
    }

    /// The port that redirects lead to, where clients see another one than the server (port forwarding). Defaults to the
    /// port of [`https`](ServerBuilder::https).
    pub fn public_port(mut self, port: u16) -> Self {
        self.public_port = Some(port);
        self
    }

    /// What the redirect does with requests that carry credentials in clear. Defaults to [`HttpCredentials::Warn`].
    pub fn http_credentials(mut self, policy: HttpCredentials) -> Self {
        self.credentials = policy;
        self
    }

    /// A further header that carries credentials, beside `Authorization`, `Proxy-Authorization`, `Cookie` and `X-Api-Key`.
    pub fn credential_header(mut self, name: impl Into<String>) -> Self {
        self.credential_headers.push(name.into());
        self
    }

    /// The certificate and its key.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The server's bounds. Defaults to [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether each request leaves a line in the log, at level info, target `lockgate::access`. Defaults to `false`.
    pub fn access_log(mut self, on: bool) -> Self {
        self.access_log = on;
        self
    }

    /// Checks everything and opens the sockets.
    pub fn bind(self) -> Result<Server, Error> {
        todo!()
    }
}
