//! A deadline of a connection, with the limit that sets it. When the deadline passes, the log line names that limit.

use super::clock::Millis;
use crate::limits::limit::Limit;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub at: Millis,
    /// `None` for a fixed bound of the server, which no log line names.
    pub limit: Option<Limit>,
}

impl Deadline {
    pub(crate) fn of(limit: Limit, at: Millis) -> Deadline {
        Deadline { at, limit: Some(limit) }
    }

    /// A deadline of a fixed bound that is not a setting.
    pub(crate) fn own(at: Millis) -> Deadline {
        Deadline { at, limit: None }
    }

    /// The deadline, or this time if it is earlier, with the same limit.
    pub(crate) fn no_later_than(self, at: Millis) -> Deadline {
        Deadline { at: self.at.min(at), ..self }
    }

    pub(crate) fn has_passed(self, now: Millis) -> bool {
        self.at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_is_brought_forward_keeps_its_limit() {
        let deadline = Deadline::of(Limit::HeadTimeout, 500);
        assert_eq!(deadline.no_later_than(700), deadline);
        let sooner = deadline.no_later_than(300);
        assert_eq!(sooner, Deadline { at: 300, limit: Some(Limit::HeadTimeout) });
        assert!(sooner.has_passed(300) && !sooner.has_passed(299));
        assert_eq!(Deadline::own(3).limit, None);
    }
}
