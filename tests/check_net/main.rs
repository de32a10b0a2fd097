//! `lockgate check` against servers of every kind: for each finding a server with it, and a similar one without. Most are
//! sites in this process with only the one fault under test. Others are OpenSSL, nginx and Node, and the command as a user
//! runs it.

#[path = "../support_command/mod.rs"]
mod support_command;

mod certificate;
mod certs;
mod client_certificate;
mod http;
mod kinds;
mod peers;
mod refusal;
mod silence;
mod site;
mod streams;
mod tls;
mod user;
