//! TLS to origins and hops, verified always.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ClientConfig, crypto::aws_lc_rs, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use super::trust::Roots;
use crate::{
    config::HttpVersion,
    io::BoxIo,
    model::{Fault, FaultKind, Host, Leg, Stage, classify, fault::BoxError},
    net::dial::{Boxed, Secure},
};

/// Shakes hands with origins and hops.
#[derive(Clone)]
pub(crate) struct Connector {
    http1: TlsConnector,
    http2: TlsConnector,
}

/// A TLS stream and what ALPN chose.
pub(crate) struct Secured {
    /// Plaintext both ways.
    pub io: BoxIo,
    /// HTTP/1.1 where the peer chose nothing.
    pub http: HttpVersion,
}

impl Connector {
    /// Verifies against `roots`; fails where the provider lacks TLS 1.2 and 1.3.
    pub(crate) fn new(roots: &Roots) -> Result<Self, BoxError> {
        let connector = |http| {
            let provider = Arc::new(aws_lc_rs::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_root_certificates(Arc::clone(&roots.store))
                .with_no_client_auth();
            config.alpn_protocols = super::alpn(http);
            Ok::<_, rustls::Error>(TlsConnector::from(Arc::new(config)))
        };
        Ok(Self {
            http1: connector(HttpVersion::Http1)?,
            http2: connector(HttpVersion::Http2)?,
        })
    }

    /// Shakes hands for `host`, offering at most `http`, within `deadline`; faults are on `leg`, stage handshaking.
    pub(crate) async fn connect(
        &self,
        io: BoxIo,
        host: &Host,
        http: HttpVersion,
        leg: Leg,
        peer: SocketAddr,
        deadline: Duration,
    ) -> Result<Secured, Fault> {
        let fault = |kind| Fault::new(leg, Stage::Handshaking, kind).peer(peer);
        let name = match host {
            Host::Name(name) => ServerName::try_from(name.to_string())
                .map_err(|error| fault(FaultKind::NameMismatch).source(error))?,
            Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
        };
        let connector = match http {
            HttpVersion::Http1 => &self.http1,
            HttpVersion::Http2 => &self.http2,
        };
        match tokio::time::timeout(deadline, connector.connect(name, io)).await {
            Err(_) => Err(fault(FaultKind::TimedOut)),
            Ok(Err(error)) => Err(fault(classify::io(&error)).source(error)),
            Ok(Ok(stream)) => {
                let http = super::chosen(stream.get_ref().1.alpn_protocol());
                Ok(Secured {
                    io: Box::new(stream),
                    http,
                })
            }
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
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

#[cfg(test)]
mod tests;
