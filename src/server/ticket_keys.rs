//! Keeps the keys of session tickets that servers share up to date: reads their file again when it changes, and says when they
//! have grown old. `renewal` calls it, on its thread and for a reload.

use std::time::{Duration, Instant, SystemTime};

use super::schedule::{Schedule, LONGEST_REST};
use crate::error::Error;
use crate::escape;
use crate::tls::{Expiry, Live, Stamp};

pub(super) const TICKET_KEYS_STAY: &str = "the keys of session tickets stay as they are";

/// The error without the setting's name, which the lines about the keys have in words.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::Setting { fault, .. } => fault.clone(),
        other => other.to_string(),
    }
}

/// Reads the file again, if there is one, and uses the keys.
pub(super) fn read_again(live: &Live) -> Result<(), Error> {
    let Some(shared) = live.current().shared_keys().cloned() else { return Ok(()) };
    let read = shared.load_again()?;
    let id = read.keys.id();
    live.replace_shared_keys(read)?;
    log::info!("the keys of session tickets are read again, and in use: {id}");
    Ok(())
}

/// When the file is read again, and when the log says that its keys are old.
pub(super) struct TicketKeysRounds(Schedule);

impl TicketKeysRounds {
    pub(super) fn new(now: Instant) -> TicketKeysRounds {
        TicketKeysRounds(Schedule::new(now))
    }

    /// Looks after the file once. Returns how long to sleep if nothing happens.
    pub(super) fn round(
        &mut self,
        live: &Live,
        read_again: &dyn Fn() -> Result<(), Error>,
        now: Instant,
        clock: SystemTime,
    ) -> Duration {
        let TicketKeysRounds(schedule) = self;
        let Some(shared) = live.current().shared_keys().cloned() else { return LONGEST_REST };
        let stamp = Stamp::of(std::slice::from_ref(shared.path()));
        if schedule.should_ask(&stamp, shared.stamp(), now) {
            match read_again() {
                Ok(()) => schedule.succeeded(now),
                Err(error) => {
                    let retry_in = schedule.failed(stamp, now);
                    log::error!("{TICKET_KEYS_STAY}, next try in {retry_in:?}: {}", words(&error));
                }
            }
        }
        let old = live.current().shared_keys().and_then(|shared| shared.keys.days_if_old(clock));
        let expiry = if old.is_some() { Expiry::Due } else { Expiry::Distant };
        if schedule.should_tell(expiry, now) {
            log::warn!(
                "{}: the keys of session tickets are {} days old: exchange them (lockgate ticket-keys rotate)",
                escape::path(shared.path()),
                old.unwrap_or_default()
            );
        }
        schedule.next(now)
    }
}
