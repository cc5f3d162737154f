//! The recent maximum of a number of uses, so that a pool keeps enough for the same load.

use std::time::Duration;

use tokio::time::Instant;

/// A peak counts for at least this long and at most twice as long.
pub(crate) const WINDOW: Duration = Duration::from_secs(30);

/// A count of uses, and its peak in the current and the previous window.
#[derive(Debug, Default)]
pub(crate) struct RecentPeak {
    in_use: usize,
    peak: usize,
    previous: usize,
    begun: Option<Instant>,
}

impl RecentPeak {
    /// Counts one more use.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.advance(now);
        self.in_use += 1;
        self.peak = self.peak.max(self.in_use);
    }

    /// Counts one use less.
    pub(crate) fn end(&mut self, now: Instant) {
        self.advance(now);
        self.in_use = self.in_use.saturating_sub(1);
    }

    /// The recent maximum.
    pub(crate) fn recent(&mut self, now: Instant) -> usize {
        self.advance(now);
        self.peak.max(self.previous)
    }

    fn advance(&mut self, now: Instant) {
        let begun = *self.begun.get_or_insert(now);
        let age = now.saturating_duration_since(begun);
        if age < WINDOW {
            return;
        }
        // Nothing changed in the previous window, so its peak is the present number.
        self.previous = if age < 2 * WINDOW {
            self.peak
        } else {
            self.in_use
        };
        self.peak = self.in_use;
        self.begun = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_counts_for_a_window_and_is_forgotten_after_two() {
        let now = Instant::now();
        let mut use_of = RecentPeak::default();
        for _ in 0..64 {
            use_of.begin(now);
        }
        for _ in 0..63 {
            use_of.end(now);
        }
        assert_eq!(use_of.recent(now + WINDOW / 2), 64);
        assert_eq!(use_of.recent(now + WINDOW), 64);
        assert_eq!(use_of.recent(now + 2 * WINDOW), 1);
        assert_eq!(use_of.recent(now + 9 * WINDOW), 1);
        use_of.end(now + 9 * WINDOW);
        assert_eq!(use_of.recent(now + 20 * WINDOW), 0);
    }
}
