//! From an order to a certificate (RFC 8555 §7.4): made once and written down, it is taken up again after a crash wherever
//! it stood. Its names are validated, the request is sent, and the chain that comes is chosen and checked.
//!
//! Called by `agent` with everything that is needed; waits for the authority on the calling thread, within bounds.

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

/// All validations of an order, and then the issuance.
const VALIDATION: Duration = Duration::from_secs(5 * 60);
const ISSUANCE: Duration = Duration::from_secs(5 * 60);
/// Between two questions how far the authority is, unless it says otherwise; longer each time.
const FIRST_POLL: Duration = Duration::from_millis(500);
const LAST_POLL: Duration = Duration::from_secs(10);
/// An authority may ask for no wait at all, and must not be asked in a loop; or for a day, and has mostly issued in a minute.
const LEAST_POLL: Duration = Duration::from_millis(250);
const MOST_POLL: Duration = Duration::from_secs(60);

/// What all steps need.
pub(super) struct Work<'a> {
    pub settings: &'a Settings,
    pub state: &'a State,
    pub board: &'a Board,
    pub stop: &'a Stop,
}

/// A certificate with its key, ready to be written down.
pub(super) struct Issued {
    pub key_pem: Zeroizing<String>,
    pub chain_pem: String,
}

/// Why an attempt has ended, and whether its order has with it.
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
    /// Takes the order that is written down, or makes one, and brings it to its end. `replaces` names the certificate that
    /// is renewed (RFC 9773 §5).
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
        // failure the order is given up, or it would be tried for ever.
        if is_resumed && outcome.as_ref().is_err_and(|fault| is_final(fault) || is_garbled(fault)) {
            self.state.forget_order()?;
        }
        outcome
    }

    /// The order that is written down, if it is for what is wanted now and the authority still knows it.
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
                // RFC 8555 does not say how an authority refuses what it has forgotten.
                Err(AcmeFault::Refused { status: 400 | 403 | 404 | 410, .. }) => {}
                // Its URL is unusable, which earlier versions may have kept, or there is no order at it.
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
        // On the disk first: whatever comes next, the next order keeps its distance.
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

    /// Says which certificate is replaced, where the authority is one that knows of such things; one that does not like what
    /// it is told is asked again without.
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

    /// Brings an order from wherever it stands to its end: the certificate's URL.
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
                    // The order may be a little behind its authorizations.
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
                    // It is accepted, whatever the answer shows; the order's own URL says how it goes on.
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
            // The certificate may be there by now; the next attempt finds out whether the order is.
            let answer = session.get(&pending.url).map_err(|fault| Ended { fault, with_order: false })?;
            (order, wanted) = (answer.read(Order::parse)?, answer.retry_after());
        }
    }

    /// Proves all names that are not proven yet: first all proofs are put up, then the authority is told, then asked.
    fn validate(&self, session: &mut Session<'_>, order: &Order, poll: &mut Poll) -> Result<(), AcmeFault> {
        // However this ends, nothing stays posted.
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
            // A challenge in this state was answered before a crash.
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

    /// An authorization that is pending or valid, and for a name of ours.
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
            // RFC 8555 §7.4.2: the certificate is there, and others are a choice. None of them may cost it.
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
    // RFC 8555 §9.1: certificates only. Anything else beside them would go into our file unseen.
    let text = String::from_utf8(answer.body().to_vec()).ok();
    let text = text.filter(|text| !text.contains("PRIVATE KEY") && chain::is_whole(text));
    text.ok_or_else(|| answer.unexpected("the answer is not a chain of certificates in PEM"))
}

/// Whether an order has come to nothing; after any other fault it goes on at the next attempt.
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

/// Whether an answer was not what it should be. That may happen once, so the order is kept for a second attempt.
fn is_garbled(fault: &AcmeFault) -> bool {
    matches!(fault, AcmeFault::Unexpected { .. })
}

/// Takes down whatever is posted.
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
    /// The log has been told of a wait that is not kept.
    is_told: bool,
}

impl Poll {
    fn new(time: Duration, what: &'static str) -> Poll {
        Poll { what, until: Instant::now() + time, next: FIRST_POLL, is_told: false }
    }

    /// The next question is about something else.
    fn restart(&mut self) {
        self.next = FIRST_POLL;
    }

    /// Waits as long as the authority wants, a minute at most, or longer each time; never past the deadline.
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
