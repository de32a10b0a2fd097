//! `lockgate check` against servers of every kind: for each finding one that provokes it, and one like it that does not. Most
//! are sites in this process, good but for the one thing that is tried; the same is then tried with OpenSSL, nginx and Node,
//! and with the command as a user runs it.

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
