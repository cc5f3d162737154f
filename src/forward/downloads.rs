//! What downloads in segments share: memory, and connections to one host. It survives a reload.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{model::Target, sync::Mutex};

/// The most connections to one host over all downloads. git-lfs runs 8 downloads at once, which need no segments.
const MAX_PER_HOST: usize = 8;

/// Ranges may use this much in any case: a download of this size needs no memory for buffers.
const MIN_FOR_RANGES: u64 = 4 << 20;

/// The part of `memory` that ranges may use: the rest is for the buffers of their connections and the allocator, which keeps the peak of each
/// thread (measured: with 38 MiB of ranges, eight downloads held 53 to 85 MiB, with 26 MiB 41 to 49).
fn for_ranges(memory: u64) -> u64 {
    (memory / 5 * 2).max(memory.min(MIN_FOR_RANGES))
}

/// The memory and connections of all downloads.
#[derive(Debug, Default)]
pub(crate) struct DownloadLimits {
    memory: AtomicU64,
    /// Bytes of it in use.
    used: Mutex<u64>,
    /// Connections that large downloads use, by the dialled host.
    hosts: Mutex<HashMap<Target, usize>>,
}

impl DownloadLimits {
    /// The limit of the config in force.
    pub(crate) fn set(&self, memory: u64) {
        self.memory.store(for_ranges(memory), Ordering::Relaxed);
    }

    /// Counts a connection to `host`, without a limit.
    pub(crate) fn count(self: &Arc<Self>, host: &Target) -> HostPlace {
        *self.hosts.lock().entry(host.clone()).or_default() += 1;
        HostPlace {
            limits: Arc::clone(self),
            host: host.clone(),
        }
    }

    /// A place for one more connection to `host`.
    pub(crate) fn place(self: &Arc<Self>, host: &Target) -> Option<HostPlace> {
        let mut hosts = self.hosts.lock();
        let used = hosts.entry(host.clone()).or_default();
        if *used >= MAX_PER_HOST {
            return None;
        }
        *used += 1;
        Some(HostPlace {
            limits: Arc::clone(self),
            host: host.clone(),
        })
    }

    /// A reservation of `fixed` bytes, which holds no memory for ranges yet.
    pub(crate) fn reservation(self: &Arc<Self>, fixed: u64) -> Reservation {
        *self.used.lock() += fixed;
        Reservation {
            limits: Arc::clone(self),
            fixed,
            held: fixed,
        }
    }
}

/// Counts one connection to a host until it is dropped.
#[derive(Debug)]
pub(crate) struct HostPlace {
    limits: Arc<DownloadLimits>,
    host: Target,
}

impl Drop for HostPlace {
    fn drop(&mut self) {
        let mut hosts = self.limits.hosts.lock();
        if let Some(used) = hosts.get_mut(&self.host) {
            *used = used.saturating_sub(1);
            if *used == 0 {
                hosts.remove(&self.host);
            }
        }
    }
}

/// Memory of one download, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    limits: Arc<DownloadLimits>,
    /// The part that is not for ranges.
    fixed: u64,
    held: u64,
}

impl Reservation {
    /// Lets `act` plan with the free bytes; it returns how many the download's ranges then hold.
    pub(crate) fn plan<T>(&mut self, act: impl FnOnce(u64) -> (T, u64)) -> T {
        let mut used = self.limits.used.lock();
        let memory = self.limits.memory.load(Ordering::Relaxed);
        let (result, ranges) = act(memory.saturating_sub(*used));
        let held = self.fixed + ranges;
        *used = used.saturating_sub(self.held) + held;
        self.held = held;
        result
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut used = self.limits.used.lock();
        *used = used.saturating_sub(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_stop_at_eight_connections_to_a_host_and_downloads_do_not() {
        let limits = Arc::<DownloadLimits>::default();
        let host = Target::parse("storage.test:443", None).unwrap();
        let other = Target::parse("other.test:443", None).unwrap();
        let firsts: Vec<_> = (0..6).map(|_| limits.count(&host)).collect();
        let more: Vec<_> = (0..6).filter_map(|_| limits.place(&host)).collect();
        assert_eq!(more.len(), 2);
        assert!(limits.place(&other).is_some());
        let _first = limits.count(&host);
        drop(more);
        assert!(limits.place(&host).is_some());
        drop(firsts);
    }

    #[test]
    fn downloads_share_one_memory_limit() {
        let limits = Arc::<DownloadLimits>::default();
        limits.set(100);
        let (mut one, mut two) = (limits.reservation(0), limits.reservation(0));
        assert_eq!(one.plan(|free| (free, 60)), 100);
        assert_eq!(two.plan(|free| (free, 40)), 40);
        assert_eq!(one.plan(|free| (free, 10)), 0);
        assert_eq!(two.plan(|free| (free, 40)), 50);
        drop(one);
        let mut three = limits.reservation(30);
        assert_eq!(three.plan(|free| (free, 5)), 30);
        assert_eq!(two.plan(|free| (free, 50)), 25);
        drop(two);
        drop(three);
        limits.set(60 << 20);
        assert_eq!(limits.reservation(0).plan(|free| (free, 0)), 24 << 20);
        limits.set(100);
        assert_eq!(limits.reservation(0).plan(|free| (free, 0)), 100);
    }
}
