//! Requests to an authority, signed and answered: the directory, nonces (a rejected one is no failure, RFC 8555 §6.5),
//! problems, and the waits that the authority asks for.
//!
//! Called by `account`, `order` and `ari`, which know what is asked and what the answers mean.

use std::time::Duration;

use serde_json::Value;

use super::https::{Ask, Https, Reply};
use super::jws::{AccountKey, Signer};
use super::messages::{Directory, Problem, Wrong};
use super::time;
use crate::error::AcmeFault;

/// How often a request is sent again because its nonce was rejected. Some authorities reject one in seven on purpose.
const NONCE_RETRIES: usize = 16;

/// What was asked for, from an authority that granted it.
#[derive(Debug)]
pub(super) struct Answer {
    /// The URL that was asked.
    url: String,
    reply: Reply,
}

impl Answer {
    pub(super) fn body(&self) -> &[u8] {
        &self.reply.body
    }

    /// Where the thing is that was made.
    pub(super) fn location(&self) -> Result<String, AcmeFault> {
        self.reply
            .field("location")
            .map(String::from)
            .ok_or_else(|| self.unexpected("the answer has no Location"))
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &str> {
        self.reply.fields("link")
    }

    /// How long the authority wants one to wait before the next question.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.reply)
    }

    /// The message in the answer.
    pub(super) fn read<T>(&self, parse: impl Fn(&[u8]) -> Result<T, Wrong>) -> Result<T, AcmeFault> {
        parse(self.body()).map_err(|what| self.unexpected(what))
    }

    pub(super) fn unexpected(&self, what: impl Into<String>) -> AcmeFault {
        AcmeFault::Unexpected { url: self.url.clone(), what: what.into() }
    }
}

/// An account's conversation with its authority.
pub(super) struct Session<'a> {
    https: &'a Https,
    pub(super) directory: &'a Directory,
    pub(super) key: &'a AccountKey,
    /// The account's URL, once it has one.
    pub(super) account: Option<String>,
    /// One that has not been used yet.
    nonce: Option<String>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        https: &'a Https,
        directory: &'a Directory,
        key: &'a AccountKey,
        account: Option<String>,
    ) -> Session<'a> {
        Session { https, directory, key, account, nonce: None }
    }

    /// A POST-as-GET (RFC 8555 §6.3).
    pub(super) fn get(&mut self, url: &str) -> Result<Answer, AcmeFault> {
        self.send(url, None)
    }

    pub(super) fn post(&mut self, url: &str, payload: &Value) -> Result<Answer, AcmeFault> {
        self.send(url, Some(payload))
    }

    fn send(&mut self, url: &str, payload: Option<&Value>) -> Result<Answer, AcmeFault> {
        let mut last = None;
        for _ in 0..=NONCE_RETRIES {
            let nonce = match self.nonce.take() {
                Some(nonce) => nonce,
                None => self.new_nonce()?,
            };
            let signer = self.account.as_deref().map_or(Signer::Jwk, Signer::Account);
            let body = self.key.sign(signer, url, &nonce, payload).map_err(|_| AcmeFault::Crypto)?;
            let reply = self.https.ask(url, Ask::Post(&body))?;
            self.nonce = nonce_in(&reply);
            match granted(url, reply) {
                Err(AcmeFault::Refused { kind, detail, status, .. }) if kind == "badNonce" => {
                    log::debug!("ACME: {url}: the nonce was rejected, asking again");
                    last =
                        Some(AcmeFault::Refused { url: url.into(), status, kind, detail, retry_after: None });
                }
                outcome => return outcome,
            }
        }
        Err(last.unwrap_or(AcmeFault::Stopped))
    }

    fn new_nonce(&self) -> Result<String, AcmeFault> {
        let url = &self.directory.new_nonce;
        let answer = granted(url, self.https.ask(url, Ask::Head)?)?;
        nonce_in(&answer.reply).ok_or_else(|| answer.unexpected("the answer has no Replay-Nonce"))
    }
}

/// The directory, which is asked for without a signature.
pub(super) fn directory(https: &Https, url: &str) -> Result<Directory, AcmeFault> {
    granted(url, https.ask(url, Ask::Get)?)?.read(Directory::parse)
}

/// The answer to a question that needs no signature either (RFC 9773 §4.1).
pub(super) fn get_unsigned(https: &Https, url: &str) -> Result<Answer, AcmeFault> {
    granted(url, https.ask(url, Ask::Get)?)
}

fn granted(url: &str, reply: Reply) -> Result<Answer, AcmeFault> {
    let url = url.to_string();
    match reply.status {
        200..=299 => Ok(Answer { url, reply }),
        300..=399 => {
            let what = format!(
                "it redirects (status {}), which is not followed; give the URL that it leads to",
                reply.status
            );
            Err(AcmeFault::Unexpected { url, what })
        }
        status => {
            let Problem { kind, detail } = Problem::parse(&reply.body);
            Err(AcmeFault::Refused { url, status, kind, detail, retry_after: retry_after(&reply) })
        }
    }
}

fn nonce_in(reply: &Reply) -> Option<String> {
    reply.field("replay-nonce").map(String::from)
}

fn retry_after(reply: &Reply) -> Option<Duration> {
    time::retry_after(reply.field("retry-after")?, time::now())
}
