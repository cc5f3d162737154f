//! The parameters of one attempt to reach an origin, and the resulting connection.

use std::{future::Future, net::SocketAddr, pin::Pin};

use hyper::header::HeaderValue;

use super::{request_loop::PendingRequest, trail::Trail};
use crate::{
    config::{Override, Route},
    io::{BoxIo, Tcp},
    model::{Host, Scheme, Stage, Target, address::FakeNetwork},
    tls::Connector,
};

/// A future behind a pointer.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The parameters of one attempt.
pub(crate) struct DialRequest<'a> {
    /// The origin to reach (the mirror, where the upstream is one).
    pub target: &'a Target,
    /// Whether a tunnel or TLS (`Https`), or plain HTTP follows; the environment and an http hop handle the two differently.
    pub scheme: Scheme,
    /// Deadlines and address overrides.
    pub route: &'a Route,
    /// The largest TCP segment to send and to announce; `None` for the kernel's choice.
    pub max_segment: Option<u32>,
    /// Called as each stage begins.
    pub progress: &'a (dyn Fn(Stage) + Send + Sync),
    /// Makes the TLS handshake with an https hop.
    pub connector: &'a Connector,
    /// Where set, a name that gitferry resolves must not have a private address; these networks of fake addresses do not count as private.
    pub public_only: Option<&'a [FakeNetwork]>,
    /// The trail of the client's own CONNECT, which the hop gets too. Without it, a loop through two daemons would never contain this
    /// daemon's name.
    pub trail: &'a Trail,
}

impl<'a> DialRequest<'a> {
    /// The address overrides of the route for `host`, in order.
    pub(crate) fn overrides(&self, host: &Host) -> &'a [Override] {
        self.route.resolve.get(host).map_or(&[], Vec::as_slice)
    }
}

/// A stream to the origin, or to the hop that forwards plain requests.
pub(crate) struct DialledConnection {
    /// Bytes in both directions; what the hop sent after its response is read first.
    pub io: BoxIo,
    /// The socket, for monitoring.
    pub tcp: Tcp,
    /// The TCP peer: the origin or the hop.
    pub peer: SocketAddr,
    /// Where set, requests must be written in absolute form (RFC 9112, section 3.2.2).
    pub absolute_form: Option<AbsoluteForm>,
    /// Counts the request in the loop detection until the target has answered; only through a hop.
    pub waiting: Option<PendingRequest>,
}

impl DialledConnection {
    /// A connection that carries requests in origin form, or a tunnel.
    pub(super) fn new(io: BoxIo, tcp: Tcp, peer: SocketAddr) -> Self {
        Self {
            io,
            tcp,
            peer,
            absolute_form: None,
            waiting: None,
        }
    }
}

/// How requests to an HTTP hop are written without a tunnel.
#[derive(Clone, Debug)]
pub(crate) struct AbsoluteForm {
    /// `Proxy-Authorization`, marked sensitive.
    pub authorization: Option<HeaderValue>,
    /// False for a hop that denies requests with `Via`.
    pub via: bool,
}
