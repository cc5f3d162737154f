//! The client's connection, as far as a transfer needs it.

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

/// The client's place among `max_connections`. hyper lets go of a connection when it is upgraded, so whatever goes on with the bytes
/// holds it too.
pub(crate) type ClientSlot = Arc<listen::Slot>;

/// Tells client connections apart. Never given out twice, unlike addresses and sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnId(u64);

impl ConnId {
    /// A new one.
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A client's connection. The front that accepts it makes one, and passes it on with every request. Clones are the same connection.
#[derive(Clone, Debug)]
pub(crate) struct ClientConn {
    /// Which one it is: an identity that an origin gave to one connection belongs to this client connection.
    pub id: ConnId,
    /// The client's address.
    pub address: SocketAddr,
    /// The socket, whose counts the watchdog reads.
    pub tcp: TcpMonitor,
    /// True where other requests share the connection (HTTP/2).
    pub shared: bool,
    /// Sends interim answers, where the client can get some.
    pub interims: Option<InterimSender>,
    /// The request line as it came, where it was seen.
    pub line: Option<RequestLine>,
    /// Its user, where it came over loopback and the kernel can tell.
    pub owner: Option<SocketOwner>,
    /// Given back with the last clone.
    pub slot: ClientSlot,
}

impl ClientConn {
    /// Why `request` is not the one that its client wrote: hyper takes a target without its fragment.
    pub(crate) fn cut<B>(&self, request: &Request<B>) -> Option<String> {
        self.line.as_ref()?.cut(request)
    }

    /// Has the watchdog look at the connection for `transfer`.
    pub(crate) fn watch(&self, transfer: &TransferHandle) {
        let socket = self.tcp.clone();
        transfer.watch_client(if self.shared {
            WatchedSocket::multiplexed(socket)
        } else {
            WatchedSocket::own(socket)
        });
    }
}
