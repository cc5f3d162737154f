//! Requests that wait for a hop, by target: ends those that loop (`model::request_loop`).

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use tokio::{
    sync::{Notify, futures::OwnedNotified},
    time::{Instant, timeout},
};

use crate::{
    model::{
        Fault, FaultKind, Leg, Stage,
        request_loop::{LoopDecision, LoopDetector, Release},
    },
    sync::Mutex,
};

/// Above this number of entries, finished ones are removed.
const CLEAN_UP_ABOVE: usize = 64;

/// The hop and the target.
type HopAndTarget = (String, String);

static WAITING: LazyLock<Mutex<HashMap<HopAndTarget, TargetEntry>>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct TargetEntry {
    rounds: LoopDetector,
    changed: Arc<Notify>,
}

/// A request that waits for a hop; ends when dropped.
#[derive(Debug)]
pub(crate) struct PendingRequest(HopAndTarget);

impl PendingRequest {
    /// Adds a request for `target` through `hop`; may hold it for a while.
    ///
    /// Fails where the request is a round of a loop.
    pub(crate) async fn begin(hop: &str, target: &str) -> Result<Self, Fault> {
        let waiting = Self((hop.to_owned(), target.to_owned()));
        let (round, changed) = waiting.arrive();
        let round = match round {
            LoopDecision::Hold(wait) => {
                let mut held = HeldRequest(Some(&waiting));
                let how = match timeout(wait, changed).await {
                    Ok(()) => Release::Moved,
                    Err(_) => Release::Silence,
                };
                held.0 = None;
                waiting.release(how)
            }
            round => round,
        };
        match round {
            LoopDecision::Send | LoopDecision::Hold(_) => Ok(waiting),
            LoopDecision::Reject => {
                let fault = Fault::new(Leg::Client, Stage::Accepted, FaultKind::Loop).peer(hop);
                Err(fault.detail(format!(
                    "each request for {target} through this hop comes back to this daemon as another one"
                )))
            }
        }
    }

    /// The request was answered.
    pub(crate) fn note_response(self) {
        if let Some(entry) = WAITING.lock().get_mut(&self.0) {
            entry.rounds.note_response();
            entry.changed.notify_waiters();
        }
    }

    fn arrive(&self) -> (LoopDecision, OwnedNotified) {
        let now = Instant::now();
        let mut waiting = WAITING.lock();
        if waiting.len() > CLEAN_UP_ABOVE {
            waiting.retain(|_, entry| !entry.rounds.is_over(now));
        }
        let entry = waiting.entry(self.0.clone()).or_default();
        if entry.rounds.has_held() {
            entry.changed.notify_waiters();
        }
        (
            entry.rounds.arrive(now),
            Arc::clone(&entry.changed).notified_owned(),
        )
    }

    fn release(&self, how: Release) -> LoopDecision {
        let mut waiting = WAITING.lock();
        let entry = waiting.get_mut(&self.0);
        entry.map_or(LoopDecision::Send, |entry| {
            entry.rounds.release(how, Instant::now())
        })
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        let mut waiting = WAITING.lock();
        if let Some(entry) = waiting.get_mut(&self.0) {
            entry.rounds.depart();
            if entry.rounds.is_over(Instant::now()) {
                waiting.remove(&self.0);
            }
        }
    }
}

/// A held request; its client may disconnect before it continues.
struct HeldRequest<'a>(Option<&'a PendingRequest>);

impl Drop for HeldRequest<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.0 {
            waiting.release(Release::Moved);
        }
    }
}
