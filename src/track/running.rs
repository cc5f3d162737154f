//! The running transfers, and the time of the watchdog's next check. Generic over what it checks.
//!
//! Idle tunnels rest: the watchdog checks them only every [`REST`], and its ticks depend only on the transfers that are awake.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, MutexGuard, Weak},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    model::stall::StallLimits,
    rt::{Shutdown, memory},
    sync::Mutex,
};

/// The longest and the shortest time between two checks.
const SLOW: Duration = Duration::from_secs(1);
const FAST: Duration = Duration::from_millis(50);

/// The time between two checks of a resting transfer. The kernel probes an idle connection as often, and only a check shows whether the
/// peer answered.
pub(super) const REST: Duration = Duration::from_secs(30);

/// When free memory is returned to the system: at the end of the last transfer, and again when the idle threads for blocking calls have
/// ended, which takes ten seconds.
const GIVE_BACK: [Duration; 2] = [Duration::ZERO, Duration::from_secs(12)];

/// What the watchdog checks.
pub(super) trait Watched {
    /// Checks it once and reports the result. Returns the time of the next check.
    fn examine(&self, now: Instant) -> Instant;
    /// True while it rests: until [`RunningTransfers::wake`] it is checked only every [`REST`].
    fn rests(&self) -> bool;
}

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
    awake: BTreeMap<u64, Weak<T>>,
    resting: BTreeMap<u64, Weak<T>>,
    /// The time of the next check, while the watchdog runs.
    next_check: Option<Instant>,
    /// The time of the next check of those that rest.
    next_check_of_resting: Instant,
}

impl<T> TransferList<T> {
    fn is_empty(&self) -> bool {
        self.awake.is_empty() && self.resting.is_empty()
    }
}

/// Whether the watchdog must be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchdogStart {
    /// It is running.
    Running,
    /// It must be started.
    Needed,
}

impl<T: Watched> RunningTransfers<T> {
    pub(super) fn new(shutdown: Shutdown) -> Self {
        Self {
            list: Mutex::new(TransferList {
                last_id: 0,
                awake: BTreeMap::new(),
                resting: BTreeMap::new(),
                next_check: None,
                next_check_of_resting: Instant::now(),
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
    ) -> (R, WatchdogStart) {
        let mut list = self.list();
        list.last_id += 1;
        let id = list.last_id;
        let (made, weak) = make(id);
        list.awake.insert(id, weak);
        let first = Instant::now() + tick(limits);
        if list.next_check.is_none() {
            list.next_check = Some(first);
            return (made, WatchdogStart::Needed);
        }
        self.check_by(&mut list, first);
        (made, WatchdogStart::Running)
    }

    /// Ends the rest of a transfer: it is checked within `tick`.
    pub(super) fn wake(&self, id: u64, tick: Duration) {
        let mut list = self.list();
        // A transfer that is being checked now may not be listed as resting yet.
        if let Some(weak) = list.resting.remove(&id) {
            list.awake.insert(id, weak);
        }
        self.check_by(&mut list, Instant::now() + tick);
    }

    /// Makes the next check at `first` or earlier: another route may have shorter limits, or all other transfers rest.
    fn check_by(&self, list: &mut TransferList<T>, first: Instant) {
        if list.next_check.is_some_and(|next| first < next) {
            list.next_check = Some(first);
            self.changed.notify_one();
        }
    }

    pub(super) fn remove(&self, id: u64) {
        let mut list = self.list();
        if list.awake.remove(&id).is_none() {
            list.resting.remove(&id);
        }
        if list.is_empty() && self.shutdown.is_draining() {
            self.changed.notify_one();
        }
    }

    /// All transfers, the oldest first.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        self.after(0, usize::MAX)
    }

    /// The number of running transfers.
    pub(super) fn count(&self) -> usize {
        let list = self.list();
        list.awake.len() + list.resting.len()
    }

    /// The first `count` of those whose number is larger than `id`, the oldest first.
    pub(super) fn after(&self, id: u64, count: usize) -> Vec<Arc<T>> {
        let list = self.list();
        let alive = |(id, weak): (&u64, &Weak<T>)| Some((*id, weak.upgrade()?));
        let later = |part: &BTreeMap<u64, Weak<T>>| -> Vec<_> {
            let later = part.range((Bound::Excluded(id), Bound::Unbounded));
            later.filter_map(alive).take(count).collect()
        };
        let mut later = [later(&list.awake), later(&list.resting)].concat();
        later.sort_unstable_by_key(|(id, _)| *id);
        let later = later.into_iter().take(count);
        later.map(|(_, transfer)| transfer).collect()
    }

    pub(super) fn find(&self, id: u64) -> Option<Arc<T>> {
        let list = self.list();
        let found = list.awake.get(&id).or_else(|| list.resting.get(&id));
        found?.upgrade()
    }

    /// The numbers of transfers that are awake and that rest.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn awake_and_resting(&self) -> (usize, usize) {
        let list = self.list();
        (list.awake.len(), list.resting.len())
    }

    /// Lets the transfer numbers continue after `last`.
    pub(super) fn continue_after(&self, last: u64) {
        let mut list = self.list();
        list.last_id = list.last_id.max(last);
    }

    /// The time of the next check; `None` where none is due.
    pub(super) fn next_check(&self) -> Option<Instant> {
        let mut list = self.list();
        if list.is_empty() && self.shutdown.is_draining() {
            list.next_check = None;
        }
        list.next_check
    }

    /// Checks all that are due. The watchdog stops some time after the last transfer, because the next request usually follows soon.
    pub(super) fn examine(&self, now: Instant) {
        let due = self.due(now);
        let next = due.iter().map(|(_, transfer)| transfer.examine(now)).min();
        let mut list = self.list();
        for (id, transfer) in due {
            let TransferList { awake, resting, .. } = &mut *list;
            let (from, to) = match transfer.rests() {
                true => (awake, resting),
                false => (resting, awake),
            };
            // A transfer that was dropped during the checks is in neither list.
            if let Some(weak) = from.remove(&id) {
                to.insert(id, weak);
            }
        }
        let next = match list.resting.is_empty() {
            true => next,
            false => next.into_iter().chain([list.next_check_of_resting]).min(),
        };
        // A transfer that is being dropped has no next check.
        let next = next.unwrap_or(now + Duration::from_millis(1));
        list.next_check = list.next_check.map(|sooner| sooner.min(next));
    }

    fn due(&self, now: Instant) -> Vec<(u64, Arc<T>)> {
        let mut list = self.list();
        if list.is_empty() {
            list.next_check = None;
            return Vec::new();
        }
        // A transfer that begins or wakes during the checks may need an earlier one.
        list.next_check = Some(now + REST);
        let mut due: Vec<_> = list.awake.iter().collect();
        let all = now >= list.next_check_of_resting;
        if all {
            due.extend(&list.resting);
        }
        let due = due.into_iter();
        let due = due
            .filter_map(|(id, weak)| Some((*id, weak.upgrade()?)))
            .collect();
        if all || list.resting.is_empty() {
            list.next_check_of_resting = now + REST;
        }
        due
    }

    /// Waits until [`RunningTransfers::next_check`] may have changed.
    pub(super) async fn changed(&self) {
        tokio::select! {
            () = self.changed.notified() => {}
            () = self.shutdown.drained(), if !self.shutdown.is_draining() => {}
        }
    }

    /// Returns memory to the system after the last transfer, and again when its connections and threads have ended.
    pub(super) async fn trim_memory(&self) {
        for wait in GIVE_BACK {
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
        self.list.lock()
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

#[cfg(test)]
mod tests;
