//! The agents of identities that come from an authority: started with the server, stopped with it. And the same without a
//! server, once, for a command.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::acme::{Acme, Agent, AtWork, Challenge, Urgency};
use crate::error::Error;
use crate::http::response_head::FieldNames;
use crate::http::target::EncodedSlash;
use crate::limits::Limits;
use crate::listen;
use crate::log_limiter::LogLimiter;
use crate::redirect::{self, HttpCredentials, Settings};
use crate::server::Shared;
use crate::tls::{Clients, Identity, Origin};

/// How long the end waits for agents; what they do is safe to cut off at any point.
const LAST_WAIT: Duration = Duration::from_secs(1);

pub(crate) struct Agents(Vec<AtWork>);

impl Agents {
    pub(crate) fn start(shared: &Shared) -> Result<Agents, Error> {
        let serving = shared.tls.current();
        let mut at_work = Agents(Vec::new());
        for (index, identity) in serving.identities.iter().enumerate() {
            let Some(agent) = identity.origin().and_then(Origin::agent) else { continue };
            let renewal = shared.renewal.clone();
            let told = Box::new(move |error: &Error, retry_in| renewal.tell_failure(index, error, retry_in));
            let started = agent.clone().start(told);
            at_work.0.push(started.map_err(|source| Error::Io { doing: "starting a thread", source })?);
        }
        Ok(at_work)
    }

    pub(crate) fn stop(&self) {
        self.0.iter().for_each(AtWork::stop);
    }

    /// Waits until they have stopped, for a while.
    pub(crate) fn wait(&self) {
        let until = Instant::now() + LAST_WAIT;
        if !self.0.iter().all(|agent| agent.wait(until.saturating_duration_since(Instant::now()))) {
            log::warn!("stopping: a certificate was being obtained; it goes on at the next start");
        }
    }
}

/// Whether the server that is described can prove the names of these identities.
pub(crate) fn check(
    identities: &[Identity],
    redirects: bool,
    clients: Option<&Clients>,
) -> Result<(), Error> {
    let agents: Vec<_> = identities.iter().filter_map(Identity::origin).filter_map(Origin::agent).collect();
    let mut directories = BTreeSet::new();
    if let Some(agent) = agents.iter().find(|agent| !directories.insert(agent.state_dir())) {
        let fault = format!(
            "{} keeps one certificate, and two are to be obtained there; put all names into one, or give each a directory of \
             its own",
            agent.state_dir().display()
        );
        return Err(Error::Setting { setting: "state_dir", fault });
    }
    for challenge in agents.iter().map(|agent| agent.challenge()) {
        let fault = match challenge {
            Challenge::Http01 if !redirects => {
                "http-01 is answered where plain HTTP is, which is nowhere; serve redirects too (redirect_http, --http), or \
                 prove the names with tls-alpn-01"
            }
            Challenge::TlsAlpn01 if clients.is_some_and(Clients::are_required) => {
                "tls-alpn-01 is asked by an authority that has no certificate of its own, and clients must have one here; \
                 prove the names with http-01"
            }
            Challenge::Http01 | Challenge::TlsAlpn01 => continue,
        };
        return Err(Error::Setting { setting: "challenge", fault: fault.into() });
    }
    Ok(())
}

impl Acme {
    /// Gets a certificate without a server, once, and waits for it: for a first certificate before anything is served, and
    /// for programs that serve with something else. Plain HTTP is answered at `http` meanwhile, which authorities must
    /// reach as port 80; names are proven with [`Challenge::Http01`] only.
    ///
    /// Renews, or not, as `urgency` says. A failure in the past does not hold it back, only that the last order is younger
    /// than 2 min.
    ///
    /// # Errors
    /// [`Error::Acme`] when there is no certificate in the end; [`Error::Setting`] for settings that cannot be, and for the
    /// challenge that needs a server; [`Error::Listen`] when `http` cannot be had.
    pub fn obtain(&self, http: impl Into<String>, urgency: Urgency) -> Result<Identity, Error> {
        let agent = Agent::new(self)?;
        if agent.challenge() != Challenge::Http01 {
            let fault = "tls-alpn-01 is answered where HTTPS is served: serve with this identity, and the certificate is \
                         obtained there; or take http-01"
                .to_string();
            return Err(Error::Setting { setting: "challenge", fault });
        }
        let (listener, address) = listen::open("http-01", "http", &http.into())?;
        let limits = Limits::default();
        let settings = Settings {
            public_name: None,
            public_port: address.port(),
            credentials: HttpCredentials::default(),
            credential_headers: Vec::new(),
            connections: limits.redirect_connections,
            head_bytes: limits.head_bytes,
            head_timeout: limits.head_timeout,
            head_fields: limits.head_fields,
            encoded_slash: EncodedSlash::Refused,
            field_names: FieldNames::LowerCase,
        };
        let board = agent.challenges().clone();
        let answers = Box::new(move |token: &str| board.answer(token));
        // Nothing is redirected: there is nothing to redirect to.
        let is_own = Box::new(|_: &str| false);
        let stop = Arc::new(AtomicBool::new(false));
        let log_limiter = Arc::new(LogLimiter::new(|| {}));
        let (serve, waker) = redirect::open(redirect::Opening {
            listener,
            settings,
            is_own,
            challenges: Some(answers),
            stop: stop.clone(),
            log_limiter,
        })?;
        let thread = thread::Builder::new()
            .name("lockgate-http".into())
            .spawn(serve)
            .map_err(|source| Error::Io { doing: "starting a thread", source })?;
        let obtained = agent.once(urgency);
        stop.store(true, Ordering::Release);
        match waker.wake() {
            // It ends within a second; whatever it has to say was about clients.
            Ok(()) => drop(thread.join()),
            Err(error) => log::error!("a thread could not be woken: {error}"),
        }
        obtained
    }
}
