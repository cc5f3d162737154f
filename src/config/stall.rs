//! What watches a transfer and keeps it alive: `[stall]`, `[uploads]`, `[interim]`.

use std::time::Duration;

use crate::model::stall::{Action, Limits};

/// `[stall]`, and a route's own `stall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// For how long nothing may move.
    pub limits: Limits,
    /// What is done then.
    pub action: Action,
}

#[cfg(test)]
impl Stall {
    /// Nothing is ever too long.
    pub(crate) const NEVER: Self = Self {
        limits: Limits {
            after: Duration::ZERO,
            connect_after: Duration::ZERO,
            answer_after: Duration::ZERO,
            client_after: Duration::ZERO,
            floor: 0,
            floor_over: Duration::ZERO,
        },
        action: Action::Report,
    };
}

/// `[uploads]`, and a route's own `uploads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uploads {
    /// How many request bodies of a route may be on their way at once; `None` for any number.
    pub at_once: Option<usize>,
}

/// `[interim]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interim {
    /// How long git-lfs waits for its answer before it is told that the transfer lives.
    pub every: Duration,
    /// How often it is told so for one request; 0 for never.
    pub at_most: u32,
}
