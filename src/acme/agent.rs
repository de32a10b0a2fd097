//! The agent: a thread that obtains a certificate, asks the authority when to renew it, renews it, and sleeps in between. It
//! stores every certificate in the state directory, where the server's renewal finds it.
//!
//! The server starts and stops it, through the trait in `tls::agent`. `once` obtains a certificate a single time, for a
//! command.

use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{mpsc, Arc};
use std::thread;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use rustls::sign::CertifiedKey;
use rustls::RootCertStore;

use super::board::Board;
use super::challenge::Challenge;
use super::config::Acme;
use super::foreign::clean;
use super::held::{self, Found};
use super::https::Https;
use super::order::{Issued, Work};
use super::schedule::{self, Dice, Next};
use super::session::{self, Session};
use super::settings::Settings;
use super::state::{Book, Lock, Plan, State};
use super::stop::Stop;
use super::{account, ari, chain};
use crate::calendar::unix_now;
use crate::error::{AcmeFault, Error, IdentityFault};
use crate::tls::agent::{AtWork, OnFailure, Surroundings};
use crate::tls::{self, Identity};

/// The longest sleep before the clock is read again, because it may have been set: with a certificate, and without.
const LONGEST_REST: Duration = Duration::from_secs(600);
const LONGEST_REST_WITHOUT: Duration = Duration::from_secs(30);
/// How often to check whether another process still uses the state directory.
const UNTIL_UNLOCKED: Duration = Duration::from_secs(30);
/// The wait when the state cannot be written, in seconds.
const WITHOUT_STATE: i64 = 60;
const AFTER_A_PANIC: Duration = Duration::from_secs(60);
/// The wait after a failed question when to renew, in seconds.
const ASK_AGAIN_AFTER_FAILURE: i64 = 3_600;

/// The agent of an identity from an authority.
pub(crate) struct Agent {
    settings: Settings,
    state_dir: PathBuf,
    roots: RootCertStore,
    board: Board,
}

/// Whether a certificate that is still good is renewed; see [`Acme::obtain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Only when renewal is due, when the certificate is for other names, or when there is none.
    IfDue,
    /// Always.
    Now,
}

impl Agent {
    pub(crate) fn new(acme: &Acme) -> Result<Agent, Error> {
        let (settings, roots) = (acme.check()?, acme.roots()?);
        Ok(Agent { settings, state_dir: acme.state_dir.clone(), roots, board: Board::default() })
    }

    pub(super) fn challenge(&self) -> Challenge {
        self.settings.challenge
    }

    pub(super) fn state(&self) -> State {
        State::at(&self.state_dir)
    }

    /// Obtains a certificate once, on this thread. Ignores the back-off, because a person is waiting.
    pub(crate) fn once(&self, urgency: Urgency) -> Result<Identity, Error> {
        let found = self.in_the_directory(|state| {
            let _lock = state.lock()?;
            let stop = Stop::default();
            let https = self.https(&stop)?;
            let found = self.found(state)?;
            let mut book = state.book()?;
            if urgency == Urgency::Now || self.is_due(&https, state, &mut book, found.as_ref())? {
                if let Err(fault) = self.obtain(&https, state, &stop, &mut book, found.as_ref()) {
                    // Coming too early is not a failure of the authority.
                    if !matches!(fault, AcmeFault::TooSoon { .. }) {
                        self.note_failure(state, &mut book, &fault);
                    }
                    return Err(fault);
                }
            }
            self.found(state)
        })?;
        match found {
            Some(found) => Ok(found.identity),
            // It was written a moment ago, and no other process may remove it.
            None => Err(self.error(AcmeFault::Stopped)),
        }
    }

    /// Whether a certificate should be obtained now, regardless of the back-off.
    fn is_due(
        &self,
        https: &Https,
        state: &State,
        book: &mut Book,
        found: Option<&Found>,
    ) -> Result<bool, AcmeFault> {
        let Some(found) = found.filter(|found| found.held.fits) else { return Ok(true) };
        let now = unix_now();
        if schedule::next(now, Some(&found.held), book, false) == Next::Ask {
            self.plan(https, state, book, found)?;
        }
        Ok(book.plan.as_ref().is_some_and(|plan| plan.renew_at <= now))
    }

    fn in_the_directory<T>(&self, work: impl FnOnce(&State) -> Result<T, AcmeFault>) -> Result<T, Error> {
        State::open(&self.state_dir).and_then(|state| work(&state)).map_err(|fault| self.error(fault))
    }

    fn error(&self, fault: AcmeFault) -> Error {
        Error::Acme { authority: self.settings.directory.clone(), fault }
    }

    /// The thread's work, until it is asked to stop.
    fn work(&self, stop: &Stop, told: &OnFailure) {
        let https = match self.https(stop) {
            Ok(https) => https,
            Err(fault) => return log::error!("ACME: nothing is obtained or renewed: {fault}"),
        };
        let mut open: fn(&Path) -> Result<State, AcmeFault> = State::open;
        while let Some((state, lock)) = self.take_directory(open, stop) {
            // When the directory was replaced, the first process that takes the new one may use it.
            while state.is_of_here(&lock) {
                let rest = self.round(&https, &state, stop, told).unwrap_or_else(|fault| {
                    log::error!("ACME: {fault}");
                    Duration::from_secs(WITHOUT_STATE as u64)
                });
                if stop.wait(rest) {
                    return;
                }
            }
            open = State::reopen;
        }
    }

    /// Waits until the state directory exists and no other process uses it. `None` when asked to stop.
    fn take_directory(
        &self,
        open: fn(&Path) -> Result<State, AcmeFault>,
        stop: &Stop,
    ) -> Option<(State, Lock)> {
        let mut is_told = false;
        loop {
            match open(&self.state_dir).and_then(|state| state.lock().map(|lock| (state, lock))) {
                Ok(ours) => return Some(ours),
                Err(fault) if !is_told => {
                    log::warn!("ACME: nothing is obtained or renewed here: {fault}");
                    is_told = true;
                }
                Err(_) => {}
            }
            if stop.wait(UNTIL_UNLOCKED) {
                return None;
            }
        }
    }

    /// Does what is due. Returns how long to sleep.
    fn round(
        &self,
        https: &Https,
        state: &State,
        stop: &Stop,
        told: &OnFailure,
    ) -> Result<Duration, AcmeFault> {
        let now = unix_now();
        let found = self.found(state)?;
        let mut book = state.book()?;
        let held = found.as_ref().map(|found| &found.held);
        match schedule::next(now, held, &book, state.order()?.is_some()) {
            Next::Obtain => {
                let outcome = self.obtain(https, state, stop, &mut book, found.as_ref());
                match outcome {
                    Ok(()) => {}
                    Err(AcmeFault::Stopped) => return Ok(Duration::ZERO),
                    Err(fault) => {
                        let wait = seconds(self.note_failure(state, &mut book, &fault));
                        let error = self.error(fault);
                        log::error!("ACME: {error}; next try in {} s", wait.as_secs());
                        told(&error, wait);
                        return Ok(wait.min(LONGEST_REST_WITHOUT));
                    }
                }
            }
            Next::Ask => {
                if let Some(found) = &found {
                    self.plan(https, state, &mut book, found)?;
                }
            }
            Next::Wait(at) => {
                let most = if held.is_some() { LONGEST_REST } else { LONGEST_REST_WITHOUT };
                return Ok(seconds(at.saturating_sub(now)).min(most));
            }
        }
        Ok(Duration::ZERO)
    }

    fn obtain(
        &self,
        https: &Https,
        state: &State,
        stop: &Stop,
        book: &mut Book,
        found: Option<&Found>,
    ) -> Result<(), AcmeFault> {
        let settings = &self.settings;
        let (mut key, mut account) = account::key(state, &settings.directory)?;
        let directory = session::directory(https, &settings.directory)?;
        let replaces = found
            .filter(|found| found.directory.as_ref() == Some(&settings.directory))
            .and_then(|found| chain::renewal_name(&found.leaf));
        let work = Work { settings, state, board: &self.board, stop };
        let last_order = book.last_order;
        let mut is_second = false;
        let issued = loop {
            let mut session = Session::new(https, &directory, &key, account.url.clone());
            let outcome = account::register(&mut session, settings, state, &mut account)
                .and_then(|()| work.obtain(&mut session, book, replaces.clone()));
            let fault = match outcome {
                Ok(issued) => break issued,
                Err(fault) => fault,
            };
            // Only once in an attempt: if the authority refuses the new account too, it is not asked again at once.
            if is_second || !account::is_lost(&mut session, settings, &fault) {
                return Err(fault);
            }
            (key, account) = account::replace(state, &settings.directory, &account, &fault)?;
            // A refused order does not count for the time between two orders.
            book.last_order = last_order;
            is_second = true;
        };
        let pem = held::write(settings, &issued);
        if let Err(fault) = self.check(&pem, &issued) {
            if !matches!(fault, AcmeFault::Unfinished { .. }) {
                // The same order would give the same certificate again.
                state.forget_order()?;
            }
            return Err(fault);
        }
        state.save_certificate(&pem)?;
        let hasty = match found {
            Some(found) if schedule::is_young(&found.held, unix_now()) => book.hasty.saturating_add(1),
            _ => 0,
        };
        *book = Book { last_order: book.last_order, hasty, ..Book::default() };
        state.save_book(book)?;
        state.forget_order()
    }

    /// Whether the authority issued what was ordered. If its clock is a little ahead, the certificate is valid in a moment.
    fn check(&self, pem: &str, issued: &Issued) -> Result<(), AcmeFault> {
        let unfit = |what: String| {
            AcmeFault::Unsupported(format!("the certificate that it issued is of no use: {}", clean(&what)))
        };
        let found = held::try_new(pem.as_bytes(), &self.settings).map_err(|error| match error {
            Error::Identity { fault: IdentityFault::NotYetValid { .. }, .. } => AcmeFault::Unfinished {
                what: "waiting for the certificate to be valid by this machine's clock",
                retry_after: None,
            },
            error => unfit(error.to_string()),
        })?;
        if !found.held.fits {
            return Err(unfit(format!("it is not for all of {}", self.settings.name_texts().join(", "))));
        }
        let until = crate::calendar::iso8601_of(found.held.not_after);
        let names = self.settings.name_texts().join(", ");
        let certificates = issued.chain_pem.matches("BEGIN CERTIFICATE").count();
        log::info!("ACME: a certificate for {names}, valid until {until}, in a chain of {certificates}");
        Ok(())
    }

    /// Plans the renewal of the certificate, by the authority's suggestion or else by the certificate's life.
    fn plan(&self, https: &Https, state: &State, book: &mut Book, found: &Found) -> Result<(), AcmeFault> {
        let (now, dice) = (unix_now(), roll()?);
        // If the state could not be written, the authority would be asked again and again.
        state.save_book(book)?;
        let known = book.plan.take().filter(|plan| plan.certificate == found.held.name);
        let asked = session::directory(https, &self.settings.directory)
            .and_then(|directory| ari::ask(https, &directory, &found.leaf));
        let mut plan = known.clone().unwrap_or_else(|| Plan {
            certificate: found.held.name.clone(),
            renew_at: schedule::by_lifetime(&found.held, dice),
            window: None,
            ask_at: None,
            explanation: None,
        });
        match asked {
            Ok(Some((info, again))) => {
                plan.renew_at = schedule::by_window(&found.held, &info, known.as_ref(), dice);
                (plan.window, plan.explanation) = (Some((info.start, info.end)), info.explanation);
                plan.ask_at = Some(schedule::ask_at(now, again));
            }
            // The authority may offer such a service later.
            Ok(None) => plan.ask_at = Some(schedule::ask_at(now, Some(i64::MAX))),
            Err(AcmeFault::Stopped) => return Ok(()),
            Err(fault) => {
                log::info!("ACME: the authority could not be asked when to renew: {fault}");
                let wait = schedule::wanted_wait(&fault).unwrap_or(0).max(ASK_AGAIN_AFTER_FAILURE);
                plan.ask_at = Some(schedule::ask_at(now, Some(wait)));
            }
        }
        if known.map_or(true, |known| known.renew_at != plan.renew_at) {
            let at = crate::calendar::iso8601_of(plan.renew_at);
            let why = plan.explanation.as_ref().map_or(String::new(), |url| format!(", see {url}"));
            log::info!("ACME: renewal at {at}{why}");
        }
        book.plan = Some(plan);
        state.save_book(book)
    }

    /// Stores a failure. Returns after how many seconds to try again.
    fn note_failure(&self, state: &State, book: &mut Book, fault: &AcmeFault) -> i64 {
        let now = unix_now();
        book.failures = book.failures.saturating_add(1);
        let dice = roll().unwrap_or(Dice(0.5));
        let wait = schedule::back_off(fault, book.failures, dice);
        book.not_before = Some(now + wait);
        (book.last_error, book.last_error_at) = (Some(fault.to_string()), Some(now));
        if let Err(fault) = state.save_book(book) {
            log::error!("ACME: {fault}");
            return wait.max(WITHOUT_STATE);
        }
        wait
    }

    /// The stored certificate, if it can be served.
    fn found(&self, state: &State) -> Result<Option<Found>, AcmeFault> {
        let Some(file) = state.certificate()? else { return Ok(None) };
        match held::read(&state.certificate_file(), &file, Some(&self.settings)) {
            Ok(found) => Ok(Some(found)),
            Err(error) => {
                // The server's source logs it, once.
                log::debug!("ACME: {error}");
                Ok(None)
            }
        }
    }

    fn https(&self, stop: &Stop) -> Result<Https, AcmeFault> {
        Https::new(self.roots.clone(), stop.clone()).map_err(|_| AcmeFault::Crypto)
    }
}

impl tls::agent::Agent for Agent {
    fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    fn check(&self, server: Surroundings) -> Result<(), Error> {
        let fault = match self.settings.challenge {
            Challenge::Http01 if !server.plain_http => {
                "http-01 is answered where plain HTTP is, which is nowhere; serve redirects too (redirect_http, --http), or \
                 prove the names with tls-alpn-01"
            }
            Challenge::TlsAlpn01 if server.clients_need_certificates => {
                "tls-alpn-01 is asked by an authority that has no certificate of its own, and clients must have one here; \
                 prove the names with http-01"
            }
            Challenge::Http01 | Challenge::TlsAlpn01 => return Ok(()),
        };
        Err(Error::Setting { setting: "challenge", fault: fault.into() })
    }

    fn start(self: Arc<Self>, on_failure: OnFailure) -> io::Result<Box<dyn AtWork>> {
        let stop = Stop::default();
        let (sender, ended) = mpsc::channel();
        let at_work = Thread { stop: stop.clone(), ended };
        thread::Builder::new().name("lockgate-acme".into()).spawn(move || {
            // A panic here must not end renewals silently.
            while panic::catch_unwind(AssertUnwindSafe(|| self.work(&stop, &on_failure))).is_err() {
                log::error!("ACME: the agent panicked; it begins again in {AFTER_A_PANIC:?}");
                if stop.wait(AFTER_A_PANIC) {
                    break;
                }
            }
            // Nobody receives it if the server has stopped waiting.
            let _ = sender.send(());
        })?;
        Ok(Box::new(at_work))
    }

    fn answer(&self, token: &str) -> Option<String> {
        self.board.answer(token)
    }

    fn certificate(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        self.board.certificate(server_name)
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("authority", &self.settings.directory)
            .field("board", &self.board)
            .finish_non_exhaustive()
    }
}

/// The agent's thread. Dropping this asks it to stop.
struct Thread {
    stop: Stop,
    ended: mpsc::Receiver<()>,
}

impl AtWork for Thread {
    fn stop(&self) {
        self.stop.stop();
    }

    fn wait(&self, time: Duration) -> bool {
        !matches!(self.ended.recv_timeout(time), Err(mpsc::RecvTimeoutError::Timeout))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn roll() -> Result<Dice, AcmeFault> {
    let mut bytes = [0; 4];
    SystemRandom::new().fill(&mut bytes).map_err(|_| AcmeFault::Crypto)?;
    Ok(Dice(f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)))
}

fn seconds(wait: i64) -> Duration {
    Duration::from_secs(u64::try_from(wait).unwrap_or(0))
}
