//! A request's place at a target: how long it waits for one ([`Waiting`]), and what it reports of the target when it ends
//! ([`Chosen`]). `exchange` uses it.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use log::Level;

use super::balancer::Pick;
use super::connection::{Connection, NoHandshake};
use super::ejection::{Answer, Kind, AGAIN};
use super::health::NoTarget;
use super::kept::Kept;
use super::shared::Shared;
use super::target::Target;
use super::targets::{no_address, wake, TargetState};
use crate::http::incoming_response::Head;
use crate::wake_list::Waker;

/// How long a request waits for targets that take no connections, as a backend does that starts again.
const RESTART_WAIT: Duration = Duration::from_secs(3);

/// What a program is told that has a backend over TLS, and has not said whom to trust.
pub(super) const NO_CA_FILE: &str = "a backend over HTTPS needs the PEM file of the authority that has signed its certificate: give it with Proxy::ca_file, or --backend-ca";

/// What a request gets.
pub(super) enum Taken {
    Target(Chosen),
    /// Nothing, until it is woken or this time.
    Wait(Instant),
    None(NoTarget),
}

/// A request, as long as it needs a target. Dropping it takes it out of the queue.
pub(super) struct Waiting {
    shared: Arc<Shared>,
    arrived: Instant,
    /// Until when it waits for targets that take no connections.
    restart_until: Option<Instant>,
    /// Its number in the queue.
    number: Option<u64>,
    /// Since when it stands there.
    queued: Option<Instant>,
    /// The target that has failed it.
    except: Option<usize>,
    /// Whether its body is in chunks.
    is_in_chunks: bool,
}

impl Waiting {
    pub(super) fn new(shared: Arc<Shared>, is_in_chunks: bool, now: Instant) -> Waiting {
        Waiting {
            shared,
            arrived: now,
            restart_until: None,
            number: None,
            queued: None,
            except: None,
            is_in_chunks,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Until when it may wait for a target that starts again.
    pub(super) fn restart_deadline(&self) -> Instant {
        self.arrived + RESTART_WAIT
    }

    /// Until when it may wait for room at a target that it has a place at.
    pub(super) fn room_deadline(&self) -> Instant {
        self.arrived + self.shared.settings.queue_timeout
    }

    /// Takes a place at a target, or stands in the queue for one.
    pub(super) fn take(&mut self, waker: &Waker, now: Instant) -> Taken {
        let shared = self.shared.clone();
        loop {
            let mut balancer = shared.targets.lock();
            let number = match self.number {
                Some(number) => number,
                None => *self.number.insert(balancer.queue.arrive()),
            };
            let until = match balancer.pick(number, self.except, self.is_in_chunks, now) {
                Pick::Target { index, epoch, is_trial } => {
                    self.queued = None;
                    balancer.queue.remove(number);
                    let next = balancer.to_wake();
                    drop(balancer);
                    wake(next);
                    shared.targets.look_up(index, false, now);
                    let slot = Slot { shared: self.shared.clone(), index, epoch, is_trial };
                    return Taken::Target(Chosen { slot, has_completed: false });
                }
                Pick::Attempt(index) => {
                    drop(balancer);
                    shared.targets.attempt(index, now);
                    continue;
                }
                Pick::Full => {
                    let queued = *self.queued.get_or_insert(now);
                    let until = queued + shared.settings.queue_timeout;
                    if now >= until {
                        drop(balancer);
                        return self.refuse(NoTarget::QueueTimeout);
                    }
                    // Nobody wakes it when a pause ends.
                    let first = balancer.queue.is_first(number);
                    let chance = if first { balancer.next_chance() } else { None };
                    chance.map_or(until, |chance| until.min(chance))
                }
                Pick::NoneReachable => {
                    self.queued = Some(now);
                    let outage = balancer.outage().unwrap_or(now);
                    let is_news = now.saturating_duration_since(outage) < RESTART_WAIT;
                    let wait = if is_news { RESTART_WAIT } else { Duration::ZERO };
                    let until = *self.restart_until.get_or_insert(self.arrived + wait);
                    // They are asked once more, unless the answer takes too long.
                    let is_asked = balancer.all_asked_since(self.arrived) || now >= self.arrived + AGAIN * 2;
                    if now >= until && is_asked {
                        drop(balancer);
                        return self.refuse(NoTarget::NoneReachable);
                    }
                    let next = balancer.next_chance().unwrap_or(now);
                    match balancer.queue.is_first(number) {
                        // The first one asks for all.
                        true => next,
                        false => until.max(next),
                    }
                }
            };
            if !balancer.queue.has(number) {
                if !balancer.may_wait() {
                    drop(balancer);
                    return self.refuse(NoTarget::QueueFull);
                }
                balancer.queue.put(number, waker.clone());
            }
            return Taken::Wait(until);
        }
    }

    fn refuse(&mut self, why: NoTarget) -> Taken {
        self.leave_queue();
        self.shared.targets.refuse(why);
        Taken::None(why)
    }

    fn leave_queue(&mut self) {
        self.queued = None;
        let Some(number) = self.number else { return };
        let mut balancer = self.shared.targets.lock();
        // The next one asks for all, if that is to be done.
        let next = if balancer.queue.remove(number) { balancer.queue.first().cloned() } else { None };
        drop(balancer);
        wake(next);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.queued.is_some() {
            self.leave_queue();
        }
    }
}

/// A request's place at a target. Dropping it gives the place back.
pub(super) struct Chosen {
    slot: Slot,
    has_completed: bool,
}

struct Slot {
    shared: Arc<Shared>,
    index: usize,
    epoch: u32,
    /// Whether this is the one request that shows whether the target answers again.
    is_trial: bool,
}

impl Chosen {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.slot.shared
    }

    fn state(&self) -> &TargetState {
        self.slot.shared.targets.state(self.slot.index)
    }

    pub(super) fn target(&self) -> &Target {
        &self.state().target
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.state().kept
    }

    /// Whether the target has an address of this number.
    pub(super) fn has_address(&self, number: usize) -> bool {
        number < self.target().addresses()
    }

    /// Begins to connect to the address of this number.
    pub(super) fn open(&self, number: usize, now: Instant) -> io::Result<Connection> {
        let (target, generation) = (self.target(), self.state().generation());
        let address = target.address(number).ok_or_else(no_address)?;
        let mut connection = Connection::open(&address, now)?;
        connection.generation = generation;
        let Some(host) = &target.secure else { return Ok(connection) };
        let Some(secures) = &self.shared().settings.secures else {
            return Err(NoHandshake::error(NO_CA_FILE.to_string()));
        };
        Ok(connection.secured(secures.secure(host)?))
    }

    /// Whether another target may take what this one fails.
    pub(super) fn has_other(&self) -> bool {
        let targets = &self.slot.shared.targets;
        targets.are_several() && targets.lock().has_other(self.slot.index)
    }

    /// Whether its last answer was one of HTTP/1.0.
    pub(super) fn is_old(&self) -> bool {
        self.slot.shared.targets.lock().targets.get(self.slot.index).is_some_and(|busy| busy.is_old)
    }

    /// The head of an answer has come, and is good.
    pub(super) fn answered(&self, head: &Head, answer: Answer, now: Instant) {
        self.state().totals.answer(head.status);
        let Slot { shared, index, epoch, is_trial } = &self.slot;
        let mut balancer = shared.targets.lock();
        let busy = &mut balancer.targets[*index];
        busy.is_old = head.is_http10;
        let news = busy.ejection.answered(*epoch, *is_trial, answer, now);
        let next = if news.is_some() || *is_trial { balancer.to_wake() } else { None };
        drop(balancer);
        wake(next);
        shared.targets.tell(*index, news, now);
    }

    /// The answer has come whole.
    pub(super) fn completed(&mut self) {
        self.has_completed = true;
    }

    /// The target has failed the request, for this reason if one was given.
    pub(super) fn failed_because(&self, reason: Option<String>, kind: Kind, now: Instant) {
        self.state().keep_reason(reason);
        self.failed(kind, now);
    }

    /// Says that something of the target was cut. `why` is a clause.
    pub(super) fn tell_of_cut(&self, what: &str, why: &str, now: Instant) {
        let name = &self.target().name;
        let kind = "an answer or a tunnel is cut";
        self.shared().targets.log(
            Level::Error,
            kind,
            now,
            format_args!("{what} the backend {name} was cut, because {why}"),
        );
    }

    /// The target has failed the request.
    pub(super) fn failed(&self, kind: Kind, now: Instant) {
        self.state().totals.failure(kind);
        let Slot { shared, index, epoch, is_trial } = &self.slot;
        let mut balancer = shared.targets.lock();
        let may_fail = balancer.may_fail(*index);
        let busy = &mut balancer.targets[*index];
        let news = busy.ejection.failed(kind, *epoch, *is_trial, may_fail, now);
        busy.asked = Some(now);
        drop(balancer);
        shared.targets.tell(*index, news, now);
    }

    /// The request was sent on this connection and not answered in time. If the target is ejected for that, an answer that comes
    /// late ends its pause.
    pub(super) fn await_late_answer(&self, connection: Connection, now: Instant) {
        let mut balancer = self.slot.shared.targets.lock();
        if balancer.targets[self.slot.index].ejection.await_late_answer(now) {
            let mut late = self.state().late.lock().unwrap_or_else(PoisonError::into_inner);
            let before = late.replace(connection);
            drop((late, balancer));
            drop(before);
        }
    }

    /// It has failed the request, which goes elsewhere if it can.
    pub(super) fn avoid(self, waiting: &mut Waiting) {
        waiting.except = Some(self.slot.index);
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        let Slot { shared, index, epoch, is_trial } = &self.slot;
        let now = self.has_completed.then(Instant::now);
        let mut balancer = shared.targets.lock();
        balancer.release(*index);
        let ejection = &mut balancer.targets[*index].ejection;
        let news = now.and_then(|now| ejection.completed(*epoch, now));
        if *is_trial {
            ejection.end_trial(*epoch);
        }
        let next = balancer.to_wake();
        drop(balancer);
        wake(next);
        if let Some(now) = now {
            shared.targets.tell(*index, news, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Mutex;

    use super::super::lookup::Name;
    use super::super::shared::Settings;
    use super::super::target::Addresses;
    use super::*;
    use crate::http::incoming_response::{find, Found};
    use crate::wake_list::WakeList;

    fn choose(shared: &Arc<Shared>, now: Instant) -> Chosen {
        let poll = mio::Poll::new().unwrap();
        let woken = mio::Waker::new(poll.registry(), mio::Token(usize::MAX)).unwrap();
        let list = Arc::new(WakeList::new(woken, poll.registry().try_clone().unwrap()));
        match Waiting::new(shared.clone(), false, now).take(&Waker { list, key: 7 }, now) {
            Taken::Target(chosen) => chosen,
            _ => panic!("no slot"),
        }
    }

    #[test]
    fn an_answer_that_comes_late_ends_the_pause_of_its_target() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let targets = [0, 1].map(|at: usize| {
            let address = listeners[at].local_addr().unwrap();
            Target::parse(&format!("http://{address}")).unwrap()
        });
        let shared = Arc::new(Shared::new(targets.to_vec(), Settings::default()));
        let now = Instant::now();
        let frozen = choose(&shared, now);
        assert_eq!(frozen.slot.index, 0);
        for _ in 0..3 {
            frozen.failed(Kind::Silent, now);
        }
        let late = frozen.open(0, now).unwrap();
        let (mut accepted, _) = listeners[0].accept().unwrap();
        frozen.await_late_answer(late, now);
        drop(frozen);
        let index_at = |at| choose(&shared, at).slot.index;
        assert_eq!([index_at(now + AGAIN), index_at(now + AGAIN * 2)], [1, 1], "it is silent");
        std::io::Write::write_all(&mut accepted, b"HTTP/1.1 200 OK").unwrap();
        assert_eq!(index_at(now + AGAIN * 3 - Duration::from_millis(1)), 1, "it is not looked at so often");
        let trial = choose(&shared, now + AGAIN * 3);
        assert_eq!((trial.slot.index, trial.slot.is_trial), (0, true));
        assert_eq!(index_at(now + AGAIN * 3), 1);
        // Nothing of it stays.
        let method = ::http::Method::GET;
        let found = find(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, &method, &mut Vec::new());
        let Ok(Found::Whole(head, _)) = found else { panic!("{found:?}") };
        trial.answered(&head, Answer::Bounded, now + AGAIN * 3);
        assert!(std::io::Read::read(&mut accepted, &mut [0]).map_or(true, |read| read == 0));
    }

    #[test]
    fn a_connection_that_is_in_use_when_the_addresses_change_is_not_kept() {
        static AT: Mutex<Option<SocketAddr>> = Mutex::new(None);
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [old, new] = [0, 1].map(|at: usize| listeners[at].local_addr().unwrap());
        *AT.lock().unwrap() = Some(old);
        let name =
            Name::resolved_by("a".to_string(), 80, |_, _| Ok(AT.lock().unwrap().iter().copied().collect()));
        let found_at = Addresses::Named(name.clone());
        let target = Target { found_at, ..Target::parse("http://127.0.0.1:80").unwrap() };
        let shared = Arc::new(Shared::new(vec![target], Settings::default()));
        let mut now = Instant::now();
        let before = choose(&shared, now);
        let in_use = before.open(0, now).unwrap();
        before.kept().put(before.open(0, now).unwrap(), None, now);
        assert_eq!(before.kept().len(), 1);
        *AT.lock().unwrap() = Some(new);
        while name.addresses()[..] != [new] {
            now += Duration::from_secs(30);
            name.look_up(false, now);
            std::thread::yield_now();
        }
        let after = choose(&shared, now);
        assert_eq!(after.kept().len(), 0, "it leads to the old address");
        before.kept().put(in_use, None, now);
        assert_eq!(after.kept().len(), 0, "so does this one");
        after.kept().put(after.open(0, now).unwrap(), None, now);
        assert_eq!(after.kept().len(), 1);
    }
}
