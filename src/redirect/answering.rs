//! Writes each answer as bytes, and its line to the log.
//!
//! Knows a peer's address, but no socket and no connection. A connection calls it with the bytes that it has read, and the
//! redirect's loop calls it for a connection that ends without an answer.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ::http::Method;
use log::Level;

use super::answer::{self, Answer, Decision, IsOwn, Rules};
use super::challenge::Challenges;
use super::job::{Done, Handlers, Job, Made, Waiting};
use crate::calendar::{imf_fixdate, unix_now};
use crate::http::clear_credentials::{CredentialScan, Notice, IN_CLEAR};
use crate::http::request_head::Version;
use crate::http::response_head::{Common, FieldNames};
use crate::http::Refusal;
use crate::limits::body_memory::Share;
use crate::log_limiter::{LogLimiter, Sort};

pub(super) const TARGET: &str = "lockgate::redirect";

/// The answer's bytes, and the credentials found in the request.
pub(super) struct Reply {
    pub bytes: Vec<u8>,
    /// What follows them: the rest of a large answer of the program.
    pub rest: Cow<'static, [u8]>,
    pub credentials: CredentialScan,
    /// The rest's share of the memory for such answers.
    _share: Option<Share>,
}

/// What comes after a head.
pub(super) enum Next {
    Reply(Reply),
    /// The answer of a handler of the program.
    Wait(Asked),
}

/// A request that a handler of the program answers.
pub(super) struct Asked {
    pub connection: Waiting,
    method: Method,
    version: Version,
    credentials: CredentialScan,
}

/// Writes the answers and the log lines.
pub(super) struct Answering {
    pub rules: Rules,
    pub field_names: FieldNames,
    pub is_own: Box<IsOwn>,
    pub challenges: Option<Box<Challenges>>,
    pub log_limiter: Arc<LogLimiter>,
    /// What calls the program's handlers, if there are any.
    pub handlers: Option<Box<dyn Handlers>>,
    /// How many requests were handed over.
    pub tickets: u64,
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
    /// Answers a whole head, or hands it over to a handler of the program. `number` is the connection's, which ends at `until`.
    pub(super) fn answer(
        &mut self,
        peer: SocketAddr,
        head: &[u8],
        (number, until): (usize, Instant),
    ) -> Next {
        let handlers = self.handlers.as_deref();
        let serves =
            |method: &Method, path: &[u8]| handlers.is_some_and(|handlers| handlers.serves(method, path));
        let challenges = self.challenges.as_deref();
        match answer::decide(head, &self.rules, &*self.is_own, challenges, &serves) {
            Decision::Answer(answer) => Next::Reply(self.finish(peer, answer)),
            Decision::Call { line, fields, credentials } => {
                self.tickets += 1;
                let connection = Waiting { number, ticket: self.tickets };
                let (method, version) = (line.method.clone(), line.version);
                let job = Job { connection, head: head.to_vec(), line, fields, peer, until };
                let handed = self.handlers.as_mut().map_or(Ok(()), |handlers| handlers.hand_over(job));
                let mut asked = Asked { connection, method, version, credentials };
                self.tell_of(peer, &mut asked.credentials, IsNew::Yes);
                match handed {
                    Ok(()) => Next::Wait(asked),
                    Err(refusal) => Next::Reply(self.refuse_asked(peer, &asked, refusal)),
                }
            }
        }
    }

    /// The next answer of a handler of the program.
    pub(super) fn done(&mut self) -> Option<Done> {
        self.handlers.as_mut()?.next()
    }

    /// Sends what a handler has answered.
    pub(super) fn pass_on(
        &mut self,
        peer: SocketAddr,
        asked: &Asked,
        outcome: Result<Made, Refusal>,
    ) -> Reply {
        match outcome {
            Ok(Made { head, rest, share }) => {
                log::debug!(target: TARGET, "{peer}: answered by the program");
                Reply { bytes: head, rest, credentials: asked.credentials.clone(), _share: share }
            }
            Err(refusal) => self.refuse_asked(peer, asked, refusal),
        }
    }

    /// Refuses a request that was for a handler of the program.
    pub(super) fn refuse_asked(&mut self, peer: SocketAddr, asked: &Asked, refusal: Refusal) -> Reply {
        let Asked { method, version, credentials, .. } = asked;
        self.finish(peer, Answer::refused(refusal, method.clone(), *version, credentials.clone()))
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
        let bytes = answer.into_wire(&common, self.field_names);
        Reply { bytes, rest: Cow::Borrowed(&[]), credentials, _share: None }
    }
}
