//! How much of answers is taken in for rewriting at once.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::rt::Shutdown;

/// How many larger bodies are taken in at once; others wait.
const LARGE_AT_ONCE: usize = 8;
/// How long one of them waits for its place.
const PLACE: Duration = Duration::from_secs(10);

/// What is the same for every answer of one forwarder.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) max_body: usize,
    large: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl Limits {
    /// A place among the larger bodies, if one becomes free soon.
    pub(crate) async fn place(&self) -> LargePlace {
        let waiting = tokio::time::timeout(PLACE, Arc::clone(&self.large).acquire_owned());
        tokio::select! {
            place = waiting => place.ok()?.ok(),
            () = self.shutdown.ended() => None,
        }
    }

    pub(crate) fn new(max_body: usize, shutdown: Shutdown) -> Self {
        Self {
            max_body,
            large: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
            shutdown,
        }
    }
}

/// A place among the larger bodies.
pub(crate) type LargePlace = Option<OwnedSemaphorePermit>;
