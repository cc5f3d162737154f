//! The current rate of a transfer, and its rate over the last minute.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The number of samples that are kept, at most one a second.
const SAMPLES: usize = 60;
/// The shortest time that a sample covers; a transfer may be checked more often.
const GRAIN: Duration = Duration::from_millis(900);
/// The number of samples from which the remaining time is estimated.
const RECENT: usize = 5;

/// The rate of one transfer, sampled by the watchdog, and by the status of an idle tunnel.
#[derive(Debug, Default)]
pub(super) struct RateSampler {
    last: Option<(Instant, u64, u64)>,
    up: u64,
    down: u64,
    samples: VecDeque<u32>,
}

impl RateSampler {
    /// Records the bytes moved so far.
    pub(super) fn observe(&mut self, now: Instant, up: u64, down: u64) {
        let Some((at, last_up, last_down)) = self.last else {
            self.last = Some((now, up, down));
            return;
        };
        let passed = now.saturating_duration_since(at);
        if passed < GRAIN {
            return;
        }
        let millis = crate::model::unit::millis(passed).max(1);
        let rate = |total: u64, last: u64| total.saturating_sub(last).saturating_mul(1000) / millis;
        (self.up, self.down) = (rate(up, last_up), rate(down, last_down));
        self.last = Some((now, up, down));
        let both = self.up.saturating_add(self.down);
        // There may be thousands of idle tunnels, so they keep no samples.
        if both == 0 && self.samples.iter().all(|sample| *sample == 0) {
            self.samples = VecDeque::new();
            return;
        }
        let both = u32::try_from(both).unwrap_or(u32::MAX);
        // One sample for each second since the last check.
        for _ in 0..passed.as_secs().clamp(1, SAMPLES as u64) {
            if self.samples.len() >= SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back(both);
        }
    }

    /// The rates from the client and to it at the last check, in bytes per second.
    pub(super) fn rates(&self) -> (u64, u64) {
        (self.up, self.down)
    }

    /// The time in milliseconds that `bytes` more take at the rate of the last seconds; `None` where nothing moves.
    pub(super) fn time_for(&self, bytes: u64) -> Option<u64> {
        let recent = self.samples.iter().rev().take(RECENT);
        let count = recent.len() as u64;
        let sum: u64 = recent.copied().map(u64::from).sum();
        bytes.saturating_mul(1000 * count).checked_div(sum)
    }

    /// The rates of the last minute in bytes per second, both directions together, the oldest first.
    pub(super) fn samples(&self) -> Vec<u32> {
        self.samples.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_covers_the_time_since_the_last_check_and_an_idle_tunnel_keeps_no_samples() {
        let begin = Instant::now();
        let mut pace = RateSampler::default();
        pace.observe(begin, 0, 0);
        pace.observe(begin + Duration::from_secs(1), 0, 0);
        assert_eq!((pace.rates(), pace.samples()), ((0, 0), vec![]));
        pace.observe(begin + Duration::from_secs(3), 4000, 2000);
        assert_eq!(
            (pace.rates(), pace.samples()),
            ((2000, 1000), vec![3000; 2])
        );
        pace.observe(begin + Duration::from_millis(3100), 9000, 9000);
        assert_eq!(pace.rates(), (2000, 1000));
        assert_eq!(pace.time_for(6000), Some(2000));
        // Ten seconds without a check.
        pace.observe(begin + Duration::from_secs(13), 9000, 9000);
        assert_eq!(pace.samples(), [vec![3000; 2], vec![1200; 10]].concat());
        for second in 14..100 {
            pace.observe(begin + Duration::from_secs(second), 9000, 9000);
        }
        assert_eq!((pace.rates(), pace.samples()), ((0, 0), vec![]));
        assert_eq!(pace.time_for(6000), None);
    }

    #[test]
    fn the_remaining_time_follows_the_rate_of_the_last_seconds() {
        let begin = Instant::now();
        let mut pace = RateSampler::default();
        let at = |second: u64| begin + Duration::from_secs(second);
        for second in 0..10 {
            pace.observe(at(second), 0, second * 100);
        }
        assert_eq!(pace.time_for(1000), Some(10_000));
        for second in 10..15 {
            pace.observe(at(second), 0, second * 1000);
        }
        assert_eq!(pace.rates(), (0, 1000));
        assert!(pace.time_for(1000).is_some_and(|left| left < 1000));
    }
}
