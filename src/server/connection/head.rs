//! A connection's next head while it comes. Plain values: `exchange` searches the head and `state` asks whether it has begun.

use crate::http::request_head::Search;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub search: Search,
    /// Whether a part of it has come.
    pub has_begun: bool,
    /// Whether its request was counted for the rate of its address.
    pub is_counted: bool,
}

impl Head {
    /// For a request that was taken: nothing more is searched.
    pub(crate) const TAKEN: Head = Head { search: Search::NEW, has_begun: true, is_counted: true };
}
