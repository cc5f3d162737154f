//! The records about transfers: the last faults and stalls, refusals, counters, and finished transfers.

use std::{collections::VecDeque, time::SystemTime};

use tokio::time::Instant;

use super::{
    event::{FaultOccurred, LogEvent, RequestsRefused, StallReported, TransferEnded},
    history::{Finished, History},
    metrics::{self, Metrics},
    timeline::Timeline,
};
use crate::{
    model::{
        refusals::{RefusalCount, Refusals},
        siblings::Siblings,
    },
    sync::Mutex,
};

/// The number of faults that are kept, and of stalls.
const KEPT: usize = 50;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    faults: Mutex<VecDeque<FaultOccurred>>,
    stalls: Mutex<VecDeque<StallReported>>,
    siblings: Siblings,
    refusals: Mutex<Refusals>,
    metrics: Metrics,
    history: History,
    #[cfg(any(test, feature = "testing"))]
    observer: super::observe::Observer,
}

impl Ledger {
    /// The last faults, the newest first.
    pub(super) fn faults(&self) -> Vec<FaultOccurred> {
        self.faults.lock().iter().rev().cloned().collect()
    }

    /// The last stalls, the newest first, each in its last reported state.
    pub(super) fn stalls(&self) -> Vec<StallReported> {
        self.stalls.lock().iter().rev().cloned().collect()
    }

    /// Subscribes to faults, stalls and ends of transfers, as values.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn subscribe(&self) -> super::observe::Events {
        self.observer.subscribe()
    }

    /// The current refusals of origins, by host and status.
    pub(super) fn refusals(&self) -> Vec<RefusalCount> {
        self.refusals.lock().list(Instant::now())
    }

    /// The finished transfers and the totals.
    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// The counters.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn record_fault(&self, fault: FaultOccurred) {
        fault.emit(&self.metrics);
        #[cfg(any(test, feature = "testing"))]
        self.observer.record(&fault);
        let mut faults = self.faults.lock();
        if faults.len() >= KEPT {
            faults.pop_front();
        }
        faults.push_back(fault);
    }

    /// Writes and counts an event.
    pub(super) fn emit(&self, event: &impl LogEvent) {
        event.emit(&self.metrics);
    }

    /// The last outcomes of main sites and their storage.
    pub(super) fn siblings(&self) -> &Siblings {
        &self.siblings
    }

    pub(super) fn record_stall(&self, stall: StallReported) {
        stall.emit(&self.metrics);
        #[cfg(any(test, feature = "testing"))]
        self.observer.record(&stall);
        let mut stalls = self.stalls.lock();
        stalls.retain(|earlier| earlier.subject.id != stall.subject.id || earlier.phase.is_end());
        if stalls.len() >= KEPT {
            stalls.pop_front();
        }
        stalls.push_back(stall);
    }

    pub(super) fn record_end(&self, event: TransferEnded, began: SystemTime, timeline: Timeline) {
        event.emit(&self.metrics);
        #[cfg(any(test, feature = "testing"))]
        self.observer.record(&event);
        self.count_refusal(&event);
        let times = (began, SystemTime::now());
        self.history.add(Finished::new(event, times, timeline));
    }

    /// Counts a refusal by the origin.
    fn count_refusal(&self, event: &TransferEnded) {
        let Some(response) = event.response() else {
            return;
        };
        if response.is_refusal() && response.is_unsuccessful() {
            let labels = [&*event.subject.route, &response.status.to_string()];
            self.metrics.count(&metrics::REFUSALS, &labels);
        }
        let refused = self.refusals.lock().observe(&response, Instant::now());
        if let Some(refused) = refused {
            self.emit(&RequestsRefused {
                subject: event.subject.clone(),
                refused,
            });
        }
    }
}
