//! The places that a request holds among those that a router answers at a time. Knows responses. `scope` and `timed` call it.

use std::io::{self, Read};

use crate::http::response::{Payload, Response};
use crate::limits::route::Permit;

/// Keeps the places of a request until its response is made; those of a streamed one until it is sent, and those of one that comes
/// later until it has come, or for as long as it says.
pub(super) fn hold(permits: Vec<Permit>, mut response: Response) -> Response {
    struct Held(Box<dyn Read + Send>, #[allow(dead_code)] Vec<Permit>);

    impl Read for Held {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.0.read(out)
        }
    }

    if permits.is_empty() {
        return response;
    }
    response.body = match response.body {
        Payload::Reader { reader, length } => {
            Payload::Reader { reader: Box::new(Held(reader, permits)), length }
        }
        #[cfg(feature = "proxy")]
        Payload::Live(mut body) => {
            body.hold(permits);
            Payload::Live(body)
        }
        #[cfg(feature = "proxy")]
        Payload::Pending(mut response) => {
            response.hold(permits);
            Payload::Pending(response)
        }
        body => body,
    };
    response
}
