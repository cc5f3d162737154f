//! Idle origin connections, kept for the next request to the same origin through the same upstream.
//!
//! Ours on `hyper::client::conn`, because hyper-util's legacy client hides which request reused a connection and
//! whether a failed one was sent: both decide whether trying again is safe.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::client::conn::{http1, http2};
use tokio::time::Instant;

use crate::forward::{client::ConnId, request::body::RequestBody, upstream::flood::Flood};
use crate::{
    config,
    io::TcpMonitor,
    model::{Scheme, Target},
    net::dial::AbsoluteForm,
    rt::{Shutdown, Tasks},
    track::TransferHandle,
};

/// What connections are alike in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The route: it says what HTTP is spoken, and where names lead.
    pub route: Box<str>,
    /// Only an address in no private network will do: a connection that was made without this check is another one.
    pub public_only: bool,
    /// The upstream's label.
    pub upstream: Box<str>,
    /// The scheme toward the origin.
    pub scheme: Scheme,
    /// The origin.
    pub target: Target,
    /// The client connection whose identity the origin took this connection for.
    pub bound_to: Option<ConnId>,
}

/// A connection that requests can be sent on.
pub(crate) enum Sender {
    /// One request at a time.
    Http1(http1::SendRequest<RequestBody>),
    /// Many at once.
    Http2(http2::SendRequest<RequestBody>),
}

/// A connection that is in use; [`Lease::give_back`] makes it idle, dropping it closes it.
pub(crate) struct Lease {
    /// The connection.
    pub sender: Sender,
    /// What is known of it.
    pub about: Arc<About>,
    /// True where an earlier request used it.
    pub reused: bool,
    key: Key,
    pool: Pool,
}

/// What is known of a connection.
#[derive(Debug)]
pub(crate) struct About {
    /// The TCP peer.
    pub peer: SocketAddr,
    /// The socket below.
    pub tcp: TcpMonitor,
    /// True where the peer is a hop.
    pub hop: bool,
    /// Where set, requests are written in absolute form.
    pub absolute_form: Option<AbsoluteForm>,
    /// What it was ended for, where the origin sent too much that is no answer.
    pub flood: Flood,
}

/// The idle connections. Clones share the same ones.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    limits: config::Pool,
    idle: Mutex<HashMap<Key, Vec<Idle>>>,
    /// Set when the daemon drains: what is given back then is closed.
    closed: AtomicBool,
}

struct Idle {
    sender: Sender,
    about: Arc<About>,
    since: Instant,
}

/// How long a connection that was just given back may take to be ready again.
const SETTLE: Duration = Duration::from_millis(100);

impl Pool {
    /// An empty pool.
    pub(crate) fn new(limits: config::Pool) -> Self {
        Self(Arc::new(Inner {
            limits,
            idle: Mutex::default(),
            closed: AtomicBool::new(false),
        }))
    }

    /// Closes what is idle for too long, and everything when the daemon drains or the pool's owner is gone.
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
                    // Under the lock, so that nothing is put in after.
                    let mut idle = inner.lock();
                    inner.closed.store(true, Ordering::Relaxed);
                    idle.clear();
                    return;
                }
                inner.sweep(Instant::now());
            }
        });
    }

    /// A connection for `key` that is ready, the most recently used first.
    pub(crate) async fn take(&self, key: &Key) -> Option<Lease> {
        loop {
            let idle = self.0.pop(key, Instant::now())?;
            let mut lease = Lease {
                sender: idle.sender,
                about: idle.about,
                reused: true,
                key: key.clone(),
                pool: self.clone(),
            };
            if lease.sender.ready().await {
                return Some(lease);
            }
            self.0.forget(key, &lease.about);
        }
    }

    /// A lease on a connection that was just made.
    pub(crate) fn lease(&self, key: Key, sender: Sender, about: About) -> Lease {
        let about = Arc::new(about);
        if let Sender::Http2(shared) = &sender {
            let idle = Idle {
                sender: Sender::Http2(shared.clone()),
                about: Arc::clone(&about),
                since: Instant::now(),
            };
            self.0.put(key.clone(), idle);
        }
        Lease {
            sender,
            about,
            reused: false,
            key,
            pool: self.clone(),
        }
    }

    /// Closes what was not used since `began`: where one connection died in silence because the network changed, all have.
    pub(crate) fn forget_unused_since(&self, began: Instant) {
        self.0.lock().retain(|_, list| {
            list.retain(|idle| idle.since >= began);
            !list.is_empty()
        });
    }

    /// How many connections are idle.
    pub(crate) fn idle(&self) -> usize {
        self.0.lock().values().map(Vec::len).sum()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.idle()).finish()
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, key: Key, idle: Idle) {
        let mut all = self.lock();
        if self.limits.idle_per_origin == 0 || self.closed.load(Ordering::Relaxed) {
            return;
        }
        let list = all.entry(key).or_default();
        if list.len() >= self.limits.idle_per_origin {
            list.remove(0);
        }
        list.push(idle);
    }

    /// What was used last and is not idle for too long. HTTP/2 carries many requests: it stays for the next one too.
    fn pop(&self, key: &Key, now: Instant) -> Option<Idle> {
        let mut all = self.lock();
        let list = all.get_mut(key)?;
        while let Some(idle) = list.pop() {
            let expired = now.saturating_duration_since(idle.since) > self.limits.idle_timeout;
            if expired || idle.sender.is_closed() {
                continue;
            }
            if let Sender::Http2(sender) = &idle.sender {
                list.push(Idle {
                    sender: Sender::Http2(sender.clone()),
                    about: Arc::clone(&idle.about),
                    since: now,
                });
            }
            return Some(idle);
        }
        None
    }

    /// The connection is of no use, although it is not closed yet.
    fn forget(&self, key: &Key, about: &Arc<About>) {
        if let Some(list) = self.lock().get_mut(key) {
            list.retain(|idle| !Arc::ptr_eq(&idle.about, about));
        }
    }

    fn sweep(&self, now: Instant) {
        self.lock().retain(|_, list| {
            list.retain(|idle| {
                !idle.sender.is_closed()
                    && now.duration_since(idle.since) <= self.limits.idle_timeout
            });
            !list.is_empty()
        });
    }
}

impl Sender {
    async fn ready(&mut self) -> bool {
        let ready = async {
            match self {
                Self::Http1(sender) => sender.ready().await.is_ok(),
                Self::Http2(sender) => sender.ready().await.is_ok(),
            }
        };
        tokio::time::timeout(SETTLE, ready).await.unwrap_or(false)
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }
}

impl Lease {
    /// Has the watchdog look at the connection for `transfer`.
    pub(crate) fn watch(&self, transfer: &TransferHandle) {
        let shared = match self.sender {
            Sender::Http1(_) => false,
            Sender::Http2(_) => true,
        };
        transfer.origin(self.about.tcp.clone(), shared, self.about.hop);
    }

    /// From here on the connection is for this client connection alone: NTLM and Negotiate authenticate the connection and not the
    /// request (RFC 4559, section 6), so that whoever used it next would be taken for this client.
    pub(crate) fn bind(&mut self, client: ConnId) {
        self.key.bound_to = Some(client);
    }

    /// Makes the connection idle again.
    pub(crate) fn give_back(self) {
        let Self {
            sender,
            about,
            key,
            pool,
            ..
        } = self;
        // An HTTP/2 connection never left.
        if matches!(sender, Sender::Http1(_)) && !sender.is_closed() {
            pool.0.put(
                key,
                Idle {
                    sender,
                    about,
                    since: Instant::now(),
                },
            );
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("key", &self.key)
            .field("reused", &self.reused)
            .finish_non_exhaustive()
    }
}
