//! Whether a certificate is valid by this machine's clock, and whether that clock can be right. Many appliances have no battery
//! for their clock: it starts in 1970, or some minutes late.
//!
//! A server starts regardless of the result, because clients have their own clocks. `identity`, `chain`, `findings` and `check`
//! call it.

use super::built::BUILT;
use super::der::Validity;

/// How far a clock may be late without a report, in seconds: a certificate may have been issued a moment ago.
pub(super) const SKEW: i64 = 300;

/// A certificate's validity by a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The clock is before the day this program was built, so it cannot be right.
    Unjudged,
    /// It is valid, or will be within [`SKEW`].
    Valid,
    Early,
    Over,
}

/// `now` is in seconds since 1970.
pub(super) fn standing(validity: Validity, now: i64) -> Standing {
    if !is_plausible(now) {
        Standing::Unjudged
    } else if now > validity.not_after {
        Standing::Over
    } else if now < validity.not_before.saturating_sub(SKEW) {
        Standing::Early
    } else {
        Standing::Valid
    }
}

/// Whether the clock may be right: it is not before the day this program was built.
pub(crate) fn is_plausible(now: i64) -> bool {
    now >= BUILT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_build_judges_nothing_and_five_minutes_are_forgiven_at_the_start() {
        let validity = Validity { not_before: BUILT + 1_000, not_after: BUILT + 2_000 };
        for (now, expected) in [
            (i64::MIN, Standing::Unjudged),
            (0, Standing::Unjudged),
            (BUILT - 1, Standing::Unjudged),
            (BUILT, Standing::Early),
            (BUILT + 699, Standing::Early),
            (BUILT + 700, Standing::Valid),
            (BUILT + 2_000, Standing::Valid),
            (BUILT + 2_001, Standing::Over),
            (i64::MAX, Standing::Over),
        ] {
            assert_eq!(standing(validity, now), expected, "{now}");
        }
    }
}
