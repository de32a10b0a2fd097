//! Whether a target is used, judged by what its requests have met (passive health). A value with the time passed in: it knows no
//! socket and no other target. `balancer` has one for each target.
//!
//! A target that fails [`FAILURES`] times in a row is ejected, in one of two ways:
//! - It takes no connections. Nothing is sent there until it does, which an attempt to connect shows at once, so it is asked again
//!   and again. That costs no client anything.
//! - It takes connections and does not answer, or not in HTTP. Only a request can show that it answers again, so it gets one after
//!   a pause, and the pauses grow. A pause ends when the last request that got no answer in time gets one late, which costs no
//!   client anything either.

use std::time::{Duration, Instant};

/// How many failures in a row eject a target. One would do so for a single request that breaks its backend (nginx's `max_fails`
/// and Caddy's are 1, and reports ask for more); Envoy takes 5 of a whole second's requests, which a small device does not have.
const FAILURES: u32 = 3;
/// The first pause of a target that takes connections and does not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest. Envoy's first is 30 seconds, nginx's 10 and always the same.
const LONGEST_PAUSE: Duration = Duration::from_secs(32);
/// How soon a target that takes no connections is asked again, and a late answer is looked for.
pub(super) const AGAIN: Duration = Duration::from_millis(200);
/// How soon an attempt that is under way is looked after.
pub(super) const LOOK: Duration = Duration::from_millis(20);
/// How long an attempt to connect may take before the next one. A target that was switched off answers nothing, and what was sent
/// to it meanwhile is repeated by TCP only in growing steps, the first after a second. Together with two looks it is less than the
/// second within which a target that is back is used.
const ATTEMPT: Duration = Duration::from_millis(900);

/// Whether an attempt to connect that was begun then goes on. Else the next one begins.
pub(super) fn goes_on(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < ATTEMPT
}

/// What has gone wrong with a request at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No connection: refused, or not reachable.
    Refused,
    ConnectTimeout,
    Tls,
    /// The connection has ended before an answer.
    Closed,
    /// No answer in time.
    Silent,
    Malformed,
    /// The answer has stopped before its end.
    Cut,
}

impl Kind {
    pub(super) const ALL: [Kind; 7] = [
        Kind::Refused,
        Kind::ConnectTimeout,
        Kind::Tls,
        Kind::Closed,
        Kind::Silent,
        Kind::Malformed,
        Kind::Cut,
    ];

    /// Whether an attempt to connect would meet it too.
    fn is_of_connecting(self) -> bool {
        matches!(self, Kind::Refused | Kind::ConnectTimeout)
    }
}

/// What the log is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// After so many failures in a row, the last of this kind, for this time if it is known.
    Ejected(u32, Kind, Option<Duration>),
    /// It is back, after this time.
    Back(Duration),
}

/// What the head of a good answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// A body that ends.
    Bounded,
    /// A stream of events or a tunnel. It may last for days, so its head says all of the target that it will say.
    Endless,
}

/// Whether a target is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    In,
    /// It takes no connections. It is asked again then.
    Unreachable {
        since: Instant,
        again: Instant,
    },
    /// It does not answer. From then on it gets one request at a time.
    Failing {
        since: Instant,
        until: Instant,
        has_trial: bool,
        /// When a late answer is looked for, if one may come.
        look: Option<Instant>,
    },
}

/// The health of a target.
#[derive(Debug)]
pub(super) struct Ejection {
    standing: Standing,
    /// Failures in a row.
    row: u32,
    last: Option<Kind>,
    /// Changes with each ejection and each return: a request from before tells nothing of what is now.
    epoch: u32,
    /// The pauses since it was last good for long.
    pauses: u32,
    back: Option<Instant>,
}

impl Ejection {
    pub(super) fn new() -> Ejection {
        Ejection { standing: Standing::In, row: 0, last: None, epoch: 0, pauses: 0, back: None }
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(super) fn row(&self) -> u32 {
        self.row
    }

    /// A request of this epoch has failed. `is_trial` says that it was the one after a pause, `may_fail` whether there is another
    /// target to turn to: the last one that takes connections is never ejected for how it answers, because a client could then
    /// eject it for all others, with a request that breaks it.
    pub(super) fn failed(
        &mut self,
        kind: Kind,
        epoch: u32,
        is_trial: bool,
        may_fail: bool,
        now: Instant,
    ) -> Option<News> {
        if epoch != self.epoch {
            return None;
        }
        self.row = self.row.saturating_add(1);
        self.last = Some(kind);
        match self.standing {
            Standing::Unreachable { .. } => None,
            Standing::In if self.row < FAILURES => None,
            Standing::In if kind.is_of_connecting() => Some(self.takes_no_connections(now)),
            Standing::In if !may_fail => None,
            Standing::In => {
                let was_good = |back| now.saturating_duration_since(back) >= LONGEST_PAUSE;
                if self.back.map_or(true, was_good) {
                    self.pauses = 0;
                }
                Some(self.pause(now, now))
            }
            Standing::Failing { .. } if kind.is_of_connecting() => Some(self.takes_no_connections(now)),
            Standing::Failing { since, .. } if is_trial => Some(self.pause(since, now)),
            Standing::Failing { .. } => None,
        }
    }

    fn takes_no_connections(&mut self, now: Instant) -> News {
        self.epoch = self.epoch.wrapping_add(1);
        self.standing = Standing::Unreachable { since: now, again: now + AGAIN };
        News::Ejected(self.row, self.last.unwrap_or(Kind::Refused), None)
    }

    fn pause(&mut self, since: Instant, now: Instant) -> News {
        let pause = PAUSE.saturating_mul(1 << self.pauses.min(16)).min(LONGEST_PAUSE);
        self.pauses = self.pauses.saturating_add(1);
        self.epoch = self.epoch.wrapping_add(1);
        self.standing = Standing::Failing { since, until: now + pause, has_trial: false, look: None };
        News::Ejected(self.row, self.last.unwrap_or(Kind::Closed), Some(pause))
    }

    /// Whether the next request may try a target that has failed. The caller sends one if so.
    pub(super) fn begin_trial(&mut self, now: Instant) -> bool {
        match &mut self.standing {
            Standing::Failing { until, has_trial, .. } if !*has_trial && *until <= now => {
                *has_trial = true;
                true
            }
            _ => false,
        }
    }

    /// The trial has ended without telling anything: its client is gone. The next request is one.
    pub(super) fn end_trial(&mut self, of: u32) {
        if let Standing::Failing { has_trial, .. } = &mut self.standing {
            *has_trial &= of != self.epoch;
        }
    }

    /// Whether it is time to try a connection, or to look for a late answer. The caller does so if so.
    pub(super) fn begin_attempt(&mut self, now: Instant) -> bool {
        match &mut self.standing {
            Standing::Unreachable { again: at, .. } | Standing::Failing { look: Some(at), .. }
                if *at <= now =>
            {
                *at = now + AGAIN;
                true
            }
            _ => false,
        }
    }

    /// A request may be answered late. Returns whether that matters.
    pub(super) fn await_late_answer(&mut self, now: Instant) -> bool {
        match &mut self.standing {
            Standing::Failing { look, .. } => {
                *look = Some(now + AGAIN);
                true
            }
            _ => false,
        }
    }

    /// Something has come for a request that was not answered in time. The next request is a trial, unless there is one.
    pub(super) fn answered_late(&mut self, now: Instant) {
        if let Standing::Failing { until, look, .. } = &mut self.standing {
            *until = now.min(*until);
            *look = None;
        }
    }

    /// An attempt is under way, and is looked after then.
    pub(super) fn attempt_again(&mut self, at: Instant) {
        if let Standing::Unreachable { again, .. } = &mut self.standing {
            *again = at;
        }
    }

    /// It has taken a connection that was an attempt.
    pub(super) fn connected(&mut self, now: Instant) -> Option<News> {
        match self.standing {
            Standing::Unreachable { since, .. } => Some(self.is_back(since, now)),
            _ => None,
        }
    }

    /// The head of a good answer has come. An answer shows that the target answers now, whenever its request was sent. Whether it
    /// takes connections is shown only by those that were made since. A target that has cut its last answer is good again when one
    /// has come whole.
    pub(super) fn answered(
        &mut self,
        epoch: u32,
        is_trial: bool,
        answer: Answer,
        now: Instant,
    ) -> Option<News> {
        let is_enough = self.last != Some(Kind::Cut) || answer == Answer::Endless;
        match &mut self.standing {
            Standing::In if epoch == self.epoch && is_enough => {
                self.row = 0;
                self.last = None;
                None
            }
            Standing::In => None,
            Standing::Unreachable { since, .. } if epoch == self.epoch => {
                let since = *since;
                Some(self.is_back(since, now))
            }
            Standing::Unreachable { .. } => None,
            Standing::Failing { since, .. } if is_enough => {
                let since = *since;
                Some(self.is_back(since, now))
            }
            // It may be long until it is whole. Another one may be so sooner.
            Standing::Failing { until, has_trial, .. } if is_trial && epoch == self.epoch => {
                *has_trial = false;
                *until = now + PAUSE;
                None
            }
            Standing::Failing { .. } => None,
        }
    }

    /// A good answer has come whole.
    pub(super) fn completed(&mut self, epoch: u32, now: Instant) -> Option<News> {
        if epoch == self.epoch {
            self.last = None;
        }
        match self.standing {
            Standing::In if epoch == self.epoch => {
                self.row = 0;
                None
            }
            Standing::Failing { since, .. } => Some(self.is_back(since, now)),
            _ => None,
        }
    }

    fn is_back(&mut self, since: Instant, now: Instant) -> News {
        self.standing = Standing::In;
        self.row = 0;
        self.last = None;
        self.epoch = self.epoch.wrapping_add(1);
        self.back = Some(now);
        News::Back(now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn fail(ejection: &mut Ejection, kind: Kind, now: Instant) -> Option<News> {
        let epoch = ejection.epoch();
        ejection.failed(kind, epoch, false, true, now)
    }

    fn eject(ejection: &mut Ejection, kind: Kind, now: Instant) {
        for _ in 0..FAILURES {
            fail(ejection, kind, now);
        }
    }

    #[test]
    fn three_failures_in_a_row_eject_and_an_answer_between_them_begins_anew() {
        for kind in Kind::ALL {
            let now = Instant::now();
            let mut ejection = Ejection::new();
            assert_eq!(fail(&mut ejection, kind, now), None);
            assert_eq!(fail(&mut ejection, kind, now), None);
            ejection.completed(0, now);
            // However far apart they are.
            for later in [1, 100_000] {
                assert_eq!(fail(&mut ejection, kind, now + MS(later)), None);
            }
            let news = fail(&mut ejection, kind, now + MS(200_000));
            assert!(matches!(news, Some(News::Ejected(3, of, _)) if of == kind), "{news:?}");
            assert_ne!(ejection.standing(), Standing::In);
        }
    }

    #[test]
    fn the_last_target_is_not_ejected_for_how_it_answers_but_for_taking_no_connections() {
        let now = Instant::now();
        for (kind, ejected) in [
            (Kind::Refused, true),
            (Kind::ConnectTimeout, true),
            (Kind::Tls, false),
            (Kind::Closed, false),
            (Kind::Silent, false),
            (Kind::Malformed, false),
            (Kind::Cut, false),
        ] {
            let mut ejection = Ejection::new();
            for _ in 0..10 {
                let epoch = ejection.epoch();
                ejection.failed(kind, epoch, false, false, now);
            }
            assert_eq!(ejection.standing() != Standing::In, ejected, "{kind:?}");
        }
    }

    #[test]
    fn pauses_grow_up_to_a_bound_and_are_short_again_after_a_good_time() {
        let mut now = Instant::now();
        let mut ejection = Ejection::new();
        let mut pauses = Vec::new();
        fail(&mut ejection, Kind::Closed, now);
        fail(&mut ejection, Kind::Closed, now);
        let mut news = fail(&mut ejection, Kind::Closed, now);
        for _ in 0..8 {
            let Some(News::Ejected(_, Kind::Closed, Some(pause))) = news else { panic!("{news:?}") };
            pauses.push(pause.as_secs());
            assert!(!ejection.begin_trial(now + pause - MS(1)));
            now += pause;
            assert!(ejection.begin_trial(now));
            assert!(!ejection.begin_trial(now), "one at a time");
            let epoch = ejection.epoch();
            news = ejection.failed(Kind::Closed, epoch, true, true, now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 32, 32]);
        // It answers, and fails again soon.
        let epoch = ejection.epoch();
        assert!(matches!(ejection.answered(epoch, false, Answer::Bounded, now), Some(News::Back(_))));
        let mut news = None;
        (0..3).for_each(|_| news = fail(&mut ejection, Kind::Closed, now + MS(5_000)));
        assert_eq!(news, Some(News::Ejected(3, Kind::Closed, Some(LONGEST_PAUSE))));
        let epoch = ejection.epoch();
        ejection.answered(epoch, false, Answer::Bounded, now + MS(6_000));
        (0..3).for_each(|_| news = fail(&mut ejection, Kind::Closed, now + MS(60_000)));
        assert_eq!(news, Some(News::Ejected(3, Kind::Closed, Some(PAUSE))));
    }

    #[test]
    fn a_trial_whose_client_leaves_makes_room_for_the_next() {
        let now = Instant::now();
        let mut ejection = Ejection::new();
        eject(&mut ejection, Kind::Silent, now);
        let later = now + PAUSE;
        assert!(ejection.begin_trial(later) && !ejection.begin_trial(later));
        ejection.end_trial(ejection.epoch().wrapping_sub(1));
        assert!(!ejection.begin_trial(later), "an older one does not end it");
        ejection.end_trial(ejection.epoch());
        assert!(ejection.begin_trial(later));
    }

    #[test]
    fn a_target_that_takes_no_connections_is_asked_in_short_steps_and_back_with_the_first() {
        let mut now = Instant::now();
        let mut ejection = Ejection::new();
        assert!(!ejection.begin_attempt(now));
        eject(&mut ejection, Kind::Refused, now);
        for _ in 0..1_000 {
            assert!(!ejection.begin_attempt(now + AGAIN - MS(1)));
            now += AGAIN;
            assert!(ejection.begin_attempt(now) && !ejection.begin_attempt(now));
        }
        assert_eq!(ejection.connected(now), Some(News::Back(AGAIN * 1_000)));
        assert_eq!((ejection.standing(), ejection.row()), (Standing::In, 0));
    }

    #[test]
    fn requests_from_before_tell_only_what_is_true_now() {
        let now = Instant::now();
        let mut ejection = Ejection::new();
        eject(&mut ejection, Kind::Refused, now);
        // A backend that ends answers what it has accepted, and takes no more.
        assert_eq!(
            (ejection.answered(0, false, Answer::Bounded, now), ejection.completed(0, now)),
            (None, None)
        );
        assert!(matches!(ejection.standing(), Standing::Unreachable { .. }));
        ejection.connected(now);
        // What its predecessor has left unanswered is not its fault.
        (0..9).for_each(|_| assert_eq!(ejection.failed(Kind::Closed, 0, false, true, now), None));
        assert_eq!((ejection.standing(), ejection.row()), (Standing::In, 0));
        // One that was frozen and goes on answers requests from before.
        let epoch = ejection.epoch();
        eject(&mut ejection, Kind::Silent, now);
        let pause = ejection.standing();
        assert_eq!(ejection.failed(Kind::Silent, epoch, false, true, now), None);
        assert_eq!(ejection.standing(), pause, "those that fail late do not make its pause longer");
        assert!(matches!(ejection.answered(epoch, false, Answer::Bounded, now), Some(News::Back(_))));
    }

    #[test]
    fn answers_that_begin_and_are_cut_eject_too() {
        let now = Instant::now();
        let mut ejection = Ejection::new();
        let mut news = None;
        for _ in 0..3 {
            let epoch = ejection.epoch();
            ejection.answered(epoch, false, Answer::Bounded, now);
            news = fail(&mut ejection, Kind::Cut, now);
        }
        assert_eq!(news, Some(News::Ejected(3, Kind::Cut, Some(PAUSE))));
        let epoch = ejection.epoch();
        assert_eq!(
            ejection.answered(epoch, false, Answer::Bounded, now),
            None,
            "only a whole one shows that it is good"
        );
        assert!(matches!(ejection.completed(epoch, now), Some(News::Back(_))));
    }

    #[test]
    fn a_long_answer_does_not_keep_a_target_out_that_has_cut_others() {
        let now = Instant::now();
        let later = now + PAUSE;
        for (answer, is_back) in [(Answer::Bounded, false), (Answer::Endless, true)] {
            let mut ejection = Ejection::new();
            eject(&mut ejection, Kind::Cut, now);
            assert!(ejection.begin_trial(later));
            let news = ejection.answered(ejection.epoch(), true, answer, later);
            assert_eq!(news.is_some(), is_back, "{answer:?}");
            if is_back {
                assert_eq!(ejection.standing(), Standing::In);
                continue;
            }
            // A target that cuts all of them late does not get every request.
            assert!(!ejection.begin_trial(later + PAUSE - MS(1)));
            assert!(ejection.begin_trial(later + PAUSE));
            assert!(matches!(ejection.completed(ejection.epoch(), later + PAUSE), Some(News::Back(_))));
        }
        // Streams that are cut alone eject it, and a head between them begins anew.
        let mut ejection = Ejection::new();
        for _ in 0..9 {
            ejection.answered(0, false, Answer::Endless, now);
            assert_eq!(fail(&mut ejection, Kind::Cut, now), None);
        }
        eject(&mut ejection, Kind::Cut, now);
        assert_ne!(ejection.standing(), Standing::In);
    }

    #[test]
    fn a_late_answer_ends_the_pause() {
        let now = Instant::now();
        let mut ejection = Ejection::new();
        assert!(!ejection.await_late_answer(now), "it is used");
        eject(&mut ejection, Kind::Silent, now);
        assert!(!ejection.begin_attempt(now + PAUSE), "nothing can come");
        assert!(ejection.await_late_answer(now));
        assert!(!ejection.begin_attempt(now + AGAIN - MS(1)) && ejection.begin_attempt(now + AGAIN));
        let later = now + AGAIN * 2;
        assert!(!ejection.begin_trial(later));
        ejection.answered_late(later);
        assert!(!ejection.begin_attempt(now + PAUSE), "it is looked for no more");
        assert!(ejection.begin_trial(later));
        // It makes a pause no longer, and no trial a second one.
        ejection.answered_late(now + PAUSE * 2);
        assert!(!ejection.begin_trial(now + PAUSE * 2));
        ejection.end_trial(ejection.epoch());
        assert!(ejection.begin_trial(later));
    }
}
