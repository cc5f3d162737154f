//! From a target to a connected stream: directly, or through a hop.
//!
//! One attempt, one upstream: what comes after a fault is `model::attempts`'s decision and `forward`'s act. Every kind of hop has a
//! file with a pure codec (bytes to send, bytes to read) and a shell around it; what they share is `greeting`.

pub(crate) mod congestion;
pub(crate) mod direct;
mod greeting;
pub(crate) mod http_hop;
mod protocol;
pub(crate) mod socks_hop;
pub(crate) mod unanswered;

use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use hyper::header::HeaderValue;

use crate::io::{BoxIo, Tcp};
use crate::{
    config::{Hop, HopKind, Route, Via},
    model::{Fault, FaultKind, Scheme, Stage, Target, address::FakeNetwork},
    tls::Connector,
};

/// A future behind a pointer.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What one attempt needs to know.
pub(crate) struct Attempt<'a> {
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
    /// `Via` of the client's own CONNECT: a hop gets it too, or a loop through two daemons would never meet its own name.
    pub received_via: Option<&'a HeaderValue>,
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
}

/// How requests to an HTTP hop are written when it is not asked for a tunnel.
#[derive(Clone, Debug)]
pub(crate) struct AbsoluteForm {
    /// `Proxy-Authorization`, marked sensitive.
    pub authorization: Option<HeaderValue>,
    /// False for a hop that denies requests with `Via`.
    pub via: bool,
}

/// How many addresses of one target a hop is asked for; each costs a connection to the hop.
const MAX_ADDRESSES: usize = 3;

/// True where the hop could not reach this address, and may reach another: SOCKS replies 3 to 6 and 8 (RFC 1928, section 6), and
/// what HTTP hops answer then (squid 503, tinyproxy 500, HAProxy 503, mitmproxy 502, nginx 504).
fn is_about_the_address(kind: &FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::SocksRefused(3..=6 | 8) | FaultKind::HopRefused(500 | 502..=504)
    )
}

/// The hop that `via` comes to for a target, if any.
pub(crate) fn hop<'v>(via: &'v Via, scheme: Scheme, target: &Target) -> Option<&'v Arc<Hop>> {
    match via {
        Via::Direct => None,
        Via::Hop(hop) => Some(hop),
        Via::Environment(environment) => environment.hop_for(scheme, target),
    }
}

/// Dials `attempt` through `via`; every fault has its leg, stage and peer.
pub(crate) async fn dial(via: &Via, attempt: &Attempt<'_>) -> Result<Connection, Fault> {
    match hop(via, attempt.scheme, attempt.target) {
        None => direct::dial(attempt).await,
        Some(hop) => match hop.kind {
            HopKind::Http | HopKind::Https => http_hop::dial(hop, attempt).await,
            HopKind::Socks5 | HopKind::Socks5h => socks_hop::dial(hop, attempt).await,
        },
    }
}

#[cfg(test)]
mod tests;
