//! What the admin listener shows of a server: whether it lives, whether it is ready and why not, its metrics and its health. Joins
//! `operations` to the server. `builder` has its settings, and `bound` starts it.

use std::sync::Arc;
use std::time::Duration;

use super::counts::Counts;
use super::handle::Handle;
use super::readiness::{self, Condition};
use super::serve::Shared;
use crate::error::Error;
use crate::log_limiter::LogLimiter;
use crate::operations::admin::{Admin, Answer, Question, Watched};
use crate::operations::local_listener::{LocalListener, Reach};

/// What the builder was told.
#[derive(Default)]
pub(crate) struct Settings {
    pub admin: Option<String>,
    pub anywhere: bool,
    pub ready_grace: Duration,
    pub dropped_log_lines: Option<fn() -> u64>,
    #[cfg(feature = "proxy")]
    pub proxies: Vec<(String, crate::Proxy)>,
}

impl Settings {
    /// Opens the admin listener, if there is to be one.
    pub(super) fn open(&self) -> Result<Option<LocalListener>, Error> {
        #[cfg(feature = "proxy")]
        for (at, (name, _)) in self.proxies.iter().enumerate() {
            if self.proxies.iter().skip(at + 1).any(|(other, _)| other == name) {
                let fault = format!("{name:?} is the name of two proxies; give each a name of its own");
                return Err(Error::Setting { setting: "watch_proxy", fault });
            }
        }
        let reach = if self.anywhere { Reach::Anywhere } else { Reach::ThisMachine };
        self.admin.as_ref().map(|address| LocalListener::open(address, "admin", reach)).transpose()
    }

    /// The counts of a server with this many numbers of workers and of handlers. What its proxies log goes to this log.
    pub(super) fn counts(&mut self, workers: usize, handlers: usize, log: &Arc<LogLimiter>) -> Counts {
        let mut counts = Counts::new(workers, handlers);
        #[cfg(feature = "proxy")]
        {
            counts.proxies = std::mem::take(&mut self.proxies);
            counts.proxies.iter().for_each(|(_, proxy)| proxy.log_to(log));
        }
        #[cfg(not(feature = "proxy"))]
        let _ = log;
        counts.dropped_log_lines = self.dropped_log_lines;
        counts
    }
}

/// Starts the admin listener's thread, before the server's own: it says that they have not started yet.
pub(super) fn start(shared: &Arc<Shared>, listener: Option<LocalListener>) -> Result<Option<Admin>, Error> {
    let starting = |source| Error::Io { doing: "starting the admin listener", source };
    let started = listener.map(|listener| Admin::start(listener, Shows(shared.clone())));
    started.transpose().map_err(starting)
}

struct Shows(Arc<Shared>);

/// The answer to whether the server is ready.
fn answer_ready(conditions: &[Condition], verbose: bool) -> Answer {
    let is_ready = conditions.iter().all(|(_, why_not)| why_not.is_none());
    let mut text = String::new();
    for (name, why_not) in conditions {
        let parts = match why_not {
            Some(why_not) => ["[-] ", name, ": ", why_not, "\n"],
            None if verbose => ["[+] ", name, ": ok", "", "\n"],
            None => continue,
        };
        parts.into_iter().for_each(|part| text.push_str(part));
    }
    text.push_str(if is_ready { "ready\n" } else { "not ready\n" });
    Answer::text(if is_ready { 200 } else { 503 }, text)
}

impl Watched for Shows {
    fn answer(&self, question: Question) -> Answer {
        let shared = &self.0;
        let handle = Handle::of(shared.clone());
        match question {
            // A stop ends with this thread, so the server runs as long as this is asked.
            Question::Alive if shared.is_stopped() => Answer::text(503, "stopped\n"),
            Question::Alive => Answer::text(200, "alive\n"),
            Question::Ready { verbose } => answer_ready(&readiness::conditions(shared), verbose),
            Question::Metrics(format) => Answer {
                status: 200,
                content_type: format.content_type(),
                text: handle.metrics().write(format),
            },
            Question::Health => Answer {
                status: 200,
                content_type: "application/json",
                text: format!("{}\n", handle.health().to_json()),
            },
        }
    }

    fn has_name(&self, host: &str) -> bool {
        self.0.tls.current().identities.iter().any(|identity| identity.is_valid_for(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_ready_says_why_and_with_verbose_what_is_good_too() {
        let good = [("started", None), ("certificate", None)];
        assert_eq!(answer_ready(&good, false), Answer::text(200, "ready\n"));
        assert_eq!(
            answer_ready(&good, true),
            Answer::text(200, "[+] started: ok\n[+] certificate: ok\nready\n")
        );
        let bad = [("started", None), ("certificate", Some("it has expired"))];
        assert_eq!(
            answer_ready(&bad, false),
            Answer::text(503, "[-] certificate: it has expired\nnot ready\n")
        );
        let verbose = answer_ready(&bad, true);
        assert_eq!(verbose.text, "[+] started: ok\n[-] certificate: it has expired\nnot ready\n");
    }
}
