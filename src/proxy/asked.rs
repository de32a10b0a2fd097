//! What matters of a client's request for its answer. `mod` makes it of the request, and `exchange` has it.

use ::http::Method;

use super::chosen::Chosen;
use super::error_page::Shows;
use super::public_url::Names;
#[cfg(feature = "operations")]
use crate::operations::request_id::RequestId;

/// What matters of the client's request for the answer.
pub(super) struct Asked {
    pub method: Method,
    /// `https`, or `http` in clear.
    pub scheme: &'static str,
    /// The host, as `Host` says it.
    pub authority: Option<String>,
    /// Whether the client asks for a WebSocket.
    pub wants_tunnel: bool,
    /// Whether the client takes trailer fields.
    pub wants_trailers: bool,
    pub shows: Shows,
    #[cfg(feature = "operations")]
    pub id: RequestId,
}

impl Asked {
    /// The names in the URLs of an answer from there.
    pub(super) fn names<'n>(&'n self, chosen: &'n Chosen) -> Names<'n> {
        let settings = &chosen.shared().settings;
        Names {
            scheme: self.scheme,
            asked: self.authority.as_deref(),
            target: &chosen.target().authority,
            host: settings.host.set(),
            prefix: settings.prefix.as_ref(),
        }
    }
}
