//! Renews the certificates of a running server. It loads them again from their sources when files change, when a source
//! requests it and after failures, checks them before they are used, and logs how long they last. It does the same for the
//! files of client authentication.
//!
//! The thread `lockgate-certs` does this. It sleeps until something is due, but an hour at most, to notice a clock that was set
//! or that stood still while the machine slept. `run` starts and stops it. A [`Handle`](super::handle::Handle) renews from
//! other threads.

use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use mio::Waker;

use super::failures::Failures;
use super::file_watcher::Watch;
use super::health::{IdentityFailure, MissingIdentity};
use super::missing::Missing;
use super::schedule::{Schedule, LONGEST_REST};
#[cfg(feature = "operations")]
use super::ticket_keys::{self, TicketKeysRounds, TICKET_KEYS_STAY};
use crate::error::Error;
use crate::escape;
use crate::tls::{Clients, Expiry, Identity, Live, Origin, Serving, Stamp};

/// The longest sleep where the system does not report changed files.
const REST_WITHOUT_EVENTS: Duration = Duration::from_secs(10);
/// The shortest time between two calls of a source.
const SHORTEST_REST: Duration = Duration::from_secs(1);
const STILL_MISSING: &str = "a certificate is left out until it can be used";
const CLIENTS_STAY: &str = "the authorities and revocation lists for clients stay as they are";

/// Something that happened to a server's certificate; see [`ServerBuilder::on_identity_event`](crate::ServerBuilder::on_identity_event).
#[derive(Debug)]
#[non_exhaustive]
pub enum IdentityEvent<'a> {
    /// New connections get another certificate.
    Renewed {
        /// The new one.
        identity: &'a Identity,
    },
    /// A source has not returned a usable identity. The server keeps the one it has.
    Failed {
        /// The identity that stays in use.
        identity: &'a Identity,
        /// The fault of the new one.
        error: &'a Error,
        /// When the source is called again, unless its files change before.
        retry_in: Duration,
    },
    /// The certificate expires soon or has expired. Sent when less than a third of its life is left, less than a tenth, and
    /// nothing; and then every day.
    Expiring {
        /// The identity in use.
        identity: &'a Identity,
        /// How much of its life is left.
        expiry: Expiry,
    },
}

/// The program's function for events.
pub(crate) type Listener = Arc<dyn Fn(&IdentityEvent<'_>) + Send + Sync>;

/// Tries missing certificates again. Only programs with optional certificates link it.
pub(super) type AskForMissing = fn(&Renewal) -> Result<(), Error>;

/// The state that the renewal's thread shares with others.
pub(crate) struct Renewal {
    live: Arc<Live>,
    listener: Option<Listener>,
    waker: Arc<Waker>,
    stopped: AtomicBool,
    /// Held while identities are replaced.
    exchange: Mutex<()>,
    /// The last failure of each subject that has not succeeded since.
    failures: Failures<Subject>,
    missing: Missing,
    ask: Option<AskForMissing>,
}

/// The subject of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// The identity at this place.
    Identity(usize),
    /// Its renewal by an authority. Loading the same certificate again does not clear this failure.
    Renewal(usize),
    /// The files of client authentication.
    Clients,
    /// The file of ticket keys that servers share.
    #[cfg(feature = "operations")]
    TicketKeys,
}

/// The state of the renewal's thread alone.
pub(crate) struct Rounds {
    renewal: Arc<Renewal>,
    watch: Watch,
    schedules: Vec<Schedule>,
    /// The schedule for all missing certificates together.
    missing: Schedule,
    /// The schedule for the rules for clients, if there are any.
    clients: Option<Schedule>,
    #[cfg(feature = "operations")]
    ticket_keys: TicketKeysRounds,
}

impl Renewal {
    /// The renewal of these identities, and the work for its thread.
    pub(crate) fn new(
        live: Arc<Live>,
        (missing, ask): (Missing, Option<AskForMissing>),
        listener: Option<Listener>,
    ) -> io::Result<(Arc<Renewal>, Rounds)> {
        let watch = Watch::new()?;
        let serving = live.current();
        let schedules = serving.identities.iter().map(|_| Schedule::new(Instant::now())).collect();
        let clients = serving.clients.as_ref().map(|_| Schedule::new(Instant::now()));
        let (waker, stopped, exchange) = (watch.waker(), AtomicBool::new(false), Mutex::new(()));
        let failures = Failures::default();
        let mut schedule = Schedule::new(Instant::now());
        if !missing.is_empty() {
            schedule.failed(missing.stamp(), Instant::now());
        }
        let renewal = Arc::new(Renewal { live, listener, waker, stopped, exchange, failures, missing, ask });
        Ok((
            renewal.clone(),
            Rounds {
                renewal,
                watch,
                schedules,
                missing: schedule,
                clients,
                #[cfg(feature = "operations")]
                ticket_keys: TicketKeysRounds::new(Instant::now()),
            },
        ))
    }

    /// Loads every identity again, on the calling thread. Logs all failures and returns the first.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        let mut failed = None;
        for index in 0..self.live.current().identities.len() {
            if let Err(error) = self.ask_again(index) {
                log::error!("the certificate stays as it is: {error}");
                failed.get_or_insert(error);
            }
        }
        if let Err(error) = self.ask.map_or(Ok(()), |ask| ask(self)) {
            log::error!("{STILL_MISSING}: {error}");
            failed.get_or_insert(error);
        }
        if let Err(error) = self.read_clients_again() {
            log::error!("{CLIENTS_STAY}: {error}");
            failed.get_or_insert(error);
        }
        #[cfg(feature = "operations")]
        if let Err(error) = self.read_ticket_keys_again() {
            log::error!("{TICKET_KEYS_STAY}: {}", ticket_keys::words(&error));
            failed.get_or_insert(error);
        }
        self.wake();
        failed.map_or(Ok(()), Err)
    }

    /// Replaces the first identity.
    pub(crate) fn replace_default(&self, identity: Identity) -> Result<(), Error> {
        let outcome = self.put(0, identity, None);
        self.note(Subject::Identity(0), &outcome);
        outcome?;
        self.wake();
        Ok(())
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("the renewal of certificates could not be woken: {error}");
        }
    }

    /// The certificates that are missing.
    pub(super) fn missing(&self) -> Vec<MissingIdentity> {
        self.missing.health()
    }

    /// Tries the missing certificates again. Usable ones are appended to the identities.
    pub(super) fn ask_for_missing(&self) -> Result<(), Error> {
        let (found, failed) = self.missing.try_again(|found| {
            let _one_at_a_time = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
            let mut identities = self.live.current().identities.clone();
            identities.extend(found.iter().cloned());
            self.live.replace(identities)
        })?;
        for identity in &found {
            log::info!("{}: in use for new connections", identity.told());
            self.tell(&IdentityEvent::Renewed { identity });
        }
        failed.map_or(Ok(()), Err)
    }

    /// How many attempts have failed.
    #[cfg(feature = "operations")]
    pub(super) fn failed(&self) -> u64 {
        self.failures.total()
    }

    /// The failure of the last attempt, if it failed.
    pub(super) fn failure(&self, subject: Subject) -> Option<IdentityFailure> {
        self.failures.of(subject)
    }

    fn note(&self, subject: Subject, outcome: &Result<(), Error>) {
        self.failures.note(subject, outcome.as_ref().err());
    }

    /// Loads one identity again from its source, and serves with it.
    fn ask_again(&self, index: usize) -> Result<(), Error> {
        let outcome = self.try_again(index);
        self.note(Subject::Identity(index), &outcome);
        outcome
    }

    fn try_again(&self, index: usize) -> Result<(), Error> {
        let serving = self.live.current();
        let Some(origin) = serving.identities.get(index).and_then(Identity::origin) else { return Ok(()) };
        // A source may be the program's own code. Its panic must not keep the other certificates from being renewed.
        let asked = panic::catch_unwind(AssertUnwindSafe(|| origin.ask_again()));
        let identity = asked.unwrap_or_else(|_| {
            let source = io::Error::other("the source of the certificate panicked");
            Err(Error::Io { doing: "asking for a certificate", source })
        })?;
        self.put(index, identity, Some(origin))
    }

    /// Serves with this identity. If it comes from a source (`asked`), the identity in use must still come from that source:
    /// the program may have replaced it while the source was busy.
    fn put(&self, index: usize, identity: Identity, asked: Option<&Origin>) -> Result<(), Error> {
        let one_at_a_time = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        let mut identities = self.live.current().identities.clone();
        let Some(place) = identities.get_mut(index) else { return Ok(()) };
        let is_of = |asked| place.origin().is_some_and(|origin| origin.has_the_source_of(asked));
        if asked.is_some_and(|asked| !is_of(asked)) {
            return Ok(());
        }
        identity.may_replace(place, SystemTime::now())?;
        let old = std::mem::replace(place, identity.clone());
        if identity.has_the_chain_of(&old) {
            self.live.note(identities);
            return Ok(());
        }
        self.live.replace(identities)?;
        self.note(Subject::Renewal(index), &Ok(()));
        // The program's listener may want to replace another certificate.
        drop(one_at_a_time);
        log::info!("{}: in use for new connections", identity.told());
        self.tell(&IdentityEvent::Renewed { identity: &identity });
        Ok(())
    }

    /// Reads the files of client authentication again, and uses them.
    fn read_clients_again(&self) -> Result<(), Error> {
        let outcome = self.try_clients_again();
        self.note(Subject::Clients, &outcome);
        outcome
    }

    fn try_clients_again(&self) -> Result<(), Error> {
        let _one_at_a_time = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(clients) = &self.live.current().clients else { return Ok(()) };
        self.live.replace_clients(clients.load_again()?)?;
        log::info!("the authorities and revocation lists for clients are read again, and in use");
        Ok(())
    }

    /// Reads the file of ticket keys again, and uses them.
    #[cfg(feature = "operations")]
    fn read_ticket_keys_again(&self) -> Result<(), Error> {
        let _one_at_a_time = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = ticket_keys::read_again(&self.live);
        self.note(Subject::TicketKeys, &outcome);
        outcome
    }

    /// Reports that an agent could not renew an identity.
    pub(super) fn tell_failure(&self, index: usize, error: &Error, retry_in: Duration) {
        let subject = Subject::Renewal(index);
        self.failures.note(subject, Some(error));
        if let Some(identity) = self.live.current().identities.get(index) {
            self.tell(&IdentityEvent::Failed { identity, error, retry_in });
        }
    }

    fn tell(&self, event: &IdentityEvent<'_>) {
        if let Some(listener) = &self.listener {
            if panic::catch_unwind(AssertUnwindSafe(|| listener(event))).is_err() {
                log::error!("the program's own listener to events of certificates panicked");
            }
        }
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal").field("live", &self.live).finish_non_exhaustive()
    }
}

impl Rounds {
    /// Runs until the renewal is told to stop.
    pub(crate) fn run(mut self) {
        while !self.renewal.stopped.load(Ordering::SeqCst) {
            let rest = self.round(Instant::now(), SystemTime::now());
            if let Err(error) = self.watch.wait(rest) {
                log::error!("certificates are no longer looked after: waiting for changes failed: {error}");
                return;
            }
        }
    }

    /// Checks everything once. Returns how long to sleep if nothing happens.
    fn round(&mut self, now: Instant, clock: SystemTime) -> Duration {
        let renewal = self.renewal.clone();
        let files = |serving: &Serving| -> Vec<PathBuf> {
            let identities = serving.identities.iter().filter_map(Identity::origin).map(Origin::files);
            let missing = renewal.missing.files();
            let all = identities.chain(serving.clients.as_ref().map(Clients::files)).flatten().chain(missing);
            #[cfg(feature = "operations")]
            let all = all.chain(serving.shared_keys().map(|shared| shared.path().clone()));
            all.collect()
        };
        // The watch is set first, so that a change during the checks is not missed.
        self.watch.set(&files(&self.renewal.live.current()));
        let mut rest = self.look_for_missing(now);
        // Identities that were missing are appended to the others.
        while self.schedules.len() < self.renewal.live.current().identities.len() {
            self.schedules.push(Schedule::new(now));
        }
        for index in 0..self.schedules.len() {
            rest = rest.min(self.look_after(index, now, clock));
        }
        rest = rest.min(self.look_after_clients(now, clock));
        #[cfg(feature = "operations")]
        {
            let read_again = || renewal.read_ticket_keys_again();
            rest = rest.min(self.ticket_keys.round(&renewal.live, &read_again, now, clock));
        }
        if !self.watch.sees_changes() && !files(&self.renewal.live.current()).is_empty() {
            rest = rest.min(REST_WITHOUT_EVENTS);
        }
        rest
    }

    fn look_after(&mut self, index: usize, now: Instant, clock: SystemTime) -> Duration {
        let (renewal, schedule) = (&self.renewal, &mut self.schedules[index]);
        let current = || renewal.live.current().identities[index].clone();
        let identity = current();
        if let Some(origin) = identity.origin() {
            let stamp = Stamp::of(&origin.files());
            if schedule.should_ask(&stamp, origin.stamp(), now) {
                match renewal.ask_again(index) {
                    Ok(()) => schedule.succeeded(now),
                    Err(error) => {
                        let retry_in = schedule.failed(stamp, now);
                        log::error!("the certificate stays as it is, next try in {retry_in:?}: {error}");
                        renewal.tell(&IdentityEvent::Failed { identity: &identity, error: &error, retry_in });
                    }
                }
            }
        }
        let identity = current();
        if let Some(rest) = identity.origin().and_then(|origin| origin.look_again(&identity, clock)) {
            schedule.ask_in(rest.clamp(SHORTEST_REST, LONGEST_REST), now);
        }
        let expiry = identity.expiry(clock);
        if schedule.should_tell(expiry, now) {
            say(&identity, expiry, clock);
            renewal.tell(&IdentityEvent::Expiring { identity: &identity, expiry });
        }
        schedule.next(now)
    }

    fn look_for_missing(&mut self, now: Instant) -> Duration {
        if self.renewal.missing.is_empty() {
            return LONGEST_REST;
        }
        let stamp = self.renewal.missing.stamp();
        if self.missing.should_ask(&stamp, &stamp, now) {
            let failed = self.renewal.ask.map_or(Ok(()), |ask| ask(&self.renewal));
            // The stamp of those that are still missing.
            let stamp = self.renewal.missing.stamp();
            match failed {
                Ok(()) => self.missing.succeeded(now),
                Err(error) => {
                    let retry_in = self.missing.failed(stamp, now);
                    log::error!("{STILL_MISSING}, next try in {retry_in:?}: {error}");
                }
            }
        }
        self.missing.next(now)
    }

    fn look_after_clients(&mut self, now: Instant, clock: SystemTime) -> Duration {
        let (Some(schedule), Some(clients)) =
            (&mut self.clients, self.renewal.live.current().clients.clone())
        else {
            return LONGEST_REST;
        };
        let stamp = Stamp::of(&clients.files());
        if schedule.should_ask(&stamp, clients.stamp(), now) {
            match self.renewal.read_clients_again() {
                Ok(()) => schedule.succeeded(now),
                Err(error) => {
                    let retry_in = schedule.failed(stamp, now);
                    log::error!("{CLIENTS_STAY}, next try in {retry_in:?}: {error}");
                }
            }
        }
        let Some(clients) = self.renewal.live.current().clients.clone() else { return LONGEST_REST };
        let expiry = clients.expiry(clock);
        if schedule.should_tell(expiry, now) {
            if expiry == Expiry::Expired {
                log::error!(
                    "a revocation list was to be replaced, and clients are refused: get the current one"
                );
            } else {
                log::warn!(
                    "a revocation list is to be replaced soon; clients are refused then: get the current one"
                );
            }
        }
        schedule.next(now)
    }
}

/// Logs that a certificate expires soon or has expired.
fn say(identity: &Identity, expiry: Expiry, clock: SystemTime) {
    let left = identity.left(clock);
    let names = identity.dns_names().join(", ");
    let names = escape::line(&names);
    match expiry {
        Expiry::Distant => {}
        Expiry::Due => log::info!("the certificate for {names} has {} left, less than a third of its life: renew it", days(left)),
        Expiry::Imminent => {
            log::warn!("the certificate for {names} has only {} left: renew it now, clients will refuse it then", days(left));
        }
        Expiry::Expired => log::error!(
            "the certificate for {names} has expired, and clients refuse it: renew it, or set this machine's clock if it is wrong"
        ),
    }
}

fn days(left: Duration) -> String {
    const DAY: u64 = 24 * 3600;
    match left.as_secs() {
        seconds if seconds >= 2 * DAY => format!("{} days", seconds / DAY),
        seconds if seconds >= 2 * 3600 => format!("{} hours", seconds / 3600),
        seconds if seconds >= 2 * 60 => format!("{} minutes", seconds / 60),
        _ => "less than two minutes".to_string(),
    }
}

#[cfg(test)]
mod tests;
