//! The methods of a request that belong to the server, all in this file: `http`, where the type stands, knows no server. Handlers
//! call them.

#[cfg(feature = "operations")]
use std::net::SocketAddr;
use std::sync::Arc;

use super::handle::Handle;
use super::serve::Shared;
use crate::http::origin::Origin;
use crate::http::request::Request;
#[cfg(feature = "operations")]
use crate::operations::forwarded::Forwarded;
#[cfg(feature = "operations")]
use crate::operations::in_front::InFront;
#[cfg(feature = "operations")]
use crate::operations::proxy_protocol::ProxyHeader;
#[cfg(feature = "operations")]
use crate::operations::request_id::RequestId;

impl Request<'_> {
    /// What the balancer in front of this server has said of the connection by the PROXY protocol. `None` without a balancer that
    /// [`proxy_protocol_from`](crate::ServerBuilder::proxy_protocol_from) names, for a connection of the balancer itself (a health
    /// check), and over plain HTTP. [`ProxyHeader`] says when it may be believed.
    ///
    /// ```
    /// use lockgate::{Request, StatusCode};
    ///
    /// /// For a balancer that ends the clients' TLS, and asks them for certificates.
    /// fn who(request: &mut Request) -> Result<String, StatusCode> {
    ///     let tls = request.proxy_header().and_then(|header| header.tls()).ok_or(StatusCode::FORBIDDEN)?;
    ///     let name = tls.common_name().filter(|_| tls.client_certificate_verified());
    ///     name.map(String::from).ok_or(StatusCode::FORBIDDEN)
    /// }
    /// # assert!(who(&mut Request::get("/")).is_err());
    /// ```
    #[cfg(feature = "operations")]
    pub fn proxy_header(&self) -> Option<&ProxyHeader> {
        self.origin().in_front()?.header.as_deref()
    }

    /// Says what a balancer has said of the connection, for a test; the [`peer`](Request::peer) becomes the client that it names.
    #[cfg(feature = "operations")]
    pub fn with_proxy_header(mut self, header: ProxyHeader) -> Self {
        let balancer = self.peer().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let peer = header.source().unwrap_or(balancer);
        self.origin.put_in_front(InFront { header: Some(Arc::new(header)), forwarded: None, peer });
        self.with_peer(peer)
    }

    /// What trusted proxies have said of who has sent this request, in `Forwarded` or `X-Forwarded-For`, `-Proto` and `-Host`. `None`
    /// when it has none of these fields, or has not come from a proxy that
    /// [`trust_forwarded`](crate::ServerBuilder::trust_forwarded) names.
    #[cfg(feature = "operations")]
    pub fn forwarded(&self) -> Option<&Forwarded> {
        self.origin().in_front()?.forwarded.as_ref()
    }

    /// The id of this request, as it stands in the lines of the log about it and in what a `Proxy` sends on
    /// (`X-Request-Id`). A request made by hand has one of its own.
    ///
    /// ```
    /// use lockgate::{Request, Response, Router};
    ///
    /// // A client can say which request it was, for support.
    /// let router = Router::new().get("/api/data", |request: &mut Request| {
    ///     Response::text("21.5").with_header("x-request-id", request.id().to_string())
    /// });
    /// let response = router.call(&mut Request::get("/api/data"));
    /// assert_eq!(response.header("x-request-id").unwrap().len(), 32);
    /// ```
    #[cfg(feature = "operations")]
    pub fn id(&self) -> &RequestId {
        self.origin().id()
    }

    /// The handle of the server that serves this request: its [health](Handle::health), its certificates, and its stop.
    ///
    /// ```
    /// use lockgate::{Request, Response, Router, StatusCode};
    ///
    /// let router = Router::new()
    ///     .get("/api/health", |request: &mut Request| Response::json(&request.handle().health().to_json()))
    ///     .post("/api/stop", |request: &mut Request| {
    ///         request.handle().stop(); // this request is still answered
    ///         StatusCode::ACCEPTED
    ///     });
    ///
    /// let mut request = Request::post("/api/stop");
    /// assert_eq!(router.call(&mut request).status(), 202);
    /// assert!(request.is_stopping());
    /// ```
    ///
    /// A request made by hand, for a test, has no server. Its handle is a substitute, the same at each call of this method: a
    /// [`stop`](Handle::stop) stops nothing, and after it [`is_stopping`](Handle::is_stopping) is `true`;
    /// [`health`](Handle::health) tells of a server without connections and workers; [`reload`](Handle::reload) loads nothing and
    /// succeeds; [`identities`](Handle::identities) has only what [`replace_identity`](Handle::replace_identity) was given.
    pub fn handle(&self) -> Handle {
        match self.origin() {
            Origin::Server(server, ..) => match server.service().downcast_ref::<Arc<Shared>>() {
                Some(shared) => Handle::of(shared.clone()),
                None => Handle::of_nobody(),
            },
            Origin::Made(made) => {
                let handle = made.server.get_or_init(|| Box::new(Handle::of_nobody()));
                handle.downcast_ref::<Handle>().cloned().unwrap_or_else(Handle::of_nobody)
            }
        }
    }

    /// Whether the server was asked to stop. A handler or a reader that works for long should then come to an end: the stop waits
    /// for it, for [`Limits::drain_timeout`](crate::Limits::drain_timeout) at most. A call costs next to nothing. What waits for
    /// something takes the [`handle`](Request::handle) along, and waits with [`Handle::wait_for_stop`].
    ///
    /// In a request made by hand it is `true` after [`Handle::stop`] of its substitute.
    pub fn is_stopping(&self) -> bool {
        match self.origin() {
            Origin::Server(server, ..) => {
                let shared = server.service().downcast_ref::<Arc<Shared>>();
                shared.is_some_and(|shared| shared.is_draining())
            }
            Origin::Made(made) => {
                let handle = made.server.get().and_then(|handle| handle.downcast_ref::<Handle>());
                handle.is_some_and(Handle::is_stopping)
            }
        }
    }
}
