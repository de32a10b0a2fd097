//! By when something has to have happened on a connection, and which limit says so. Who sets a deadline names its limit, and
//! the log line that tells of its passing takes it from here.

use super::clock::Millis;
use crate::limits::limit::Limit;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub at: Millis,
    /// `None` for a bound of the server's own, which no log line names.
    pub limit: Option<Limit>,
}

impl Deadline {
    pub(crate) fn of(limit: Limit, at: Millis) -> Deadline {
        Deadline { at, limit: Some(limit) }
    }

    /// A bound that is no setting.
    pub(crate) fn own(at: Millis) -> Deadline {
        Deadline { at, limit: None }
    }

    /// The same limit, at this time if that is earlier.
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
