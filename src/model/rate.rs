//! The rate of a growing count, in bytes per second over a whole span: a transfer that just began has no rate yet.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Samples of a growing count, reduced to a few per span.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    span: Duration,
    samples: VecDeque<(Instant, u64)>,
}

/// The number of samples per span.
const GRAIN: u32 = 8;

impl Meter {
    /// Measures over `span`.
    pub(crate) fn new(span: Duration) -> Self {
        Self {
            span,
            samples: VecDeque::new(),
        }
    }

    /// Starts again from `total`, without the earlier samples.
    pub(crate) fn restart(&mut self, now: Instant, total: u64) {
        self.samples.clear();
        self.samples.push_back((now, total));
    }

    /// Records `total` and returns its growth in bytes per second; `None` before a whole span has passed.
    pub(crate) fn observe(&mut self, now: Instant, total: u64) -> Option<u64> {
        let grain = self.span / GRAIN;
        let due = self
            .samples
            .back()
            .is_none_or(|(last, _)| now.saturating_duration_since(*last) >= grain);
        if due {
            self.samples.push_back((now, total));
        }
        // Keeps the oldest sample that still covers the span.
        while self
            .samples
            .get(1)
            .is_some_and(|(at, _)| now.saturating_duration_since(*at) >= self.span)
        {
            self.samples.pop_front();
        }
        let (since, from) = *self.samples.front()?;
        let passed = now.saturating_duration_since(since);
        if self.span.is_zero() || passed < self.span {
            return None;
        }
        let millis = u64::try_from(passed.as_millis()).ok()?.max(1);
        Some(total.saturating_sub(from).saturating_mul(1000) / millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_covers_one_span_and_is_none_before_it_has_passed() {
        let start = Instant::now();
        let mut meter = Meter::new(Duration::from_secs(10));
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        for second in 0..10 {
            assert_eq!(meter.observe(at(second), 1000 * second), None);
        }
        assert_eq!(meter.observe(at(10), 10_000), Some(1000));
        // Nothing more moves: the span no longer covers earlier movement.
        for second in 11..22 {
            meter.observe(at(second), 10_000);
        }
        assert_eq!(meter.observe(at(22), 10_000), Some(0));
    }

    #[test]
    fn frequent_observations_keep_few_samples() {
        let start = Instant::now();
        let mut meter = Meter::new(Duration::from_secs(10));
        for milli in 0..60_000 {
            meter.observe(start + Duration::from_millis(milli), milli);
        }
        assert!(meter.samples.len() <= 2 * GRAIN as usize);
    }

    #[test]
    fn a_restart_drops_the_samples_and_a_zero_span_has_no_rate() {
        let start = Instant::now();
        let mut meter = Meter::new(Duration::from_secs(1));
        meter.observe(start, 0);
        let later = start + Duration::from_secs(2);
        meter.restart(later, 500);
        assert_eq!(meter.observe(later, 500), None);
        assert_eq!(Meter::new(Duration::ZERO).observe(later, 1), None);
    }
}
