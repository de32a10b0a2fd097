//! The client's certificate, and whether it is still accepted.
//!
//! A handshake checks the certificate once. A session that is resumed by a ticket begins without that check, and a connection
//! may stay open for days. So the certificate is checked again before a request is answered, and in each turn of an upgraded
//! connection or a live response, when the last check is too old.

use std::sync::Arc;

use super::transport::{Stream, Transport};
use crate::server::clock::Millis;
use crate::tls::{ClientIdentity, Live, Refused};

/// How long a check is good while the rules do not change, because a certificate or a revocation list may expire.
const GOOD_FOR: Millis = 60_000;

pub(crate) struct Client {
    pub identity: Arc<ClientIdentity>,
    /// The rules of the last check, and its time. `None` when there was none since the connection began.
    checked: Option<(u64, Millis)>,
}

impl Client {
    /// The client, if it has shown a certificate in the handshake, which began under these rules.
    pub(crate) fn of<S: Stream>(transport: &Transport<S>, rules: u64, now: Millis) -> Option<Client> {
        let own = transport.client_chain().first()?;
        let checked = (!transport.is_resumed()).then_some((rules, now));
        let identity = ClientIdentity::new(own);
        #[cfg(feature = "proxy")]
        let identity = identity.with_chain(transport.client_chain().iter().skip(1).map(|der| der.as_ref()));
        Some(Client { identity: Arc::new(identity), checked })
    }

    /// Whether the client is still accepted.
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
