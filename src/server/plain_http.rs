//! The settings of the plain port, and how the redirect there is opened. The builder keeps them, and opens the redirect with them
//! when the server is bound.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use super::agents;
use super::http_router::{self, OfServer};
#[cfg(feature = "operations")]
use super::service::passed;
use super::stopping::StopRedirect;
use crate::error::Error;
use crate::http::response_head::FieldNames;
use crate::http::target::EncodedSlash;
use crate::limits::Limits;
use crate::listen;
use crate::log_limiter::LogLimiter;
#[cfg(feature = "operations")]
use crate::operations::cidr::Cidr;
use crate::redirect::{self, HttpCredentials, StartHandlers};
use crate::router::Router;
use crate::tls::Live;

/// What the program has set for the plain port.
#[derive(Default)]
pub(crate) struct PlainHttp {
    /// The address of the redirect, and [`PlainHttp::open_at`]. A program without a redirect does not link it.
    redirect: Option<(String, OpenAt)>,
    /// A socket that was opened elsewhere.
    #[cfg(feature = "operations")]
    passed: Option<std::net::TcpListener>,
    router: Option<(Router, JoinRouter)>,
    pub public_name: Option<String>,
    pub public_port: Option<u16>,
    pub credentials: HttpCredentials,
    pub credential_headers: Vec<String>,
}

/// [`http_router::join`]. A program without a router for plain HTTP does not link it.
type JoinRouter = fn(Router, OfServer, FieldNames, Arc<LogLimiter>) -> StartHandlers;

type OpenAt = fn(PlainHttp, &str, &Surroundings<'_>) -> Result<Opened, Error>;

/// What the redirect needs of the server.
pub(crate) struct Surroundings<'s> {
    pub https_port: u16,
    pub limits: &'s Limits,
    pub encoded_slash: EncodedSlash,
    pub field_names: FieldNames,
    pub tls: &'s Arc<Live>,
    pub log_limiter: &'s Arc<LogLimiter>,
    #[cfg(feature = "operations")]
    pub proxy_from: &'s [Cidr],
}

/// An open redirect.
#[derive(Default)]
pub(crate) struct Opened {
    pub address: Option<SocketAddr>,
    pub serve: Option<redirect::Serve>,
    pub stop: Option<StopRedirect>,
    /// To be told which server it is.
    pub of: OfServer,
}

impl PlainHttp {
    pub(super) fn set_redirect(&mut self, address: String) {
        self.redirect = Some((address, PlainHttp::open_at));
    }

    #[cfg(feature = "operations")]
    pub(super) fn set_listener(&mut self, listener: std::net::TcpListener) {
        self.redirect = Some((String::new(), PlainHttp::open_at));
        self.passed = Some(listener);
    }

    /// The address of the redirect, if there is to be one.
    pub(super) fn address(&self) -> Option<&str> {
        self.redirect.as_ref().map(|(address, _)| &**address)
    }

    pub(super) fn set_router(&mut self, router: Router) {
        self.router = Some((router, http_router::join));
    }

    /// Checks what can be checked before anything is opened.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match &mut self.router {
            Some(_) if self.redirect.is_none() => Err(Error::Setting {
                setting: "http_router",
                fault: "it answers on the port of the redirect: .redirect_http(\"[::]:80\")".into(),
            }),
            Some((router, _)) => router.take_fault().map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    /// Opens the redirect, if there is one.
    pub(super) fn open(mut self, surroundings: &Surroundings<'_>) -> Result<Opened, Error> {
        match self.redirect.take() {
            Some((address, open_at)) => open_at(self, &address, surroundings),
            None => Ok(Opened::default()),
        }
    }

    fn open_at(mut self, address: &str, surroundings: &Surroundings<'_>) -> Result<Opened, Error> {
        #[cfg(feature = "operations")]
        let is_passed = self.passed.is_some();
        #[cfg(feature = "operations")]
        let (listener, address) = match self.passed.take() {
            Some(listener) => passed(listener, "redirect_listener")?,
            None => listen::open("HTTP", "redirect_http", address)?,
        };
        #[cfg(not(feature = "operations"))]
        let (listener, address) = listen::open("HTTP", "redirect_http", address)?;
        let Surroundings { field_names, tls, log_limiter, .. } = *surroundings;
        let of = OfServer::default();
        let join =
            |(router, join): (Router, JoinRouter)| join(router, of.clone(), field_names, log_limiter.clone());
        let handlers = self.router.take().map(join);
        let names = tls.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let opening = redirect::Opening {
            listener,
            settings: self.settings(surroundings),
            is_own: Box::new(move |host: &str| names.current().is_valid_for(host)),
            challenges: agents::challenges(&tls.current().identities),
            handlers,
            stop: stop.clone(),
            #[cfg(feature = "operations")]
            is_passed,
            log_limiter: log_limiter.clone(),
            #[cfg(feature = "operations")]
            proxy_from: surroundings.proxy_from.to_vec(),
        };
        let (serve, waker) = redirect::open(opening)?;
        let stop = Some(StopRedirect { stop, waker, state: Arc::default() });
        Ok(Opened { address: Some(address), serve: Some(serve), stop, of })
    }

    fn settings(self, surroundings: &Surroundings<'_>) -> redirect::Settings {
        let Surroundings { https_port, limits, encoded_slash, field_names, .. } = *surroundings;
        redirect::Settings {
            public_name: self.public_name,
            public_port: self.public_port.unwrap_or(https_port),
            credentials: self.credentials,
            credential_headers: self.credential_headers,
            connections: limits.redirect_connections,
            head_bytes: limits.head_bytes,
            head_timeout: limits.head_timeout,
            head_fields: limits.head_fields,
            encoded_slash,
            field_names,
        }
    }
}
