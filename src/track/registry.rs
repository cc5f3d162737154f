//! All running transfers, the last faults, and the counters of what ended.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use tokio::{sync::Notify, time::Instant};

use super::{
    event::{Event, FaultOccurred, RequestsRefused, StallReported, TransferEnded},
    history::{Finished, History},
    metrics::{self, Metrics},
    timeline::Timeline,
    transfer::{Begin, Detail, Inner, Snapshot, Transfer},
    watchdog,
};
use crate::{
    model::{
        refusals::{Answer, Refusals, Refused},
        siblings::Siblings,
    },
    rt::{Shutdown, Tasks},
};

/// How many faults, and how many stalls, the status page shows.
const FAULTS: usize = 50;

/// Begins transfers and lists them. Clones share the same registry.
#[derive(Clone, Debug, Default)]
pub struct Tracker(Arc<Registry>);

#[derive(Debug, Default)]
pub(super) struct Registry {
    running: Mutex<Running>,
    faults: Mutex<VecDeque<FaultOccurred>>,
    stalls: Mutex<VecDeque<StallReported>>,
    siblings: Siblings,
    refusals: Mutex<Refusals>,
    metrics: Metrics,
    history: History,
    /// Where the watchdog runs.
    tasks: Tasks,
    shutdown: Shutdown,
    #[cfg(any(test, feature = "testing"))]
    observer: super::observe::Observer,
    /// The watchdog is to look again at what it waits for.
    nudged: Notify,
}

#[derive(Debug, Default)]
struct Running {
    last_id: u64,
    transfers: BTreeMap<u64, Weak<Inner>>,
    /// When the watchdog looks next, while it runs.
    looks: Option<Instant>,
}

impl Tracker {
    /// Its watchdog runs among `tasks`, and keeps no `shutdown` waiting.
    pub(crate) fn new(tasks: Tasks, shutdown: Shutdown) -> Self {
        Self(Arc::new(Registry {
            tasks,
            shutdown,
            ..Registry::default()
        }))
    }

    /// Registers a transfer; it is listed and watched until it is dropped. Must run inside the runtime.
    pub(crate) fn begin(&self, begin: Begin<'_>) -> Transfer {
        let mut running = lock(&self.0.running);
        running.last_id += 1;
        let id = running.last_id;
        let (transfer, weak) = Transfer::new(id, &begin, Arc::clone(&self.0));
        running.transfers.insert(id, weak);
        let first = Instant::now() + watchdog::tick(&begin.route.stall.limits);
        match running.looks {
            None => {
                running.looks = Some(first);
                self.0.tasks.spawn(watchdog::watch(Arc::clone(&self.0)));
            }
            // Another route may have shorter limits.
            Some(looks) if first < looks => {
                running.looks = Some(first);
                self.0.nudged.notify_one();
            }
            Some(_) => {}
        }
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

    /// The last stalls, the newest first, each as it was told last.
    pub fn stalls(&self) -> Vec<StallReported> {
        lock(&self.0.stalls).iter().rev().cloned().collect()
    }

    /// Faults, stalls and ends of transfers from now on, as values.
    #[cfg(any(test, feature = "testing"))]
    pub fn subscribe(&self) -> super::observe::Events {
        self.0.observer.subscribe()
    }

    /// What origins refuse now, by host and status.
    pub(crate) fn refusals(&self) -> Vec<Refused> {
        lock(&self.0.refusals).list()
    }

    /// A running transfer with everything that is known about it.
    pub(crate) fn detail(&self, id: u64) -> Option<Detail> {
        let transfer = lock(&self.0.running).transfers.get(&id)?.upgrade()?;
        Some(transfer.detail(Instant::now()))
    }

    /// The finished transfers and the totals.
    pub(crate) fn history(&self) -> &History {
        &self.0.history
    }

    /// Numbers of transfers go on after `last`: those of the history stay unique.
    pub(crate) fn continue_after(&self, last: u64) {
        let mut running = lock(&self.0.running);
        running.last_id = running.last_id.max(last);
    }

    /// Writes and counts an event.
    pub(crate) fn emit(&self, event: &impl Event) {
        event.emit(&self.0.metrics);
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}

impl Registry {
    pub(super) fn fault(&self, fault: FaultOccurred) {
        fault.emit(&self.metrics);
        #[cfg(any(test, feature = "testing"))]
        self.observer.see(&fault);
        let mut faults = lock(&self.faults);
        if faults.len() >= FAULTS {
            faults.pop_front();
        }
        faults.push_back(fault);
    }

    /// Writes and counts an event.
    pub(super) fn emit(&self, event: &impl Event) {
        event.emit(&self.metrics);
    }

    /// When the watchdog is to look; `None` where it has nothing to wait for.
    pub(super) fn looks(&self) -> Option<Instant> {
        let mut running = lock(&self.running);
        if running.transfers.is_empty() && self.shutdown.is_draining() {
            running.looks = None;
        }
        running.looks
    }

    /// Looks at every transfer. The watchdog ends with the last one, but not at once: the next request comes soon, mostly.
    pub(super) fn look(&self, now: Instant) {
        let transfers: Vec<_> = {
            let mut running = lock(&self.running);
            if running.transfers.is_empty() {
                running.looks = None;
                return;
            }
            // One that begins while this looks may want the next look sooner.
            running.looks = Some(now + watchdog::SLOW);
            let transfers = running.transfers.values();
            transfers.filter_map(Weak::upgrade).collect()
        };
        let next = transfers.iter().map(|transfer| transfer.look(now)).min();
        // One that is being dropped just now has no look left.
        let next = next.unwrap_or(now + Duration::from_millis(1));
        let mut running = lock(&self.running);
        running.looks = running.looks.map(|sooner| sooner.min(next));
    }

    /// Waits until [`Registry::looks`] may say something else.
    pub(super) async fn nudged(&self) {
        tokio::select! {
            () = self.nudged.notified() => {}
            () = self.shutdown.drained(), if !self.shutdown.is_draining() => {}
        }
    }

    /// How the two halves of a site fare.
    pub(super) fn siblings(&self) -> &Siblings {
        &self.siblings
    }

    pub(super) fn stall(&self, stall: StallReported) {
        stall.emit(&self.metrics);
        #[cfg(any(test, feature = "testing"))]
        self.observer.see(&stall);
        let mut stalls = lock(&self.stalls);
        stalls.retain(|earlier| earlier.subject.id != stall.subject.id || earlier.phase.is_end());
        if stalls.len() >= FAULTS {
            stalls.pop_front();
        }
        stalls.push_back(stall);
    }

    pub(super) fn ended(
        &self,
        id: u64,
        event: Option<TransferEnded>,
        began: SystemTime,
        timeline: Timeline,
    ) {
        {
            let mut running = lock(&self.running);
            running.transfers.remove(&id);
            if running.transfers.is_empty() && self.shutdown.is_draining() {
                self.nudged.notify_one();
            }
        }
        if let Some(event) = event {
            event.emit(&self.metrics);
            #[cfg(any(test, feature = "testing"))]
            self.observer.see(&event);
            self.answered(&event);
            let times = (began, SystemTime::now());
            self.history.add(Finished::new(event, times, timeline));
        }
    }
}

impl Registry {
    /// Counts what the origin refuses.
    fn answered(&self, event: &TransferEnded) {
        let Some(status) = event.status.filter(|_| event.result == "answered") else {
            return;
        };
        let answer = Answer {
            host: &event.subject.host,
            status,
            method: &event.method,
            path: &event.path,
            credentials: event.credentials,
        };
        if answer.is_refusal() && (status != 401 || event.credentials) {
            let labels = [&*event.subject.route, &status.to_string()];
            self.metrics.count(&metrics::REFUSALS, &labels);
        }
        let refused = lock(&self.refusals).observe(&answer);
        if let Some(refused) = refused {
            self.emit(&RequestsRefused {
                subject: event.subject.clone(),
                refused,
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
