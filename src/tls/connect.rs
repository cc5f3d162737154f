//! TLS to origins and hops, verified always.

use std::{net::SocketAddr, time::Duration};

use super::trust::Roots;
use crate::{
    config::HttpVersion,
    model::{Fault, FaultKind, Host, Leg, Stage},
    net::{
        BoxIo,
        dial::{Boxed, Secure},
    },
};

/// Shakes hands with origins and hops.
#[derive(Clone, Debug)]
pub struct Connector;

/// A TLS stream and what ALPN chose.
pub struct Secured {
    /// Plaintext both ways.
    pub io: BoxIo,
    /// HTTP/1.1 where the peer chose nothing.
    pub http: HttpVersion,
}

impl Connector {
    /// Verifies against `roots`.
    pub fn new(roots: &Roots) -> Self {
        let _ = roots;
        Self
    }
    /// Shakes hands for `host`, offering at most `http`, within `deadline`; faults are on `leg`, stage handshaking.
    pub async fn connect(
        &self,
        io: BoxIo,
        host: &Host,
        http: HttpVersion,
        leg: Leg,
        peer: SocketAddr,
        deadline: Duration,
    ) -> Result<Secured, Fault> {
        let _ = (io, host, http, deadline);
        Err(Fault::new(leg, Stage::Handshaking, FaultKind::Local).peer(peer))
    }
}

impl Secure for Connector {
    fn secure<'a>(
        &'a self,
        io: BoxIo,
        host: &'a Host,
        peer: SocketAddr,
        deadline: Duration,
    ) -> Boxed<'a, Result<BoxIo, Fault>> {
        Box::pin(async move {
            Ok(self
                .connect(io, host, HttpVersion::Http1, Leg::Hop, peer, deadline)
                .await?
                .io)
        })
    }
}
