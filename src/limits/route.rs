//! The limits that a router has for its routes, in the place of the server's or beside them. Knows numbers and times. The router
//! keeps them, and the server asks for them once it knows the route.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "handler-timeout")]
use super::handler_timeout::HandlerTimeout;

/// The limits of a router. A limit that is `None` is that of the router around it, or the server's.
#[derive(Debug, Clone, Default)]
pub(crate) struct RouteLimits {
    pub body_bytes: Option<u64>,
    pub body_timeout: Option<Duration>,
    #[cfg(feature = "handler-timeout")]
    pub handler_timeout: Option<HandlerTimeout>,
    /// All of them hold.
    pub gates: Vec<Arc<Gate>>,
}

impl RouteLimits {
    /// These limits, within those of the router around.
    pub(crate) fn within(&self, around: &RouteLimits) -> RouteLimits {
        RouteLimits {
            body_bytes: self.body_bytes.or(around.body_bytes),
            body_timeout: self.body_timeout.or(around.body_timeout),
            #[cfg(feature = "handler-timeout")]
            handler_timeout: self.handler_timeout.clone().or_else(|| around.handler_timeout.clone()),
            gates: around.gates.iter().chain(&self.gates).cloned().collect(),
        }
    }

    /// How many handlers of these routes are late.
    pub(crate) fn late_handlers(&self) -> usize {
        #[cfg(feature = "handler-timeout")]
        return self.handler_timeout.as_ref().map_or(0, HandlerTimeout::late);
        #[cfg(not(feature = "handler-timeout"))]
        0
    }

    /// Takes a place in each gate. `None` when one is full.
    pub(crate) fn enter(&self) -> Option<Vec<Permit>> {
        self.gates.iter().map(Gate::enter).collect()
    }
}

/// How many requests a router may answer at a time.
#[derive(Debug)]
pub(crate) struct Gate {
    inside: AtomicUsize,
    most: usize,
}

/// A place among the requests that are answered. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Gate>);

impl Gate {
    pub(crate) fn new(most: usize) -> Gate {
        Gate { inside: AtomicUsize::new(0), most }
    }

    fn enter(self: &Arc<Gate>) -> Option<Permit> {
        let more = |inside| (inside < self.most).then_some(inside + 1);
        self.inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Permit(self.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_gates_are_entered_or_none() {
        let (wide, narrow) = (Arc::new(Gate::new(2)), Arc::new(Gate::new(1)));
        let around = RouteLimits { gates: vec![wide.clone()], body_bytes: Some(7), ..RouteLimits::default() };
        let own =
            RouteLimits { gates: vec![narrow], body_timeout: Some(Duration::ZERO), ..RouteLimits::default() };
        let inner = own.within(&around);
        assert_eq!((inner.body_bytes, inner.body_timeout), (Some(7), Some(Duration::ZERO)));
        let one = inner.enter().unwrap();
        assert!(inner.enter().is_none());
        let other = around.enter().unwrap();
        assert!(around.enter().is_none());
        drop((one, other));
        assert_eq!(wide.inside.load(Ordering::Acquire), 0);
    }
}
