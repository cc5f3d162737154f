//! What one attempt to reach an origin needs to know, and the connection that it comes to.

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

/// What one attempt needs to know.
pub(crate) struct DialRequest<'a> {
    /// The origin to reach (the mirror, where the upstream is one).
    pub target: &'a Target,
    /// Whether bytes of a tunnel or of TLS (`Https`), or plain HTTP follow; the environment and an http hop treat the two differently.
    pub scheme: Scheme,
    /// Deadlines and address overrides.
    pub route: &'a Route,
    /// The largest TCP segment sent and asked for; `None` for what the path is said to carry.
    pub max_segment: Option<u32>,
    /// Hears each stage as it begins.
    pub progress: &'a (dyn Fn(Stage) + Send + Sync),
    /// Secures the way to an https hop.
    pub connector: &'a Connector,
    /// Where set, the target's name must not lead into a private network, as far as it is looked up here; these networks of fake
    /// addresses are none.
    pub public_only: Option<&'a [FakeNetwork]>,
    /// Where the client's own CONNECT has been: a hop hears it too, or a loop through two daemons would never meet its own name.
    pub trail: &'a Trail,
}

impl<'a> DialRequest<'a> {
    /// The address overrides of the route for `host`, in their order; empty where there is none.
    pub(crate) fn overrides(&self, host: &Host) -> &'a [Override] {
        self.route.resolve.get(host).map_or(&[], Vec::as_slice)
    }
}

/// A stream to the origin, or to the hop that passes plain requests on.
pub(crate) struct Connection {
    /// Bytes both ways; what the hop sent after its answer is still in it.
    pub io: BoxIo,
    /// The socket below, to be looked at.
    pub tcp: Tcp,
    /// The TCP peer: the origin or the hop.
    pub peer: SocketAddr,
    /// Where set, requests are to be written in absolute form (RFC 9112, section 3.2.2).
    pub absolute_form: Option<AbsoluteForm>,
    /// Through a hop, until the target is heard of.
    pub waiting: Option<PendingRequest>,
}

/// How requests to an HTTP hop are written when it is not asked for a tunnel.
#[derive(Clone, Debug)]
pub(crate) struct AbsoluteForm {
    /// `Proxy-Authorization`, marked sensitive.
    pub authorization: Option<HeaderValue>,
    /// False for a hop that denies requests with `Via`.
    pub via: bool,
}
