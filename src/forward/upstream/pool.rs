//! Idle origin connections, kept for the next request to the same origin through the same upstream.
//!
//! Written on `hyper::client::conn`, because hyper-util's legacy client does not show which request reused a connection and whether a
//! failed one was sent. Both decide whether a retry is safe.
//!
//! For each origin the pool keeps `idle_per_origin` connections, or as many as were recently in use at once, whichever is more: 64 parallel
//! requests need 64 connections a moment later too. [`MAX_IDLE`] and the process's descriptor limit bound the sum over all origins.

mod lease;
mod store;

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::client::conn::http2;
use tokio::time::{Instant, timeout};

use crate::forward::{
    client::ConnId,
    request::body::RequestBody,
    upstream::{flood::Flood, http1::Http1},
};
use crate::{
    config,
    io::TcpMonitor,
    model::{Scheme, Target},
    net::dial::AbsoluteForm,
    rt::{self, ReusedTimer, Shutdown, Tasks},
    sync::Mutex,
};

pub(crate) use lease::Lease;
use store::{Idle, PoolState, count};

/// The properties that interchangeable connections share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The route: it decides the HTTP version and the address overrides.
    pub route: Arc<str>,
    /// True where the address must be public. A connection made without this check is not interchangeable.
    pub public_only: bool,
    /// The upstream's label.
    pub upstream: Arc<str>,
    /// The scheme toward the origin.
    pub scheme: Scheme,
    /// The origin.
    pub target: Target,
    /// The client connection that the origin has authenticated this connection for.
    pub bound_to: Option<ConnId>,
}

/// A connection that requests can be sent on.
pub(crate) enum Sender {
    /// One request at a time.
    Http1(Http1),
    /// Many at once.
    Http2(http2::SendRequest<RequestBody>),
}

/// A spare connection that is being opened; ends when dropped.
pub(crate) struct SpareOpening {
    key: Arc<Key>,
    pool: Pool,
}

/// Counts one connection of an origin as in use until it is dropped.
struct InUseGuard {
    key: Arc<Key>,
    pool: Pool,
}

/// The properties of a connection.
#[derive(Debug)]
pub(crate) struct ConnectionInfo {
    /// The TCP peer.
    pub peer: SocketAddr,
    /// The socket below.
    pub tcp: TcpMonitor,
    /// True where the peer is a hop.
    pub hop: bool,
    /// True where every response is certainly the origin's.
    pub genuine: bool,
    /// Where set, requests are written in absolute form.
    pub absolute_form: Option<AbsoluteForm>,
    /// The thread that it was opened on and that its socket wakes; `None` where that is none of those that serve clients.
    pub io_thread: Option<usize>,
    /// Why it was ended, where the origin sent too much that is no response.
    pub flood: Flood,
    /// Of the check for a connection that died while it was idle, between two requests.
    pub stale_timer: Mutex<ReusedTimer>,
}

/// The idle connections. Clones share them.
#[derive(Clone)]
pub(crate) struct Pool(Arc<PoolState>);

/// How long a returned connection may take to become ready again.
const READY_TIMEOUT: Duration = Duration::from_millis(100);
/// How long an unused connection is as good as a new one: servers wait longer than this for the first request.
const SPARE_LIFETIME: Duration = Duration::from_secs(4);
/// How long after a response its connection may carry the commands of `git push`. No server closes a connection this soon without
/// announcing it in the response, and git alone would use the same connection.
pub(crate) const RECENT: Duration = Duration::from_secs(1);
/// How long a request waits for a connection that is being opened for it before it dials itself.
const JOIN_TIMEOUT: Duration = Duration::from_secs(2);
/// The most connections that are being opened, or were just opened, for requests that have not arrived.
const MAX_SPARES: usize = 4;
/// The most idle connections over all origins; fewer where the process may open few descriptors.
const MAX_IDLE: usize = 512;

/// A quarter of the descriptors, at most [`MAX_IDLE`]: active connections need the rest.
fn max_idle() -> usize {
    MAX_IDLE.min(rt::descriptor_limit() / 4)
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new(limits: config::PoolConfig) -> Self {
        Self(Arc::new(PoolState {
            limits,
            max_idle: max_idle(),
            origins: Mutex::default(),
            opening: Mutex::default(),
            any_bound: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }))
    }

    /// Closes connections that are idle too long, and all when the daemon drains or the pool is dropped.
    pub(crate) fn sweep_until_drained(&self, tasks: &Tasks, shutdown: &Shutdown) {
        let weak = Arc::downgrade(&self.0);
        let shutdown = shutdown.clone();
        let period = (self.0.limits.idle_timeout / 2).max(Duration::from_millis(100));
        tasks.spawn(async move {
            loop {
                let stop = tokio::select! {
                    () = tokio::time::sleep(period) => false,
                    () = shutdown.drained() => true,
                };
                let Some(inner) = weak.upgrade() else { return };
                if stop {
                    // Under the lock, so that no connection is added afterwards.
                    let mut origins = inner.origins.lock();
                    inner.closed.store(true, Ordering::Relaxed);
                    origins.clear();
                    return;
                }
                inner.sweep(Instant::now());
            }
        });
    }

    /// A ready connection for `key`, the most recently used first.
    pub(crate) async fn take(&self, key: &Arc<Key>) -> Option<Lease> {
        loop {
            let now = Instant::now();
            let idle = self.0.pop(key, now)?;
            let mut lease = Lease {
                reused: !idle.is_as_new(now),
                sender: idle.sender,
                info: idle.info,
                key: Arc::clone(key),
                in_use: self.guard(key),
            };
            if lease.sender.ready().await {
                return Some(lease);
            }
            self.0.remove(key, &lease.info);
        }
    }

    /// Like [`Pool::take`], among the connections bound to `client`.
    pub(crate) async fn take_bound(&self, key: &Key, client: ConnId) -> Option<Lease> {
        if !self.0.any_bound.load(Ordering::Relaxed) {
            return None;
        }
        let bound = Key {
            bound_to: Some(client),
            ..key.clone()
        };
        self.take(&Arc::new(bound)).await
    }

    /// A lease on a new connection.
    pub(crate) fn lease(&self, key: Arc<Key>, sender: Sender, info: ConnectionInfo) -> Lease {
        let info = Arc::new(info);
        let in_use = self.begin_use(&key);
        if let Sender::Http2(shared) = &sender {
            let idle = Idle {
                sender: Sender::Http2(shared.clone()),
                info: Arc::clone(&info),
                since: Instant::now(),
                unused: false,
            };
            self.0.put(&key, idle);
        }
        Lease {
            sender,
            info,
            reused: false,
            key,
            in_use,
        }
    }

    /// Closes connections not used since `began`: where one died because the network changed, all have.
    pub(crate) fn forget_unused_since(&self, began: Instant) {
        for origin in self.0.origins.lock().values_mut() {
            origin.idle.retain(|idle| idle.since >= began);
        }
    }

    /// A connection for `key` that was opened a moment ago and never used, for a request that may act.
    pub(crate) async fn take_spare(&self, key: &Arc<Key>) -> Option<Lease> {
        let idle = self.0.pop_spare(key, Instant::now())?;
        self.ready(idle, key).await
    }

    /// A connection for `key` that delivered a response a moment ago.
    pub(crate) async fn take_recent(&self, key: &Arc<Key>) -> Option<Lease> {
        let idle = self.0.pop_recent(key, Instant::now())?;
        self.ready(idle, key).await
    }

    /// True where the connection that `info` describes is idle and carried nothing since `at`.
    pub(crate) fn is_idle_since(&self, key: &Key, info: &Arc<ConnectionInfo>, at: Instant) -> bool {
        self.0.is_idle_since(key, info, at)
    }

    /// Waits for the spare connection for `key` that is being opened, where no other request waits for it.
    pub(crate) async fn join(&self, key: &Arc<Key>) -> Option<Lease> {
        let opened = self.0.join_spare(key)?;
        timeout(JOIN_TIMEOUT, opened.notified()).await.ok()?;
        self.take_spare(key).await
    }

    async fn ready(&self, idle: Idle, key: &Arc<Key>) -> Option<Lease> {
        let mut lease = Lease {
            reused: !idle.unused,
            sender: idle.sender,
            info: idle.info,
            key: Arc::clone(key),
            in_use: self.begin_use(key),
        };
        lease.sender.ready().await.then_some(lease)
    }

    /// Permission to open a spare connection for `key`; `None` where one is idle or being opened, or where there are [`MAX_SPARES`] over all
    /// origins.
    pub(crate) fn open_spare(&self, key: &Arc<Key>) -> Option<SpareOpening> {
        if self.0.limits.idle_per_origin == 0 || !self.0.begin_spare(key, Instant::now()) {
            return None;
        }
        Some(SpareOpening {
            key: Arc::clone(key),
            pool: self.clone(),
        })
    }

    /// How many connections are idle.
    pub(crate) fn idle_count(&self) -> usize {
        count(&self.0.origins.lock())
    }

    fn begin_use(&self, key: &Arc<Key>) -> InUseGuard {
        let mut origins = self.0.origins.lock();
        let origin = origins.entry(Arc::clone(key)).or_default();
        origin.load.begin(Instant::now());
        drop(origins);
        self.guard(key)
    }

    /// Marks a connection as in use that the origin's count already includes.
    fn guard(&self, key: &Arc<Key>) -> InUseGuard {
        InUseGuard {
            key: Arc::clone(key),
            pool: self.clone(),
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("idle", &self.idle_count())
            .finish()
    }
}

impl SpareOpening {
    /// Adds the connection to the pool.
    pub(crate) fn insert(self, sender: Sender, info: ConnectionInfo) {
        let unused = matches!(sender, Sender::Http1(_));
        let idle = Idle {
            sender,
            info: Arc::new(info),
            since: Instant::now(),
            unused,
        };
        self.pool.0.put(&self.key, idle);
    }
}

impl Drop for SpareOpening {
    fn drop(&mut self) {
        self.pool.0.end_spare(&self.key);
    }
}

impl Drop for InUseGuard {
    fn drop(&mut self) {
        if let Some(origin) = self.pool.0.origins.lock().get_mut(&self.key) {
            origin.load.end(Instant::now());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
