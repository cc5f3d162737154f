//! Chooses the next range to fetch: one whose fetch failed, else one not yet requested, else half of the largest remaining one, else the
//! one that the client waits for, a second time.

use std::ops::Range;

use super::{Fetch, SMALLEST, SegmentRange, Segments, largest};

/// The smallest part that a range is split into.
const SMALLEST_HALF: u64 = 64 << 10;
/// A range with fewer bytes left is not fetched a second time: the first fetch ends sooner.
const WORTH_A_SECOND_FETCH: u64 = 8 << 10;

impl Segments {
    /// The next range to fetch, and the number of its fetch; `free` bytes of memory are left for new ranges.
    ///
    /// `None` where every connection is busy, or no bytes are left to fetch.
    pub(crate) fn next_fetch(&mut self, free: u64) -> Option<(u64, Range<u64>)> {
        if self.given_up || self.fetching() >= self.limits.connections {
            return None;
        }
        let start = self
            .failed_range()
            .or_else(|| self.next_unrequested(free))
            .or_else(|| self.halve())
            .or_else(|| self.second_fetch())?;
        let part = self.ranges.get_mut(&start)?;
        part.tries += 1;
        let (cursor, end) = (part.at, part.end);
        self.next_id += 1;
        let id = self.next_id;
        let begun = cursor;
        self.fetches.push(Fetch {
            id,
            start,
            begun,
            cursor,
        });
        Some((id, cursor..end))
    }

    /// A range whose fetch failed.
    fn failed_range(&self) -> Option<u64> {
        let unfetched = |(start, part): &(&u64, &SegmentRange)| {
            part.at < part.end && !self.fetches.iter().any(|fetch| fetch.start == **start)
        };
        self.ranges.iter().find(unfetched).map(|(start, _)| *start)
    }

    /// The next range not yet requested, as far as the memory permits.
    fn next_unrequested(&mut self, free: u64) -> Option<u64> {
        let rest = self.length - self.requested;
        let idle = self
            .limits
            .connections
            .saturating_sub(self.fetching())
            .max(1) as u64;
        let room = self
            .limits
            .memory
            .saturating_sub(self.held_bytes())
            .min(free);
        let size = (rest / idle)
            .clamp(SMALLEST, largest(&self.limits))
            .min(rest);
        if rest == 0 || size > room {
            return None;
        }
        let start = self.requested;
        self.requested += size;
        self.insert(start, self.requested);
        Some(start)
    }

    /// The second half of the range with the most bytes left, so that the slowest connection does not delay the end; where the memory is full,
    /// half of the range that the client waits for.
    fn halve(&mut self) -> Option<u64> {
        let all_asked = self.requested >= self.length;
        if let Some(first) = self.first.filter(|_| self.delivered < self.stop()) {
            let (from, stop) = (first.max(self.delivered), self.stop());
            if stop - from >= 2 * SMALLEST_HALF {
                let middle = from + (stop - from) / 2;
                self.insert(middle, stop);
                return Some(middle);
            }
        }
        let left = |part: &SegmentRange| part.end - part.at;
        let largest = self
            .ranges
            .iter_mut()
            .take(if all_asked { usize::MAX } else { 1 })
            .max_by_key(|(_, part)| left(part));
        let (_, part) = largest.filter(|(_, part)| left(part) >= 2 * SMALLEST_HALF)?;
        let (middle, end) = (part.at + left(part) / 2, part.end);
        part.end = middle;
        self.insert(middle, end);
        Some(middle)
    }

    /// A second fetch of the range that the client waits for.
    fn second_fetch(&self) -> Option<u64> {
        let (start, part) = self.ranges.first_key_value()?;
        let fetches = self.fetches.iter().filter(|fetch| fetch.start == *start);
        let waited_for = self.delivered >= *start;
        (waited_for && fetches.count() < 2 && part.end - part.at >= WORTH_A_SECOND_FETCH)
            .then_some(*start)
    }
}
