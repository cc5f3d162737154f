//! A download in segments: the next range to fetch, and the source of the client's next byte.
//!
//! The first connection delivers from the start. Where the rest would take long, further connections fetch later ranges, and gitferry
//! delivers them strictly in order. The first connection stays open until the file is complete: where the origin refuses ranges, it reads
//! on and skips the bytes that were already delivered. Where ranges fail for other reasons and there is much to skip, the rest is
//! requested again.
//!
//! This module only counts bytes; `forward::response::segments` holds them.

mod choice;
mod pace;

use std::{collections::BTreeMap, ops::Range, time::Duration};

pub(crate) use pace::{EARLY, Pace, PaceSample, is_worth_it};

/// The limits of one download.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentLimits {
    /// Connections that fetch, including the first one while it fetches.
    pub connections: usize,
    /// Bytes that may be requested or held ahead of the client.
    pub memory: u64,
    /// A download runs this long before it is segmented; a quarter of this time is enough where the rest would take very long.
    pub begin_after: Duration,
}

/// The smallest range: a smaller one costs more in round trips than it gains.
pub(crate) const SMALLEST: u64 = 256 << 10;
/// The largest range: a larger one delays the bytes after it too long when its connection is slow.
pub(crate) const LARGEST: u64 = 4 << 20;
/// Failed fetches of one range before segments are given up.
const TRIES: u32 = 4;
/// A fetch that received this many bytes before it failed does not count.
const PROGRESS: u64 = 16 << 10;
/// Failed fetches over all ranges before segments are given up, plus one for each [`SMALLEST`] received: without the limit, a path that
/// breaks every connection after a few bytes would cost thousands of connections.
const BREAKS: u64 = 8;
/// The first connection skips at most this much where the rest can be requested instead.
const WORTH_SKIPPING: u64 = SMALLEST;

/// Where the client's next byte comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextBytes {
    /// The first connection, at most `most` bytes of it.
    First {
        /// Bytes up to the first range.
        most: u64,
    },
    /// The range that begins at `start`; `ready` bytes of it can be delivered.
    Range {
        /// Where the range begins.
        start: u64,
        /// Bytes that can be delivered, 0 while they are on their way.
        ready: u64,
    },
    /// There is no source: no fetch is under way, and the first connection is gone.
    NoSource,
    /// The download is complete.
    Done,
}

/// What a fetch does with received bytes: it skips some, then keeps some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FetchWindow {
    /// The start of the range that the bytes belong to.
    pub start: u64,
    /// Bytes to skip: another fetch already brought them.
    pub skip: usize,
    /// Bytes to keep after the skipped ones.
    pub keep: usize,
}

/// A download in segments.
#[derive(Debug)]
pub(crate) struct Segments {
    limits: SegmentLimits,
    length: u64,
    /// How far the first connection has read; `None` where it is gone.
    first: Option<u64>,
    delivered: u64,
    /// By their start. Together with the first connection's part they cover everything up to `requested`.
    ranges: BTreeMap<u64, SegmentRange>,
    /// The end of the last range requested.
    requested: u64,
    fetches: Vec<Fetch>,
    next_id: u64,
    /// Bytes received in ranges, and failed fetches.
    received: u64,
    failed_fetches: u64,
    given_up: bool,
}

/// A range.
#[derive(Clone, Copy, Debug)]
struct SegmentRange {
    end: u64,
    /// The position of its next byte.
    at: u64,
    tries: u32,
}

/// A range that is being fetched.
#[derive(Clone, Copy, Debug)]
struct Fetch {
    id: u64,
    /// The start of the range.
    start: u64,
    /// The position where the fetch began.
    begun: u64,
    /// The position of its next byte. Two fetches of one range may have different positions.
    cursor: u64,
}

impl Segments {
    /// A plan from `position` on: the first connection has read up to it, and the client has received everything before it.
    pub(crate) fn new(limits: SegmentLimits, length: u64, position: u64) -> Self {
        let share = length.saturating_sub(position) / limits.connections.max(1) as u64;
        let size = share.clamp(SMALLEST, largest(&limits));
        Self {
            limits,
            length,
            first: Some(position),
            delivered: position,
            ranges: BTreeMap::new(),
            requested: position.saturating_add(size).min(length),
            fetches: Vec::new(),
            next_id: 0,
            received: 0,
            failed_fetches: 0,
            given_up: false,
        }
    }

    fn insert(&mut self, start: u64, end: u64) {
        let (at, tries) = (start, 0);
        self.ranges.insert(start, SegmentRange { end, at, tries });
    }

    /// The remaining part of fetch `id`, whose range may have been split; `None` where it is no longer wanted.
    pub(crate) fn remaining(&self, id: u64) -> Option<Range<u64>> {
        let fetch = self.fetches.iter().find(|fetch| fetch.id == id)?;
        let part = self.ranges.get(&fetch.start)?;
        Some(fetch.cursor..part.end)
    }

    /// Where the range of fetch `id` begins.
    pub(crate) fn start_of(&self, id: u64) -> Option<u64> {
        let fetch = self.fetches.iter().find(|fetch| fetch.id == id)?;
        Some(fetch.start)
    }

    /// Records that the first connection has read `count` more bytes.
    pub(crate) fn note_first_received(&mut self, count: u64) {
        if let Some(first) = &mut self.first {
            *first = (*first + count).min(self.length);
        }
    }

    /// Records that the first connection broke. Ranges take over its part, unless segments were given up.
    pub(crate) fn note_first_failed(&mut self) {
        self.skip_first();
        self.first = None;
    }

    /// Lets ranges take over the part of a silent first connection, unless segments were given up. It stays open.
    pub(crate) fn skip_first(&mut self) {
        let stop = self.stop();
        if self.delivered < stop && !self.given_up {
            self.insert(self.delivered, stop);
        }
    }

    /// Records that fetch `id` has received `count` more bytes; `None` where they are no longer wanted.
    pub(crate) fn note_received(&mut self, id: u64, count: usize) -> Option<FetchWindow> {
        let fetch = self.fetches.iter_mut().find(|fetch| fetch.id == id)?;
        let part = self.ranges.get_mut(&fetch.start)?;
        let skip = (part.at - fetch.cursor).min(count as u64);
        let keep = (count as u64 - skip).min(part.end - part.at);
        part.at += keep;
        self.received += keep;
        fetch.cursor += skip + keep;
        let start = fetch.start;
        if part.at >= part.end {
            self.fetches.retain(|fetch| fetch.start != start);
        }
        Some(FetchWindow {
            start,
            skip: skip as usize,
            keep: keep as usize,
        })
    }

    /// Records that fetch `id` failed. The rest of its range is fetched again, within the limits [`TRIES`] and [`BREAKS`].
    pub(crate) fn note_failed_fetch(&mut self, id: u64) {
        let Some(at) = self.fetches.iter().position(|fetch| fetch.id == id) else {
            return;
        };
        let fetch = self.fetches.swap_remove(at);
        let Some(part) = self.ranges.get_mut(&fetch.start) else {
            return;
        };
        if fetch.cursor - fetch.begun >= PROGRESS {
            part.tries = part.tries.saturating_sub(1);
        }
        self.failed_fetches += 1;
        if part.tries >= TRIES || self.is_breaking() {
            self.give_up();
        }
    }

    /// True where too many fetches failed for the bytes that they brought.
    pub(crate) fn is_breaking(&self) -> bool {
        self.failed_fetches > BREAKS + self.received / SMALLEST
    }

    /// True where the first connection has so much to skip that the client would wait long.
    pub(crate) fn skips_much(&self) -> bool {
        self.first_skips() > WORTH_SKIPPING
    }

    /// Stops all fetching. Bytes received in order are still delivered; then the first connection reads on.
    pub(crate) fn give_up(&mut self) {
        self.given_up = true;
        self.fetches.clear();
    }

    /// True after [`Segments::give_up`].
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up
    }

    /// The source of the next byte.
    pub(crate) fn source(&self) -> NextBytes {
        if self.delivered >= self.length {
            return NextBytes::Done;
        }
        if let Some((start, part)) = self.ranges.first_key_value()
            && self.delivered >= *start
        {
            let ready = part.at - self.delivered.min(part.at);
            if ready > 0 || !self.given_up {
                return NextBytes::Range {
                    start: *start,
                    ready,
                };
            }
        }
        let most = self.first_until().saturating_sub(self.delivered);
        match self.first {
            Some(_) if most > 0 => NextBytes::First { most },
            Some(_) | None => NextBytes::NoSource,
        }
    }

    /// The position where the first connection stops: the next range, or, when segments have ended, the next range that has bytes.
    fn first_until(&self) -> u64 {
        if !self.given_up {
            return self.stop();
        }
        let has_bytes =
            |(start, part): &(&u64, &SegmentRange)| **start > self.delivered && part.at > **start;
        let next = self.ranges.iter().find(has_bytes);
        next.map_or(self.length, |(start, _)| *start)
    }

    /// Bytes that the first connection must skip before the client's next byte.
    pub(crate) fn first_skips(&self) -> u64 {
        self.first
            .map_or(0, |first| self.delivered.saturating_sub(first))
    }

    /// Records that the client received `count` more bytes.
    pub(crate) fn note_delivered(&mut self, count: u64) {
        self.delivered = (self.delivered + count).min(self.length);
        let delivered = self.delivered;
        self.ranges.retain(|_, part| part.end > delivered);
        self.requested = self.requested.max(delivered);
    }

    /// Plans [`SMALLEST`] more bytes where no memory is left for ranges, so that the client always gets its next bytes.
    ///
    /// The first connection brings them, or a range where the first connection would have to skip bytes that the client already has.
    pub(crate) fn extend(&mut self) {
        let Some(first) = self.first else { return };
        if self.ranges.is_empty() && self.delivered >= self.requested {
            self.requested = (self.delivered + SMALLEST).min(self.length);
            if first < self.delivered {
                self.insert(self.delivered, self.requested);
            }
        }
    }

    /// True where the client waits for a range that no connection fetches.
    pub(crate) fn waits_for_fetch(&self) -> bool {
        let NextBytes::Range { start, ready: 0 } = self.source() else {
            return false;
        };
        !self.given_up && !self.fetches.iter().any(|fetch| fetch.start == start)
    }

    /// The number of connections that fetch.
    fn fetching(&self) -> usize {
        let first = self.first.is_some() && self.delivered < self.stop();
        self.fetches.len() + usize::from(first)
    }

    /// The end of the first connection's part.
    fn stop(&self) -> u64 {
        let range = self.ranges.first_key_value();
        range.map_or(self.requested, |(start, _)| *start)
    }

    /// Bytes of ranges that were received and not delivered.
    pub(crate) fn bytes_ahead(&self) -> u64 {
        let waiting = |(start, part): (&u64, &SegmentRange)| {
            part.at.saturating_sub(self.delivered.max(*start))
        };
        self.ranges.iter().map(waiting).sum()
    }

    /// Bytes of ranges that are being fetched or wait for the client.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.requested - self.stop().max(self.delivered).min(self.requested)
    }
}

/// The largest range: each connection has one range under way and one that waits for delivery.
fn largest(limits: &SegmentLimits) -> u64 {
    let places = 2 * limits.connections.max(1) as u64;
    (limits.memory / places).clamp(SMALLEST, LARGEST)
}

#[cfg(test)]
mod tests;
