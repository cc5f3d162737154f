//! A large response, until the decision whether to segment it.

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
    upstream::{
        pool::{Lease, Sender},
        send::STREAM_WINDOW,
    },
};
use crate::io::TcpMonitor;
use crate::model::segments::{EARLY, Pace, PaceSample, SMALLEST, SegmentLimits, is_worth_it};

/// The most memory that one download uses.
const MAX_MEMORY: u64 = 20 << 20;

/// A large response that may be segmented.
pub(crate) struct Candidate {
    pub(super) requests: Arc<RangeRequests>,
    pub(super) limits: SegmentLimits,
    pub(super) length: u64,
    pub(super) first: HostPlace,
    /// The most bytes that the first connection holds in memory while it is not read. Those of an HTTP/1 connection wait in the kernel.
    pub(super) unread: u64,
    begun: Instant,
    /// How long the client waited for the origin.
    waited: Duration,
    waits_since: Option<Instant>,
    /// The start of the stretch whose pace is measured, and of the next one.
    marks: [Checkpoint; 2],
    next_check: Pin<Box<Sleep>>,
    /// The first connection, and the number of segments that had arrived out of order on it before.
    tcp: TcpMonitor,
    gaps: u32,
}

/// A moment of a download.
#[derive(Clone, Copy)]
struct Checkpoint {
    at: Instant,
    delivered: u64,
    waited: Duration,
}

impl Candidate {
    /// `None` where the response cannot be segmented, or the config disables it.
    pub(crate) fn of(exchange: &Exchange, lease: &Lease) -> Option<Self> {
        let length = exchange.promised()?;
        let config = &exchange.forwarder.config.downloads;
        let limits = SegmentLimits {
            connections: config.segments,
            memory: config.memory.min(MAX_MEMORY),
            begin_after: config.begin_after,
        };
        if length < 2 * SMALLEST || limits.connections < 2 || limits.memory < SMALLEST {
            return None;
        }
        let requests = Arc::new(exchange.ranges(lease)?);
        let begun = Instant::now();
        let tcp = lease.info.tcp.clone();
        Some(Self {
            gaps: gaps(&tcp),
            tcp,
            first: exchange.forwarder.shared.downloads.count(requests.host()),
            unread: match lease.sender {
                Sender::Http1(_) => 0,
                Sender::Http2(_) => STREAM_WINDOW.into(),
            },
            requests,
            limits,
            length,
            begun,
            waited: Duration::ZERO,
            waits_since: None,
            marks: [Checkpoint {
                at: begun,
                delivered: 0,
                waited: Duration::ZERO,
            }; 2],
            next_check: Box::pin(sleep_until(begun + interval(&limits))),
        })
    }

    /// Records whether the client waits for the origin.
    pub(crate) fn record_wait(&mut self, waits: bool) {
        if waits {
            self.waits_since.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.waits_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// True once segments help; the first check is due even where no byte arrives.
    pub(crate) fn poll_worth_it(&mut self, cx: &mut Context<'_>, delivered: u64) -> bool {
        if self.next_check.as_mut().poll(cx) == Poll::Pending {
            return false;
        }
        let now = Instant::now();
        let half = self.limits.begin_after / EARLY;
        self.next_check.as_mut().reset(now + interval(&self.limits));
        // Registers for the next check.
        let _ = self.next_check.as_mut().poll(cx);
        let waits = self.waits_since.map_or(Duration::ZERO, |since| now - since);
        let mark = Checkpoint {
            at: now,
            delivered,
            waited: self.waited + waits,
        };
        let [begin, middle] = self.marks;
        let has_halves = now - middle.at >= half;
        if has_halves {
            self.marks = [middle, mark];
        }
        let pace = Pace {
            rest: self.length.saturating_sub(delivered),
            elapsed: now - self.begun,
            recent: PaceSample {
                delivered: delivered.saturating_sub(begin.delivered),
                later: delivered.saturating_sub(middle.delivered),
                took: now - begin.at,
                waited: mark.waited.saturating_sub(begin.waited),
            },
            has_gaps: gaps(&self.tcp) > self.gaps,
            has_halves,
        };
        is_worth_it(&self.limits, &pace)
    }
}

/// Segments that arrived out of order, where the kernel counts them.
fn gaps(tcp: &TcpMonitor) -> u32 {
    let kernel = tcp.detailed_flow().kernel;
    kernel.and_then(|kernel| kernel.out_of_order).unwrap_or(0)
}

/// The time between two checks of a download: a lost packet decides at the next one.
fn interval(limits: &SegmentLimits) -> Duration {
    (limits.begin_after / CHECKS).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

/// How often a download is checked within `begin_after`.
const CHECKS: u32 = 16;
const MIN_INTERVAL: Duration = Duration::from_millis(10);
const MAX_INTERVAL: Duration = Duration::from_millis(500);
