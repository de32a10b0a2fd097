//! HTTPS for small appliances, on plain blocking threads.
//!
//! A server is a [`Router`], an [`Identity`] and an address:
//!
//! ```
//! use lockgate::{Error, Identity, Request, Response, Router, Server};
//! use serde_json::{json, Value};
//!
//! fn read_sensor(request: &mut Request) -> Result<Response, Error> {
//!     let id: u16 = request.param_as("id")?; // answers 404 when it is not such a number
//!     Ok(Response::json(&json!({"sensor": id, "celsius": 21.5})))
//! }
//!
//! fn rename_sensor(request: &mut Request) -> Result<Response, Error> {
//!     let id: u16 = request.param_as("id")?;
//!     let asked: Value = request.json()?; // answers 400, 413, 415 or 422 when the body is no such JSON
//!     Ok(Response::json(&json!({"sensor": id, "name": asked["name"]})))
//! }
//!
//! fn serve(identity: Identity) -> Result<(), Error> {
//!     let router = Router::new().get("/api/sensors/{id}", read_sensor).post("/api/sensors/{id}", rename_sensor);
//!     let running = Server::builder(router).https("127.0.0.1:0").identity(identity).bind()?.spawn()?;
//!     // … until the firmware has reason to stop:
//!     running.handle().stop();
//!     running.join()
//! }
//! # let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
//! # let identity =
//! #     Identity::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
//! # serve(identity).unwrap();
//! ```
//!
//! # Handlers
//!
//! A [`Handler`] is a function or a closure that takes a `&mut Request` and returns what is [`IntoResponse`]. It may block. While it does, another worker takes its
//! place, up to [`Limits::reserve_workers`]; beyond that requests wait for [`Limits::queue_timeout`] and then get 503. A client
//! whose handler panics gets 500, and no other client notices (a program built with `panic = "abort"` ends). A panic in a
//! response's reader cuts that response, so that the client does not take the part for the whole.
//!
//! The log has one line for such a panic, with its message and its place. To keep it from being printed a second time,
//! [`ServerBuilder::bind`] installs a panic hook in front of the current one, once in a process. This hook ignores panics in
//! handlers and readers on the server's threads. It passes all others on, also those on threads that a handler starts, so a
//! hook that the program sets before `bind` still sees them. A hook that the program sets after `bind` replaces lockgate's
//! hook: it sees all panics, and can print a backtrace. The line in the log then has the message without the place.
//!
//! What a handler may return is listed at [`IntoResponse`]; errors become problem documents (RFC 9457).
//!
//! # Threads
//!
//! A server has one thread for the listener (the thread that calls [`Server::run`]), one for the redirect, one supervisor, one
//! that renews and reloads certificates, and the workers: one per core, and as many of the reserve as were ever needed. With
//! [`ServerBuilder::http_router`] there are up to two more, once they are needed. An idle
//! server makes no system calls except once an hour, when it checks its certificates. A certificate from an authority (ACME)
//! adds the thread `lockgate-acme`, which checks the time every 10 min. [What it costs](costs) tells threads, memory, and
//! limits for a small device.
//!
//! # Key exchange
//!
//! X25519, P-256 and P-384, and with the feature `post-quantum` X25519MLKEM768 (group 0x11EC, draft-ietf-tls-ecdhe-mlkem): a
//! connection that is recorded today stays secret from a quantum computer of later years, as long as X25519 or ML-KEM-768 (FIPS
//! 203) holds. Chrome and Firefox have offered it since 2024, Go since 1.24, OpenSSL since 3.5, Node since 24.7. There is nothing to
//! set. The client's order decides, so a client without it gets what it gets without the feature, in as many round trips; a
//! client that puts it first and sends no share for it is asked for one (HelloRetryRequest, RFC 8446 §4.1.4). Only TLS 1.3 has
//! it. A share of another length, a key with numbers above the modulus (FIPS 203 §7.2) or an X25519 key that would make the
//! secret zero is answered with `illegal_parameter`. Certificates and signatures are as before: they need to hold only until
//! the handshake is over.
//!
//! The BSI recommends key exchange without such a part until the end of 2031 at most, and for very high protection until 2030
//! (TR-02102-1, 2026-01), and takes ML-KEM-768 with an elliptic curve for one; NIST means to disallow elliptic curves alone
//! after 2035 (IR 8547, a draft). CNSA 2.0 asks for ML-KEM-1024, which this is not. Neither ml-kem nor this use of it is
//! certified (FIPS 140-3). [What it costs](costs) has the figures.
//!
//! # Logging
//!
//! lockgate logs through the `log` crate. *error*: the program itself has a fault (a handler panicked or failed, the system
//! refused a thread). *warn*: an operator should know (credentials came over plain HTTP, accepting fails, a stop had to cut
//! connections). *info*: a request was refused or a connection cut by a limit, which the line names; a handshake failed, with
//! what to do about it; starting to stop; and with [`ServerBuilder::access_log`] a line for each answer to a request, also for
//! a refusal, with the target `lockgate::access`: method, path without the query, status, body bytes, microseconds, peer and
//! TLS version. An unknown value is `-`, and `cut` stands at the end when the answer was not sent completely, so also for a
//! stream that its client leaves. The redirect's port has no access log. *debug*: other mistakes of clients below HTTP.
//! lockgate never logs keys, credentials, queries and bodies. Of its dependencies tungstenite (feature `websocket`) logs what
//! WebSockets receive: the reasons of closes at *debug* and the contents of messages at *trace*, with targets that begin with
//! `tungstenite`. So a program that logs at these levels leaves them out (`RUST_LOG=debug,tungstenite=info` for `env_logger`);
//! the command does for `-v`. Foreign text is logged in one line. Its control characters, invisible characters and those that
//! change the direction of writing are escaped: `\u{1b}`.
//!
//! With the feature `operations` lines about requests bring their parts as fields (`kv` of the `log` crate), for loggers that write
//! JSON or the like: `request_id`, and in the access log also `method`, `path`, `status`, `bytes`, `duration_us`, `peer`, `peer_port`,
//! `tls`, `route` and `cut`. The README has a table of what each of them is. A logger that writes text alone has no cost of them.
//! `Request::id` and `Seen::id` are the same id.
//!
//! Lines about clients that were refused or cut, and about handlers that panicked or failed, are bounded, so that nobody can
//! fill a disk with them: 20 a minute of each kind (the limit that was met, the status, why a handshake failed, or the kind of
//! fault), then one line that says how many more there were. The access log and the program's other faults are not bounded.
#![forbid(unsafe_code)]
#![deny(missing_docs, missing_debug_implementations)]

mod accept;
#[cfg(feature = "acme")]
mod acme;
/// How the code is laid out: the way of a request, the threads, and where a new feature goes.
///
#[cfg(any(doc, doctest))]
#[doc = include_str!("architecture.md")]
pub mod architecture {}
mod backports;
/// Behind a balancer or a proxy: whom to believe who a client is, and what then counts.
///
#[cfg(all(feature = "operations", any(doc, doctest)))]
#[doc = include_str!("behind_a_proxy.md")]
pub mod behind_a_proxy {}
mod calendar;
#[cfg(feature = "check")]
pub mod check;
/// Why lockgate is fast, and what it costs.
///
#[cfg(any(doc, doctest))]
#[doc = include_str!("costs.md")]
pub mod costs {
    #[allow(unused_imports)]
    use crate::{Limits, Request, Response, Router};
}
#[cfg(feature = "device")]
mod device;
mod error;
mod escape;
mod finding;
/// Several servers behind a balancer: when one machine is not enough.
///
#[cfg(all(any(doc, doctest), feature = "operations"))]
#[doc = include_str!("operations/fleet.md")]
pub mod fleet {}
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod handler_call;
mod hsts;
mod http;
mod limits;
mod listen;
mod live;
/// Connections that stay open: events and WebSockets, which to take, their defaults and limits.
///
#[cfg(any(doc, doctest))]
#[doc = include_str!("live/guide.md")]
pub mod live_connections {}
mod log_limiter;
/// What is counted, and how operators watch a server: readiness, Prometheus, alerts. With the feature `operations`.
///
#[cfg(all(feature = "operations", any(doc, doctest)))]
#[doc = include_str!("operations/metrics.md")]
pub mod metrics {
    #[allow(unused_imports)]
    use crate::{Handle, Limits, Metrics, ServerBuilder};
}
#[cfg(feature = "operations")]
mod operations;
#[cfg(feature = "proxy")]
mod proxies;
#[cfg(feature = "proxy")]
mod proxy;
mod redirect;
mod regular_file;
mod router;
#[cfg(feature = "scan")]
pub mod scan;
mod server;
mod sort;
mod tls;
#[cfg(any(feature = "acme", feature = "check", feature = "proxy"))]
mod url;
mod wake_list;
pub mod web;

pub use ::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
/// [`Value`](serde_json::Value) and the errors of serde_json are part of lockgate's interface, so programs can use the same
/// version through this name.
pub use serde_json;

pub use crate::calendar::iso8601;
pub use crate::http::handler::Handler;
pub use crate::http::into_response::{IntoResponse, Json};
pub use crate::http::layer::{Layer, Next};
pub use crate::http::problem::Problem;
pub use crate::http::request::Request;
pub use crate::http::response::{Response, ResponseBody};
pub use crate::http::response_head::FieldNames;
pub use crate::http::seen::{ResponseHead, Seen};
#[cfg(feature = "acme")]
pub use acme::{Acme, AcmeStatus, Challenge, Urgency};
#[cfg(feature = "device")]
pub use device::{Device, DeviceFault};
pub use error::{AcmeFault, BodyFault, Error, IdentityFault, ParameterFault};
pub use finding::{Finding, Severity, Verdict};
pub use limits::Limits;
#[cfg(feature = "websocket")]
pub use live::{Closed, Message, SendError, Socket, SocketBuilder, SocketHandshake};
pub use live::{Event, Feed, FeedBuilder, FeedLog, Published};
#[cfg(feature = "upgrade")]
pub use live::{UpgradedStream, Upgrades};
#[cfg(feature = "operations")]
pub use operations::activation::PassedSockets;
#[cfg(feature = "operations")]
pub use operations::backend_metrics::{BackendMetrics, ProxyMetrics};
#[cfg(feature = "operations")]
pub use operations::cidr::{Cidr, CidrFault};
#[cfg(feature = "operations")]
pub use operations::forwarded::Forwarded;
#[cfg(feature = "operations")]
pub use operations::metrics::{
    CertificateMetrics, DurationMetrics, HandshakeMetrics, Metrics, RefusalMetrics, RouteMetrics,
};
#[cfg(feature = "operations")]
pub use operations::proxy_protocol::{ProxyHeader, ProxyHeaderFault, ProxyTls};
#[cfg(feature = "operations")]
pub use operations::request_id::RequestId;
#[cfg(feature = "proxy")]
pub use proxy::{AnswerTotals, FailureTotals, Proxied, Proxy, ProxyHealth, RefusedTotals, TargetHealth};
pub use redirect::HttpCredentials;
pub use router::openapi::{OpenApi, Operation};
pub use router::{Route, Router};
pub use server::bound::Server;
pub use server::builder::ServerBuilder;
pub use server::handle::{Handle, Running};
#[cfg(all(feature = "operations", feature = "proxy"))]
pub use server::health::BackendHealth;
pub use server::health::{Health, IdentityFailure, IdentityHealth, MissingIdentity, RedirectHealth};
pub use server::renewal::IdentityEvent;
#[cfg(feature = "operations")]
pub use tls::TicketKeys;
#[cfg(feature = "tls-parameters")]
pub use tls::TlsParameters;
pub use tls::{Certificate, Chain, ClientAuth, ClientIdentity, Expiry, Identity, IdentitySource};

/// What the command `lockgate` uses beside the public interface, because a binary is a separate crate. It exists only with the
/// feature `serve`. Other programs should not use it: it changes without notice.
#[cfg(feature = "serve")]
#[doc(hidden)]
pub mod internal {
    pub use crate::calendar::signed_unix;
    #[cfg(feature = "check")]
    pub use crate::check::{hsts_protects, hsts_protects_by};
    pub use crate::device::draft::{is_ours, sync_directory, Draft, FileError};
    pub use crate::device::making::{check_issued, Ca, Key, Lifetime, MakeError};
    pub use crate::device::scope::Scope;
    pub use crate::finding::shell_word;
    pub use crate::http::folder::with_slash;
    #[cfg(feature = "proxy")]
    pub use crate::http::hop_by_hop::is_hop_by_hop;
    #[cfg(feature = "proxy")]
    pub use crate::http::target::decoded_path;
    #[cfg(feature = "operations")]
    pub use crate::limits::check_limits;
    pub use crate::limits::memory::shortage_here;
    #[cfg(feature = "operations")]
    pub use crate::operations::local_listener::check_admin;
    #[cfg(feature = "proxy")]
    pub use crate::proxies::{look_at, memory_of};
    #[cfg(feature = "proxy")]
    pub use crate::proxy::backend_fault;
    #[cfg(feature = "operations")]
    pub use crate::server::handle::reload_after;
    pub use crate::tls::dns_name::{dns_name, DnsNameFault};
    pub use crate::tls::file::{report_mode, MAX_FILE_BYTES};
    #[cfg(any(feature = "acme", feature = "check", feature = "proxy"))]
    pub use crate::url::without_userinfo;
    #[cfg(feature = "proxy")]
    pub use crate::url::{host_and_port, is_host_field};
    /// Escaping of foreign text for terminals, logs and JSON.
    pub mod escape {
        pub use crate::escape::{bounded, bounded_of, hides, json, line, line_of, lines_of, path, shown};
    }
    /// Reading regular files, and refusing pipes and devices, which could block.
    pub mod regular_file {
        pub use crate::regular_file::{open, read, read_text, Links};
    }
}

/// The README's example compiles as it is written.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
