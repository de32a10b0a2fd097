//! Signed requests to an authority and their answers: the directory, nonces (a rejected nonce is not a failure, RFC 8555 §6.5),
//! problems, and requested waits.
//!
//! `account`, `order` and `ari` call it. They know what to request and what the answers mean.

use std::time::Duration;

use serde_json::Value;

use super::foreign::clean;
use super::https::{Ask, Https, Reply};
use super::jws::{AccountKey, Signer};
use super::link;
use super::messages::{Directory, Problem, Wrong};
use super::time;
use crate::calendar::{parse_imf_fixdate, unix_now};
use crate::error::AcmeFault;
use crate::url::Url;

/// How often a request is sent again because its nonce was rejected. Some authorities reject one in seven on purpose.
const NONCE_RETRIES: usize = 16;

/// A successful answer of an authority.
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

    /// The URL of the created resource, absolute (RFC 9110 §10.2.2).
    pub(super) fn location(&self) -> Result<String, AcmeFault> {
        let location = self.reply.field("location");
        let location = location.ok_or_else(|| self.unexpected("the answer has no Location"))?;
        Url::resolve_https(&self.url, location).map_err(|what| {
            self.unexpected(format!(
                "the answer's Location is no URL to go on with: {} {what}",
                clean(location)
            ))
        })
    }

    /// The URLs of the other chains of a certificate (RFC 8555 §7.4.2). Unusable URLs are left out.
    pub(super) fn alternates(&self) -> Vec<String> {
        let references = link::with_relation(self.reply.fields("link"), "alternate");
        let resolved =
            references.iter().map(|reference| (reference, Url::resolve_https(&self.url, reference)));
        let usable = resolved.filter_map(|(reference, url)| match url {
            Ok(url) => Some(url),
            Err(what) => {
                log::warn!("ACME: another chain is offered at no URL to go to: {} {what}", clean(reference));
                None
            }
        });
        usable.collect()
    }

    /// How long the authority asks the client to wait before the next request.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.reply)
    }

    /// The message in the answer.
    pub(super) fn read<T>(&self, parse: impl Fn(&[u8], &str) -> Result<T, Wrong>) -> Result<T, AcmeFault> {
        parse(self.body(), &self.url).map_err(|what| self.unexpected(what))
    }

    pub(super) fn unexpected(&self, what: impl Into<String>) -> AcmeFault {
        AcmeFault::Unexpected { url: self.url.clone(), what: what.into() }
    }
}

/// A session of an account with its authority.
pub(super) struct Session<'a> {
    https: &'a Https,
    pub(super) directory: &'a Directory,
    pub(super) key: &'a AccountKey,
    /// The account's URL, once it has one.
    pub(super) account: Option<String>,
    /// A nonce that was not used yet.
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

/// Fetches the directory, without a signature.
pub(super) fn directory(https: &Https, url: &str) -> Result<Directory, AcmeFault> {
    granted(url, https.ask(url, Ask::Get)?)?.read(Directory::parse)
}

/// Sends a request that needs no signature (RFC 9773 §4.1).
pub(super) fn get_unsigned(https: &Https, url: &str) -> Result<Answer, AcmeFault> {
    granted(url, https.ask(url, Ask::Get)?)
}

fn granted(url: &str, reply: Reply) -> Result<Answer, AcmeFault> {
    let url = url.to_string();
    match reply.status {
        200..=299 => Ok(Answer { url, reply }),
        300..=399 => {
            let what = redirected(&url, &reply);
            Err(AcmeFault::Unexpected { url, what })
        }
        status => {
            let Problem { kind, detail } = Problem::parse(&reply.body);
            Err(AcmeFault::Refused { url, status, kind, detail, retry_after: retry_after(&reply) })
        }
    }
}

/// RFC 8555 §6.1 has no redirects: a signature holds for one URL.
fn redirected(url: &str, reply: &Reply) -> String {
    let status = reply.status;
    let Some(location) = reply.field("location") else {
        return format!(
            "it redirects (status {status}) and does not say where to; ask its operator for the URL"
        );
    };
    match Url::resolve_https(url, location) {
        Ok(to) => format!("it redirects (status {status}) to {to}, which is not followed; give that URL"),
        Err(what) => format!("it redirects (status {status}) to {}, which {what}", clean(location)),
    }
}

/// RFC 8555 §6.5.1: a nonce that is not base64url is ignored.
fn nonce_in(reply: &Reply) -> Option<String> {
    let is_nonce = |nonce: &&str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !nonce.is_empty() && nonce.bytes().all(is_letter)
    };
    reply.field("replay-nonce").filter(is_nonce).map(String::from)
}

/// A date is compared with the authority's own clock, if the answer has its time, because this machine's clock may be wrong.
fn retry_after(reply: &Reply) -> Option<Duration> {
    let now = reply.field("date").and_then(parse_imf_fixdate).unwrap_or_else(unix_now);
    time::retry_after(reply.field("retry-after")?, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(fields: &[(&str, &str)]) -> Reply {
        let fields = fields.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Reply::new(301, fields.collect())
    }

    fn answer(fields: &[(&str, &str)]) -> Answer {
        Answer { url: "https://a.example/acme/new-order".into(), reply: reply(fields) }
    }

    #[test]
    fn a_location_is_resolved_or_refused() {
        let location = |location: &str| answer(&[("location", location)]).location();
        assert_eq!(location("/acme/order/1").unwrap(), "https://a.example/acme/order/1");
        assert_eq!(location("order/1").unwrap(), "https://a.example/acme/order/1");
        assert_eq!(location("https://b.example/1").unwrap(), "https://b.example/1");
        for unusable in ["", "http://a.example/1", "\u{1b}[31m", "https://a b/"] {
            let message = location(unusable).unwrap_err().to_string();
            assert!(message.contains("no URL to go on with") && !message.contains('\u{1b}'), "{message}");
        }
        assert!(answer(&[]).location().is_err());
    }

    #[test]
    fn alternates_are_resolved_and_what_is_unusable_is_left_out() {
        let links = "</cert/1/1>;rel=alternate,<ftp://x>;rel=alternate,<2>;rel=\"alternate up\"";
        assert_eq!(
            answer(&[("link", links), ("link", "<https://b.example/c>;rel=alternate")]).alternates(),
            ["https://a.example/cert/1/1", "https://a.example/acme/2", "https://b.example/c"]
        );
    }

    #[test]
    fn a_redirect_is_refused_with_where_it_leads() {
        let refused = |fields: &[(&str, &str)]| {
            granted("https://a.example/directory", reply(fields)).unwrap_err().to_string()
        };
        let message = refused(&[("location", "/acme/v2")]);
        assert!(
            message.contains("(status 301) to https://a.example/acme/v2, which is not followed"),
            "{message}"
        );
        let message = refused(&[("location", "http://a.example/\u{9b}31m")]);
        assert!(message.contains("does not begin") || message.contains("something else"), "{message}");
        assert!(!message.contains('\u{9b}'), "{message}");
        assert!(refused(&[]).contains("does not say where to"));
    }

    #[test]
    fn a_wait_until_a_date_is_counted_by_the_authoritys_own_clock() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:07 GMT");
        let until = ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(retry_after(&reply(&[date, until])), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(&reply(&[until])), Some(Duration::ZERO));
        assert_eq!(
            retry_after(&reply(&[("date", "now"), ("retry-after", "7")])),
            Some(Duration::from_secs(7))
        );
    }

    #[test]
    fn a_nonce_that_is_none_is_ignored() {
        assert_eq!(
            nonce_in(&reply(&[("replay-nonce", "oFvnlFP1wIhRlYS2jTaXbA")])).unwrap(),
            "oFvnlFP1wIhRlYS2jTaXbA"
        );
        for none in ["", "a b", "a+b", "\u{1b}"] {
            assert_eq!(nonce_in(&reply(&[("replay-nonce", none)])), None, "{none:?}");
        }
    }
}
