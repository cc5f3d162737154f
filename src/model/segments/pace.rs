//! When a download is segmented: as long as its rest would still take long, and the origin is what is slow.

use std::time::Duration;

use super::{SMALLEST, SegmentLimits};

/// A path that carries more bytes a second gains nothing from a second connection.
const FAST: f64 = (16 << 20) as f64;

/// How a download has gone so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes that have not been delivered.
    pub rest: u64,
    /// Since the answer's head.
    pub elapsed: Duration,
    /// The last stretch of it: a path may be fast until its first loss.
    pub recent: Stretch,
    /// The kernel has seen gaps in what came: the path loses some of it.
    pub has_gaps: bool,
}

/// A part of a download.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// Bytes that were delivered.
    pub delivered: u64,
    /// How many of them came in its second half.
    pub later: u64,
    /// How long that took.
    pub took: Duration,
    /// How much of it the client waited for the origin; the rest gitferry waited for the client.
    pub waited: Duration,
}

/// The first look at a download comes after this part of `begin_after`.
pub(crate) const EARLY: u32 = 4;
/// A rest that would take so many times `begin_after` is worth it at the first look.
const VERY_LONG: f64 = 5.0;

/// True where segments are worth it: the rest would take longer than `begin_after`, and the origin is what is slow.
pub(crate) fn is_worth_it(limits: &SegmentLimits, pace: &Pace) -> bool {
    let Stretch {
        delivered,
        later,
        took,
        waited,
    } = pace.recent;
    let seconds = took.as_secs_f64();
    let slow = (delivered as f64) < FAST * seconds;
    let takes = pace.rest as f64 * seconds / delivered as f64;
    let begin_after = limits.begin_after.as_secs_f64();
    // One connection doubles its rate with each round trip until the path loses a packet: what came so far says little of it then.
    let grows = later > 0 && later >= 2 * (delivered - later.min(delivered));
    let early = delivered > 0
        && takes >= VERY_LONG * begin_after
        && pace.elapsed >= limits.begin_after / EARLY;
    limits.connections > 1
        && limits.memory >= SMALLEST
        && (early || pace.elapsed >= limits.begin_after && takes >= begin_after)
        && waited * 2 >= took
        && pace.rest >= 2 * SMALLEST
        && slow
        && (pace.has_gaps || !grows)
}
