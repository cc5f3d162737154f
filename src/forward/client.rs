//! The client's connection, as far as a transfer needs it.

use std::sync::Arc;

use hyper::Request;

use crate::{
    io::TcpMonitor,
    model::access::SocketOwner,
    net::{InterimSender, RequestLine, listen::Place},
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
    /// The request line as it came, where it was seen.
    pub line: Option<RequestLine>,
    /// Its user, where it came over loopback and the kernel can tell.
    pub owner: Option<SocketOwner>,
    /// Given back with the last clone.
    pub slot: Slot,
}

impl ClientSocket {
    /// Why `request` is not the one that its client wrote: hyper takes a target without its fragment.
    pub(crate) fn cut<B>(request: &Request<B>) -> Option<String> {
        let socket = request.extensions().get::<Self>()?;
        socket.line.as_ref()?.cut(request)
    }

    /// The socket of `request`, told to its transfer.
    pub(crate) fn watch<B>(request: &Request<B>, transfer: &TransferHandle) {
        if let Some(socket) = request.extensions().get::<Self>() {
            transfer.client(socket.tcp.clone(), socket.shared);
        }
    }
}
