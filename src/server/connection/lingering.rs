//! The end of a connection after its last response. What the client still sends is dropped for a while, so that a reset does
//! not destroy the response. Bytes in clear are searched for credentials. `state` calls it.

use std::io::ErrorKind;

use super::link::Link;
use super::log_lines;
use super::transport::Stream;
use crate::http::clear_credentials::CredentialScan;
use crate::limits::lingering::{LINGER, LINGER_MOST};
use crate::server::buffers::Buffers;
use crate::server::clock::Millis;
use crate::server::deadline::Deadline;

pub(crate) struct Lingering {
    until: Millis,
    /// The scan for credentials of a request that came in clear.
    in_clear: Option<Box<CredentialScan>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lingered {
    /// The client may send more. When it has sent something, it has until this deadline for what comes next.
    Waits(Option<Deadline>),
    IsOver,
}

impl Lingering {
    /// Tells the client that nothing more will come. Also returns until when it may send something.
    pub(crate) fn begin<S: Stream>(
        link: &Link<S>,
        in_clear: Option<Box<CredentialScan>>,
        buffers: &Buffers<'_>,
    ) -> (Lingering, Deadline) {
        link.transport.shutdown_write();
        (Lingering { until: buffers.after(LINGER_MOST), in_clear }, Deadline::own(buffers.after(LINGER)))
    }

    /// Drops received bytes without decrypting them.
    pub(crate) fn drop_input<S: Stream>(
        &mut self,
        link: &mut Link<S>,
        buffers: &mut Buffers<'_>,
    ) -> Lingered {
        let mut deadline = None;
        loop {
            match link.transport.discard(&mut buffers.scratch) {
                Ok(0) => return Lingered::IsOver,
                Ok(read) => {
                    if let Some(found) = &mut self.in_clear {
                        found.go_on(&buffers.context.credential_names, &buffers.scratch[..read]);
                        log_lines::credentials(link.peer, found, buffers);
                    }
                    deadline = Some(Deadline::own(buffers.after(LINGER).min(self.until)));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock && buffers.millis() < self.until => {
                    return Lingered::Waits(deadline);
                }
                Err(_) => return Lingered::IsOver,
            }
        }
    }
}
