//! A large answer, until it is known whether segments are worth it.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::forward::{
    downloads::HostPlace,
    exchange::{Exchange, ranges::RangeRequests},
    upstream::pool::Lease,
};
use crate::model::segments::{EARLY, Pace, SMALLEST, SegmentLimits, is_worth_it};

/// The most of the memory that one download uses.
const MEMORY_OF_ONE: u64 = 24 << 20;

/// A large answer that may be segmented.
pub(crate) struct Candidate {
    pub(super) requests: Arc<RangeRequests>,
    pub(super) limits: SegmentLimits,
    pub(super) length: u64,
    pub(super) first: HostPlace,
    begun: Instant,
    /// For how long the client waited for the origin.
    waited: Duration,
    waits_since: Option<Instant>,
    look: Pin<Box<Sleep>>,
}

impl Candidate {
    /// `None` where the answer is none that can be segmented, or the config says so.
    pub(crate) fn of(exchange: &Exchange, lease: &Lease) -> Option<Self> {
        let length = exchange.promised()?;
        let config = &exchange.forwarder.config.downloads;
        let limits = SegmentLimits {
            connections: config.segments,
            memory: config.memory.min(MEMORY_OF_ONE),
            begin_after: config.begin_after,
        };
        if length < 2 * SMALLEST || limits.connections < 2 || limits.memory < SMALLEST {
            return None;
        }
        let requests = Arc::new(exchange.ranges(lease)?);
        let begun = Instant::now();
        Some(Self {
            first: exchange.forwarder.shared.downloads.count(requests.host()),
            requests,
            limits,
            length,
            begun,
            waited: Duration::ZERO,
            waits_since: None,
            look: Box::pin(sleep_until(begun + limits.begin_after / EARLY)),
        })
    }

    /// Notes whether the client waits for the origin.
    pub(crate) fn note(&mut self, waits: bool) {
        if waits {
            self.waits_since.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.waits_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// True once segments are worth it; the first look is due even where no byte comes.
    pub(crate) fn poll_worth_it(&mut self, cx: &mut Context<'_>, delivered: u64) -> bool {
        if self.look.as_mut().poll(cx) == Poll::Pending {
            return false;
        }
        let now = Instant::now();
        self.look
            .as_mut()
            .reset(now + LOOK.min(self.limits.begin_after / EARLY).max(SHORTEST_LOOK));
        // Registers the next look.
        let _ = self.look.as_mut().poll(cx);
        let waits = self.waits_since.map_or(Duration::ZERO, |since| now - since);
        let pace = Pace {
            length: self.length,
            delivered,
            elapsed: now - self.begun,
            waited: self.waited + waits,
        };
        is_worth_it(&self.limits, &pace)
    }
}

/// How often a download is looked at, and at most.
const LOOK: Duration = Duration::from_millis(500);
const SHORTEST_LOOK: Duration = Duration::from_millis(10);
