//! All running transfers, the last faults, and the counters of what ended.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::time::Instant;

use super::{
    event::{AnswerLedAway, AnswerLeft, FaultOccurred, TransferEnded},
    metrics::Metrics,
    transfer::{Begin, Inner, Snapshot, Transfer},
};

/// How many faults the status page shows.
const FAULTS: usize = 50;

/// Begins transfers and lists them. Clones share the same registry.
#[derive(Clone, Debug, Default)]
pub struct Tracker(Arc<Registry>);

#[derive(Debug, Default)]
pub(super) struct Registry {
    running: Mutex<Running>,
    faults: Mutex<VecDeque<FaultOccurred>>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Running {
    last_id: u64,
    transfers: BTreeMap<u64, Weak<Inner>>,
}

impl Tracker {
    /// Registers a transfer; it is listed until its last clone is dropped.
    pub fn begin(&self, begin: Begin<'_>) -> Transfer {
        let mut running = lock(&self.0.running);
        running.last_id += 1;
        let id = running.last_id;
        let (transfer, weak) = Transfer::new(id, &begin, Arc::clone(&self.0));
        running.transfers.insert(id, weak);
        transfer
    }

    /// Every running transfer, the oldest first.
    pub fn list(&self) -> Vec<Snapshot> {
        let now = Instant::now();
        let running: Vec<_> = lock(&self.0.running)
            .transfers
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        running
            .iter()
            .map(|transfer| transfer.snapshot(now))
            .collect()
    }

    /// The last faults, the newest first.
    pub fn faults(&self) -> Vec<FaultOccurred> {
        lock(&self.0.faults).iter().rev().cloned().collect()
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}

impl Registry {
    pub(super) fn fault(&self, fault: FaultOccurred) {
        fault.emit(&self.metrics);
        let mut faults = lock(&self.faults);
        if faults.len() >= FAULTS {
            faults.pop_front();
        }
        faults.push_back(fault);
    }

    pub(super) fn left(&self, answer: &AnswerLeft) {
        answer.emit(&self.metrics);
    }

    pub(super) fn led_away(&self, answer: &AnswerLedAway) {
        answer.emit(&self.metrics);
    }

    pub(super) fn ended(&self, id: u64, event: Option<TransferEnded>) {
        lock(&self.running).transfers.remove(&id);
        if let Some(event) = event {
            event.emit(&self.metrics);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
