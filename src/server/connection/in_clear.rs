//! A client that speaks something else than TLS. HTTP gets an answer that it can read, and what it has sent of credentials is
//! told in the log. `state` asks when a handshake fails with its first byte.

use std::io;

use super::asked::Told;
use super::link::Link;
use super::log_lines::{self, Record};
use super::response;
use super::transport::Stream;
use crate::http::clear_credentials::CredentialScan;
use crate::http::Refusal;
use crate::server::buffers::Buffers;
use crate::tls;

const IN_CLEAR: Refusal =
    Refusal::bad_request("this port speaks HTTPS, and the request came over plain HTTP: use https://");

/// Answers what began with `first_byte`. What is found of credentials in it, for what still comes; `None` when no answer would
/// be understood.
pub(crate) fn answer<S: Stream>(
    link: &mut Link<S>,
    first_byte: u8,
    buffers: &mut Buffers<'_>,
) -> io::Result<Option<Box<CredentialScan>>> {
    let peer = link.peer;
    if !first_byte.is_ascii_alphabetic() {
        match first_byte {
            // A load balancer's look at the port begins so (PROXY protocol, version 2), and would be said every second.
            b'\r' => log::debug!("{peer}: neither TLS nor HTTP"),
            _ => log_lines::failed_handshake(peer, tls::NO_TLS, buffers),
        }
        return Ok(None);
    }
    log_lines::refusal(peer, IN_CLEAR, buffers);
    let received = link.transport.take_foreign();
    let mut found = Box::new(buffers.context.credential_names.scan(&received));
    log_lines::credentials(peer, &mut found, buffers);
    let record = Record::of(Told::Nothing, peer, &link.transport, buffers);
    response::write_refusal(IN_CLEAR, Told::Nothing, record, buffers);
    link.transport.send_in_clear(&buffers.output)?;
    buffers.output.clear();
    Ok(Some(found))
}
