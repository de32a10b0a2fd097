//! Who a connection's client is by its certificate, and whether it is let in still.
//!
//! The handshake checks a certificate once. A session that is resumed by a ticket begins without one, and a connection may
//! stay open for days; so the certificate is checked again before a request is answered, when there is reason to.

use std::sync::Arc;

use super::transport::{Stream, Transport};
use crate::server::clock::Millis;
use crate::tls::{ClientIdentity, Live, Refused};

/// So long a check is good while the rules stay as they are: a certificate, or a revocation list, may expire meanwhile.
const GOOD_FOR: Millis = 60_000;

pub(crate) struct Client {
    pub identity: Arc<ClientIdentity>,
    /// Under which rules it was last checked and when; `None` when not since the connection began.
    checked: Option<(u64, Millis)>,
}

impl Client {
    /// The client that has shown a certificate in the handshake, which was begun under these rules.
    pub(crate) fn of<S: Stream>(transport: &Transport<S>, rules: u64, now: Millis) -> Option<Client> {
        let own = transport.client_chain().first()?;
        let checked = (!transport.is_resumed()).then_some((rules, now));
        Some(Client { identity: Arc::new(ClientIdentity::new(own)), checked })
    }

    /// Whether it may ask; else why not.
    pub(crate) fn check<S: Stream>(
        &mut self,
        transport: &Transport<S>,
        live: &Live,
        now: Millis,
    ) -> Result<(), Refused> {
        let rules = live.rules();
        if self.checked.is_some_and(|(under, at)| under == rules && now.saturating_sub(at) < GOOD_FOR) {
            return Ok(());
        }
        live.check_client(transport.client_chain())?;
        self.checked = Some((rules, now));
        Ok(())
    }
}
