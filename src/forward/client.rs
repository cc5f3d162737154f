//! The client's connection: what a transfer needs of it.

use std::{
    net::SocketAddr,
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
}

impl ClientConn {
    /// Why `request` differs from what its client wrote: hyper drops the fragment of a target.
    pub(crate) fn cut<B>(&self, request: &Request<B>) -> Option<String> {
        self.line.as_ref()?.cut(request)
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
