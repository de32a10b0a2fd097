//! Writes each answer as bytes, and its line to the log.
//!
//! Knows a peer's address, but no socket and no connection. A connection calls it with the bytes that it has read, and the
//! redirect's loop calls it for a connection that ends without an answer.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use log::Level;

use super::answer::{self, Answer, IsOwn, Rules};
use super::challenge::Challenges;
use crate::calendar::{imf_fixdate, unix_now};
use crate::http::clear_credentials::{CredentialScan, Notice, IN_CLEAR};
use crate::http::response_head::{Common, FieldNames};
use crate::http::Refusal;
use crate::log_limiter::{LogLimiter, Sort};

pub(super) const TARGET: &str = "lockgate::redirect";

/// The answer's bytes, and the credentials found in the request.
pub(super) struct Reply {
    pub bytes: Vec<u8>,
    pub credentials: CredentialScan,
}

/// Writes the answers and the log lines.
pub(super) struct Answering {
    pub rules: Rules,
    pub field_names: FieldNames,
    pub is_own: Box<IsOwn>,
    pub challenges: Option<Box<Challenges>>,
    pub log_limiter: Arc<LogLimiter>,
    /// Requests that carried credentials so far.
    pub leaks: u64,
}

/// Whether a request with credentials is new, or was counted when earlier credentials in it were reported.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IsNew {
    Yes,
    No,
}

impl Answering {
    /// Answers a whole head.
    pub(super) fn answer(&mut self, peer: SocketAddr, head: &[u8]) -> Reply {
        let answer = answer::answer(head, &self.rules, &*self.is_own, self.challenges.as_deref());
        self.finish(peer, answer)
    }

    /// Refuses a head that was never complete.
    pub(super) fn refuse(&mut self, peer: SocketAddr, received: &[u8], refusal: Refusal) -> Reply {
        let answer = answer::refuse(received, refusal, &self.rules);
        self.finish(peer, answer)
    }

    /// Looks for credentials in a head that gets no answer any more, because they were on the wire all the same.
    pub(super) fn give_up(&mut self, peer: SocketAddr, received: &[u8]) {
        let mut credentials = self.rules.credential_names.scan(received);
        self.tell_of(peer, &mut credentials, IsNew::Yes);
    }

    /// Scans further bytes of a request that is answered already.
    pub(super) fn look_on(&mut self, peer: SocketAddr, credentials: &mut CredentialScan, received: &[u8]) {
        let is_new = if credentials.has_found() { IsNew::No } else { IsNew::Yes };
        credentials.go_on(&self.rules.credential_names, received);
        self.tell_of(peer, credentials, is_new);
    }

    /// Warns of credentials that were not reported yet.
    fn tell_of(&mut self, peer: SocketAddr, credentials: &mut CredentialScan, is_new: IsNew) {
        let names = credentials.news(&self.rules.credential_names);
        if names.is_empty() {
            return;
        }
        if is_new == IsNew::Yes {
            self.leaks = self.leaks.saturating_add(1);
        }
        let (notice, leaks) = (Notice(&names), self.leaks);
        self.log(
            Level::Warn,
            IN_CLEAR,
            Instant::now(),
            format_args!("{peer}: {notice} (such requests so far: {leaks})"),
        );
    }

    pub(super) fn log(&self, level: Level, what: &'static str, now: Instant, line: fmt::Arguments<'_>) {
        self.log_limiter.write(Sort { target: TARGET, level, what }, now, line);
    }

    fn finish(&mut self, peer: SocketAddr, mut answer: Answer) -> Reply {
        self.tell_of(peer, &mut answer.credentials, IsNew::Yes);
        match (&answer.refusal, &answer.refused_host) {
            (None, _) if answer.is_challenge => {
                log::debug!(target: TARGET, "{peer}: a name was validated (http-01)");
            }
            (None, _) => log::debug!(target: TARGET, "{peer}: redirected"),
            (Some(refusal), host) => {
                let about = match (refusal.limit, host) {
                    (Some(limit), _) => format!(" (limit: {limit})"),
                    (None, Some(host)) => format!(" ({host})"),
                    (None, None) => String::new(),
                };
                let (status, detail) = (refusal.status.as_u16(), refusal.detail);
                self.log(
                    Level::Info,
                    refusal.what(),
                    Instant::now(),
                    format_args!("{peer}: refused with {status}: {detail}{about}"),
                );
            }
        }
        let credentials = answer.credentials.clone();
        let common = Common::new(imf_fixdate(unix_now()), None);
        Reply { bytes: answer.into_wire(&common, self.field_names), credentials }
    }
}
