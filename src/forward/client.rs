//! The client's connection, as far as a transfer needs it.

use std::sync::Arc;

use hyper::Request;

use crate::{
    io::TcpMonitor,
    model::access::SocketOwner,
    net::{InterimSender, listen::Place},
    track::TransferHandle,
};

/// The client's place among `max_connections`. hyper lets go of a connection when it is upgraded, so whatever goes on with the bytes
/// holds it too.
pub(crate) type Slot = Arc<Place>;

/// The client's socket, as a front lays it beside each request.
#[derive(Clone, Debug)]
pub(crate) struct ClientSocket {
    /// Whose counts the watchdog reads.
    pub tcp: TcpMonitor,
    /// True where other requests share the connection (HTTP/2).
    pub shared: bool,
    /// What tells it to wait, where it can be told.
    pub voice: Option<InterimSender>,
    /// Its user, where it came over loopback and the kernel can tell.
    pub owner: Option<SocketOwner>,
    /// Given back with the last clone.
    pub slot: Slot,
}

impl ClientSocket {
    /// The socket of `request`, told to its transfer.
    pub(crate) fn watch<B>(request: &Request<B>, transfer: &TransferHandle) {
        if let Some(socket) = request.extensions().get::<Self>() {
            transfer.client(socket.tcp.clone(), socket.shared);
        }
    }
}
