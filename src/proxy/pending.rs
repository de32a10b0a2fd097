//! Lets a server wait for a backend's answer without a thread. `mod` makes it, and the server polls it.

use std::time::{Duration, Instant};

use ::http::{Extensions, HeaderMap};

use super::exchange::{Exchange, Progress};
use super::response;
use crate::http::passing::TakesBody;
use crate::http::pending::{Begun, Call, PendingResponse, Polled};
use crate::http::response::{Payload, Response};
use crate::limits::route::Permit;
use crate::wake_list::Waker;

/// An answer that a server waits for.
pub(super) struct Awaited {
    exchange: Exchange,
    waker: Option<Waker>,
    /// An answer that was there at once.
    made: Option<Progress>,
    /// What layers have set.
    around: Option<Box<HeaderMap>>,
    /// What it holds of its router.
    places: Vec<Permit>,
}

impl Awaited {
    pub(super) fn new(exchange: Exchange) -> Awaited {
        Awaited { exchange, waker: None, made: None, around: None, places: Vec::new() }
    }
}

impl PendingResponse<Response> for Awaited {
    /// Sends the request, so that the backend works while the client's connection is parked.
    fn begin(&mut self, waker: Waker) -> Begun {
        let now = Instant::now();
        let wait = match self.exchange.advance(&waker, now) {
            Progress::Wait(until) => until.saturating_duration_since(now),
            made => {
                self.made = Some(made);
                waker.wake();
                Duration::ZERO
            }
        };
        self.waker = Some(waker);
        // nginx takes a client that has closed its side for one that has left, too.
        Begun { wait, work: None, ends_with_client: true }
    }

    fn taker(&mut self) -> Option<&mut dyn TakesBody> {
        self.exchange.taker()
    }

    fn surround(&mut self, fields: Option<Box<HeaderMap>>) {
        self.around = fields;
    }

    fn hold(&mut self, places: Vec<Permit>) {
        self.places = places;
    }

    fn poll(&mut self, _: Call) -> Polled<Response> {
        let progress = match (self.made.take(), &self.waker) {
            (Some(made), _) => made,
            (None, Some(waker)) => self.exchange.advance(waker, Instant::now()),
            (None, None) => return Polled::Wait(Duration::ZERO),
        };
        match progress {
            Progress::Wait(until) => Polled::Wait(until.saturating_duration_since(Instant::now())),
            Progress::Interim(response) => Polled::Interim(response),
            Progress::Made(mut response) => {
                if let Some(around) = self.around.take() {
                    response::surround(&mut response, *around);
                }
                if let Payload::Live(body) = &mut response.body {
                    body.hold(std::mem::take(&mut self.places));
                }
                Polled::Made(response, Extensions::new())
            }
        }
    }
}
