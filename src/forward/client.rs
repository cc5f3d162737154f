//! The client's connection, as far as a transfer needs it.

use std::{
    any::Any,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use hyper::Request;

use crate::{
    io::TcpMonitor, model::access::SocketOwner, net::InterimSender, track::TransferHandle,
};

/// The client's place among `max_connections`. hyper lets go of a connection when it is upgraded, so whatever goes on with the bytes
/// holds it too.
#[derive(Clone)]
pub(crate) struct Slot(Arc<Mutex<Option<Box<dyn Any + Send>>>>);

impl Slot {
    /// Holds `permit` until the last clone is dropped, or [`Slot::release`].
    pub(crate) fn new(permit: impl Any + Send) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(permit)))))
    }

    /// Gives the place back while the connection lives on: an event stream is counted elsewhere.
    pub(crate) fn release(&self) {
        let permit = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(permit);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

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
