//! Keeps a waiting client connected: git-lfs closes a connection on which nothing moved for 30 s, even where the transfer is only slow.
//!
//! While its transfer is healthy, gitferry sends it `102 Processing` now and then. It does so rarely, because git-lfs built with Go before
//! 1.20 fails at the sixth one for a request. A client whose bytes visibly move gets none. But gitferry sees only the bytes that it took
//! from the client; megabytes may lie in the kernel's buffers that the client wrote long ago.

use std::{future::Future, pin::Pin, sync::atomic::Ordering, time::Duration};

use hyper::{Request, Version, body::Body, header::USER_AGENT};
use tokio::time::{Instant, sleep};

use crate::{config::Interim, forward::headers, net::InterimSender, track::TransferHandle};

/// Sends interim responses to one waiting client.
pub(crate) struct KeepAlive {
    interims: InterimSender,
    limits: Interim,
    /// The length of the body, where it is known.
    length: Option<u64>,
}

/// The most bytes that the buffers of both sockets hold on loopback (measured: 2.6 MB to 5.2 MB with a clamped receive buffer). With less
/// than this still to come, the client may have written everything.
const MAX_BUFFERED: u64 = 6 << 20;
/// After this many bytes were taken, the sender's full buffer had room again: Linux wakes a writer at a third of at most 4 MiB.
const WAKES_SENDER: u64 = 3 << 19;

impl KeepAlive {
    /// `None` where the client does not understand interim responses, or must not get any.
    pub(crate) fn of<B: Body>(
        request: &Request<B>,
        interims: Option<&InterimSender>,
        limits: Interim,
    ) -> Option<Self> {
        let agent = headers::text(request.headers(), &USER_AGENT)?;
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

    /// Runs `work` and keeps the client of `transfer` connected meanwhile.
    pub(crate) async fn run<T>(
        &self,
        transfer: &TransferHandle,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> T {
        let step = (self.limits.every / 5).max(Duration::from_millis(10));
        let (mut sent, mut counted, mut waits_since) = (0, 0, Instant::now());
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    self.interims.cancel();
                    return done;
                }
                () = sleep(step), if sent < self.limits.at_most => {}
            }
            let up = transfer.counters().up.load(Ordering::Relaxed);
            let may_be_done = self
                .length
                .is_none_or(|length| length.saturating_sub(up) <= MAX_BUFFERED);
            if up.saturating_sub(counted) >= WAKES_SENDER && !may_be_done {
                (counted, waits_since) = (up, Instant::now());
            }
            // A stalled transfer gets no sign of life.
            if waits_since.elapsed() >= self.limits.every && !transfer.is_stalled() {
                self.interims.queue();
                (sent, waits_since) = (sent + 1, Instant::now());
                tracing::debug!(
                    id = transfer.id(),
                    sent,
                    "interim response sent to the client"
                );
            }
        }
    }
}
