//! What the watchdog needs from a request and a connection: their sockets; and what ends when it says so.

use std::{
    any::Any,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::{Request, Response, body::Incoming};

use crate::forward::{
    request::body::RequestBody,
    upstream::pool::{Lease, Sender},
    upstream::send::{self, Failed},
};
use crate::{io::TcpMonitor, model::stall::Stall, net::InterimSender, track::Transfer};

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
    /// Given back with the last clone.
    pub slot: Slot,
}

impl ClientSocket {
    /// The socket of `request`, told to its transfer.
    pub(crate) fn watch<B>(request: &Request<B>, transfer: &Transfer) {
        if let Some(socket) = request.extensions().get::<Self>() {
            transfer.client(socket.tcp.clone(), socket.shared);
        }
    }
}

/// Why there is no answer.
pub(crate) enum Missed {
    /// The connection failed.
    Failed(Box<Failed>),
    /// The watchdog had it ended.
    Stalled(Stall),
}

/// How long a connection that was shut down may take to let go of its request.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Sends and waits for the answer's head, or until the watchdog ends it. Nobody reads the request's body any more then: whoever
/// sends it again is the only one.
pub(crate) async fn send(
    lease: &mut Lease,
    request: Request<RequestBody>,
    transfer: &Transfer,
) -> Result<Response<Incoming>, Missed> {
    let shared = match lease.sender {
        Sender::Http1(_) => None,
        // The other requests on it fare well, maybe; dropping the future resets the stream alone.
        Sender::Http2(_) => Some(()),
    };
    let about = Arc::clone(&lease.about);
    let mut sending = std::pin::pin!(send::send(lease, request));
    let stall = tokio::select! {
        sent = &mut sending => return sent.map_err(|failed| Missed::Failed(Box::new(failed))),
        stall = transfer.stalled() => stall,
    };
    if shared.is_none() {
        about.tcp.end();
        let _ = tokio::time::timeout(LAST_WORDS, sending).await;
    }
    Err(Missed::Stalled(stall))
}
