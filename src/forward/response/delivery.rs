//! The end of a response's transfer: when the client's TCP has its last byte.
//!
//! hyper takes the last bytes of a body before it writes them, and the kernel takes megabytes that a slow client has not read.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    forward::{client::ClientConn, forwarder::Forwarder},
    io::Tcp,
    track::{Transfer, TransferOutcome},
};

/// The first interval between two checks of the client's socket; it doubles up to [`MAX_INTERVAL`].
const FIRST_INTERVAL: Duration = Duration::from_millis(10);
const MAX_INTERVAL: Duration = Duration::from_millis(160);
/// hyper has written the last bytes after this time, or there was nothing to write.
const WRITE_TIME: Duration = Duration::from_millis(200);
/// The longest wait on a connection with other requests, where gitferry cannot tell whose bytes wait.
const SHARED_LIMIT: Duration = Duration::from_secs(1);

/// The last bytes of a response on their way to its client.
pub(super) struct Delivery {
    socket: Tcp,
    /// Bytes that had been written when the body was complete.
    before: u64,
    /// True for a client on this machine: bytes that were sent are in its socket, and the acknowledgement may be delayed by 40 ms.
    local: bool,
    since: Instant,
    limit: Option<Duration>,
}

impl Delivery {
    /// Ends `transfer` as answered with `status` when `client` has everything. Without a call to `finish`, the client disconnected.
    pub(super) fn spawn(
        transfer: Transfer,
        status: u16,
        client: &ClientConn,
        forwarder: &Forwarder,
    ) {
        let Some(socket) = client.tcp.tcp() else {
            return;
        };
        let delivery = Self {
            before: socket.bytes_written(),
            local: client.address.ip().to_canonical().is_loopback(),
            since: Instant::now(),
            limit: client.shared.then_some(SHARED_LIMIT),
            socket,
        };
        let shutdown = forwarder.shared.shutdown.clone();
        forwarder.shared.tasks.spawn(async move {
            let delivered = tokio::select! {
                delivered = delivery.wait() => delivered,
                // An action against a client that does not read: the response itself is complete.
                _ = transfer.stalled() => true,
                () = shutdown.ended() => true,
            };
            if delivered {
                transfer.finish(TransferOutcome::Answered(status));
            }
        });
    }

    /// Waits until the client has everything, or has disconnected.
    async fn wait(&self) -> bool {
        let mut pause = FIRST_INTERVAL;
        loop {
            if self.is_complete() {
                return true;
            }
            if self.socket.is_closed() {
                return false;
            }
            sleep(pause).await;
            pause = MAX_INTERVAL.min(pause * 2);
        }
    }

    fn is_complete(&self) -> bool {
        let waited = self.since.elapsed();
        if self.limit.is_some_and(|limit| waited > limit) {
            return true;
        }
        let flow = self.socket.detailed_flow();
        let unsent = flow.kernel.and_then(|kernel| kernel.unsent);
        let waits = match unsent.filter(|_| self.local) {
            Some(unsent) => unsent > 0,
            None => flow.queued > 0,
        };
        let written = flow.written > self.before || waited > WRITE_TIME;
        written && !flow.blocked && !waits
    }
}
