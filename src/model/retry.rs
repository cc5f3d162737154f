//! What comes after a fault: the same upstream again, the next one, or the end.

use std::time::Duration;

/// What comes after a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The same upstream again, after a wait.
    Again {
        /// The wait.
        after: Duration,
    },
    /// The next upstream of the route, at once.
    NextUpstream {
        /// Its label.
        label: Box<str>,
    },
    /// The client gets an error.
    GiveUp,
}
