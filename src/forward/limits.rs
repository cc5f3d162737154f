//! Limits on the responses that are buffered for rewriting at once.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::bytes::Bytes;

use crate::rt::Shutdown;

/// The most large bodies that are buffered at once; others wait.
const MAX_LARGE: usize = 8;
/// How long a body waits for its place.
const PLACE_TIMEOUT: Duration = Duration::from_secs(10);

/// The limits that all responses of one forwarder share.
#[derive(Clone, Debug)]
pub(crate) struct RewriteLimits {
    pub(crate) max_body: usize,
    large: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl RewriteLimits {
    /// Waits for a place for a large body; `None` where none becomes free within [`PLACE_TIMEOUT`], and at shutdown.
    pub(crate) async fn place(&self) -> LargePlace {
        let waiting = tokio::time::timeout(PLACE_TIMEOUT, Arc::clone(&self.large).acquire_owned());
        tokio::select! {
            place = waiting => place.ok()?.ok(),
            () = self.shutdown.ended() => None,
        }
    }

    pub(crate) fn new(max_body: usize, shutdown: Shutdown) -> Self {
        Self {
            max_body,
            large: Arc::new(Semaphore::new(MAX_LARGE)),
            shutdown,
        }
    }
}

/// A place for a larger body.
pub(crate) type LargePlace = Option<OwnedSemaphorePermit>;

/// `bytes` that hold the place until the last of them is written to the client or dropped: a client that reads slowly keeps the memory,
/// and so the place, in use.
pub(crate) fn hold_place(bytes: Bytes, place: LargePlace) -> Bytes {
    match place {
        Some(place) => Bytes::from_owner(LimitedBytes {
            bytes,
            _place: place,
        }),
        None => bytes,
    }
}

struct LimitedBytes {
    bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for LimitedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_place_is_released_with_the_last_of_its_bytes() {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().ok();
        let mut kept = hold_place(Bytes::from_static(b"a rewritten batch"), place);
        let first = kept.split_to(4);
        assert_eq!((&*first, &*kept), (&b"a re"[..], &b"written batch"[..]));
        drop(kept);
        assert_eq!(places.available_permits(), 0);
        drop(first);
        assert_eq!(places.available_permits(), 1);
    }
}
