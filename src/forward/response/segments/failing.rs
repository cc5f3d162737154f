//! Ranges that bring nothing or break: they are fetched again, until there are too many of them.

use std::{mem, time::Duration};

use tokio::time::Instant;

use super::{HEAD_PATIENCE, Segmented};
use crate::model::segments::{NextBytes, SMALLEST};

/// How long any other range may bring nothing.
const PATIENCE: Duration = Duration::from_secs(15);
/// Fetches for which the client waited in vain, one after the other, before ranges are given up.
const VAIN: u32 = 2;

impl Segmented {
    /// Ends the connections that bring nothing, that of the range the client waits for first.
    pub(super) fn end_what_stands_still(&mut self) {
        let now = Instant::now();
        let head = match self.plan.source() {
            NextBytes::Range { start, ready: 0 } => Some(start),
            NextBytes::First { .. } => {
                self.skip_first(now);
                None
            }
            _ => None,
        };
        let was_given_up = self.plan.is_given_up();
        let mut vain = false;
        let mut failed = Vec::new();
        for worker in &mut self.workers {
            let Some((id, since)) = worker.waits() else {
                continue;
            };
            let of_head = head.is_some() && self.plan.start_of(id) == head;
            let patience = if of_head { HEAD_PATIENCE } else { PATIENCE };
            if now.saturating_duration_since(since) >= patience {
                vain |= of_head;
                failed.push(id);
                worker.end();
            }
        }
        for id in failed {
            self.fetch_failed(id, "no data arrived");
        }
        self.workers.retain(|worker| !worker.is_gone());
        if vain {
            // A range that brings a little each time stands still all the same.
            let moved = mem::take(&mut self.since_vain) >= SMALLEST;
            self.vain = if moved { 1 } else { self.vain + 1 };
        }
        if self.vain >= VAIN && self.broken.is_none() && !self.plan.is_given_up() {
            self.give_up("the ranges are stalled");
        }
        self.stalled |= self.plan.is_given_up() && !was_given_up;
    }

    /// A fetch broke, and maybe one too many.
    pub(super) fn fetch_failed(&mut self, id: u64, why: &str) {
        self.requests.transfer().segment_failed(why);
        let gave_up = self.plan.is_given_up();
        self.plan.failed(id);
        if self.plan.is_given_up() && !gave_up {
            self.give_up("too many ranges failed");
        }
    }

    /// The first connection alone reads on.
    pub(super) fn give_up(&mut self, why: &str) {
        self.requests.transfer().segments_end(why);
        self.plan.give_up();
        self.workers.clear();
    }
}
