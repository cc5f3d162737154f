//! Idle tunnels: the watchdog queries the kernel about them less often, and they do not delay shutdown.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::TransferHandle;
use crate::rt::Shutdown;

/// The number of ticks between two checks of an idle tunnel, which show whether its peers still answer the kernel's probes.
const TICKS: u32 = 10;
/// How long a tunnel must be idle to be ended when the daemon stops.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Whether a tunnel is idle, as of the watchdog's last check.
#[derive(Debug, Default)]
pub(super) struct TunnelRest {
    /// Bytes from the client and to it.
    counts: [u64; 2],
    checked_at: Option<Instant>,
    /// True where nothing moved between the last two checks and neither side owes the other one data.
    at_rest: bool,
}

impl TunnelRest {
    /// Records the counts of a check at `now`.
    pub(super) fn record(&mut self, now: Instant, counts: [u64; 2], nobodys_turn: bool) {
        self.at_rest = nobodys_turn && self.counts == counts;
        self.counts = counts;
        self.checked_at = Some(now);
    }

    /// True where a check would give the same result as the last one.
    pub(super) fn is_unchanged(&self, counts: [u64; 2], tick: Duration, now: Instant) -> bool {
        let soon = self
            .checked_at
            .is_some_and(|checked_at| now < checked_at + tick * TICKS);
        self.at_rest && self.counts == counts && soon
    }
}

impl TransferHandle {
    /// Completes when the daemon stops and this tunnel is idle. A client that waits for a server's response, as in a push over ssh, is not idle.
    pub(crate) async fn idle_at_shutdown(&self, shutdown: &Shutdown) {
        shutdown.drained().await;
        loop {
            let before = self.total();
            tokio::time::sleep(LAST_WORD).await;
            if self.total() == before && self.0.state().watching.rest.at_rest {
                return;
            }
        }
    }

    fn total(&self) -> u64 {
        let counters = &self.0.counters;
        let [up, down] = [&counters.up, &counters.down];
        up.load(Ordering::Relaxed) + down.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_that_only_waits_is_looked_at_every_tenth_tick() {
        let (now, tick) = (Instant::now(), Duration::from_secs(1));
        let mut rest = TunnelRest::default();
        rest.record(now, [5, 7], true);
        assert!(!rest.is_unchanged([5, 7], tick, now + tick), "it moved");
        rest.record(now, [5, 7], true);
        assert!(rest.is_unchanged([5, 7], tick, now + tick));
        assert!(rest.is_unchanged([5, 7], tick, now + tick * 9));
        assert!(!rest.is_unchanged([5, 7], tick, now + tick * 10));
        assert!(!rest.is_unchanged([6, 7], tick, now + tick));
        rest.record(now, [5, 7], false);
        assert!(!rest.is_unchanged([5, 7], tick, now + tick));
    }
}
