//! From an order to a certificate (RFC 8555 §7.4). An order is stored as soon as it is made, and continues after a crash where
//! it was. Its names are validated, the request is sent, and the chain is chosen and checked.
//!
//! `agent` calls it. It waits for the authority on the calling thread, in bounded time.

use std::time::{Duration, Instant};

use serde_json::json;
use zeroize::Zeroizing;

use super::base64url;
use super::board::Board;
use super::chain;
use super::challenge::Challenge;
use super::foreign::clean;
use super::keys;
use super::messages::{bounded, Authorization, AuthorizationStatus, Offer, Order, OrderStatus};
use super::names::Identifier;
use super::session::{Answer, Session};
use super::settings::Settings;
use super::state::{Book, PendingOrder, State};
use super::stop::Stop;
use crate::calendar::{from_unix, unix_now};
use crate::error::AcmeFault;

/// The time for all validations of an order, and the time for the issuance.
const VALIDATION: Duration = Duration::from_secs(5 * 60);
const ISSUANCE: Duration = Duration::from_secs(5 * 60);
/// The first wait between two questions about the progress, unless the authority says otherwise. Each wait is longer.
const FIRST_POLL: Duration = Duration::from_millis(500);
const LAST_POLL: Duration = Duration::from_secs(10);
/// The bounds of waits that an authority requests: without a wait it would be asked in a busy loop, and even if it requests a
/// day, it has mostly issued within a minute.
const LEAST_POLL: Duration = Duration::from_millis(250);
const MOST_POLL: Duration = Duration::from_secs(60);

/// The context of all steps.
pub(super) struct Work<'a> {
    pub settings: &'a Settings,
    pub state: &'a State,
    pub board: &'a Board,
    pub stop: &'a Stop,
}

/// A certificate with its key, ready to be stored.
pub(super) struct Issued {
    pub key_pem: Zeroizing<String>,
    pub chain_pem: String,
}

/// Why an attempt has ended, and whether its order has ended too.
struct Ended {
    fault: AcmeFault,
    with_order: bool,
}

impl From<AcmeFault> for Ended {
    fn from(fault: AcmeFault) -> Ended {
        Ended { with_order: is_final(&fault), fault }
    }
}

impl Work<'_> {
    /// Completes the stored order, or a new one. `replaces` names the certificate that is renewed (RFC 9773 §5).
    pub(super) fn obtain(
        &self,
        session: &mut Session<'_>,
        book: &mut Book,
        replaces: Option<String>,
    ) -> Result<Issued, AcmeFault> {
        let (pending, order, is_resumed) = match self.resume(session)? {
            Some((pending, order)) => (pending, order, true),
            None => {
                let (pending, order) = self.begin(session, book, replaces)?;
                (pending, order, false)
            }
        };
        let certificate = match self.fulfil(session, &pending, order) {
            Err(Ended { fault, with_order: true }) => {
                self.state.forget_order()?;
                return Err(fault);
            }
            other => other.map_err(|ended| ended.fault),
        };
        let outcome = certificate.and_then(|url| self.download(session, &pending, &url));
        // The certificate is issued, so an answer that was garbled or refused once may be good the next time. After a second
        // failure the order is dropped; otherwise it would be tried forever.
        if is_resumed && outcome.as_ref().is_err_and(|fault| is_final(fault) || is_garbled(fault)) {
            self.state.forget_order()?;
        }
        outcome
    }

    /// The stored order, if it is for the current settings and the authority still knows it.
    fn resume(&self, session: &mut Session<'_>) -> Result<Option<(PendingOrder, Order)>, AcmeFault> {
        let Some(pending) = self.state.order()? else { return Ok(None) };
        let settings = self.settings;
        let is_wanted = pending.directory == settings.directory
            && pending.names == settings.name_texts()
            && pending.profile == settings.profile;
        if is_wanted {
            match session.get(&pending.url).and_then(|answer| answer.read(Order::parse)) {
                Ok(order) if order.status != OrderStatus::Invalid => {
                    log::info!("ACME: order {} is taken up again", pending.url);
                    return Ok(Some((pending, order)));
                }
                Ok(_) => {}
                // RFC 8555 does not define how an authority refuses an order that it has forgotten.
                Err(AcmeFault::Refused { status: 400 | 403 | 404 | 410, .. }) => {}
                // Its URL cannot be used (earlier versions stored URLs unchecked), or there is no order at it.
                Err(AcmeFault::Unexpected { url, what }) => log::warn!("ACME: {url}: {what}"),
                Err(fault) => return Err(fault),
            }
        }
        log::info!("ACME: order {} is of no use any more", clean(&pending.url));
        self.state.forget_order()?;
        Ok(None)
    }

    fn begin(
        &self,
        session: &mut Session<'_>,
        book: &mut Book,
        replaces: Option<String>,
    ) -> Result<(PendingOrder, Order), AcmeFault> {
        let now = unix_now();
        if let Some(until) = super::schedule::earliest_order(now, book) {
            return Err(AcmeFault::TooSoon {
                until: from_unix(until),
                because: "the last order was made a moment ago".into(),
            });
        }
        let identifiers: Vec<_> = self.settings.names.iter().map(Identifier::json).collect();
        let mut payload = json!({"identifiers": identifiers});
        if let Some(profile) = &self.settings.profile {
            let known = &session.directory.profiles;
            if !known.contains(profile) {
                let what = match known.is_empty() {
                    true => format!("it has no profiles, and so none that is called {profile}"),
                    false => format!("it has no profile {profile}, only {}", clean(&known.join(", "))),
                };
                return Err(AcmeFault::Unsupported(what));
            }
            payload["profile"] = profile.clone().into();
        }
        let (key_pem, csr) = keys::request(&self.settings.names)?;
        // Stored first, so that the next order keeps its distance whatever happens.
        book.last_order = Some(now);
        self.state.save_book(book)?;
        let answer = self.new_order(session, payload, replaces)?;
        let pending = PendingOrder {
            url: answer.location()?,
            directory: self.settings.directory.clone(),
            names: self.settings.name_texts(),
            profile: self.settings.profile.clone(),
            key_pem,
            csr,
        };
        self.state.save_order(&pending)?;
        log::info!("ACME: order {} for {}", pending.url, pending.names.join(", "));
        Ok((pending, answer.read(Order::parse)?))
    }

    /// Makes an order. Names the certificate that it replaces, if the authority supports that. If the authority refuses the
    /// name, orders again without it.
    fn new_order(
        &self,
        session: &mut Session<'_>,
        mut payload: serde_json::Value,
        replaces: Option<String>,
    ) -> Result<Answer, AcmeFault> {
        let url = &session.directory.new_order;
        if let Some(name) = replaces.filter(|_| session.directory.renewal_info.is_some()) {
            payload["replaces"] = name.into();
            match session.post(url, &payload) {
                Err(AcmeFault::Refused { kind, detail, .. })
                    if kind != "rateLimited" && kind != "serverInternal" =>
                {
                    log::info!("ACME: ordering without saying what is replaced, because: {detail} ({kind})");
                    if let Some(members) = payload.as_object_mut() {
                        members.remove("replaces");
                    }
                }
                outcome => return outcome,
            }
        }
        session.post(url, &payload)
    }

    /// Completes an order from its current state. Returns the certificate's URL.
    fn fulfil(
        &self,
        session: &mut Session<'_>,
        pending: &PendingOrder,
        mut order: Order,
    ) -> Result<String, Ended> {
        let mut poll = Poll::new(VALIDATION, "the validation of the order");
        let mut wanted = None;
        let mut finalized = false;
        loop {
            match order.status {
                OrderStatus::Pending => {
                    self.validate(session, &order, &mut poll)?;
                    // The order's status may lag behind its authorizations.
                    let answer = session.get(&pending.url)?;
                    order = answer.read(Order::parse)?;
                    if order.status == OrderStatus::Pending {
                        poll.wait(self.stop, answer.retry_after())?;
                    }
                    continue;
                }
                // Some authorities show an order as ready for a moment after it was finalized.
                OrderStatus::Ready if !finalized => {
                    let payload = json!({"csr": base64url::encode(&pending.csr)});
                    let answer = session.post(&order.finalize, &payload)?;
                    wanted = answer.retry_after();
                    finalized = true;
                    // The request is accepted, whatever the answer holds. The order's own URL tells the progress.
                    order = answer.read(Order::parse).unwrap_or_else(|fault| {
                        log::info!("ACME: {fault}");
                        Order { status: OrderStatus::Processing, ..order }
                    });
                    poll = Poll::new(ISSUANCE, "the issuance of the certificate");
                    continue;
                }
                OrderStatus::Ready | OrderStatus::Processing => {}
                OrderStatus::Valid => {
                    let detail = || "it is valid and says no URL that the certificate is at".to_string();
                    let failed = || AcmeFault::OrderFailed { url: pending.url.clone(), detail: detail() };
                    return order.certificate.ok_or_else(|| failed().into());
                }
                OrderStatus::Invalid => {
                    let detail = order.error.unwrap_or_else(|| "the authority does not say why".into());
                    return Err(AcmeFault::OrderFailed { url: pending.url.clone(), detail }.into());
                }
            }
            poll.wait(self.stop, wanted)?;
            // The certificate may be issued by now, so the order is kept for the next attempt.
            let answer = session.get(&pending.url).map_err(|fault| Ended { fault, with_order: false })?;
            (order, wanted) = (answer.read(Order::parse)?, answer.retry_after());
        }
    }

    /// Validates all names that are not validated yet: posts all proofs first, then tells the authority, then asks for the
    /// results.
    fn validate(&self, session: &mut Session<'_>, order: &Order, poll: &mut Poll) -> Result<(), AcmeFault> {
        // Removes all proofs, however this ends.
        let _cleared = Cleared(self.board);
        let mut open = Vec::new();
        for url in &order.authorizations {
            let authorization = self.authorization(session, url)?;
            if authorization.status == AuthorizationStatus::Pending {
                let offer =
                    authorization.offer(self.settings.challenge).map_err(AcmeFault::Unsupported)?.clone();
                self.post(session, &authorization, &offer)?;
                open.push((url, offer));
            }
        }
        for (_, offer) in &open {
            // Another state means that the challenge was answered before a crash.
            if offer.is_pending {
                session.post(&offer.url, &json!({}))?;
            }
        }
        for (url, _) in open {
            let mut wanted = None;
            loop {
                poll.wait(self.stop, wanted)?;
                let answer = session.get(url)?;
                let authorization = answer.read(Authorization::parse)?;
                match self.checked(authorization)?.status {
                    AuthorizationStatus::Valid => break,
                    _ => wanted = answer.retry_after(),
                }
            }
            poll.restart();
        }
        Ok(())
    }

    fn authorization(&self, session: &mut Session<'_>, url: &str) -> Result<Authorization, AcmeFault> {
        let authorization = session.get(url)?.read(Authorization::parse)?;
        self.checked(authorization)
    }

    /// Checks that an authorization is pending or valid, and for one of the ordered names.
    fn checked(&self, authorization: Authorization) -> Result<Authorization, AcmeFault> {
        if authorization.status == AuthorizationStatus::Dead {
            return Err(AcmeFault::NotValidated {
                detail: authorization.failure(),
                name: authorization.identifier,
                challenge: self.settings.challenge.name(),
            });
        }
        Ok(authorization)
    }

    fn post(
        &self,
        session: &Session<'_>,
        authorization: &Authorization,
        offer: &Offer,
    ) -> Result<(), AcmeFault> {
        let key_authorization = session.key.authorization(&offer.token);
        let asked = &authorization.identifier;
        let name = self.settings.names.iter().find(|name| name.to_string().eq_ignore_ascii_case(asked));
        let name = name.ok_or_else(|| {
            AcmeFault::Unsupported(format!("it wants {asked} validated, which was not asked for"))
        })?;
        let fits = match self.settings.challenge {
            Challenge::Http01 => self.board.post_answer(offer.token.clone(), key_authorization),
            Challenge::TlsAlpn01 => {
                let proof = keys::proof(name, &key_authorization, unix_now())?;
                self.board.post_certificate(name.server_name(), proof)
            }
        };
        match fits {
            true => Ok(()),
            false => {
                Err(AcmeFault::Unsupported("it wants more validated at a time than there is room for".into()))
            }
        }
    }

    fn download(
        &self,
        session: &mut Session<'_>,
        pending: &PendingOrder,
        url: &str,
    ) -> Result<Issued, AcmeFault> {
        let answer = session.get(url)?;
        let usual = chain_of(&answer)?;
        let issued = |chain_pem| Issued { key_pem: pending.key_pem.clone(), chain_pem };
        let Some(wanted) = &self.settings.chain else { return Ok(issued(usual)) };
        if chain::leads_to(&usual, wanted) {
            return Ok(issued(usual));
        }
        for url in answer.alternates() {
            // RFC 8555 §7.4.2: the certificate is issued, and other chains are optional. A failure with them must not lose it.
            match session.get(&url).and_then(|answer| chain_of(&answer)) {
                Ok(other) if !chain::have_one_leaf(&other, &usual) => {
                    log::warn!(
                        "ACME: {url}: the other chain is not one of this certificate, and is done without"
                    );
                }
                Ok(other) if chain::leads_to(&other, wanted) => return Ok(issued(other)),
                Ok(_) => {}
                Err(AcmeFault::Stopped) => return Err(AcmeFault::Stopped),
                Err(fault) => log::warn!("ACME: another chain is done without: {fault}"),
            }
        }
        log::warn!("ACME: no chain that can be had leads to {wanted:?}; the usual one is taken");
        Ok(issued(usual))
    }
}

fn chain_of(answer: &Answer) -> Result<String, AcmeFault> {
    // RFC 8555 §9.1: only certificates are allowed. Anything else would get into the stored file.
    let text = String::from_utf8(answer.body().to_vec()).ok();
    let text = text.filter(|text| !text.contains("PRIVATE KEY") && chain::is_whole(text));
    text.ok_or_else(|| answer.unexpected("the answer is not a chain of certificates in PEM"))
}

/// Whether the fault ends the order. After any other fault the next attempt continues it.
fn is_final(fault: &AcmeFault) -> bool {
    match fault {
        AcmeFault::NotValidated { .. } | AcmeFault::OrderFailed { .. } | AcmeFault::Unsupported(_) => true,
        AcmeFault::Refused { status, kind, .. } => {
            *status < 500
                && !matches!(&**kind, "rateLimited" | "badNonce" | "serverInternal" | "orderNotReady")
        }
        _ => false,
    }
}

/// Whether an answer was malformed. That may happen once, so the order is kept for a second attempt.
fn is_garbled(fault: &AcmeFault) -> bool {
    matches!(fault, AcmeFault::Unexpected { .. })
}

/// Removes all posted proofs when it is dropped.
struct Cleared<'a>(&'a Board);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// Waits between questions, until a deadline.
struct Poll {
    what: &'static str,
    until: Instant,
    next: Duration,
    /// Whether the log has said that a requested wait is not kept.
    is_told: bool,
}

impl Poll {
    fn new(time: Duration, what: &'static str) -> Poll {
        Poll { what, until: Instant::now() + time, next: FIRST_POLL, is_told: false }
    }

    /// Starts again with the first wait, for another question.
    fn restart(&mut self) {
        self.next = FIRST_POLL;
    }

    /// Waits as long as the authority requests, at most a minute, or longer each time without a request. Never waits past the
    /// deadline.
    fn wait(&mut self, stop: &Stop, wanted: Option<Duration>) -> Result<(), AcmeFault> {
        let Some(wait) = self.next_wait(wanted, self.until.saturating_duration_since(Instant::now())) else {
            return Err(AcmeFault::Unfinished { what: self.what, retry_after: wanted });
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted > wait && !self.is_told) {
            log::info!(
                "ACME: {}: the authority asks to wait {} s (Retry-After); it is asked again after {} s",
                self.what,
                wanted.as_secs(),
                wait.as_secs()
            );
            self.is_told = true;
        }
        match stop.wait(wait) {
            true => Err(AcmeFault::Stopped),
            false => Ok(()),
        }
    }

    /// `None` when there is no time left.
    fn next_wait(&mut self, wanted: Option<Duration>, left: Duration) -> Option<Duration> {
        let wait = bounded(wanted, self.next, LEAST_POLL, MOST_POLL).min(left);
        self.next = (self.next * 2).min(LAST_POLL);
        (!left.is_zero()).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_the_authority_wants_is_kept_up_to_a_minute_and_within_the_window() {
        let seconds = Duration::from_secs;
        let mut poll = Poll::new(ISSUANCE, "x");
        for (wanted, left, wait) in [
            (Some(86_400), 300, Some(60)),
            (Some(u64::from(u32::MAX)), 300, Some(60)),
            (Some(86_400), 20, Some(20)),
            (Some(5), 300, Some(5)),
            (Some(60), 300, Some(60)),
            (Some(86_400), 0, None),
            (None, 0, None),
        ] {
            assert_eq!(
                poll.next_wait(wanted.map(seconds), seconds(left)),
                wait.map(seconds),
                "{wanted:?} {left}"
            );
        }
        assert_eq!(poll.next_wait(Some(Duration::ZERO), seconds(300)), Some(LEAST_POLL));
        let mut poll = Poll::new(ISSUANCE, "x");
        let waits: Vec<_> = (0..7).filter_map(|_| poll.next_wait(None, seconds(300))).collect();
        assert_eq!((waits[0], waits[1], waits[6]), (FIRST_POLL, FIRST_POLL * 2, LAST_POLL));
    }
}
