//! Idle tunnels: they rest, so the watchdog rarely checks them, and they do not delay shutdown.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::atomic::Ordering,
    time::Duration,
};

use tokio::time::Instant;

use super::{TransferHandle, TransferState};
use crate::{
    rt::Shutdown,
    track::running::{Watched, tick},
};

/// How long a tunnel must be idle before it is ended when the daemon stops.
const IDLE_AT_SHUTDOWN: Duration = Duration::from_secs(2);

/// Whether a tunnel was idle at the watchdog's last check.
#[derive(Debug, Default)]
pub(super) struct TunnelRest {
    /// Bytes from the client and to it at the last check.
    counts: [u64; 2],
    /// True where nothing moved between the last two checks and no party was due.
    pub(super) at_rest: bool,
}

impl TunnelRest {
    /// Records the counts of a check.
    pub(super) fn record(&mut self, counts: [u64; 2], nobody_due: bool) {
        self.at_rest = nobody_due && self.counts == counts;
        self.counts = counts;
    }

    /// True where nothing has moved since the last check.
    pub(super) fn is_unchanged(&self, counts: [u64; 2]) -> bool {
        self.at_rest && self.counts == counts
    }
}

impl Watched for TransferState {
    fn examine(&self, now: Instant) -> Instant {
        self.check(now)
    }

    fn rests(&self) -> bool {
        self.resting.load(Ordering::SeqCst)
    }
}

impl TransferState {
    /// Lets it rest, unless bytes moved since the check that found these counts. Sequentially consistent, like the pump's counts: either this
    /// sees the new counts, or [`Self::wake`] sees that it rests.
    pub(super) fn rest(&self, counts: [u64; 2]) -> bool {
        self.resting.store(true, Ordering::SeqCst);
        let rests = self.counters.moved() == counts;
        self.resting.store(rests, Ordering::SeqCst);
        rests
    }

    fn wake(&self) {
        if self.resting.load(Ordering::SeqCst) && self.resting.swap(false, Ordering::SeqCst) {
            self.running.wake(self.id, tick(&self.about.stall.limits));
        }
    }
}

impl TransferHandle {
    /// Runs `work`, which carries the bytes of a tunnel. Each poll of it ends the tunnel's rest.
    pub(crate) async fn wake_with<F: Future>(&self, mut work: Pin<&mut F>) -> F::Output {
        poll_fn(|cx| {
            let polled = work.as_mut().poll(cx);
            self.0.wake();
            polled
        })
        .await
    }

    /// Completes when shutdown ends this tunnel: at its first step where the tunnel is idle, else at the second. A client that waits for a
    /// server's response, as in a push over ssh, is not idle.
    pub(crate) async fn stopped_by(&self, shutdown: &Shutdown) -> TunnelStop {
        // One wait until then: the tunnel polls it with each of its events.
        shutdown.drained().await;
        tokio::select! {
            () = self.idle() => TunnelStop::Idle,
            () = shutdown.ended() => TunnelStop::Busy,
        }
    }

    /// Completes once nothing has moved for some seconds and neither side owes the other one data.
    async fn idle(&self) {
        loop {
            let before = self.0.counters.moved();
            tokio::time::sleep(IDLE_AT_SHUTDOWN).await;
            if self.0.counters.moved() == before && self.0.state().watching.rest.at_rest {
                return;
            }
        }
    }
}

/// How shutdown finds a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TunnelStop {
    /// Nothing is on its way: it ends normally.
    Idle,
    /// It is cut.
    Busy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_rests_once_two_checks_found_the_same_counts() {
        let mut rest = TunnelRest::default();
        rest.record([5, 7], true);
        assert!(!rest.is_unchanged([5, 7]), "it moved");
        rest.record([5, 7], true);
        assert!(rest.is_unchanged([5, 7]));
        assert!(!rest.is_unchanged([6, 7]));
        rest.record([5, 7], false);
        assert!(!rest.is_unchanged([5, 7]), "somebody is due");
    }
}
