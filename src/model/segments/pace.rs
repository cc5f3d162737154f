//! When a download is segmented: its rest would take long, and the origin, not the client, is slow.

use std::time::Duration;

use super::{SMALLEST, SegmentLimits};

/// A path with this rate in bytes per second gains nothing from a second connection.
const FAST: f64 = (16 << 20) as f64;

/// The progress of a download.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes not yet delivered.
    pub rest: u64,
    /// The time since the response's head.
    pub elapsed: Duration,
    /// The most recent part: a path may be fast until its first loss.
    pub recent: PaceSample,
    /// The kernel saw gaps in the received data: the path loses packets.
    pub has_gaps: bool,
    /// Both halves of `recent` are long enough to compare them.
    pub has_halves: bool,
}

/// A part of a download.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PaceSample {
    /// Bytes delivered.
    pub delivered: u64,
    /// Bytes delivered in its second half.
    pub later: u64,
    /// Its duration.
    pub took: Duration,
    /// The time in it that the client waited for the origin; for the rest, gitferry waited for the client.
    pub waited: Duration,
}

/// A download may be segmented after this fraction of `begin_after`.
pub(crate) const EARLY: u32 = 4;
/// The same for a path that loses packets: its one connection becomes no faster.
const EARLY_AFTER_LOSS: u32 = 8;
/// Where the rest would take this multiple of `begin_after`, the first check starts segments.
const VERY_LONG: f64 = 5.0;

/// True where segments help: the rest would take longer than `begin_after`, and the origin is slow.
pub(crate) fn is_worth_it(limits: &SegmentLimits, pace: &Pace) -> bool {
    let PaceSample {
        delivered,
        later,
        took,
        waited,
    } = pace.recent;
    let seconds = took.as_secs_f64();
    let slow = (delivered as f64) < FAST * seconds;
    let takes = pace.rest as f64 * seconds / delivered as f64;
    let begin_after = limits.begin_after.as_secs_f64();
    // One connection doubles its rate with each round trip until the path loses a packet; until then the average says little.
    let grows = later > 0 && later >= 2 * (delivered - later.min(delivered));
    let fraction = if pace.has_gaps {
        EARLY_AFTER_LOSS
    } else {
        EARLY
    };
    let early = delivered > 0
        && takes >= VERY_LONG * begin_after
        && pace.elapsed >= limits.begin_after / fraction;
    limits.connections > 1
        && limits.memory >= SMALLEST
        && (early || pace.elapsed >= limits.begin_after && takes >= begin_after)
        && waited * 2 >= took
        && pace.rest >= 2 * SMALLEST
        && slow
        && (pace.has_gaps || pace.has_halves && !grows)
}
