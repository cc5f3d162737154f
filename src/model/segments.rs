//! A download in segments: which range is fetched next, and from where the client's next byte comes.
//!
//! The first connection delivers from the start. When the rest would still take long, later ranges are fetched beside it, each over a
//! connection of its own, and delivered strictly in order. The first connection stays open at its place until the file is complete: where
//! ranges fail, it reads on, over what was delivered meanwhile.
//!
//! Pure: bytes are counted here and kept elsewhere.

use std::{collections::BTreeMap, ops::Range, time::Duration};

/// `[downloads]`, and how large a range may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Connections for one download, the first one included.
    pub connections: usize,
    /// Bytes that may have come and wait for their turn, those that were asked for included.
    pub memory: u64,
    /// No download is looked at before it has run for so long.
    pub begin_after: Duration,
}

/// A range of less costs more in round trips than it brings.
const SMALLEST: u64 = 256 << 10;
/// A range of more holds up what comes before it for too long when its connection is slow.
const LARGEST: u64 = 4 << 20;
/// How often one range is asked for before segments are given up.
const TRIES: u32 = 3;

/// True where a download that brought `received` of `length` bytes in `elapsed` is worth it: its rest would take longer than it ran.
pub(crate) fn is_worth_it(
    settings: &Settings,
    length: u64,
    received: u64,
    elapsed: Duration,
) -> bool {
    let rest = length.saturating_sub(received);
    settings.connections > 1
        && settings.memory >= SMALLEST
        && elapsed >= settings.begin_after
        && rest >= 2 * SMALLEST
        && rest > received
}

/// Where the client's next byte comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The first connection; it has to skip so many bytes before.
    First {
        /// Bytes that were delivered by ranges meanwhile.
        skip: u64,
    },
    /// The range with this number; it has so many bytes that were not delivered.
    Segment {
        /// Its number.
        id: u64,
        /// Bytes that wait.
        ready: u64,
    },
    /// A range that nobody fetches just now: [`Segments::next`] gives it out.
    Nobody,
    /// The download is complete.
    Done,
}

/// A download in segments.
#[derive(Debug)]
pub(crate) struct Segments {
    settings: Settings,
    length: u64,
    /// How far the first connection has read.
    first: u64,
    /// Where the first connection stops: the beginning of the first range.
    stop: u64,
    delivered: u64,
    /// By where they begin; together they cover everything from `stop` to `asked`.
    ranges: BTreeMap<u64, Segment>,
    /// From here on nothing was asked for.
    asked: u64,
    next_id: u64,
    given_up: bool,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    end: u64,
    /// Where its next byte goes.
    at: u64,
    /// The fetch that is under way.
    fetch: Option<u64>,
    tries: u32,
}

impl Segments {
    /// From `position` on, which the first connection has read and the client was given.
    pub(crate) fn new(settings: Settings, length: u64, position: u64) -> Self {
        let share = (length - position) / settings.connections.max(1) as u64;
        let stop = (position + share.clamp(SMALLEST, LARGEST)).min(length);
        Self {
            settings,
            length,
            first: position,
            stop,
            delivered: position,
            ranges: BTreeMap::new(),
            asked: stop,
            next_id: 0,
            given_up: false,
        }
    }

    /// The next range to fetch, and its number; `None` where every connection is busy, the memory is used, or nothing is left.
    pub(crate) fn next(&mut self) -> Option<(u64, Range<u64>)> {
        if self.given_up || self.fetching() + 1 >= self.settings.connections {
            return None;
        }
        let (start, range) = self
            .hole()
            .or_else(|| self.beyond())
            .or_else(|| self.halve())?;
        self.next_id += 1;
        let id = self.next_id;
        if let Some(segment) = self.ranges.get_mut(&start) {
            segment.fetch = Some(id);
            segment.tries += 1;
        }
        Some((id, range))
    }

    /// A range whose fetch failed.
    fn hole(&self) -> Option<(u64, Range<u64>)> {
        let hole = |(_, one): &(&u64, &Segment)| one.fetch.is_none() && one.at < one.end;
        let (start, one) = self.ranges.iter().find(hole)?;
        Some((*start, one.at..one.end))
    }

    /// What nobody was asked for yet, as far as the memory goes.
    fn beyond(&mut self) -> Option<(u64, Range<u64>)> {
        let rest = self.length - self.asked;
        let free = self
            .settings
            .connections
            .saturating_sub(self.fetching() + 1);
        let others = self.settings.connections.saturating_sub(1).max(1) as u64;
        let largest = (self.settings.memory / others).clamp(SMALLEST, LARGEST);
        let size = (rest / free.max(1) as u64)
            .clamp(SMALLEST, largest)
            .min(rest);
        let held = self.asked - self.delivered.max(self.stop).min(self.asked);
        if rest == 0 || held + size > self.settings.memory {
            return None;
        }
        let start = self.asked;
        self.asked += size;
        Some((start, self.insert(start, start + size)))
    }

    /// The second half of what the client waits for, when all else is asked for: the slowest connection must not have the last word.
    fn halve(&mut self) -> Option<(u64, Range<u64>)> {
        if self.asked < self.length {
            return None;
        }
        if self.delivered < self.stop {
            let middle = middle(self.first.max(self.delivered)..self.stop)?;
            let end = std::mem::replace(&mut self.stop, middle);
            return Some((middle, self.insert(middle, end)));
        }
        let (_, head) = self.ranges.range_mut(..=self.delivered).next_back()?;
        let middle = middle(head.at..head.end)?;
        let end = std::mem::replace(&mut head.end, middle);
        Some((middle, self.insert(middle, end)))
    }

    fn insert(&mut self, start: u64, end: u64) -> Range<u64> {
        let segment = Segment {
            end,
            at: start,
            fetch: None,
            tries: 0,
        };
        self.ranges.insert(start, segment);
        start..end
    }

    /// Where fetch `id` ends now: it may have become shorter. `None` where it is not wanted any more.
    pub(crate) fn end_of(&self, id: u64) -> Option<u64> {
        let mut ranges = self.ranges.values();
        ranges.find(|one| one.fetch == Some(id)).map(|one| one.end)
    }

    /// Where the first connection stops reading.
    pub(crate) fn stop(&self) -> u64 {
        self.stop
    }

    /// The first connection has read `count` more bytes.
    pub(crate) fn first_received(&mut self, count: u64) {
        self.first = (self.first + count).min(self.length);
    }

    /// Fetch `id` has `count` more bytes; says how many of them are wanted.
    pub(crate) fn received(&mut self, id: u64, count: u64) -> u64 {
        let mut ranges = self.ranges.values_mut();
        let Some(one) = ranges.find(|one| one.fetch == Some(id)) else {
            return 0;
        };
        let wanted = count.min(one.end - one.at);
        one.at += wanted;
        if one.at == one.end {
            one.fetch = None;
        }
        wanted
    }

    /// Fetch `id` broke; its rest is asked for again, a few times.
    pub(crate) fn failed(&mut self, id: u64) {
        let mut ranges = self.ranges.values_mut();
        if let Some(one) = ranges.find(|one| one.fetch == Some(id)) {
            one.fetch = None;
            if one.tries >= TRIES {
                self.give_up();
            }
        }
    }

    /// No range is fetched any more: the origin refuses them, or its file changed hands. What came in order is still delivered; the
    /// first connection reads on after it.
    pub(crate) fn give_up(&mut self) {
        self.given_up = true;
        for one in self.ranges.values_mut() {
            one.fetch = None;
        }
    }

    /// Where the next byte comes from.
    pub(crate) fn source(&self) -> Source {
        if self.delivered >= self.length {
            return Source::Done;
        }
        let skip = self.delivered.saturating_sub(self.first);
        if self.delivered < self.stop {
            return Source::First { skip };
        }
        let head = self.ranges.range(..=self.delivered).next_back();
        let head = head
            .map(|(_, one)| *one)
            .filter(|one| self.delivered < one.end);
        match head {
            Some(one) if one.at > self.delivered => Source::Segment {
                id: one.fetch.unwrap_or(0),
                ready: one.at - self.delivered,
            },
            _ if self.given_up => Source::First { skip },
            Some(one) => match one.fetch {
                Some(id) => Source::Segment { id, ready: 0 },
                None => Source::Nobody,
            },
            None => Source::Nobody,
        }
    }

    /// The client was given `count` more bytes.
    pub(crate) fn took(&mut self, count: u64) {
        self.delivered = (self.delivered + count).min(self.length);
        let delivered = self.delivered;
        self.ranges.retain(|_, one| one.end > delivered);
    }

    /// Fetches under way.
    pub(crate) fn fetching(&self) -> usize {
        let ranges = self.ranges.values();
        ranges.filter(|one| one.fetch.is_some()).count()
    }

    /// Bytes that came and wait for their turn.
    #[cfg(test)]
    fn waiting(&self) -> u64 {
        let ahead = |(start, one): (&u64, &Segment)| one.at - self.delivered.clamp(*start, one.at);
        self.ranges.iter().map(ahead).sum()
    }
}

/// The middle of a range that is worth halving.
fn middle(range: Range<u64>) -> Option<u64> {
    let length = range.end.saturating_sub(range.start);
    (length >= 2 * SMALLEST).then_some(range.start + length / 2)
}

#[cfg(test)]
mod tests;
