//! Ranges that stall or break: they are fetched again until too many have failed.

use std::{mem, time::Duration};

use tokio::time::Instant;

use super::{HEAD_SILENCE_LIMIT, Segmented};
use crate::model::segments::{NextBytes, SMALLEST};

/// How long a range that the client does not wait for may be silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(15);
/// The number of failed fetches in a row for which the client waited, at which ranges are given up.
const MAX_WASTED: u32 = 2;

impl Segmented {
    /// Ends the connections that are silent, first that of the range the client waits for.
    pub(super) fn end_silent_fetches(&mut self) {
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
        let mut wasted_fetches = false;
        let mut failed = Vec::new();
        for worker in &mut self.workers {
            let Some((id, since)) = worker.waiting_fetch() else {
                continue;
            };
            let of_head = head.is_some() && self.plan.start_of(id) == head;
            let limit = if of_head {
                HEAD_SILENCE_LIMIT
            } else {
                SILENCE_LIMIT
            };
            if now.saturating_duration_since(since) >= limit {
                wasted_fetches |= of_head;
                failed.push(id);
                worker.end();
            }
        }
        for id in failed {
            self.fetch_failed(id, "no data arrived");
        }
        self.workers.retain(|worker| !worker.is_gone());
        if wasted_fetches {
            // A range that brings only a few bytes each time counts as silent.
            let moved = mem::take(&mut self.since_wasted) >= SMALLEST;
            self.wasted_fetches = if moved { 1 } else { self.wasted_fetches + 1 };
        }
        if self.wasted_fetches >= MAX_WASTED && self.broken.is_none() && !self.plan.is_given_up() {
            self.give_up("the ranges are stalled");
        }
        self.stalled |= self.plan.is_given_up() && !was_given_up;
    }

    /// A fetch broke; gives ranges up where too many have.
    pub(super) fn fetch_failed(&mut self, id: u64, why: &str) {
        self.requests.transfer().log_segment_failure(why);
        let gave_up = self.plan.is_given_up();
        self.plan.note_failed_fetch(id);
        if self.plan.is_given_up() && !gave_up {
            self.give_up("too many ranges failed");
        }
    }

    /// From here on only the first connection reads.
    pub(super) fn give_up(&mut self, why: &str) {
        self.requests.transfer().log_segments_end(why);
        self.plan.give_up();
        self.workers.clear();
    }
}
