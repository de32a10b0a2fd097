//! Answers a request whose response was to come later (`pending`), once it is there. `state` calls it for a connection that waits so.

use std::io;

use super::link::Link;
use super::next::{Later, Next};
use super::step::Turn;
use super::transport::Stream;

/// Nothing comes later.
#[cfg(not(feature = "handler-timeout"))]
pub(crate) fn answer<S: Stream>(
    _: &mut Link<S>,
    later: &mut Later,
    _: &mut Turn<'_, '_>,
) -> io::Result<Next> {
    match *later {}
}

/// Answers a request if its response has come meanwhile.
#[cfg(feature = "handler-timeout")]
#[cold]
#[inline(never)]
pub(crate) fn answer<S: Stream>(
    link: &mut Link<S>,
    later: &mut Later,
    turn: &mut Turn<'_, '_>,
) -> io::Result<Next> {
    use super::exchange;
    use super::pending::{Answer, Side};
    use crate::server::deadline::Deadline;

    let Turn { since, buffers, .. } = turn;
    let side = match link.transport.has_hung_up() {
        false => Side::Open,
        true if link.transport.is_broken() => Side::Broken,
        true => Side::Closed,
    };
    let response = match later.0.poll(link.peer, side, buffers) {
        Answer::Now(response) => response,
        Answer::Later(due) => {
            link.deadline = Deadline::own(due);
            return Ok(Next::Wait);
        }
        Answer::Never => return Ok(Next::Close),
    };
    let (asked, persistence, record) = later.0.request();
    let next = exchange::respond(link, response, &asked, persistence, record, buffers)?;
    *since = buffers.millis();
    Ok(next)
}
