//! Answers a client that does not speak TLS. A client that speaks HTTP gets a readable answer, and the log warns of credentials
//! that it has sent. `handshake` calls it when the first byte is not TLS.

use std::io;

use super::asked::Told;
#[cfg(feature = "operations")]
use super::in_front;
use super::link::Link;
use super::log_lines::{self, Record};
use super::response;
use super::transport::Stream;
use crate::http::clear_credentials::CredentialScan;
use crate::http::into_response::IntoResponse;
use crate::http::Refusal;
use crate::server::buffers::Buffers;
use crate::tls;

const IN_CLEAR: Refusal =
    Refusal::bad_request("this port speaks HTTPS, and the request came over plain HTTP: use https://");

/// Answers a client whose first byte was `first_byte`. Returns the scan for credentials, to continue it with later bytes;
/// `None` when the client would not understand an answer.
pub(crate) fn answer<S: Stream>(
    link: &mut Link<S>,
    first_byte: u8,
    buffers: &mut Buffers<'_>,
) -> io::Result<Option<Box<CredentialScan>>> {
    let peer = link.peer;
    let received = link.transport.take_foreign();
    #[cfg(feature = "operations")]
    if in_front::is_header(link, &received, buffers) {
        return Ok(None);
    }
    if !first_byte.is_ascii_alphabetic() {
        match first_byte {
            // The health checks of a load balancer begin so (PROXY protocol, version 2), and would be logged every second.
            b'\r' => log::debug!("{peer}: neither TLS nor HTTP"),
            _ => log_lines::failed_handshake(peer, tls::NO_TLS, buffers),
        }
        return Ok(None);
    }
    log_lines::refusal(peer, IN_CLEAR, buffers);
    let mut found = Box::new(buffers.context.credential_names.scan(&received));
    log_lines::credentials(peer, &mut found, buffers);
    let record = Record::of(Told::Nothing, peer, &link.transport, buffers);
    // The program's `on_response` is for what goes over TLS: HSTS may not be sent in clear (RFC 6797 §7.2), and no cookie.
    response::write_refusal(&IN_CLEAR.into_response(), Told::Nothing, record, buffers);
    link.transport.send_in_clear(&buffers.output)?;
    buffers.output.clear();
    Ok(Some(found))
}
