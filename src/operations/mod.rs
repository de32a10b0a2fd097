//! What operators ask of a server among others: who stands in front of it, and how it is watched. Values and parsers, and a
//! listener of its own for those who watch; the server calls them. It knows no server.

pub(crate) mod activation;
pub(crate) mod admin;
mod admin_request;
pub(crate) mod backend_metrics;
pub(crate) mod cidr;
pub(crate) mod counters;
pub(crate) mod exposition;
pub(crate) mod forwarded;
pub(crate) mod in_front;
pub(crate) mod local_listener;
pub(crate) mod metrics;
pub(crate) mod proxy_protocol;
pub(crate) mod request_id;
pub(crate) mod service_manager;
