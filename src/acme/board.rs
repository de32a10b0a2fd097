//! The board on which challenges are posted while an authority validates a name (RFC 8555 §8): answers for plain HTTP by token,
//! and certificates for TLS by name. Small, bounded, and shared by three kinds of threads: the agent posts, the redirect reads
//! the answers, and workers read the certificates in handshakes.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::sign::CertifiedKey;

/// Let's Encrypt accepts 100 names in an order.
const MOST: usize = 128;

#[derive(Default)]
pub(super) struct Board {
    posted: Mutex<Posted>,
}

#[derive(Default)]
struct Posted {
    by_token: HashMap<String, String>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl Board {
    /// The answer to a request for this token (RFC 8555 §8.3).
    pub(super) fn answer(&self, token: &str) -> Option<String> {
        self.posted().by_token.get(token).cloned()
    }

    /// The certificate for an authority that offers only `acme-tls/1` and asks for this name (RFC 8737 §3). An address is asked
    /// for by its name in `in-addr.arpa` or `ip6.arpa` (RFC 8738 §6).
    pub(super) fn certificate(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        self.posted().by_name.get(&server_name.to_ascii_lowercase()).cloned()
    }

    fn posted(&self) -> MutexGuard<'_, Posted> {
        // Each change is one call of a map, so a panic elsewhere leaves it whole.
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was room.
    pub(super) fn post_answer(&self, token: String, answer: String) -> bool {
        let mut posted = self.posted();
        let fits = posted.by_token.len() < MOST;
        if fits {
            posted.by_token.insert(token, answer);
        }
        fits
    }

    /// Whether there was room.
    pub(super) fn post_certificate(&self, server_name: String, certificate: Arc<CertifiedKey>) -> bool {
        let mut posted = self.posted();
        let fits = posted.by_name.len() < MOST;
        if fits {
            posted.by_name.insert(server_name.to_ascii_lowercase(), certificate);
        }
        fits
    }

    pub(super) fn clear(&self) {
        *self.posted() = Posted::default();
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let posted = self.posted();
        f.debug_struct("Board")
            .field("tokens", &posted.by_token.len())
            .field("names", &posted.by_name.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_posted_is_answered_until_it_is_cleared_and_there_is_an_end_to_it() {
        let board = Board::default();
        for number in 0..MOST {
            assert!(board.post_answer(format!("token-{number}"), format!("answer-{number}")));
        }
        assert!(!board.post_answer("one more".into(), "answer".into()));
        assert_eq!(board.answer("token-7").as_deref(), Some("answer-7"));
        assert_eq!(board.answer("one more"), None);
        assert_eq!(board.answer(""), None);
        assert_eq!(format!("{board:?}"), "Board { tokens: 128, names: 0 }");
        board.clear();
        assert_eq!(board.answer("token-7"), None);
    }
}
