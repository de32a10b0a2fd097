//! A connection's TLS handshake. It may turn out to be something else: a probe, the validation of a name, or a client that does
//! not speak TLS. `state` calls it while the handshake is under way.

use std::io::{self, ErrorKind};

use super::client_cert::Client;
use super::in_clear;
#[cfg(feature = "operations")]
use super::in_front::{self, HeaderRead};
use super::link::Link;
use super::log_lines;
use super::transport::Stream;
use crate::http::clear_credentials::CredentialScan;
use crate::server::buffers::Buffers;
use crate::server::input::Input;
use crate::tls;

/// How far the handshake has come.
pub(crate) enum Handshake {
    Waits,
    /// It is done. Bytes after it are in the input.
    Done,
    /// The connection has nothing more to do.
    IsOver,
    /// The client does not speak TLS and was told so. Holds the scan for its credentials.
    InClear(Box<CredentialScan>),
}

/// Continues the handshake, which began under these rules for clients.
pub(crate) fn go_on<S: Stream>(
    link: &mut Link<S>,
    rules: u64,
    input: &mut Input,
    buffers: &mut Buffers<'_>,
) -> io::Result<Handshake> {
    #[cfg(feature = "operations")]
    if link.header.is_awaited() {
        match in_front::read_header(link, buffers)? {
            HeaderRead::Done => {}
            HeaderRead::Waits => return Ok(Handshake::Waits),
            HeaderRead::IsOver => return Ok(Handshake::IsOver),
        }
    }
    match link.transport.shake_hands(input.room()) {
        Ok(0) => {
            if link.transport.is_handshaking() && !link.is_balancers_own() {
                log_lines::failed_handshake(link.peer, tls::LEFT, buffers);
            }
            link.say_goodbye();
            return Ok(Handshake::IsOver);
        }
        Ok(read) => input.filled(read),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            if link.transport.is_handshaking() {
                return Ok(Handshake::Waits);
            }
        }
        Err(error) => {
            let Some(byte) = link.transport.first_byte_not_tls() else { return Err(error) };
            let found = in_clear::answer(link, byte, buffers)?;
            return Ok(found.map_or(Handshake::IsOver, Handshake::InClear));
        }
    }
    if link.transport.is_challenge() {
        log::debug!("{}: a name was validated (tls-alpn-01)", link.peer);
        link.say_goodbye();
        return Ok(Handshake::IsOver);
    }
    #[cfg(feature = "operations")]
    buffers.context.counts.handshake(link.transport.tls_version(), link.transport.is_resumed());
    buffers.look();
    link.tls = link.transport.agreed();
    link.client = Client::of(&link.transport, rules, buffers.millis()).map(Box::new);
    Ok(Handshake::Done)
}
