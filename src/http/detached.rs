//! A request apart from its connection, so that its handler can be called while that waits. Knows no server. The router makes it.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use ::http::Extensions;

use super::body::Body;
use super::origin::{Sender, Serving};
use super::params::{OnRoute, Params};
use super::request::Request;
use super::request_head::Line;
use super::span::Field;
#[cfg(feature = "operations")]
use crate::operations::in_front::InFront;
#[cfg(feature = "operations")]
use crate::operations::request_id::RequestId;
use crate::tls::ClientIdentity;

/// A request whose body is in memory, with copies of what the connection has of it.
pub(crate) struct Detached {
    head: Vec<u8>,
    fields: Vec<Field>,
    line: Line,
    path: String,
    params: Params<'static>,
    body: Vec<u8>,
    read: usize,
    peer: SocketAddr,
    client: Option<Arc<ClientIdentity>>,
    values: Extensions,
    #[cfg(feature = "operations")]
    in_front: Option<Arc<InFront>>,
    #[cfg(feature = "operations")]
    id: RequestId,
}

impl Detached {
    /// Takes the request out of its connection. `None` when its body is still to come, or it is made by hand.
    pub(crate) fn of(request: &mut Request<'_>) -> Option<Detached> {
        let peer = request.peer()?;
        let Body::Buffered { bytes, read } = &mut request.body else { return None };
        let route = match &request.params.route {
            OnRoute::None => OnRoute::None,
            OnRoute::Borrowed(route) => OnRoute::Shared(Arc::clone(route)),
            OnRoute::Shared(route) => OnRoute::Shared(route.clone()),
        };
        Some(Detached {
            body: std::mem::take(bytes).into_owned(),
            read: *read,
            head: request.head.to_vec(),
            fields: request.fields.to_vec(),
            line: request.line.clone(),
            path: request.path.to_string(),
            params: Params { route, values: request.params.values },
            peer,
            client: request.client.take(),
            values: std::mem::take(request.extensions_mut()),
            #[cfg(feature = "operations")]
            in_front: request.origin().in_front().cloned(),
            #[cfg(feature = "operations")]
            id: request.origin().id().clone(),
        })
    }

    /// The request again, served by this server.
    pub(crate) fn request<'r>(&'r mut self, server: &'r dyn Serving) -> Request<'r> {
        let bytes = Cow::Owned(std::mem::take(&mut self.body));
        let body = Body::Buffered { bytes, read: self.read };
        let sender = Sender {
            peer: self.peer,
            client: self.client.take(),
            server,
            #[cfg(feature = "operations")]
            id: &self.id,
            #[cfg(feature = "operations")]
            in_front: self.in_front.as_ref(),
        };
        let path = Cow::Borrowed(&*self.path);
        let mut request = Request::from_wire(&self.head, &self.fields, self.line.clone(), path, body, sender);
        request.set_params(self.params.clone());
        *request.extensions_mut() = std::mem::take(&mut self.values);
        request
    }
}

#[cfg(test)]
mod tests {
    use super::super::origin::Nobody;
    use super::*;

    #[test]
    fn a_detached_request_is_the_same_and_has_taken_what_it_does_not_copy() {
        let client = ([192, 0, 2, 1], 7).into();
        let mut request =
            Request::post("/a%20b?c=d").with_header("X-Name", "e").with_body("body").with_peer(client);
        request.extensions_mut().insert(7_u8);
        let route =
            super::super::params::Route { pattern: "/{name}".into(), names: Box::new(["name".into()]) };
        let mut values = [Default::default(); super::super::params::MOST_PARAMS];
        values[0] = super::super::span::Span { start: 1, end: 4 };
        let route = Arc::new(route);
        request.set_params(Params { route: OnRoute::Shared(route), values });
        let mut detached = Detached::of(&mut request).unwrap();
        assert!(request.bytes().unwrap().is_empty() && request.extensions().is_empty());
        let mut again = detached.request(&Nobody);
        #[cfg(feature = "operations")]
        assert_eq!(again.origin().id(), request.origin().id());
        assert_eq!((again.path(), again.query("c").as_deref()), ("/a b", Some("d")));
        assert_eq!((again.header("x-name"), again.peer()), (Some("e"), Some(client)));
        assert_eq!((again.route(), again.param("name")), (Some("/{name}"), Some("a b")));
        assert_eq!(again.extensions_mut().remove::<u8>(), Some(7));
        assert_eq!(again.bytes().unwrap(), b"body");
    }

    #[test]
    fn what_the_handler_has_read_of_the_body_stays_read() {
        let mut request = Request::post("/").with_body("body").with_peer(([192, 0, 2, 1], 7).into());
        request.body().read_exact(&mut [0; 2]).unwrap();
        let mut detached = Detached::of(&mut request).unwrap();
        assert_eq!(detached.request(&Nobody).bytes().unwrap(), b"dy");
    }
}
