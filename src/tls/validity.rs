//! Whether a certificate is valid by this machine's clock, and whether that clock can be believed. Appliances have no battery
//! for their clock: they wake up in 1970, or minutes behind.
//!
//! A server starts whatever is found here: clients have clocks of their own. Called by `identity`, `chain`, `findings` and
//! `check`.

use super::built::BUILT;
use super::der::Validity;

/// How far a clock may be behind without a word, in seconds: a certificate that was issued a moment ago is good.
pub(super) const SKEW: i64 = 300;

/// How a certificate stands by a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The clock stands before the day this program was built, so it cannot be right, and says nothing.
    Unjudged,
    /// Or will be within [`SKEW`].
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

/// Whether the clock may be right. A clock that stands before the day this program was built judges no certificate.
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
