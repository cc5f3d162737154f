//! What the watchdog needs from a request and a connection: their sockets; and what ends when it says so.

use std::sync::Arc;

use hyper::Request;

use crate::{net::Glance, track::Transfer};

/// The client's socket, as a front lays it beside each request.
#[derive(Clone, Debug)]
pub struct ClientSocket {
    /// Whose counts the watchdog reads.
    pub tcp: Glance,
    /// True where other requests share the connection (HTTP/2).
    pub shared: bool,
}

impl ClientSocket {
    /// The socket of `request`, told to its transfer.
    pub fn watch<B>(request: &Request<B>, transfer: &Transfer) {
        if let Some(socket) = request.extensions().get::<Self>() {
            transfer.client(Arc::new(socket.tcp.clone()), socket.shared);
        }
    }
}
