//! Decides what to do and when. Pure functions: the time and random numbers are parameters.
//!
//! `agent` calls it and acts on the decisions.

use std::time::Duration;

use super::messages::RenewalInfo;
use super::state::{Book, Plan};
use crate::error::AcmeFault;
use crate::tls::built::BUILT;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The least time between two new orders, also across restarts, so that a device that crashes often does not flood the
/// authority.
pub(super) const ORDER_SPACING: i64 = 2 * MINUTE;
/// The wait after an attempt that did not reach an order, such as without a network. It doubles with each failure, up to the
/// longest.
const FIRST_RETRY: i64 = 10;
const LAST_RETRY: i64 = HOUR;
/// The wait after an attempt that the authority refused or whose names it could not validate. Let's Encrypt allows five failed
/// validations an hour.
const FIRST_RETRY_OF_REFUSED: i64 = 15 * MINUTE;
const LAST_RETRY_OF_REFUSED: i64 = 6 * HOUR;
/// The longest wait that an authority can request.
const LONGEST_SILENCE: i64 = DAY;
/// The longest wait that it can request while it works on an order, which takes only minutes.
const LONGEST_SILENCE_OF_AN_ORDER: i64 = MINUTE;
/// RFC 9773 §4.3: the authority says when to ask about renewal again. These are the bounds, and the time if it does not say.
const LEAST_BETWEEN_QUESTIONS: i64 = 10 * MINUTE;
const MOST_BETWEEN_QUESTIONS: i64 = DAY;
const USUAL_BETWEEN_QUESTIONS: i64 = 6 * HOUR;

/// How often a clock that cannot be right is read again.
const UNTIL_THE_CLOCK_IS_SET: i64 = 10;

/// A random number from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dice(pub f64);

/// A stored certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Its name, as in [`Plan::certificate`].
    pub name: String,
    pub not_before: i64,
    pub not_after: i64,
    /// Whether it matches the settings: these names, from this authority.
    pub fits: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Obtain a certificate now.
    Obtain,
    /// Ask the authority when to renew.
    Ask,
    /// Do nothing before this time.
    Wait(i64),
}

pub(super) fn next(now: i64, held: Option<&Held>, book: &Book, has_order: bool) -> Next {
    // By such a clock the authority's certificate is not valid yet, so it cannot be asked. The stored certificate is probably
    // good.
    if now < BUILT && held.is_some_and(|held| held.fits) {
        return Next::Wait(now + UNTIL_THE_CLOCK_IS_SET);
    }
    let plan = held.and_then(|held| book.plan.as_ref().filter(|plan| plan.certificate == held.name));
    let wanted = match (held, plan) {
        (Some(held), Some(plan)) if held.fits => plan.renew_at,
        (Some(held), None) if held.fits => return Next::Ask,
        _ => now,
    };
    let earliest = earliest(now, book, has_order);
    let obtain_at = wanted.max(earliest);
    if obtain_at <= now {
        return Next::Obtain;
    }
    // A time too far in the future comes from a clock that was wrong.
    let sane = |at: i64| if at > now + MOST_BETWEEN_QUESTIONS { now } else { at };
    match plan.filter(|_| wanted > now).and_then(|plan| plan.ask_at).map(sane) {
        Some(ask_at) if ask_at <= now => Next::Ask,
        Some(ask_at) => Next::Wait(obtain_at.min(ask_at)),
        None => Next::Wait(obtain_at),
    }
}

/// The earliest time of the next attempt, after a failure or a recent order.
pub(super) fn earliest(now: i64, book: &Book, has_order: bool) -> i64 {
    // A time too far in the future comes from a clock that was wrong.
    let after_failure = book.not_before.filter(|at| *at <= now + LONGEST_SILENCE);
    after_failure.into_iter().chain(earliest_order(now, book).filter(|_| !has_order)).max().unwrap_or(now)
}

/// The earliest time of the next order. `None` when the last order is old enough. The spacing doubles with each renewal of a
/// young certificate, because an authority may always suggest to renew at once.
pub(super) fn earliest_order(now: i64, book: &Book) -> Option<i64> {
    let spacing = (ORDER_SPACING << book.hasty.saturating_sub(1).min(20)).min(LONGEST_SILENCE);
    let at = book.last_order? + spacing;
    (at > now && at <= now + spacing).then_some(at)
}

/// Whether a certificate has used less than a third of its life.
pub(super) fn is_young(held: &Held, now: i64) -> bool {
    let life = held.not_after.saturating_sub(held.not_before).max(0);
    held.fits && now < held.not_before + life / 3
}

/// How long to wait after `failures` in a row, including this one.
pub(super) fn back_off(fault: &AcmeFault, failures: u32, dice: Dice) -> i64 {
    let (first, last) = match fault {
        AcmeFault::Unreachable { .. }
        | AcmeFault::State { .. }
        | AcmeFault::InUse { .. }
        | AcmeFault::Unfinished { .. } => (FIRST_RETRY, LAST_RETRY),
        AcmeFault::TooSoon { .. } | AcmeFault::Stopped => (FIRST_RETRY, FIRST_RETRY),
        _ => (FIRST_RETRY_OF_REFUSED, LAST_RETRY_OF_REFUSED),
    };
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(last);
    // A tenth more or less, so that devices that failed together do not try again together.
    let jittered = doubled + (doubled as f64 * 0.2 * (dice.0 - 0.5)) as i64;
    jittered.max(wanted_wait(fault).unwrap_or(0)).min(LONGEST_SILENCE)
}

/// How many seconds the authority asks the client to wait, if it says so.
pub(super) fn wanted_wait(fault: &AcmeFault) -> Option<i64> {
    match fault {
        AcmeFault::Refused { retry_after, .. } => retry_after.map(seconds),
        AcmeFault::Unfinished { retry_after, .. } => {
            retry_after.map(|wait| seconds(wait).min(LONGEST_SILENCE_OF_AN_ORDER))
        }
        _ => None,
    }
}

/// When to renew without a suggestion: at two thirds of the life, or up to a thirtieth of it earlier.
pub(super) fn by_lifetime(held: &Held, dice: Dice) -> i64 {
    let life = held.not_after.saturating_sub(held.not_before).max(0);
    held.not_before + life * 2 / 3 - (life as f64 / 30.0 * dice.0) as i64
}

/// When to renew by the authority's suggestion: at a random time in its window (RFC 9773 §4.2), picked again only when the
/// window has moved. The last tenth of the life is always kept for further attempts.
pub(super) fn by_window(held: &Held, info: &RenewalInfo, known: Option<&Plan>, dice: Dice) -> i64 {
    let life = held.not_after.saturating_sub(held.not_before).max(0);
    match known {
        Some(plan) if plan.window == Some((info.start, info.end)) => plan.renew_at,
        _ => {
            let picked = info.start + ((info.end - info.start) as f64 * dice.0) as i64;
            picked.min(held.not_after - life / 10)
        }
    }
}

/// When to ask about renewal again.
pub(super) fn ask_at(now: i64, retry_after: Option<i64>) -> i64 {
    now + retry_after
        .unwrap_or(USUAL_BETWEEN_QUESTIONS)
        .clamp(LEAST_BETWEEN_QUESTIONS, MOST_BETWEEN_QUESTIONS)
}

fn seconds(wait: Duration) -> i64 {
    i64::try_from(wait.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn held(fits: bool) -> Held {
        Held { name: "c".into(), not_before: NOW - 30 * DAY, not_after: NOW + 60 * DAY, fits }
    }

    fn plan(renew_at: i64, ask_at: Option<i64>) -> Plan {
        Plan { certificate: "c".into(), renew_at, window: None, ask_at, explanation: None }
    }

    fn book(plan: Option<Plan>) -> Book {
        Book { plan, ..Book::default() }
    }

    fn refused(retry_after: Option<u64>) -> AcmeFault {
        AcmeFault::Refused {
            url: "https://example.com/".into(),
            status: 429,
            kind: "rateLimited".into(),
            detail: "slowly".into(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    fn unreachable_() -> AcmeFault {
        AcmeFault::Unreachable { url: String::new(), source: std::io::ErrorKind::TimedOut.into() }
    }

    #[test]
    fn a_certificate_is_obtained_when_there_is_none_that_fits() {
        assert_eq!(next(NOW, None, &book(None), false), Next::Obtain);
        assert_eq!(next(NOW, Some(&held(false)), &book(Some(plan(NOW + DAY, None))), false), Next::Obtain);
    }

    #[test]
    fn one_that_fits_is_planned_for_then_asked_about_then_renewed() {
        let held = held(true);
        assert_eq!(next(NOW, Some(&held), &book(None), false), Next::Ask);
        let other = Plan { certificate: "another".into(), ..plan(NOW, None) };
        assert_eq!(next(NOW, Some(&held), &book(Some(other)), false), Next::Ask);
        let with = |plan| next(NOW, Some(&held), &book(Some(plan)), false);
        assert_eq!(with(plan(NOW + DAY, None)), Next::Wait(NOW + DAY));
        assert_eq!(with(plan(NOW + DAY, Some(NOW + HOUR))), Next::Wait(NOW + HOUR));
        assert_eq!(with(plan(NOW + DAY, Some(NOW))), Next::Ask);
        assert_eq!(with(plan(NOW, Some(NOW))), Next::Obtain);
        // Asked last when the clock was ahead.
        assert_eq!(with(plan(NOW + 20 * DAY, Some(NOW + 2 * DAY))), Next::Ask);
        assert_eq!(with(plan(NOW - DAY, None)), Next::Obtain);
    }

    #[test]
    fn by_a_clock_that_cannot_be_right_a_certificate_that_fits_is_kept_and_nobody_is_asked() {
        for now in [0, 600, BUILT - 1] {
            for plan in [None, Some(plan(NOW - DAY, Some(NOW)))] {
                assert_eq!(next(now, Some(&held(true)), &book(plan), false), Next::Wait(now + 10));
            }
            // Without one there is nothing to lose.
            assert_eq!(next(now, None, &book(None), false), Next::Obtain);
        }
    }

    #[test]
    fn an_authority_that_wants_every_certificate_renewed_at_once_is_asked_more_and_more_rarely() {
        let mut book = Book { last_order: Some(NOW), ..book(None) };
        let mut waits = Vec::new();
        for hasty in [0, 1, 2, 3, 10, 40] {
            book.hasty = hasty;
            waits.push(earliest_order(NOW, &book).unwrap() - NOW);
        }
        assert_eq!(waits, [120, 120, 240, 480, 61_440, DAY]);
        let held = held(true);
        let third = held.not_before + (held.not_after - held.not_before) / 3;
        assert!(is_young(&held, third - 1) && !is_young(&held, third));
        assert!(!is_young(&Held { fits: false, ..held }, third - 1));
    }

    #[test]
    fn no_two_orders_come_within_the_spacing_and_a_pending_one_is_resumed_at_once() {
        let mut book = book(None);
        book.last_order = Some(NOW - 1);
        assert_eq!(next(NOW, None, &book, false), Next::Wait(NOW - 1 + ORDER_SPACING));
        assert_eq!(next(NOW, None, &book, true), Next::Obtain);
        assert_eq!(next(NOW - 1 + ORDER_SPACING, None, &book, false), Next::Obtain);
        // Made when the clock was wrong.
        book.last_order = Some(NOW + DAY);
        assert_eq!(next(NOW, None, &book, false), Next::Obtain);
    }

    #[test]
    fn a_failure_holds_back_and_a_wrong_clock_does_not_hold_back_for_ever() {
        let mut book = book(None);
        book.not_before = Some(NOW + HOUR);
        assert_eq!(next(NOW, None, &book, true), Next::Wait(NOW + HOUR));
        book.not_before = Some(NOW + 300 * DAY);
        assert_eq!(next(NOW, None, &book, false), Next::Obtain);
        // While a renewal that is due is held back, nobody asks when it will be due.
        let mut due = self::book(Some(plan(NOW - 1, Some(NOW - 1))));
        due.not_before = Some(NOW + HOUR);
        assert_eq!(next(NOW, Some(&held(true)), &due, false), Next::Wait(NOW + HOUR));
    }

    #[test]
    fn back_off_doubles_up_to_its_bound_and_heeds_the_authority() {
        let even = Dice(0.5);
        let series = |fault: &AcmeFault| [1, 2, 3, 40].map(|failures| back_off(fault, failures, even));
        assert_eq!(series(&unreachable_()), [10, 20, 40, HOUR]);
        assert_eq!(series(&refused(None)), [15 * MINUTE, 30 * MINUTE, HOUR, 6 * HOUR]);
        assert_eq!(back_off(&refused(Some(7200)), 1, even), 2 * HOUR);
        assert_eq!(back_off(&refused(Some(5)), 1, even), 15 * MINUTE);
        assert_eq!(back_off(&refused(Some(u64::MAX)), 1, even), DAY);
        // An order that is worked on is ready in minutes, whatever the authority says.
        let unfinished =
            |wait| AcmeFault::Unfinished { what: "x", retry_after: Some(Duration::from_secs(wait)) };
        assert_eq!(back_off(&unfinished(86_400), 1, even), MINUTE);
        assert_eq!(back_off(&unfinished(5), 1, even), 10);
        let spread = [0.0, 1.0].map(|dice| back_off(&refused(None), 1, Dice(dice)));
        assert_eq!(spread, [810, 990]);
    }

    #[test]
    fn renewal_without_advice_is_at_two_thirds_of_the_life_or_a_little_before() {
        let held = held(true);
        assert_eq!(by_lifetime(&held, Dice(0.0)), NOW + 30 * DAY);
        assert_eq!(by_lifetime(&held, Dice(1.0)), NOW + 27 * DAY);
        let six_days = Held { not_before: NOW, not_after: NOW + 6 * DAY, ..held };
        assert_eq!(by_lifetime(&six_days, Dice(0.0)), NOW + 4 * DAY);
        let upside_down = Held { not_before: NOW, not_after: NOW - 1, ..six_days };
        assert_eq!(by_lifetime(&upside_down, Dice(1.0)), NOW);
    }

    #[test]
    fn a_time_in_the_window_is_picked_once_and_again_when_the_window_moves() {
        let info = RenewalInfo { start: NOW, end: NOW + 100, explanation: None };
        let held = held(true);
        assert_eq!(by_window(&held, &info, None, Dice(0.25)), NOW + 25);
        let known = Plan { window: Some((NOW, NOW + 100)), ..plan(NOW + 25, None) };
        assert_eq!(by_window(&held, &info, Some(&known), Dice(0.75)), NOW + 25);
        let moved = RenewalInfo { start: NOW - 100, end: NOW, explanation: None };
        assert_eq!(by_window(&held, &moved, Some(&known), Dice(0.75)), NOW - 25);
        let too_late = RenewalInfo { start: NOW + 59 * DAY, end: NOW + 90 * DAY, explanation: None };
        assert_eq!(by_window(&held, &too_late, None, Dice(0.5)), NOW + 51 * DAY);
    }

    #[test]
    fn questions_about_renewal_come_as_often_as_the_authority_says_within_bounds() {
        assert_eq!(ask_at(NOW, Some(6 * HOUR)), NOW + 6 * HOUR);
        assert_eq!(ask_at(NOW, None), NOW + 6 * HOUR);
        assert_eq!(ask_at(NOW, Some(0)), NOW + 10 * MINUTE);
        assert_eq!(ask_at(NOW, Some(i64::MAX)), NOW + DAY);
    }
}
