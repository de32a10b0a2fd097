//! Obtains a certificate once, without a server: for the command, and for programs that serve with something else.
//!
//! Programs call it. The redirect's thread answers plain HTTP while the agent works on the calling thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;

use super::agent::{Agent, Urgency};
use super::challenge::Challenge;
use super::config::Acme;
use crate::error::Error;
use crate::http::response_head::FieldNames;
use crate::http::target::EncodedSlash;
use crate::limits::Limits;
use crate::listen;
use crate::log_limiter::LogLimiter;
use crate::redirect::{self, HttpCredentials, Settings};
use crate::tls::agent::Agent as _;
use crate::tls::Identity;

impl Acme {
    /// Obtains a certificate once, without a server, and waits for it: for a first certificate before anything is served, and
    /// for programs that serve with something else. Meanwhile plain HTTP is answered at the address `http`, which authorities
    /// must reach as port 80. Names are validated only with [`Challenge::Http01`].
    ///
    /// `urgency` says whether a good certificate is renewed. Earlier failures do not delay it, but the last order must be at
    /// least 2 min old.
    ///
    /// # Errors
    /// [`Error::Acme`] when there is no certificate in the end; [`Error::Setting`] for invalid settings, and for the challenge
    /// that needs a server; [`Error::Listen`] when `http` is not available.
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
        let agent = Arc::new(agent);
        let asked = agent.clone();
        let answers = Box::new(move |token: &str| asked.answer(token));
        // Nothing is redirected, because there is no HTTPS server.
        let is_own = Box::new(|_: &str| false);
        let stop = Arc::new(AtomicBool::new(false));
        let log_limiter = Arc::new(LogLimiter::new(|| {}));
        let (serve, waker) = redirect::open(redirect::Opening {
            listener,
            settings,
            is_own,
            challenges: Some(answers),
            handlers: None,
            stop: stop.clone(),
            #[cfg(feature = "operations")]
            is_passed: false,
            log_limiter,
            #[cfg(feature = "operations")]
            proxy_from: Vec::new(),
        })?;
        let thread = thread::Builder::new()
            .name("lockgate-http".into())
            .spawn(serve)
            .map_err(|source| Error::Io { doing: "starting a thread", source })?;
        let obtained = agent.once(urgency);
        stop.store(true, Ordering::Release);
        match waker.wake() {
            // It ends within a second, and its result does not matter here.
            Ok(()) => drop(thread.join()),
            Err(error) => log::error!("a thread could not be woken: {error}"),
        }
        obtained
    }
}
