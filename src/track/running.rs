//! The transfers that run, and when the watchdog looks at them next. It knows nothing of what a transfer is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    model::stall::StallLimits,
    rt::{Shutdown, memory},
};

/// How often the watchdog looks, at most and at least.
const SLOW: Duration = Duration::from_secs(1);
const FAST: Duration = Duration::from_millis(50);

/// How long after the last look free memory goes back to the system. An idle thread for blocking calls ends after ten seconds.
const REST: [Duration; 2] = [Duration::ZERO, Duration::from_secs(12)];

/// The running transfers by number.
#[derive(Debug)]
pub(super) struct Running<T> {
    list: Mutex<List<T>>,
    shutdown: Shutdown,
    /// The watchdog is to look again at what it waits for.
    nudged: Notify,
}

#[derive(Debug)]
struct List<T> {
    last_id: u64,
    transfers: BTreeMap<u64, Weak<T>>,
    /// When the watchdog looks next, while it runs.
    looks: Option<Instant>,
}

/// Whether the watchdog runs already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watchdog {
    /// It does.
    Runs,
    /// It must be started.
    MustStart,
}

impl<T> Running<T> {
    pub(super) fn new(shutdown: Shutdown) -> Self {
        Self {
            list: Mutex::new(List {
                last_id: 0,
                transfers: BTreeMap::new(),
                looks: None,
            }),
            shutdown,
            nudged: Notify::new(),
        }
    }

    /// Adds what `make` makes of the next number, to be looked at within `limits`.
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
        match list.looks {
            None => {
                list.looks = Some(first);
                return (made, Watchdog::MustStart);
            }
            // Another route may have shorter limits.
            Some(looks) if first < looks => {
                list.looks = Some(first);
                self.nudged.notify_one();
            }
            Some(_) => {}
        }
        (made, Watchdog::Runs)
    }

    pub(super) fn remove(&self, id: u64) {
        let mut list = self.list();
        list.transfers.remove(&id);
        if list.transfers.is_empty() && self.shutdown.is_draining() {
            self.nudged.notify_one();
        }
    }

    /// Every one, the oldest first.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        let list = self.list();
        list.transfers.values().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn find(&self, id: u64) -> Option<Arc<T>> {
        self.list().transfers.get(&id)?.upgrade()
    }

    /// Numbers go on after `last`.
    pub(super) fn continue_after(&self, last: u64) {
        let mut list = self.list();
        list.last_id = list.last_id.max(last);
    }

    /// When the watchdog is to look; `None` where it has nothing to wait for.
    pub(super) fn looks(&self) -> Option<Instant> {
        let mut list = self.list();
        if list.transfers.is_empty() && self.shutdown.is_draining() {
            list.looks = None;
        }
        list.looks
    }

    /// Looks at every one with `look`, which says when to look again. The watchdog ends with the last one, but not at once: the next
    /// request comes soon, mostly.
    pub(super) fn examine(&self, now: Instant, look: impl Fn(&T) -> Instant) {
        {
            let mut list = self.list();
            if list.transfers.is_empty() {
                list.looks = None;
                return;
            }
            // One that begins while this looks may want the next look sooner.
            list.looks = Some(now + SLOW);
        }
        let next = self.all().iter().map(|transfer| look(transfer)).min();
        // One that is being dropped just now has no look left.
        let next = next.unwrap_or(now + Duration::from_millis(1));
        let mut list = self.list();
        list.looks = list.looks.map(|sooner| sooner.min(next));
    }

    /// Waits until [`Running::looks`] may say something else.
    pub(super) async fn changed(&self) {
        tokio::select! {
            () = self.nudged.notified() => {}
            () = self.shutdown.drained(), if !self.shutdown.is_draining() => {}
        }
    }

    /// Gives memory back after the last transfer, and again when its connections and threads have ended too.
    pub(super) async fn rest(&self) {
        for wait in REST {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shutdown.drained() => return,
            }
            if self.list().looks.is_none() {
                memory::give_back();
            }
        }
    }

    fn list(&self) -> MutexGuard<'_, List<T>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often a transfer with these limits is looked at: a quarter of the shortest one.
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
