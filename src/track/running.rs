//! The running transfers, and when the watchdog checks them next. Generic: it knows nothing about transfers.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    model::stall::StallLimits,
    rt::{Shutdown, memory},
};

/// The longest and the shortest time between two checks.
const SLOW: Duration = Duration::from_secs(1);
const FAST: Duration = Duration::from_millis(50);

/// How long after the last check free memory is returned to the system. An idle thread for blocking calls ends after ten seconds.
const REST: [Duration; 2] = [Duration::ZERO, Duration::from_secs(12)];

/// The running transfers by number.
#[derive(Debug)]
pub(super) struct RunningTransfers<T> {
    list: Mutex<TransferList<T>>,
    shutdown: Shutdown,
    /// Notifies the watchdog that the time of the next check may have changed.
    changed: Notify,
}

#[derive(Debug)]
struct TransferList<T> {
    last_id: u64,
    transfers: BTreeMap<u64, Weak<T>>,
    /// The time of the next check, while the watchdog runs.
    next_check: Option<Instant>,
}

/// Whether the watchdog is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watchdog {
    /// It is running.
    Runs,
    /// It must be started.
    MustStart,
}

impl<T> RunningTransfers<T> {
    pub(super) fn new(shutdown: Shutdown) -> Self {
        Self {
            list: Mutex::new(TransferList {
                last_id: 0,
                transfers: BTreeMap::new(),
                next_check: None,
            }),
            shutdown,
            changed: Notify::new(),
        }
    }

    /// Adds the value that `make` returns for the next number, to be checked within `limits`.
    pub(super) fn add<R>(
        &self,
        limits: &StallLimits,
        make: impl FnOnce(u64) -> (R, Weak<T>),
    ) -> (R, Watchdog) {
        let mut list = self.list();
        list.last_id += 1;
        let id = list.last_id;
        let (made, weak) = make(id);
        list.transfers.insert(id, weak);
        let first = Instant::now() + tick(limits);
        match list.next_check {
            None => {
                list.next_check = Some(first);
                return (made, Watchdog::MustStart);
            }
            // Another route may have shorter limits.
            Some(next_check) if first < next_check => {
                list.next_check = Some(first);
                self.changed.notify_one();
            }
            Some(_) => {}
        }
        (made, Watchdog::Runs)
    }

    pub(super) fn remove(&self, id: u64) {
        let mut list = self.list();
        list.transfers.remove(&id);
        if list.transfers.is_empty() && self.shutdown.is_draining() {
            self.changed.notify_one();
        }
    }

    /// All of them, the oldest first.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        let list = self.list();
        list.transfers.values().filter_map(Weak::upgrade).collect()
    }

    /// How many run.
    pub(super) fn count(&self) -> usize {
        self.list().transfers.len()
    }

    /// The first `count` of those whose number is larger than `id`, the oldest first.
    pub(super) fn after(&self, id: u64, count: usize) -> Vec<Arc<T>> {
        let list = self.list();
        let later = list
            .transfers
            .range((Bound::Excluded(id), Bound::Unbounded));
        let later = later.filter_map(|(_, transfer)| transfer.upgrade());
        later.take(count).collect()
    }

    pub(super) fn find(&self, id: u64) -> Option<Arc<T>> {
        self.list().transfers.get(&id)?.upgrade()
    }

    /// Numbers continue after `last`.
    pub(super) fn continue_after(&self, last: u64) {
        let mut list = self.list();
        list.last_id = list.last_id.max(last);
    }

    /// The time of the next check; `None` where none is due.
    pub(super) fn looks(&self) -> Option<Instant> {
        let mut list = self.list();
        if list.transfers.is_empty() && self.shutdown.is_draining() {
            list.next_check = None;
        }
        list.next_check
    }

    /// Checks all of them with `look`, which returns the time of the next check. The watchdog stops some time after the last transfer, because
    /// the next request usually follows soon.
    pub(super) fn examine(&self, now: Instant, look: impl Fn(&T) -> Instant) {
        {
            let mut list = self.list();
            if list.transfers.is_empty() {
                list.next_check = None;
                return;
            }
            // A transfer that begins during the checks may need an earlier one.
            list.next_check = Some(now + SLOW);
        }
        let next = self.all().iter().map(|transfer| look(transfer)).min();
        // A transfer that is being dropped has no next check.
        let next = next.unwrap_or(now + Duration::from_millis(1));
        let mut list = self.list();
        list.next_check = list.next_check.map(|sooner| sooner.min(next));
    }

    /// Waits until [`RunningTransfers::next_check`] may have changed.
    pub(super) async fn changed(&self) {
        tokio::select! {
            () = self.changed.notified() => {}
            () = self.shutdown.drained(), if !self.shutdown.is_draining() => {}
        }
    }

    /// Returns memory to the system after the last transfer, and again when its connections and threads have ended.
    pub(super) async fn rest(&self) {
        for wait in REST {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shutdown.drained() => return,
            }
            if self.list().next_check.is_none() {
                memory::trim();
            }
        }
    }

    fn list(&self) -> MutexGuard<'_, TransferList<T>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time between two checks of a transfer with these limits: a quarter of the shortest one.
pub(super) fn tick(limits: &StallLimits) -> Duration {
    [
        limits.after,
        limits.connect_after,
        limits.answer_after,
        limits.client_after,
    ]
    .into_iter()
    .filter(|limit| !limit.is_zero())
    .map(|limit| limit / 4)
    .min()
    .unwrap_or(SLOW)
    .clamp(FAST, SLOW)
}
