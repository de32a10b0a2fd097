//! A connection's turn, seen from outside: why it begins ([`Reason`]), and where the connection goes after it ([`Outcome`]).
//! Plain values and a trait, generic over the connection. The poller, the workers and the connection all use them.

use super::clock::Millis;

/// What has happened on a connection's socket while it waited or was served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signals {
    pub readable: bool,
    pub writable: bool,
    /// The client sends nothing more. It may still read.
    pub hung_up: bool,
    /// The connection is reset or broken in another way, so nobody reads an answer.
    pub gone: bool,
}

impl Signals {
    pub(crate) const READABLE: Signals =
        Signals { readable: true, writable: false, hung_up: false, gone: false };
    /// A further socket of the connection has something for it. Like room to write, that says nothing of what can be read.
    pub(crate) const SIDE: Signals = Signals { readable: false, writable: true, hung_up: false, gone: false };

    pub(crate) fn any(self) -> bool {
        self.readable || self.writable || self.hung_up
    }

    pub(crate) fn add(&mut self, other: Signals) {
        self.readable |= other.readable;
        self.writable |= other.writable;
        self.hung_up |= other.hung_up;
        self.gone |= other.gone;
    }
}

/// Why a connection gets a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its socket has something for it.
    Signals(Signals),
    /// Its deadline has passed.
    Expired,
}

impl Reason {
    /// What has to be looked at.
    pub(crate) fn signals(self) -> Signals {
        match self {
            Reason::Signals(signals) => signals,
            Reason::Expired => Signals::READABLE,
        }
    }
}

/// What a turn does with a request that needs its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handlers {
    /// Calls the handler.
    Call,
    /// Leaves the request for another worker.
    Defer,
    /// Refuses the request, because it has waited too long or too many wait.
    Refuse,
}

/// A connection with work for it.
pub(crate) struct Ready<C> {
    pub connection: C,
    pub reason: Reason,
    /// When the work came.
    pub since: Millis,
}

/// What a connection waits for, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parking {
    pub now: Millis,
    pub deadline: Millis,
    pub idle: Idle,
}

/// How a parked connection ranks when the server needs room for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    /// It is not closed to make room.
    No,
    /// It is sending a request head, since this time.
    Head(Millis),
    /// It is idle between two requests, or has had its last answer, since this time.
    Since(Millis),
    /// It sends a body or takes a response: `bytes` since `since`. Less than `min_rate` bytes a second is slow.
    Moving { since: Millis, bytes: u64, min_rate: u64 },
}

impl Idle {
    /// The connection with the lowest rank is closed first. `None` for one that is not closed now.
    pub(crate) fn rank(self, now: Millis, stalled_after: Millis) -> Option<(u8, u64)> {
        let stalled = |since| now.saturating_sub(since) >= stalled_after;
        match self {
            Idle::Head(since) if stalled(since) => Some((0, since)),
            Idle::Since(since) => Some((1, since)),
            Idle::Moving { since, bytes, min_rate } if stalled(since) => {
                let rate = bytes.saturating_mul(1_000) / now.saturating_sub(since).max(1);
                (rate < min_rate).then_some((2, rate))
            }
            Idle::No | Idle::Head(_) | Idle::Moving { .. } => None,
        }
    }
}

/// What workers give turns.
pub(crate) trait TakeTurn: Sized {
    /// What a worker keeps between turns and lends to each.
    type Buffers<'s>;

    /// Does what can be done without waiting. Does not panic.
    fn take_turn(ready: Ready<Self>, buffers: &mut Self::Buffers<'_>, handlers: Handlers) -> Outcome<Self>;

    /// Whether the turn has left work for its worker, to be done once the connection is where its outcome says.
    fn has_left_work(_: &Self::Buffers<'_>) -> bool {
        false
    }

    /// Does that work, which may block. Does not panic.
    fn do_left_work(_: &mut Self::Buffers<'_>) {}
}

/// Where a connection goes after its turn.
pub(crate) enum Outcome<C> {
    /// It waits for its socket or its deadline.
    Park(C, Parking),
    /// It waits for a worker that calls handlers.
    Queue(Ready<C>),
    /// It continues when others have had their turn.
    Again(Ready<C>),
    /// It waits for a place for its response's reader.
    AwaitReader(C),
    /// It is closed, and its key is free.
    Closed(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalled_heads_make_room_first_then_idle_ones_then_the_slowest_and_nobody_else() {
        let moving = |since, bytes| Idle::Moving { since, bytes, min_rate: 1_024 };
        let (now, stalled_after) = (100_000, 2_000);
        let order = [
            Idle::Head(90_000),
            Idle::Head(98_000),
            Idle::Since(50_000),
            Idle::Since(100_000),
            moving(90_000, 0),
            moving(90_000, 100),
            moving(98_000, 100),
            moving(70_000, 1_023 * 30),
        ];
        let ranks: Vec<_> = order.iter().map(|idle| idle.rank(now, stalled_after)).collect();
        assert!(
            ranks.iter().all(Option::is_some) && ranks.windows(2).all(|two| two[0] <= two[1]),
            "{ranks:?}"
        );
        for none in
            [Idle::No, Idle::Head(98_001), moving(98_001, 0), moving(70_000, 1_024 * 30), moving(0, u64::MAX)]
        {
            assert_eq!(none.rank(now, stalled_after), None, "{none:?}");
        }
    }
}
