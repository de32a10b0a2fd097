//! The program's functions that change the head of each response: `ServerBuilder::on_response`. A panic of one costs its changes and
//! nothing else. Knows the request as far as it is known, and no connection, which passes its responses here. A program without
//! such functions does not link this: the builder makes it when the first is added.

use std::net::SocketAddr;
use std::time::Instant;

use ::http::{Extensions, Method};
use log::Level;

use crate::handler_call::{self, Fault};
use crate::http::response::Response;
use crate::http::seen::{Fields, ResponseHead, Seen, SeenRoute};
#[cfg(feature = "operations")]
use crate::log_limiter::About;
use crate::log_limiter::{LogLimiter, Sort};
#[cfg(feature = "operations")]
use crate::operations::in_front::InFront;
#[cfg(feature = "operations")]
use crate::operations::request_id::RequestId;
use crate::router::routes::Routes;
use crate::tls::ClientIdentity;

/// A function of the program.
pub(crate) type Change = dyn Fn(&Seen<'_>, &mut ResponseHead<'_>) + Send + Sync;

/// All such functions of the program, for connections.
pub(crate) trait OnResponse: Send + Sync {
    /// Adds one that runs after the others.
    fn add(&mut self, change: Box<Change>);
    /// Lets the functions change a response.
    fn pass(&self, passing: Passing<'_>, response: &mut Response);
}

/// A request whose response is about to leave, as far as it is known.
pub(crate) struct Passing<'r> {
    pub method: Option<Method>,
    /// The path as it came.
    pub path: Option<&'r [u8]>,
    pub fields: Fields<'r>,
    pub peer: SocketAddr,
    pub client: Option<&'r ClientIdentity>,
    /// The program's values in the request.
    pub values: Extensions,
    pub routes: &'r Routes,
    pub log_limiter: &'r LogLimiter,
    pub now: Instant,
    #[cfg(feature = "operations")]
    pub in_front: Option<&'r InFront>,
    #[cfg(feature = "operations")]
    pub id: &'r RequestId,
}

/// Makes an empty list of functions.
pub(crate) fn functions() -> Box<dyn OnResponse> {
    Box::new(Functions(Vec::new()))
}

/// The functions, in their order.
struct Functions(Vec<Box<Change>>);

impl OnResponse for Functions {
    fn add(&mut self, change: Box<Change>) {
        self.0.push(change);
    }

    fn pass(&self, passing: Passing<'_>, response: &mut Response) {
        #[cfg(feature = "operations")]
        let id = passing.id;
        let Passing { method, path, fields, peer, client, values, routes, log_limiter, now, .. } = passing;
        let find = || routes.route(path?);
        let route = SeenRoute::Find(&find);
        let seen = Seen {
            method,
            path,
            route,
            fields,
            peer: Some(peer),
            client,
            extensions: &values,
            #[cfg(feature = "operations")]
            in_front: passing.in_front,
            #[cfg(feature = "operations")]
            id,
        };
        for change in &self.0 {
            let before = response.copy_of_head();
            let call = || change(&seen, &mut ResponseHead::of(response));
            if handler_call::run("a panic in on_response", call).is_none() {
                response.restore_head(before);
            }
        }
        let method = seen.method().map_or("-".to_string(), Method::to_string);
        // The faults tell what went wrong.
        let _: Option<()> = handler_call::run("a panic in on_response", || drop(values));
        if handler_call::went_wrong() {
            // What could be read of a path is ASCII.
            let path = path.map_or("-".into(), String::from_utf8_lossy);
            for Fault { what, text } in handler_call::faults() {
                let sort = Sort { target: "lockgate::server", level: Level::Error, what };
                #[cfg(feature = "operations")]
                let write = |line| log_limiter.write_about(About::Fault, sort, now, line, id);
                #[cfg(not(feature = "operations"))]
                let write = |line| log_limiter.write(sort, now, line);
                write(format_args!("on_response for {method} {path} {text}"));
            }
        }
    }
}
