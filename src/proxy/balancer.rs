//! Which target gets a request: the least busy one of those that are used, or none yet, or none at all. A value with the time
//! passed in: it knows no socket. `targets` has it under one lock, and does what it says.

use std::time::Instant;

use super::ejection::{Ejection, Standing};
use super::queue::Queue;

/// The targets of a proxy, as far as a choice needs them, and the requests that wait for one.
#[derive(Debug)]
pub(super) struct Balancer<W> {
    pub targets: Vec<Busy>,
    pub queue: Queue<W>,
    /// Where the next search begins, so that equally busy targets take turns.
    turn: usize,
    /// How many requests may be at one target.
    at_a_time: usize,
    /// How many may wait.
    pub most_waiting: usize,
}

/// One target.
#[derive(Debug)]
pub(super) struct Busy {
    pub in_flight: usize,
    pub ejection: Ejection,
    /// Whether its last answer was one of HTTP/1.0, which knows no chunks (RFC 9112 §6.1) and no `Expect`.
    pub is_old: bool,
    /// When it was asked last for a connection and gave none.
    pub asked: Option<Instant>,
}

/// What follows for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    Target {
        index: usize,
        epoch: u32,
        is_trial: bool,
    },
    /// A connection to this target is to be tried first, or a late answer of it to be looked for.
    Attempt(usize),
    /// All have as many requests as they may have, or an older request waits.
    Full,
    /// None takes connections.
    NoneReachable,
}

impl<W: Clone> Balancer<W> {
    pub(super) fn new(targets: usize, at_a_time: usize, most_waiting: usize) -> Balancer<W> {
        let busy = || Busy { in_flight: 0, ejection: Ejection::new(), is_old: false, asked: None };
        Balancer {
            targets: (0..targets).map(|_| busy()).collect(),
            queue: Queue::new(),
            turn: 0,
            at_a_time: at_a_time.max(1),
            most_waiting,
        }
    }

    /// Picks for the request with this number, and counts it at its target. `except` is the target that has failed it, and
    /// `is_in_chunks` says that its body is: where it failed, and where chunks are not known, it goes only if there is no other.
    pub(super) fn pick(
        &mut self,
        number: u64,
        except: Option<usize>,
        is_in_chunks: bool,
        now: Instant,
    ) -> Pick {
        let due = self.targets.iter_mut().position(|busy| busy.ejection.begin_attempt(now));
        if let Some(index) = due {
            return Pick::Attempt(index);
        }
        if self.outage().is_some() {
            return Pick::NoneReachable;
        }
        if !self.queue.is_first(number) {
            return Pick::Full;
        }
        let may = |index: usize, busy: &Busy| Some(index) != except && !(is_in_chunks && busy.is_old);
        if let Some(index) = self.trial(may, now) {
            return self.count(index, true);
        }
        let others = self.least_busy(may);
        if let Some(index) = others.or_else(|| self.least_busy(|_, _| true)) {
            return self.count(index, false);
        }
        match self.trial(|_, _| true, now) {
            Some(index) => self.count(index, true),
            None => Pick::Full,
        }
    }

    /// Begins the trial of a target whose pause has ended, if there is one.
    fn trial(&mut self, may: impl Fn(usize, &Busy) -> bool, now: Instant) -> Option<usize> {
        (0..self.targets.len()).find(|&index| {
            let busy = &mut self.targets[index];
            may(index, busy) && busy.in_flight < self.at_a_time && busy.ejection.begin_trial(now)
        })
    }

    fn count(&mut self, index: usize, is_trial: bool) -> Pick {
        let busy = &mut self.targets[index];
        busy.in_flight += 1;
        self.turn = index + 1;
        Pick::Target { index, epoch: busy.ejection.epoch(), is_trial }
    }

    /// Whether a target is used now. If all that take connections fail, they are used all the same: an answer that may be wrong
    /// is better than none.
    fn is_used(&self, index: usize) -> bool {
        match self.targets[index].ejection.standing() {
            Standing::In => true,
            Standing::Unreachable { .. } => false,
            Standing::Failing { .. } => {
                !self.targets.iter().any(|busy| busy.ejection.standing() == Standing::In)
            }
        }
    }

    /// Whether all that are used now are of HTTP/1.0.
    pub(super) fn are_old(&self) -> bool {
        let mut used = (0..self.targets.len()).filter(|index| self.is_used(*index)).peekable();
        match used.peek() {
            Some(_) => used.all(|index| self.targets[index].is_old),
            None => self.targets.iter().any(|busy| busy.is_old),
        }
    }

    fn has_room(&self, index: usize) -> bool {
        self.targets[index].in_flight < self.at_a_time && self.is_used(index)
    }

    fn least_busy(&self, may: impl Fn(usize, &Busy) -> bool) -> Option<usize> {
        let number = self.targets.len();
        let in_turn = (0..number).map(|step| (self.turn + step) % number);
        // The first of equals is taken.
        in_turn
            .filter(|&index| may(index, &self.targets[index]) && self.has_room(index))
            .min_by_key(|&index| self.targets[index].in_flight)
    }

    /// Whether another target may take what this one has failed.
    pub(super) fn has_other(&self, index: usize) -> bool {
        (0..self.targets.len()).any(|other| other != index && self.is_used(other))
    }

    /// Whether another target answers, so that this one may be ejected for how it answers.
    pub(super) fn may_fail(&self, index: usize) -> bool {
        self.targets
            .iter()
            .enumerate()
            .any(|(other, busy)| other != index && busy.ejection.standing() == Standing::In)
    }

    /// Since when no target has taken connections.
    pub(super) fn outage(&self) -> Option<Instant> {
        let mut began = None;
        for busy in &self.targets {
            let Standing::Unreachable { since, .. } = busy.ejection.standing() else { return None };
            began = began.max(Some(since));
        }
        began
    }

    /// When an ejected target may be tried again: by a connection, or by a request if there is room for one.
    fn chance(&self, index: usize) -> Option<Instant> {
        let busy = &self.targets[index];
        match busy.ejection.standing() {
            Standing::Unreachable { again, .. } => Some(again),
            Standing::Failing { until, has_trial: false, look, .. } if busy.in_flight < self.at_a_time => {
                Some(look.map_or(until, |look| look.min(until)))
            }
            _ => None,
        }
    }

    /// When the first that waits may try an ejected target, although no place was given back.
    pub(super) fn next_chance(&self) -> Option<Instant> {
        (0..self.targets.len()).filter_map(|index| self.chance(index)).min()
    }

    /// Whether each target was asked since then, in vain.
    pub(super) fn all_asked_since(&self, then: Instant) -> bool {
        self.targets.iter().all(|busy| busy.asked.is_some_and(|asked| asked >= then))
    }

    /// Whether one more request may wait. While no target takes connections, as many may as would be at the targets.
    pub(super) fn may_wait(&self) -> bool {
        let instead = match self.outage() {
            Some(_) => self.at_a_time.saturating_mul(self.targets.len()),
            None => 0,
        };
        self.queue.len() < self.most_waiting.saturating_add(instead)
    }

    /// A request has left its target.
    pub(super) fn release(&mut self, index: usize) {
        let busy = &mut self.targets[index];
        busy.in_flight = busy.in_flight.saturating_sub(1);
    }

    /// Who is to be woken: the first that waits, if there is room for it, or a time at which it may try an ejected target. That
    /// time may have changed, or it was not the first before.
    pub(super) fn to_wake(&self) -> Option<W> {
        let first = self.queue.first()?;
        let may_go = |index| self.has_room(index) || self.chance(index).is_some();
        (0..self.targets.len()).any(may_go).then(|| first.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::ejection::{goes_on, Kind, AGAIN, LOOK};
    use super::*;

    fn balancer(targets: usize, at_a_time: usize) -> Balancer<&'static str> {
        Balancer::new(targets, at_a_time, 2)
    }

    /// The target that a new request gets.
    fn picked(balancer: &mut Balancer<&'static str>, now: Instant) -> usize {
        let number = balancer.queue.arrive();
        match balancer.pick(number, None, false, now) {
            Pick::Target { index, .. } => index,
            other => panic!("{other:?}"),
        }
    }

    fn eject(balancer: &mut Balancer<&'static str>, index: usize, kind: Kind, now: Instant) {
        for _ in 0..3 {
            let may_fail = balancer.may_fail(index);
            let ejection = &mut balancer.targets[index].ejection;
            ejection.failed(kind, ejection.epoch(), false, may_fail, now);
        }
    }

    #[test]
    fn the_least_busy_target_is_picked_and_equals_take_turns() {
        let now = Instant::now();
        let mut three = balancer(3, 9);
        let turns: Vec<_> = (0..6).map(|_| picked(&mut three, now)).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
        three.release(1);
        three.release(1);
        three.release(2);
        assert_eq!([picked(&mut three, now), picked(&mut three, now), picked(&mut three, now)], [1, 2, 1]);
        // One at a time, each at once done: all have their turn.
        let mut idle = balancer(3, 9);
        let turns: Vec<_> = (0..6)
            .map(|_| {
                let index = picked(&mut idle, now);
                idle.release(index);
                index
            })
            .collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_neighbour_of_an_ejected_target_does_not_get_its_share_alone() {
        let now = Instant::now();
        let mut three = balancer(3, 9);
        eject(&mut three, 1, Kind::Refused, now);
        let turns: Vec<_> = (0..6)
            .map(|_| {
                let index = picked(&mut three, now);
                three.release(index);
                index
            })
            .collect();
        assert_eq!(turns, [0, 2, 0, 2, 0, 2]);
    }

    #[test]
    fn a_request_that_failed_goes_to_another_target_if_there_is_one() {
        let now = Instant::now();
        let mut two = balancer(2, 1);
        let number = two.queue.arrive();
        for _ in 0..3 {
            assert!(matches!(two.pick(number, Some(0), false, now), Pick::Target { index: 1, .. }));
            two.release(1);
        }
        assert!(two.has_other(0));
        // The other has no room, or takes no connections.
        assert_eq!(picked(&mut two, now), 0);
        two.release(0);
        assert_eq!(picked(&mut two, now), 1);
        assert!(matches!(two.pick(number, Some(0), false, now), Pick::Target { index: 0, .. }));
        two.release(0);
        eject(&mut two, 1, Kind::Refused, now);
        assert!(!two.has_other(0));
        assert!(matches!(two.pick(number, Some(0), false, now), Pick::Target { index: 0, .. }));
    }

    /// How long a target that takes no connections is left alone after it is back, so long after its ejection. A request comes every
    /// 10 ms. The machine of a target that is switched off says nothing to an attempt, and takes 5 ms to take one once it is on.
    fn unused_for(targets: usize, is_switched_off: bool, gone: Duration) -> Duration {
        const MS: fn(u64) -> Duration = Duration::from_millis;
        let ejected = Instant::now();
        let back = ejected + gone;
        let mut balancer = balancer(targets, 9);
        let kind = if is_switched_off { Kind::ConnectTimeout } else { Kind::Refused };
        eject(&mut balancer, 0, kind, ejected);
        let mut under_way = None;
        for step in 1.. {
            let now = ejected + MS(10 * step);
            let number = balancer.queue.arrive();
            loop {
                match balancer.pick(number, None, false, now) {
                    Pick::Attempt(index) => {
                        assert_eq!(index, 0);
                        let since = under_way.take().filter(|since| goes_on(*since, now)).unwrap_or(now);
                        let ejection = &mut balancer.targets[0].ejection;
                        if since >= back && (!is_switched_off || now >= since + MS(5)) {
                            ejection.connected(now);
                        } else if is_switched_off {
                            under_way = Some(since);
                            ejection.attempt_again(now + LOOK);
                        }
                    }
                    Pick::Target { index: 0, .. } => return now - back,
                    Pick::Target { index, .. } => {
                        balancer.release(index);
                        break;
                    }
                    Pick::NoneReachable if targets == 1 => break,
                    other => panic!("{other:?}"),
                }
            }
            assert!(now < back + MS(60_000), "it is never used again");
        }
        unreachable!()
    }

    #[test]
    fn a_target_that_takes_connections_again_is_used_within_a_second() {
        for targets in [1, 2] {
            for is_switched_off in [false, true] {
                // Whenever it comes back between two attempts.
                for gone in (0..2_500).step_by(3).map(Duration::from_millis) {
                    let unused = unused_for(targets, is_switched_off, gone);
                    assert!(
                        unused <= Duration::from_secs(1),
                        "{targets} targets, switched off: {is_switched_off}, gone for {gone:?}: {unused:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn targets_that_fail_are_used_when_nothing_else_is_left_and_get_one_request_at_a_time_otherwise() {
        let now = Instant::now();
        let mut two = balancer(2, 9);
        eject(&mut two, 0, Kind::Closed, now);
        assert_eq!([picked(&mut two, now), picked(&mut two, now)], [1, 1]);
        let later = now + Duration::from_secs(1);
        let number = two.queue.arrive();
        assert!(matches!(
            two.pick(number, None, false, later),
            Pick::Target { index: 0, is_trial: true, .. }
        ));
        assert_eq!([picked(&mut two, later), picked(&mut two, later)], [1, 1]);
        // The other one is not ejected for its answers, but when it is gone.
        eject(&mut two, 1, Kind::Closed, later);
        assert_eq!(picked(&mut two, later), 1);
        eject(&mut two, 1, Kind::Refused, later);
        assert_eq!([picked(&mut two, later), picked(&mut two, later)], [0, 0]);
        eject(&mut two, 0, Kind::Refused, later);
        assert_eq!(two.outage(), Some(later), "since the last one has gone");
        let number = two.queue.arrive();
        assert_eq!(two.pick(number, None, false, later), Pick::NoneReachable);
        let again = later + AGAIN;
        assert_eq!(two.next_chance(), Some(again));
        assert_eq!(two.pick(number, None, false, again), Pick::Attempt(0));
        assert_eq!(two.pick(number, None, false, again), Pick::Attempt(1));
        assert_eq!(two.pick(number, None, false, again), Pick::NoneReachable);
        two.targets[1].ejection.connected(again);
        assert!(matches!(
            two.pick(number, None, false, again),
            Pick::Target { index: 1, is_trial: false, .. }
        ));
    }

    #[test]
    fn who_comes_later_waits_behind_those_who_wait() {
        let now = Instant::now();
        let mut one = balancer(1, 1);
        let [early, first, second, third] = [(); 4].map(|()| one.queue.arrive());
        assert!(matches!(one.pick(early, None, false, now), Pick::Target { .. }));
        assert_eq!(one.pick(first, None, false, now), Pick::Full);
        assert!(one.may_wait() && one.to_wake().is_none());
        one.queue.put(first, "first");
        assert_eq!(one.pick(second, None, false, now), Pick::Full);
        assert!(one.may_wait());
        one.queue.put(second, "second");
        assert!(!one.may_wait(), "two may wait");
        assert_eq!(one.to_wake(), None, "there is no room");
        one.release(0);
        assert_eq!(one.to_wake(), Some("first"));
        assert_eq!(one.pick(third, None, false, now), Pick::Full, "it is not its turn");
        assert_eq!(one.pick(second, None, false, now), Pick::Full);
        // One that was at a target before all of these is tried again before them.
        assert!(matches!(one.pick(early, None, false, now), Pick::Target { .. }));
        one.release(0);
        assert!(matches!(one.pick(first, None, false, now), Pick::Target { .. }));
        assert!(one.queue.remove(first));
        assert_eq!(one.to_wake(), None);
        one.release(0);
        assert_eq!(one.to_wake(), Some("second"));
    }

    #[test]
    fn while_nothing_takes_connections_as_many_may_wait_as_would_be_at_the_targets() {
        let now = Instant::now();
        let mut two: Balancer<&str> = Balancer::new(2, 3, 0);
        assert!(!two.may_wait());
        eject(&mut two, 0, Kind::Refused, now);
        eject(&mut two, 1, Kind::ConnectTimeout, now);
        for _ in 0..6 {
            assert!(two.may_wait());
            let number = two.queue.arrive();
            two.queue.put(number, "");
        }
        assert!(!two.may_wait());
    }

    #[test]
    fn the_first_that_waits_knows_when_an_ejected_target_may_be_tried() {
        let now = Instant::now();
        let pause = Duration::from_secs(1);
        let mut two = balancer(2, 1);
        eject(&mut two, 0, Kind::Silent, now);
        assert_eq!(picked(&mut two, now), 1);
        let [first, second] = [(); 2].map(|()| two.queue.arrive());
        for (number, waker) in [(first, "first"), (second, "second")] {
            assert_eq!(two.pick(number, None, false, now), Pick::Full);
            two.queue.put(number, waker);
        }
        assert_eq!(two.next_chance(), Some(now + pause));
        let later = now + pause;
        assert!(matches!(two.pick(first, None, false, later), Pick::Target { index: 0, is_trial: true, .. }));
        two.queue.remove(first);
        assert_eq!((two.next_chance(), two.to_wake()), (None, None), "one at a time");
        // The trial fails: who is first now has to know of the new pause.
        let ejection = &mut two.targets[0].ejection;
        ejection.failed(Kind::Silent, ejection.epoch(), true, true, later);
        assert_eq!(two.to_wake(), None, "it has its place still");
        two.release(0);
        assert_eq!((two.to_wake(), two.next_chance()), (Some("second"), Some(later + pause * 2)));
        // One that takes no connections is asked for one meanwhile.
        let ejection = &mut two.targets[0].ejection;
        ejection.failed(Kind::Refused, ejection.epoch(), false, true, later);
        assert_eq!((two.to_wake(), two.next_chance()), (Some("second"), Some(later + AGAIN)));
    }

    #[test]
    fn chunks_go_to_a_target_that_knows_them_if_one_is_used() {
        let now = Instant::now();
        let mut two = balancer(2, 2);
        assert!(!two.are_old());
        two.targets[0].is_old = true;
        assert!(!two.are_old());
        let chunked = |two: &mut Balancer<_>| {
            let number = two.queue.arrive();
            two.pick(number, None, true, now)
        };
        for _ in 0..2 {
            assert!(matches!(chunked(&mut two), Pick::Target { index: 1, .. }));
        }
        // It has no room.
        assert!(matches!(chunked(&mut two), Pick::Target { index: 0, .. }));
        eject(&mut two, 1, Kind::Refused, now);
        assert!(two.are_old());
        eject(&mut two, 0, Kind::Refused, now);
        assert!(two.are_old(), "one of them may come back");
    }
}
