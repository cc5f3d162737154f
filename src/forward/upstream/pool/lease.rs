//! A connection in use.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use hyper::body::{Body as _, Bytes, Frame, Incoming};
use tokio::time::Instant;

use super::{ConnectionInfo, InUseGuard, Key, Sender, store::Idle};
use crate::forward::client::ConnId;
use crate::{
    rt::{Shutdown, Tasks},
    track::{TransferHandle, WatchedSocket},
};

/// A connection in use. [`Lease::return_to_pool`] returns it to the pool; dropping it closes it.
pub(crate) struct Lease {
    /// The connection.
    pub sender: Sender,
    /// Its properties.
    pub info: Arc<ConnectionInfo>,
    /// True where an earlier request used it, or where it was idle so long that it may be dead.
    pub reused: bool,
    pub(super) key: Arc<Key>,
    pub(super) in_use: InUseGuard,
}

impl Lease {
    /// Lets the watchdog of `transfer` read the connection.
    pub(crate) fn watch(&self, transfer: &TransferHandle) {
        let socket = self.info.tcp.clone();
        transfer.set_through_hop(self.info.hop);
        transfer.watch_origin(match self.sender {
            Sender::Http1(_) => WatchedSocket::own(socket),
            Sender::Http2(_) => WatchedSocket::multiplexed(socket),
        });
    }

    /// Reserves the connection for this client connection: NTLM and Negotiate authenticate the connection, not the request (RFC 4559,
    /// section 6), so the origin would take any other client that used it for this one.
    pub(crate) fn bind(&mut self, client: ConnId) {
        self.in_use.pool.0.any_bound.store(true, Ordering::Relaxed);
        self.key = Arc::new(Key {
            bound_to: Some(client),
            ..Key::clone(&self.key)
        });
    }

    /// True where the connection has a client's identity.
    pub(crate) fn is_bound(&self) -> bool {
        self.key.bound_to.is_some()
    }

    /// The next part of the body of the response on it.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Incoming,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match &mut self.sender {
            Sender::Http1(http1) => http1.poll_body(cx, body),
            Sender::Http2(_) => Pin::new(body).poll_frame(cx),
        }
    }

    /// From here on a task drives the connection: the work is long or bidirectional.
    pub(crate) fn spawn_driver(&mut self, tasks: &Tasks, shutdown: &Shutdown) {
        match &mut self.sender {
            Sender::Http1(http1) => http1.spawn_driver(tasks, shutdown),
            // It already has a task.
            Sender::Http2(_) => {}
        }
    }

    /// True once it can carry the next request; false where that does not happen soon.
    pub(crate) async fn ready(&mut self) -> bool {
        self.sender.ready().await
    }

    /// Returns the connection to the pool.
    pub(crate) fn return_to_pool(self) {
        let Self {
            sender,
            info,
            key,
            in_use,
            ..
        } = self;
        // An HTTP/2 connection stayed in the pool.
        if matches!(sender, Sender::Http1(_)) && !sender.is_closed() {
            let since = Instant::now();
            let idle = Idle {
                sender,
                info,
                since,
                unused: false,
            };
            in_use.pool.0.put(&key, idle);
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
