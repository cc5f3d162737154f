//! Keeping a living client alive: git-lfs gives up a connection on which nothing moved for 30 s, also where all is well and only slow.
//!
//! While its transfer lives it is told `102 Processing` now and then. Sparingly: git-lfs built with Go before 1.20 breaks on the
//! sixth one for a request. So a client that can be seen to move is told nothing; but what can be seen is only what gitferry took
//! from it, and megabytes of the rest may wait in the kernel's buffers, long written by then.

use std::{future::Future, pin::pin, sync::atomic::Ordering, time::Duration};

use hyper::{Request, Version, body::Body, header::USER_AGENT};
use tokio::time::{Instant, sleep};

use crate::{config::Interim, net::InterimSender, track::TransferHandle};

/// What says that the client waits.
pub(crate) struct KeepAlive {
    interims: InterimSender,
    limits: Interim,
    /// Of the body, where it is known.
    length: Option<u64>,
}

/// What a sender's and our own buffer hold on loopback (measured: 2.6 MB to 5.2 MB with a clamped receive buffer). With less than
/// that to come, the client may have written everything.
const PARKED: u64 = 6 << 20;
/// When this much was taken, the sender's full buffer had room again: Linux tells a writer at a third of at most 4 MiB.
const SURELY_WROTE: u64 = 3 << 19;

impl KeepAlive {
    /// `None` where the client would not understand, or is to be told nothing.
    pub(crate) fn of<B: Body>(
        request: &Request<B>,
        interims: Option<&InterimSender>,
        limits: Interim,
    ) -> Option<Self> {
        let agent = request.headers().get(USER_AGENT)?.to_str().ok()?;
        if !agent.starts_with("git-lfs/") || request.version() != Version::HTTP_11 {
            return None;
        }
        let length = request.body().size_hint().exact();
        Some(Self {
            interims: interims?.clone(),
            limits,
            length,
        })
    }

    /// Does `work`, and keeps the client of `transfer` waiting for it.
    pub(crate) async fn hold<T>(
        &self,
        transfer: &TransferHandle,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        let step = (self.limits.every / 5).max(Duration::from_millis(10));
        let (mut said, mut seen, mut since) = (0, 0, Instant::now());
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    self.interims.cancel();
                    return done;
                }
                () = sleep(step), if said < self.limits.at_most => {}
            }
            let up = transfer.counters().up.load(Ordering::Relaxed);
            let may_be_done = self
                .length
                .is_none_or(|length| length.saturating_sub(up) <= PARKED);
            if up.saturating_sub(seen) >= SURELY_WROTE && !may_be_done {
                (seen, since) = (up, Instant::now());
            }
            // Of a transfer that stands still nothing good can be said.
            if since.elapsed() >= self.limits.every && !transfer.is_stalled() {
                self.interims.say();
                (said, since) = (said + 1, Instant::now());
                tracing::debug!(
                    id = transfer.id(),
                    said,
                    "interim response sent to the client"
                );
            }
        }
    }
}
