//! From a target to a connected stream: directly, or through a hop.
//!
//! One attempt through one upstream. `model::attempts` decides what follows a fault, and `forward` carries it out. Every kind of hop has a
//! file with a pure codec (bytes to send, bytes to read) and a shell around it; `greeting` holds what they share.

mod attempt;
pub(crate) mod congestion;
pub(crate) mod direct;
mod greeting;
pub(crate) mod http_hop;
mod protocol;
pub(crate) mod request_loop;
pub(crate) mod socks_hop;
pub(crate) mod trail;

use std::sync::Arc;

use request_loop::PendingRequest;

use crate::{
    config::{Hop, HopProtocol, Via},
    model::{Fault, Scheme, Target},
};

pub(crate) use attempt::{AbsoluteForm, BoxFuture, DialRequest, DialledConnection};

/// The hop that `via` uses for a target, if any.
pub(crate) fn hop<'v>(via: &'v Via, scheme: Scheme, target: &Target) -> Option<&'v Arc<Hop>> {
    match via {
        Via::Direct => None,
        Via::Hop(hop) => Some(hop),
        Via::Environment(environment) => environment.hop_for(scheme, target),
    }
}

/// Dials `attempt` through `via`; every fault has its leg, stage and peer.
pub(crate) async fn dial(via: &Via, attempt: &DialRequest<'_>) -> Result<DialledConnection, Fault> {
    match hop(via, attempt.scheme, attempt.target) {
        None => direct::dial(attempt).await,
        // Boxed: the memory of every request includes the largest branch.
        Some(hop) => Box::pin(dial_through(hop, attempt)).await,
    }
}

async fn dial_through(hop: &Hop, attempt: &DialRequest<'_>) -> Result<DialledConnection, Fault> {
    let (name, target) = (hop.target.to_string(), attempt.target.to_string());
    let waiting = PendingRequest::begin(&name, &target).await?;
    let connection = match hop.kind.row().protocol {
        HopProtocol::Http => http_hop::dial(hop, attempt).await,
        HopProtocol::Socks5 => socks_hop::dial(hop, attempt).await,
    };
    Ok(DialledConnection {
        waiting: Some(waiting),
        ..connection?
    })
}

#[cfg(test)]
mod tests;
