//! Holds the last bytes back and passes them on one by one while nothing else can be delivered: git-lfs gives up after 30 s without a byte
//! (`lfs.activitytimeout`), even where gitferry receives bytes of later ranges.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::bytes::{Bytes, BytesMut};

/// How many bytes are held. One every [`INTERVAL`] lasts 25 minutes.
const MAX_HELD: usize = 256;
/// How long the client waits before it gets a byte.
const INTERVAL: Duration = Duration::from_secs(6);

/// Bytes for a client that would otherwise get none.
pub(super) struct HoldBuffer {
    bytes: Bytes,
    /// When bytes were last passed on.
    last_delivery: Instant,
    /// True where bytes of any range arrived since then.
    progress: bool,
}

impl HoldBuffer {
    pub(super) fn new() -> Self {
        Self {
            bytes: Bytes::new(),
            last_delivery: Instant::now(),
            progress: false,
        }
    }

    /// Bytes arrived from the origin.
    pub(super) fn note_progress(&mut self) {
        self.progress = true;
    }

    /// The bytes to pass on when `bytes` are next: all of them where they are the last.
    pub(super) fn hold_last(&mut self, bytes: Bytes, is_last: bool) -> Bytes {
        self.last_delivery = Instant::now();
        self.progress = false;
        let mut all = if self.bytes.is_empty() {
            bytes
        } else {
            let mut all = BytesMut::with_capacity(self.bytes.len() + bytes.len());
            all.extend_from_slice(&self.bytes);
            all.extend_from_slice(&bytes);
            all.freeze()
        };
        // At least one byte is passed on at once.
        let keep = if is_last {
            0
        } else {
            MAX_HELD.min(all.len().saturating_sub(1))
        };
        self.bytes = all.split_off(all.len() - keep);
        all
    }

    /// A byte where none was passed on for a while although the origin sends. Where the origin is silent too, none.
    pub(super) fn release_one_byte(&mut self) -> Option<Bytes> {
        if !self.progress || self.bytes.is_empty() || self.last_delivery.elapsed() < INTERVAL {
            return None;
        }
        self.last_delivery = Instant::now();
        self.progress = false;
        Some(self.bytes.split_to(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_held_byte_is_released_every_interval_while_the_origin_sends() {
        let mut held = HoldBuffer::new();
        let first = held.hold_last(Bytes::from_static(&[b'a'; 1000]), false);
        assert_eq!(first.len(), 1000 - MAX_HELD);
        held.note_progress();
        assert_eq!(held.release_one_byte(), None, "too early");
        tokio::time::advance(INTERVAL).await;
        assert_eq!(held.release_one_byte().unwrap(), "a");
        tokio::time::advance(INTERVAL).await;
        assert_eq!(held.release_one_byte(), None, "the origin sends nothing");
        held.note_progress();
        assert!(held.release_one_byte().is_some());
        let rest = held.hold_last(Bytes::from_static(b"bc"), true);
        assert_eq!(rest.len(), MAX_HELD - 2 + 2);
        assert!(rest.ends_with(b"abc"));
        let one = held.hold_last(Bytes::from_static(b"d"), false);
        assert_eq!(one, "d", "a single byte passes");
    }
}
