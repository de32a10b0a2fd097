//! A handler that has a time limit. Its request is taken out of its connection, which waits without a thread for the response or for
//! the end of the time; the worker calls the handler meanwhile. Knows requests and responses, and no thread. `scope` calls it.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ::http::{Extensions, StatusCode};

use super::endpoint::{told, Endpoint};
use super::held::hold;
use crate::handler_call::{self, Fault};
use crate::http::detached::Detached;
use crate::http::layer::{Layer, Next};
use crate::http::origin::Serving;
use crate::http::pending::{Begun, Call, Lent, PendingResponse, Polled, Work};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::Refusal;
use crate::limits::handler_timeout::HandlerTimeout;
use crate::limits::limit::Limit;
use crate::limits::route::Permit;
#[cfg(feature = "tls-parameters")]
use crate::tls::TlsParameters;
use crate::wake_list::Waker;

const LATE: Refusal = Refusal::over(
    Limit::HandlerTimeout,
    StatusCode::SERVICE_UNAVAILABLE,
    "making the answer takes longer than it may here",
);

/// Calls a handler within these layers, and refuses the request when that takes too long. Where nothing can wait for the handler, the
/// refusal comes when it returns.
pub(super) fn call(
    timeout: &HandlerTimeout,
    permits: Vec<Permit>,
    layers: &[Arc<dyn Layer>],
    endpoint: &Endpoint,
    request: &mut Request<'_>,
) -> Result<Response, Refusal> {
    let run = |request: &mut Request<'_>| Next::new(layers, &*endpoint.handler.function).run(request);
    if !request.origin().waits_for_responses() {
        let began = Instant::now();
        let response = run(request);
        if began.elapsed() < timeout.most {
            return Ok(hold(permits, response));
        }
        drop_outside(response, Extensions::new());
        return Err(LATE);
    }
    let Some(detached) = Detached::of(request) else {
        // The handler reads from the connection.
        return Ok(hold(permits, run(request)));
    };
    let slot = Arc::new(Slot::default());
    let (layers, handler) = (layers.to_vec(), endpoint.handler.function.clone());
    let handling = Handling {
        slot: slot.clone(),
        timeout: timeout.clone(),
        #[cfg(feature = "tls-parameters")]
        tls: request.tls(),
    };
    let work = move |lent: Lent<'_>| {
        handling.run(detached, permits, lent, |request| Next::new(&layers, &*handler).run(request));
    };
    let work = Some(Work { handler: endpoint.index, run: Box::new(work) });
    Ok(Response::pending(Timed { timeout: timeout.clone(), slot, work }))
}

/// The response of a handler that has a time limit.
struct Timed {
    timeout: HandlerTimeout,
    slot: Arc<Slot>,
    work: Option<Work>,
}

/// Where a handler leaves its response.
#[derive(Default)]
struct Slot(Mutex<State>);

#[derive(Default)]
struct State {
    waker: Option<Waker>,
    result: Outcome,
}

#[derive(Default)]
enum Outcome {
    #[default]
    Awaited,
    Made(Response, Extensions),
    /// The client has been answered without it. The handler is late.
    Late,
    /// Nobody waits for it: it is taken, or the client is gone.
    Unwanted,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is a single assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_awaited(&self) -> bool {
        matches!(self.lock().result, Outcome::Awaited)
    }

    /// Leaves the response for the connection. Returns it if nobody waits for it.
    fn leave(&self, response: Response, values: Extensions) -> Option<(Response, Extensions)> {
        let mut state = self.lock();
        if !matches!(state.result, Outcome::Awaited) {
            return Some((response, values));
        }
        state.result = Outcome::Made(response, values);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }
}

/// The handler's side. Its end is that of the handler.
struct Handling {
    slot: Arc<Slot>,
    timeout: HandlerTimeout,
    #[cfg(feature = "tls-parameters")]
    tls: Option<TlsParameters>,
}

impl Handling {
    /// Calls the handler, and passes its response on if somebody waits for it.
    fn run(
        self,
        mut detached: Detached,
        permits: Vec<Permit>,
        Lent { service, fault }: Lent<'_>,
        run: impl FnOnce(&mut Request<'_>) -> Response,
    ) {
        if !self.slot.is_awaited() {
            return;
        }
        let server = Watched { service, handling: &self };
        let mut request = detached.request(&server);
        let response = hold(permits, run(&mut request));
        for Fault { what, text } in handler_call::faults() {
            fault(what, told(&request, &text));
        }
        let values = std::mem::take(request.extensions_mut());
        drop(request);
        if let Some((response, values)) = self.slot.leave(response, values) {
            drop_outside(response, values);
            for Fault { what, text } in handler_call::faults() {
                fault(what, format!("a late handler's response {text}"));
            }
        }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        if matches!(self.slot.lock().result, Outcome::Late) {
            self.timeout.note_returned();
        }
    }
}

/// Drops what the program has made, which may panic. The faults tell what went wrong.
fn drop_outside(response: Response, values: Extensions) {
    let _: Option<()> = handler_call::run("a panic in a handler", || drop((response, values)));
}

impl PendingResponse<Response> for Timed {
    fn begin(&mut self, waker: Waker) -> Begun {
        self.slot.lock().waker = Some(waker);
        Begun { wait: self.timeout.most, work: self.work.take(), ends_with_client: false }
    }

    fn poll(&mut self, call: Call) -> Polled<Response> {
        let mut state = self.slot.lock();
        match std::mem::replace(&mut state.result, Outcome::Unwanted) {
            Outcome::Made(response, values) => Polled::Made(response, values),
            Outcome::Awaited if call != Call::Due => {
                state.result = Outcome::Awaited;
                Polled::Wait(self.timeout.most)
            }
            Outcome::Awaited => {
                state.result = Outcome::Late;
                self.timeout.note_late();
                Polled::Refused(LATE)
            }
            over @ (Outcome::Late | Outcome::Unwanted) => {
                state.result = over;
                Polled::Refused(LATE)
            }
        }
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let mut state = self.slot.lock();
        if matches!(state.result, Outcome::Late) {
            return;
        }
        let result = std::mem::replace(&mut state.result, Outcome::Unwanted);
        drop(state);
        drop(result);
    }
}

/// The server, for a handler whose client may have been answered already.
struct Watched<'w> {
    service: &'w dyn Any,
    handling: &'w Handling,
}

impl Serving for Watched<'_> {
    fn client_is_gone(&self) -> bool {
        // The connection's key may be another's by now, so the server is not asked.
        !self.handling.slot.is_awaited()
    }

    #[cfg(feature = "tls-parameters")]
    fn tls(&self) -> Option<TlsParameters> {
        self.handling.tls
    }

    fn service(&self) -> &dyn Any {
        self.service
    }
}
