//! The idle connections, by origin.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{ConnectionInfo, Key, MAX_SPARES, READY_TIMEOUT, RECENT, SPARE_LIFETIME, Sender};
use crate::{config, model::recent_peak::RecentPeak, rt::io_thread_number, sync::Mutex};

pub(super) struct PoolState {
    pub(super) limits: config::PoolConfig,
    /// The limit on idle connections over all origins.
    pub(super) max_idle: usize,
    pub(super) origins: Mutex<PoolEntries>,
    /// The keys of spare connections that are being opened.
    pub(super) opening: Mutex<Vec<PendingSpare>>,
    /// Set with the first connection bound to a client: before that, no request needs to search for one.
    pub(super) any_bound: AtomicBool,
    /// Set when the daemon drains: connections returned after that are closed.
    pub(super) closed: AtomicBool,
}

/// A `BTreeMap`, because it has few entries and every request does three look-ups.
pub(super) type PoolEntries = BTreeMap<Arc<Key>, PoolEntry>;

/// A spare connection that is being opened.
pub(super) struct PendingSpare {
    key: Arc<Key>,
    /// Notifies the request that waits for it.
    joined: Option<Arc<Notify>>,
}

/// Interchangeable connections.
#[derive(Default)]
pub(super) struct PoolEntry {
    /// In the order of use, the most recent last.
    pub(super) idle: Vec<Idle>,
    pub(super) load: RecentPeak,
}

pub(super) struct Idle {
    pub(super) sender: Sender,
    pub(super) info: Arc<ConnectionInfo>,
    pub(super) since: Instant,
    /// True where no request was sent on it.
    pub(super) unused: bool,
}

impl PoolState {
    pub(super) fn put(&self, key: &Arc<Key>, idle: Idle) {
        let now = idle.since;
        let mut origins = self.origins.lock();
        if self.limits.idle_per_origin == 0 || self.closed.load(Ordering::Relaxed) {
            return;
        }
        let origin = origins.entry(Arc::clone(key)).or_default();
        origin.idle.push(idle);
        origin.trim(self.limits.idle_per_origin, now);
        if count(&origins) > self.max_idle {
            drop_oldest(&mut origins);
        }
    }

    /// The most recently used connection that is not idle too long; it counts as in use from here on. An HTTP/2 connection carries many
    /// requests, so it also stays in the pool.
    pub(super) fn pop(&self, key: &Key, now: Instant) -> Option<Idle> {
        let mut origins = self.origins.lock();
        let PoolEntry { idle: list, load } = origins.get_mut(key)?;
        while !list.is_empty() {
            // Unused ones are reserved for requests that need them.
            let used = latest(list, |idle| !idle.unused);
            let idle = list.remove(used.unwrap_or(list.len() - 1));
            if !self.is_fresh(&idle, now) {
                continue;
            }
            if let Sender::Http2(sender) = &idle.sender {
                list.push(Idle {
                    sender: Sender::Http2(sender.clone()),
                    info: Arc::clone(&idle.info),
                    since: now,
                    unused: false,
                });
            }
            load.begin(now);
            return Some(idle);
        }
        None
    }

    pub(super) fn pop_spare(&self, key: &Key, now: Instant) -> Option<Idle> {
        let mut origins = self.origins.lock();
        let origin = origins.get_mut(key)?;
        let at = origin.spare(now)?;
        Some(origin.idle.remove(at))
    }

    pub(super) fn pop_recent(&self, key: &Key, now: Instant) -> Option<Idle> {
        let mut origins = self.origins.lock();
        let list = &mut origins.get_mut(key)?.idle;
        let is_recent = |idle: &Idle| {
            // tinyproxy closes after each response to a request in absolute form, and announces it nowhere.
            let announces_close = idle.info.absolute_form.is_none();
            announces_close && !idle.unused && idle.age(now) <= RECENT && !idle.sender.is_closed()
        };
        let at = latest(list, is_recent)?;
        Some(list.remove(at))
    }

    pub(super) fn is_idle_since(&self, key: &Key, info: &Arc<ConnectionInfo>, at: Instant) -> bool {
        let origins = self.origins.lock();
        let mut idle = origins.get(key).into_iter().flat_map(|origin| &origin.idle);
        idle.any(|idle| Arc::ptr_eq(&idle.info, info) && idle.since <= at)
    }

    /// Records that a spare is being opened for `key`; false where it must not be opened.
    pub(super) fn begin_spare(&self, key: &Arc<Key>, now: Instant) -> bool {
        let mut opening = self.opening.lock();
        let origins = self.origins.lock();
        let kept = origins
            .values()
            .filter(|origin| origin.spare(now).is_some());
        let exists = origins
            .get(key)
            .is_some_and(|origin| origin.spare(now).is_some());
        if exists
            || opening.iter().any(|begun| begun.key == *key)
            || kept.count() + opening.len() >= MAX_SPARES
        {
            return false;
        }
        opening.push(PendingSpare {
            key: Arc::clone(key),
            joined: None,
        });
        true
    }

    pub(super) fn end_spare(&self, key: &Arc<Key>) {
        let mut opening = self.opening.lock();
        let Some(at) = opening.iter().position(|begun| begun.key == *key) else {
            return;
        };
        if let Some(joined) = opening.swap_remove(at).joined {
            joined.notify_one();
        }
    }

    /// Notifies of the end of the spare being opened for `key`, where no other request waits for it.
    pub(super) fn join_spare(&self, key: &Arc<Key>) -> Option<Arc<Notify>> {
        let mut opening = self.opening.lock();
        let begun = opening.iter_mut().find(|begun| begun.key == *key)?;
        if begun.joined.is_some() {
            return None;
        }
        let end = Arc::<Notify>::default();
        begun.joined = Some(Arc::clone(&end));
        Some(end)
    }

    pub(super) fn is_fresh(&self, idle: &Idle, now: Instant) -> bool {
        !idle.sender.is_closed() && idle.age(now) <= self.limits.idle_timeout
    }

    /// Removes a connection that is unusable although it is not closed yet.
    pub(super) fn remove(&self, key: &Key, info: &Arc<ConnectionInfo>) {
        if let Some(origin) = self.origins.lock().get_mut(key) {
            origin.idle.retain(|idle| !Arc::ptr_eq(&idle.info, info));
        }
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.origins.lock().retain(|_, origin| {
            origin
                .idle
                .iter_mut()
                .for_each(|idle| idle.sender.poll_idle());
            origin.idle.retain(|idle| self.is_fresh(idle, now));
            origin.trim(self.limits.idle_per_origin, now);
            !origin.idle.is_empty() || origin.load.recent(now) > 0
        });
    }
}

impl Idle {
    /// True where no request was sent on it and it is too recent to have died.
    pub(super) fn is_as_new(&self, now: Instant) -> bool {
        self.unused && self.age(now) <= SPARE_LIFETIME
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl Sender {
    pub(super) async fn ready(&mut self) -> bool {
        let ready = async {
            match self {
                Self::Http1(http1) => http1.ready().await,
                Self::Http2(sender) => sender.ready().await.is_ok(),
            }
        };
        tokio::time::timeout(READY_TIMEOUT, ready)
            .await
            .unwrap_or(false)
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(http1) => http1.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Lets an idle connection without a task notice that its peer closed it.
    fn poll_idle(&mut self) {
        match self {
            Self::Http1(http1) => http1.poll_idle(),
            Self::Http2(_) => {}
        }
    }
}

impl PoolEntry {
    /// The index of a connection that is as good as a new one.
    pub(super) fn spare(&self, now: Instant) -> Option<usize> {
        let is_spare = |idle: &Idle| idle.is_as_new(now) && !idle.sender.is_closed();
        self.idle.iter().rposition(is_spare)
    }

    /// Closes the connections idle longest, beyond `least` and what the recent load needs.
    pub(super) fn trim(&mut self, least: usize, now: Instant) {
        let room = self.load.recent(now).max(least);
        let excess = self.idle.len().saturating_sub(room);
        self.idle.drain(..excess);
    }
}

/// The index of the most recently used connection that `fits`, of this thread if possible: the response on one of another thread wakes that
/// thread first, and then this one.
fn latest(list: &[Idle], fits: impl Fn(&Idle) -> bool) -> Option<usize> {
    let here = io_thread_number();
    let of_this_thread = |idle: &Idle| idle.info.io_thread == here && fits(idle);
    let found = list.iter().rposition(of_this_thread);
    found.or_else(|| list.iter().rposition(fits))
}

pub(super) fn count(origins: &PoolEntries) -> usize {
    origins.values().map(|origin| origin.idle.len()).sum()
}

/// Closes the connection idle longest.
pub(super) fn drop_oldest(origins: &mut PoolEntries) {
    let oldest = origins
        .values_mut()
        .filter(|origin| !origin.idle.is_empty())
        .min_by_key(|origin| origin.idle.first().map(|idle| idle.since));
    if let Some(origin) = oldest {
        origin.idle.remove(0);
    }
}
