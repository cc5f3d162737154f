//! Begins and lists transfers; the ledger keeps the records about them.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    event::{FaultOccurred, LogEvent, StallReported},
    history::History,
    ledger::Ledger,
    metrics::Metrics,
    running::{RunningTransfers, WatchdogStart},
    survey::{self, UpstreamLoads},
    transfer::{Snapshot, Transfer, TransferDetail, TransferStart, TransferState},
    watchdog::watch,
};
use crate::{
    model::refusals::RefusalCount,
    rt::{Shutdown, Tasks},
};

/// An overview of the running transfers.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The number of running transfers.
    pub running: usize,
    /// The first of them: stalled ones, then those that move, then the newest.
    pub transfers: Vec<TransferDetail>,
    /// The upstreams that they use.
    pub loads: UpstreamLoads,
}

/// Begins and lists transfers. Clones share the same list.
#[derive(Clone, Debug)]
pub struct Tracker {
    ledger: Arc<Ledger>,
    running: Arc<RunningTransfers<TransferState>>,
    /// The tasks in which the watchdog runs.
    tasks: Tasks,
}

impl Tracker {
    /// A tracker whose watchdog runs among `tasks` and does not delay `shutdown`.
    pub(crate) fn new(tasks: Tasks, shutdown: Shutdown) -> Self {
        Self {
            ledger: Arc::default(),
            running: Arc::new(RunningTransfers::new(shutdown)),
            tasks,
        }
    }

    /// Registers a transfer, which is listed and watched until it is dropped. Call it inside the runtime.
    pub(crate) fn begin(&self, begin: TransferStart<'_>) -> Transfer {
        let limits = &begin.route.stall.limits;
        let (transfer, watchdog) = self.running.add(limits, |id| {
            Transfer::new(
                id,
                &begin,
                Arc::clone(&self.ledger),
                Arc::clone(&self.running),
            )
        });
        if watchdog == WatchdogStart::Needed {
            self.tasks.spawn(watch(Arc::clone(&self.running)));
        }
        transfer
    }

    /// Every running transfer, the oldest first.
    pub fn list(&self) -> Vec<Snapshot> {
        self.page(0, usize::MAX)
    }

    /// The first `count` running transfers whose number is larger than `after`, the oldest first.
    pub(crate) fn page(&self, after: u64, count: usize) -> Vec<Snapshot> {
        let (running, now) = (self.running.after(after, count), Instant::now());
        running.iter().map(|it| it.snapshot(now)).collect()
    }

    /// The number of running transfers.
    pub(crate) fn count(&self) -> usize {
        self.running.count()
    }

    /// The overview, with the details of at most `count` transfers.
    pub(crate) fn survey(&self, count: usize) -> Survey {
        let all = self.running.all();
        let mut loads = UpstreamLoads::default();
        let ranked = all.iter().map(|it| it.rank(&mut loads)).collect();
        let shown = survey::first(ranked, count).into_iter();
        Survey {
            running: all.len(),
            transfers: shown.filter_map(|id| self.detail(id)).collect(),
            loads,
        }
    }

    /// The last faults, the newest first.
    pub fn faults(&self) -> Vec<FaultOccurred> {
        self.ledger.faults()
    }

    /// The last stalls, the newest first, each in its last reported state.
    pub fn stalls(&self) -> Vec<StallReported> {
        self.ledger.stalls()
    }

    /// Subscribes to faults, stalls and ends of transfers, as values.
    #[cfg(any(test, feature = "testing"))]
    pub fn subscribe(&self) -> super::observe::Events {
        self.ledger.subscribe()
    }

    /// The number of transfers that the watchdog checks at each tick, and the number of idle tunnels that rest.
    #[cfg(any(test, feature = "testing"))]
    pub fn awake_and_resting(&self) -> (usize, usize) {
        self.running.awake_and_resting()
    }

    /// The current refusals of origins, by host and status.
    pub(crate) fn refusals(&self) -> Vec<RefusalCount> {
        self.ledger.refusals()
    }

    /// A running transfer with all its details.
    pub(crate) fn detail(&self, id: u64) -> Option<TransferDetail> {
        Some(self.running.find(id)?.detail(Instant::now()))
    }

    /// The finished transfers and the totals.
    pub(crate) fn history(&self) -> &History {
        self.ledger.history()
    }

    /// Transfer numbers continue after `last`, so that those of the history stay unique.
    pub(crate) fn continue_after(&self, last: u64) {
        self.running.continue_after(last);
    }

    /// Writes and counts an event.
    pub(crate) fn emit(&self, event: &impl LogEvent) {
        self.ledger.emit(event);
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        self.ledger.metrics()
    }
}

impl Default for Tracker {
    fn default() -> Self {
        Self::new(Tasks::default(), Shutdown::default())
    }
}
