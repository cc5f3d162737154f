//! The client's connection: what a transfer needs of it.

use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::Request;

use crate::{
    io::TcpMonitor,
    model::access::SocketOwner,
    net::{InterimSender, RequestLine, listen},
    sync::Mutex,
    track::{TransferHandle, WatchedSocket},
};

/// The client's slot among `max_connections`. hyper drops a connection when it is upgraded, so the upgraded stream holds the slot too.
pub(crate) type ClientSlot = Arc<listen::Slot>;

/// Identifies a client connection. Unlike addresses and sockets, an id is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(u64);

impl ConnId {
    /// A new one.
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The work that follows an upgrade, such as a tunnel. It continues in the connection's own task: a second task would cost a wake-up and
/// keep the first one's memory. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct AfterUpgrade(Arc<Mutex<Option<UpgradedWork>>>);

/// What runs on an upgraded connection.
pub(crate) type UpgradedWork = Pin<Box<dyn Future<Output = ()> + Send>>;

impl AfterUpgrade {
    /// Sets what runs once hyper has released the connection, which also happens where the upgrade fails. `work` must not hold this value.
    pub(crate) fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        *self.0.lock() = Some(Box::pin(work));
    }

    /// What follows the connection; `None` where it was not upgraded.
    pub(crate) fn take(&self) -> Option<UpgradedWork> {
        self.0.lock().take()
    }
}

impl fmt::Debug for AfterUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterUpgrade").finish_non_exhaustive()
    }
}

/// A client's connection. The accepting front creates it and passes it with every request. Clones refer to the same connection.
#[derive(Clone, Debug)]
pub(crate) struct ClientConn {
    /// Its id: an identity that an origin granted to one connection belongs to this client connection.
    pub id: ConnId,
    /// The client's address.
    pub address: SocketAddr,
    /// The socket, whose counts the watchdog reads.
    pub tcp: TcpMonitor,
    /// True where other requests share the connection (HTTP/2).
    pub shared: bool,
    /// Sends interim responses, where the client accepts them.
    pub interims: Option<InterimSender>,
    /// The request line as received, where it was captured.
    pub line: Option<RequestLine>,
    /// The owner of its socket, where it came over loopback and the kernel reports one.
    pub owner: Option<SocketOwner>,
    /// Released with the last clone.
    pub slot: ClientSlot,
    /// What the connection's task runs after an upgrade. HTTP/2 has no upgrades.
    pub after_upgrade: AfterUpgrade,
}

impl ClientConn {
    /// Why `request` differs from what its client wrote: hyper drops the fragment of a target.
    pub(crate) fn fragment_objection<B>(&self, request: &Request<B>) -> Option<String> {
        self.line.as_ref()?.fragment_objection(request)
    }

    /// The server has passed a request on: its response comes from a service.
    pub(crate) fn mark_received(&self) {
        if let Some(line) = &self.line {
            line.mark_received();
        }
    }

    /// Lets the watchdog of `transfer` read the connection.
    pub(crate) fn watch(&self, transfer: &TransferHandle) {
        let socket = self.tcp.clone();
        transfer.watch_client(if self.shared {
            WatchedSocket::multiplexed(socket)
        } else {
            WatchedSocket::own(socket)
        });
    }
}
