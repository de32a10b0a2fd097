//! The agents of the server's identities: checks that the server meets their needs, and starts and stops them with it.
//!
//! Knows the trait in `tls::agent` and no agent. `builder` and `run` call it. When no identity can have an agent, as without
//! the feature `acme`, none of this is linked.

use std::time::{Duration, Instant};

use super::serve::Shared;
use crate::error::Error;
use crate::redirect;
use crate::tls::agent::{AtWork, Surroundings};
use crate::tls::Identity;

/// How long a stopping server waits for agents. Their work can be cut off safely at any point.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// The running agents.
pub(super) struct Agents(Vec<Box<dyn AtWork>>);

impl Agents {
    /// # Errors
    /// [`Error::Io`] when a thread cannot be started. Agents that were started are asked to stop.
    pub(super) fn start(shared: &Shared) -> Result<Agents, Error> {
        let serving = shared.tls.current();
        let mut at_work = Agents(Vec::new());
        for (index, identity) in serving.identities.iter().enumerate() {
            let Some(agent) = identity.agent() else { continue };
            let renewal = shared.renewal.clone();
            let on_failure =
                Box::new(move |error: &Error, retry_in| renewal.tell_failure(index, error, retry_in));
            let started = agent.clone().start(on_failure);
            at_work.0.push(started.map_err(|source| Error::Io { doing: "starting a thread", source })?);
        }
        Ok(at_work)
    }

    /// Asks them to stop. Returns at once.
    pub(super) fn stop(&self) {
        self.0.iter().for_each(|agent| agent.stop());
    }

    /// Waits until they have stopped, for a while.
    pub(super) fn wait(&self) {
        let until = Instant::now() + LAST_WAIT;
        if !self.0.iter().all(|agent| agent.wait(until.saturating_duration_since(Instant::now()))) {
            log::warn!("stopping: a certificate was being obtained; it goes on at the next start");
        }
    }
}

/// Checks that the names of these identities can be validated on this server.
///
/// # Errors
/// [`Error::Setting`] for two agents in one directory, and for a need of an agent that the server does not meet.
pub(super) fn check(identities: &[Identity], server: Surroundings) -> Result<(), Error> {
    let agents: Vec<_> = identities.iter().filter_map(Identity::agent).collect();
    let shared = agents.iter().enumerate().find(|(before, agent)| {
        agents.iter().take(*before).any(|other| other.state_dir() == agent.state_dir())
    });
    if let Some((_, agent)) = shared {
        let fault = format!(
            "{} keeps one certificate, and two are to be obtained there; put all names into one, or give each a directory of \
             its own",
            agent.state_dir().display()
        );
        return Err(Error::Setting { setting: "state_dir", fault });
    }
    agents.iter().try_for_each(|agent| agent.check(server))
}

/// The redirect's answers to authorities that validate a name. `None` when no identity has an agent.
pub(super) fn challenges(identities: &[Identity]) -> Option<Box<redirect::Challenges>> {
    // Where no identity can bring an agent, the compiler sees that this is the end.
    identities.iter().find_map(Identity::agent)?;
    let agents: Vec<_> = identities.iter().filter_map(Identity::agent).cloned().collect();
    Some(Box::new(move |token: &str| agents.iter().find_map(|agent| agent.answer(token))))
}
