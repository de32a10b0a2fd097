//! What all requests of a proxy share: its settings, its targets, and the memory for requests. `mod` makes it, and each request
//! holds a part of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Secures;
use super::prefix::Prefix;
use super::shortage::Shortage;
use super::target::{HostField, Target};
use super::targets::Targets;
use crate::limits::body_memory::Budget;
use crate::limits::timer_fault;
use crate::url::is_host_field;

/// The memory for all requests that are not sent yet, in bytes.
pub(crate) const MEMORY_BYTES: usize = 32 << 20;

/// The backends whose cookies the log tells of already: several routes may lead to one, each with a proxy of its own.
static TOLD_OF_COOKIES: Mutex<Vec<String>> = Mutex::new(Vec::new());
const MOST_TOLD: usize = 256;

/// How often the log says at most what this machine lacks: all requests meet it at once.
const TELL_OF_SHORTAGE: Duration = Duration::from_secs(60);
/// When it was said last, by what is lacking.
static TOLD_OF_SHORTAGE: Mutex<[Option<Instant>; Shortage::KINDS]> = Mutex::new([None; Shortage::KINDS]);

/// What all requests of a proxy share.
pub(super) struct Shared {
    pub targets: Targets,
    pub settings: Settings,
    pub memory: Arc<Budget>,
    /// Whether the log says that cookies get `Secure`.
    has_told_of_cookies: AtomicBool,
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub host: HostField,
    pub connect: Duration,
    pub first_byte: Duration,
    pub between_bytes: Duration,
    pub secure_cookies: bool,
    /// How many requests may be at one target.
    pub most: usize,
    /// How many may wait for one, and how long.
    pub most_waiting: usize,
    pub queue_timeout: Duration,
    /// What is taken off the path.
    pub prefix: Option<Prefix>,
    /// What makes connections secure.
    pub secures: Option<Arc<dyn Secures>>,
    /// The first thing that was said and cannot be. Nothing is then sent to a backend.
    pub fault: Option<String>,
    /// How long a tunnel may be silent.
    pub tunnel: Duration,
    pub client_cert: ClientCert,
}

/// What the backend is told of the client's certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientCert {
    Nothing,
    Own,
    Chain,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            host: HostField::AsAsked,
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            between_bytes: Duration::from_secs(60),
            secure_cookies: true,
            most: 1_024,
            most_waiting: 1_024,
            queue_timeout: Duration::from_secs(5),
            prefix: None,
            secures: None,
            fault: None,
            tunnel: Duration::from_secs(60 * 60),
            client_cert: ClientCert::Nothing,
        }
    }
}

impl Settings {
    /// Sets `Host` if that is what the field may hold (RFC 9110 §7.2).
    pub(super) fn set_host(&mut self, host: String) {
        if is_host_field(&host) {
            self.host = HostField::Set(host);
        } else {
            self.refuse(format!("host: {host:?} is not a name or an address, with a port or without"));
        }
    }

    /// Sets the time of this name, which is at this place.
    pub(super) fn set_time(
        &mut self,
        name: &str,
        value: Duration,
        place: fn(&mut Settings) -> &mut Duration,
    ) {
        match timer_fault(value) {
            Some(fault) => self.refuse(format!("{name}: {fault}")),
            None => *place(self) = value,
        }
    }

    pub(super) fn set_most(&mut self, most: usize) {
        match most {
            0 => self.refuse("at_a_time: 0 is out of range; it is at least 1".to_string()),
            _ => self.most = most,
        }
    }

    fn refuse(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }
}

impl Shared {
    pub(super) fn new(targets: Vec<Target>, settings: Settings) -> Shared {
        Shared {
            targets: Targets::new(targets, settings.most, settings.most_waiting),
            settings,
            memory: Arc::new(Budget::new(MEMORY_BYTES)),
            has_told_of_cookies: AtomicBool::new(false),
        }
    }

    /// The same targets with other settings. Apart from the setters, each of which would have it once more.
    #[inline(never)]
    pub(super) fn with(&self, settings: Settings) -> Arc<Shared> {
        Arc::new(Shared::new(self.targets.all().cloned().collect(), settings))
    }

    /// This machine lacks something for a connection to this backend.
    pub(super) fn meet(&self, shortage: Shortage, name: &str, now: Instant) {
        if shortage.is_of_files() {
            self.targets.close_kept();
        }
        let mut told = TOLD_OF_SHORTAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = told.get_mut(shortage as usize) else { return };
        if last.map_or(true, |last| now.saturating_duration_since(last) >= TELL_OF_SHORTAGE) {
            *last = Some(now);
            drop(told);
            let why = shortage.clause();
            log::error!(target: "lockgate::proxy", "no connection to the backend {name} can be opened: {why}");
        }
    }

    /// Says once in a program that a cookie of the backend has got `Secure`, because it is not what the backend has sent.
    pub(super) fn tell_of_cookies(&self) {
        if !self.has_told_of_cookies.swap(true, Ordering::Relaxed) {
            let names = self.targets.names();
            let mut told = TOLD_OF_COOKIES.lock().unwrap_or_else(PoisonError::into_inner);
            if told.contains(&names) {
                return;
            }
            if told.len() < MOST_TOLD {
                told.push(names.clone());
            }
            log::info!(target: "lockgate::proxy", "cookies of {names} get Secure, so that clients send them over HTTPS only");
        }
    }
}
