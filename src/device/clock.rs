//! Whether this machine's clock can be right, and the lifetimes of certificates that follow from it.
//!
//! Many appliances have no battery for their clock. Their clock starts in 1970, and is set when the network is up, or never.
//! Their clients have better clocks. `state` calls this module.

use std::time::Duration;

use super::making::Lifetime;
use crate::tls::built;

pub(super) use built::BUILT;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// 365 days.
const YEAR: i64 = 365 * DAY;

/// How long a certificate lives; Apple's clients refuse more than 825 days.
pub(super) const LEAF_LIFETIME: i64 = 90 * DAY;
/// How far in the past its validity begins, for clients whose clock is slow or set to another time zone.
const BACKDATED: i64 = DAY;
/// Longer than an appliance lives, because people install a new CA on clients by hand. No client limits the lifetime of a CA
/// that its user trusts.
const CA_LIFETIME: i64 = 20 * YEAR;

/// The notBefore of provisional certificates and of all CAs: where a clock that was never set begins.
const CLOCKS_BEGIN: i64 = 0;

/// How long an existing certificate is kept while the clock cannot be right. With a network, clocks are set much sooner.
pub(super) const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How far a clock can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// It shows a time before the day this program was built, so it cannot be right.
    Early,
    /// It may be right.
    Plausible,
    /// It shows a time after the CA's end. By this clock nothing that the CA signs is valid.
    Late,
}

impl Clock {
    pub(super) fn at(now: i64, ca: Lifetime) -> Clock {
        match now {
            now if now < BUILT => Clock::Early,
            now if now > ca.not_after => Clock::Late,
            _ => Clock::Plausible,
        }
    }
}

/// The lifetime of a CA that is made now. It begins in 1970, so that a client whose clock was never set does not refuse a
/// provisional certificate because of its CA. It ends 20 years from now, or from the program's build if the clock is before
/// that.
pub(super) fn of_ca(now: i64) -> Lifetime {
    Lifetime { not_before: CLOCKS_BEGIN, not_after: now.max(BUILT).saturating_add(CA_LIFETIME) }
}

/// The lifetime of a certificate that is made now. With an implausible clock the certificate is provisional: it is valid from
/// 1970 on, so that an early clock accepts it, and until its CA's end, so that clients with the right time accept it. The clock
/// may never be set.
pub(super) fn of_leaf(now: i64, ca: Lifetime) -> Lifetime {
    match Clock::at(now, ca) {
        Clock::Plausible => {
            let not_after = now.saturating_add(LEAF_LIFETIME).min(ca.not_after);
            Lifetime { not_before: now - BACKDATED, not_after }
        }
        Clock::Early | Clock::Late => Lifetime { not_before: CLOCKS_BEGIN, not_after: ca.not_after },
    }
}

/// Whether a certificate was made while the clock was implausible.
pub(super) fn is_provisional(not_before: i64) -> bool {
    not_before == CLOCKS_BEGIN
}

/// Why a certificate must be replaced now, as a clause. `None` when it stays. `running` is how long this process has been up.
/// While the clock is in 1970, where devices without a battery begin, a certificate is kept for a while, because it is probably
/// good.
pub(super) fn is_due(leaf: Lifetime, ca: Lifetime, now: i64, running: Duration) -> Option<&'static str> {
    match (is_provisional(leaf.not_before), Clock::at(now, ca)) {
        (true, Clock::Plausible) => Some("it was provisional, and the clock is set now"),
        (true, Clock::Early | Clock::Late) => None,
        (false, Clock::Early) => (running >= PATIENCE)
            .then_some("the clock has stood before the day this program was built for 10 minutes, so it may never be set"),
        (false, Clock::Late) => Some("the clock stands beyond the end of the device's CA"),
        (false, Clock::Plausible) if now < leaf.not_before => Some("it is not valid yet"),
        // A new certificate could not last longer, because this one ends with its CA.
        (false, Clock::Plausible) if leaf.not_after >= ca.not_after => None,
        (false, Clock::Plausible) => {
            let life = leaf.not_after - leaf.not_before;
            (now >= leaf.not_before + life / 3 * 2).then_some("two thirds of its life are over")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = BUILT + 100 * DAY;

    /// The result in a process that has been up for long.
    fn is_due(leaf: Lifetime, ca: Lifetime, now: i64) -> Option<&'static str> {
        super::is_due(leaf, ca, now, PATIENCE)
    }

    fn leaf_of(now: i64) -> Lifetime {
        of_leaf(now, of_ca(now))
    }

    #[test]
    fn a_leaf_lives_for_90_days_and_is_renewed_at_two_thirds() {
        let (leaf, ca) = (leaf_of(NOW), of_ca(NOW));
        assert_eq!(leaf, Lifetime { not_before: NOW - DAY, not_after: NOW + 90 * DAY });
        assert_eq!(is_due(leaf, ca, NOW + 59 * DAY), None);
        assert_eq!(is_due(leaf, ca, NOW + 60 * DAY), Some("two thirds of its life are over"));
    }

    #[test]
    fn a_clock_before_the_build_gives_a_leaf_that_is_valid_for_clients_with_any_clock() {
        for now in [0, 1, BUILT - 1] {
            let (leaf, ca) = (leaf_of(now), of_ca(now));
            assert_eq!(leaf, Lifetime { not_before: 0, not_after: BUILT + 20 * YEAR });
            assert!(is_provisional(leaf.not_before));
            for later in [now, BUILT - 1] {
                assert_eq!(is_due(leaf, ca, later), None, "{later}");
            }
            assert!(is_due(leaf, ca, BUILT).is_some());
        }
        assert!(!is_provisional(leaf_of(BUILT).not_before));
        assert!(is_due(leaf_of(NOW), of_ca(NOW), BUILT - 1).is_some());
    }

    #[test]
    fn a_leaf_that_is_there_is_kept_for_a_while_by_a_clock_in_1970() {
        let (leaf, ca) = (leaf_of(NOW), of_ca(NOW));
        for running in [Duration::ZERO, PATIENCE - Duration::from_secs(1)] {
            assert_eq!(super::is_due(leaf, ca, 20, running), None);
        }
        assert!(super::is_due(leaf, ca, 20, PATIENCE).unwrap().contains("may never be set"));
        // A plausible clock counts at once.
        assert!(super::is_due(leaf, ca, NOW + 60 * DAY, Duration::ZERO).is_some());
        assert_eq!(super::is_due(leaf, ca, leaf.not_before - 1, Duration::ZERO), Some("it is not valid yet"));
    }

    #[test]
    fn a_clock_beyond_the_end_of_the_ca_gives_a_leaf_that_is_valid_as_long_as_the_ca_is() {
        let ca = of_ca(NOW);
        let late = ca.not_after + 1;
        assert_eq!(of_leaf(late, ca), Lifetime { not_before: 0, not_after: ca.not_after });
        assert!(super::is_due(leaf_of(NOW), ca, late, Duration::ZERO).is_some());
        assert_eq!(is_due(of_leaf(late, ca), ca, late), None);
        assert!(is_due(of_leaf(late, ca), ca, NOW).is_some(), "once the clock is set");
    }

    #[test]
    fn no_leaf_outlives_its_ca_and_the_last_one_is_kept() {
        let ca = of_ca(NOW);
        let late = ca.not_after - 10 * DAY;
        let last = of_leaf(late, ca);
        assert_eq!(last.not_after, ca.not_after);
        assert_eq!(is_due(last, ca, ca.not_after - 1), None);
    }

    #[test]
    fn no_clock_overflows() {
        for now in [i64::MIN, -1, i64::MAX] {
            let _ = is_due(leaf_of(now), of_ca(now), now);
        }
    }
}
