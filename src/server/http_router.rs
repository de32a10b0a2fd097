//! The program's router for the plain port: joins it and the redirect, which know nothing of each other. The builder calls it when
//! the program has asked for it; others do not link it.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use log::Level;

use super::serve::Shared;
use crate::http::origin::Serving;
use crate::http::response_head::FieldNames;
use crate::log_limiter::{LogLimiter, Sort};
use crate::redirect::{handlers, StartHandlers};
use crate::router::Router;

/// What a request over plain HTTP can ask: its server, once that is there.
#[derive(Clone, Default)]
pub(crate) struct OfServer(Arc<OnceLock<Arc<Shared>>>);

impl OfServer {
    /// Says which server it is. The redirect holds it, and the server does not hold the redirect.
    pub(super) fn is(&self, shared: &Arc<Shared>) {
        // It is said once.
        let _ = self.0.set(shared.clone());
    }
}

impl Serving for OfServer {
    /// Nobody watches the connection while the handler runs.
    fn client_is_gone(&self) -> bool {
        false
    }

    #[cfg(feature = "proxy")]
    fn is_in_clear(&self) -> bool {
        true
    }

    fn service(&self) -> &dyn Any {
        match self.0.get() {
            Some(shared) => shared,
            None => self,
        }
    }
}

/// Joins a router and the redirect.
pub(crate) fn join(
    router: Router,
    server: OfServer,
    field_names: FieldNames,
    log_limiter: Arc<LogLimiter>,
) -> StartHandlers {
    let router = Arc::new(router);
    let (routes, log) = (router.clone(), log_limiter.clone());
    let program = handlers::Program {
        serves: Box::new(move |method, raw_path| routes.has_handler(method, raw_path)),
        answer: Box::new(move |request| {
            router.answer(request, &mut |what, line| {
                let sort = Sort { target: "lockgate::redirect", level: Level::Error, what };
                log.write(sort, Instant::now(), format_args!("over plain HTTP {line}"));
            })
        }),
        server: Box::new(server),
        field_names,
        log_limiter,
    };
    Box::new(move |waker| handlers::start(program, waker))
}
