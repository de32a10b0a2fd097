//! The builder's settings for who stands in front of a server. The builder keeps them.

use super::builder::ServerBuilder;
use crate::operations::cidr::Cidr;

impl ServerBuilder {
    /// The networks of balancers that speak the PROXY protocol (HAProxy's proxy-protocol.txt, versions 1 and 2). Each connection from
    /// them begins with its header, to the port of HTTPS and to that of [`redirect_http`](ServerBuilder::redirect_http), and nobody
    /// else may send one. Calls add networks. Defaults to none. The page [`behind_a_proxy`](crate::behind_a_proxy) says all of it.
    ///
    /// ```
    /// use lockgate::{Request, Router, Server};
    ///
    /// let router = Router::new().get("/", |request: &mut Request| {
    ///     let asked_for = request.proxy_header().and_then(|header| header.authority()).unwrap_or("?");
    ///     format!("{:?} has asked the balancer for {asked_for}", request.peer())
    /// });
    /// let builder = Server::builder(router).proxy_protocol_from(["10.1.0.0/28".parse()?]);
    /// # let _ = builder;
    /// # Ok::<(), lockgate::CidrFault>(())
    /// ```
    pub fn proxy_protocol_from(mut self, networks: impl IntoIterator<Item = Cidr>) -> Self {
        self.networks.proxy_protocol.extend(networks);
        self
    }

    /// The networks of proxies whose `Forwarded` (RFC 7239) or `X-Forwarded-For`, `-Proto` and `-Host` are believed: in requests over a
    /// connection from them, or from a client in them that a [PROXY header](ServerBuilder::proxy_protocol_from) names. The client's
    /// address is then that of [`Request::peer`](crate::Request::peer), of the log and of the limits on requests and uploads;
    /// [`Request::forwarded`](crate::Request::forwarded) has the rest. These proxies also give requests their id
    /// ([`Request::id`](crate::Request::id)), by `X-Request-Id` or `traceparent`. Calls add networks. Defaults to none: the fields are
    /// ignored. The page [`behind_a_proxy`](crate::behind_a_proxy) says all of it.
    ///
    /// ```
    /// use lockgate::{Router, Server};
    ///
    /// let builder = Server::builder(Router::new()).trust_forwarded(["127.0.0.1".parse()?, "::1".parse()?]);
    /// # let _ = builder;
    /// # Ok::<(), lockgate::CidrFault>(())
    /// ```
    pub fn trust_forwarded(mut self, networks: impl IntoIterator<Item = Cidr>) -> Self {
        self.networks.forwarded.extend(networks);
        self
    }
}
