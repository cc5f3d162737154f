//! TLS to origins and hops; certificates are always verified.

use std::{collections::HashMap, fmt, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    client::ResolvesClientCert,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio_rustls::TlsConnector;
use x509_parser::{
    oid_registry::OID_CT_LIST_SCT,
    prelude::{FromDer as _, X509Certificate},
};

use super::{trust::Roots, verify::Verifier};
use crate::{
    config::{Hop, HttpVersion, PeerTls},
    io::BoxIo,
    model::{Fault, FaultKind, Host, Leg, Stage, classify, fault::BoxError, untrusted},
};

/// Makes TLS handshakes with origins and hops.
#[derive(Clone)]
pub(crate) struct Connector {
    standard: Connectors,
    /// For peers with their own roots or client certificate. Each has its own session cache, so that no session is resumed with another
    /// identity.
    by_peer: Arc<HashMap<PeerTls, Connectors>>,
    roots: Arc<RootCertStore>,
}

#[derive(Clone)]
struct Connectors {
    http1: TlsConnector,
    http2: TlsConnector,
    /// The certificates of `roots` of the peer, each of which is also trusted as the peer's own.
    own: Arc<[CertificateDer<'static>]>,
}

/// The peer of a handshake, and the parameters.
pub(crate) struct Peer<'a> {
    /// The name that the certificate must contain.
    pub host: &'a Host,
    /// The peer's own roots and client certificate.
    pub tls: &'a PeerTls,
    /// The highest HTTP version to offer.
    pub http: HttpVersion,
    /// The leg of faults.
    pub leg: Leg,
    /// The TCP peer.
    pub address: SocketAddr,
    /// The deadline of the handshake.
    pub deadline: Duration,
}

/// A TLS stream and the result of ALPN.
pub(crate) struct OriginTls {
    /// Plaintext in both directions.
    pub io: BoxIo,
    /// HTTP/1.1 where the peer chose no version.
    pub http: HttpVersion,
    /// True where no middlebox can have created the certificate: `roots` of the route contains it, or it has timestamps of public logs
    /// (RFC 6962, section 3.3), which only certificates of public CAs have.
    pub genuine: bool,
}

impl Connector {
    /// A connector that verifies against `roots`, and for each of `peers` also against its own roots.
    ///
    /// Fails where the provider supports neither TLS 1.2 nor 1.3, and where a file of a peer is unusable.
    pub(crate) fn new(
        roots: &Roots,
        peers: impl IntoIterator<Item = PeerTls>,
    ) -> Result<Self, BoxError> {
        let mut by_peer = HashMap::new();
        for peer in peers {
            if peer != PeerTls::default() && !by_peer.contains_key(&peer) {
                let pair = Connectors::new(roots, &peer)?;
                by_peer.insert(peer, pair);
            }
        }
        Ok(Self {
            standard: Connectors::new(roots, &PeerTls::default())?,
            by_peer: Arc::new(by_peer),
            roots: Arc::clone(&roots.store),
        })
    }

    /// Makes a handshake with `peer`. Faults are on the peer's leg, in stage handshaking.
    pub(crate) async fn connect(&self, io: BoxIo, peer: &Peer<'_>) -> Result<OriginTls, Fault> {
        let fault = |kind| Fault::new(peer.leg, Stage::Handshaking, kind).peer(peer.address);
        let name = server_name(peer)?;
        let pair = self.connectors(peer.tls);
        let connector = match peer.http {
            HttpVersion::Http1 => &pair.http1,
            HttpVersion::Http2 => &pair.http2,
        };
        match tokio::time::timeout(peer.deadline, connector.connect(name, io)).await {
            Err(_) => Err(fault(FaultKind::TimedOut)),
            Ok(Err(error)) => {
                let fault = fault(classify::io(&error));
                Err(match untrusted::handshake_reason(&error) {
                    Some(reason) => fault.detail(reason.to_string()).source(reason.clone()),
                    None => fault.source(error),
                })
            }
            Ok(Ok(stream)) => {
                let session = stream.get_ref().1;
                let http = super::alpn::chosen(session.alpn_protocol());
                let leaf = session.peer_certificates().and_then(<[_]>::first);
                let genuine = leaf.is_some_and(|leaf| pair.lists(leaf) || is_logged(leaf));
                Ok(OriginTls {
                    io: Box::new(stream),
                    http,
                    genuine,
                })
            }
        }
    }

    /// Verifies as handshakes with `peer` do, by the algorithms of `provider`.
    pub(super) fn verifier(
        &self,
        peer: &PeerTls,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Verifier, BoxError> {
        Verifier::new(self.connectors(peer).own.to_vec(), &self.roots, provider)
    }

    /// The client certificate that `peer` may see, if there is one.
    pub(super) fn identity(&self, peer: &PeerTls) -> Arc<dyn ResolvesClientCert> {
        let config = self.connectors(peer).http1.config();
        Arc::clone(&config.client_auth_cert_resolver)
    }

    fn connectors(&self, peer: &PeerTls) -> &Connectors {
        self.by_peer.get(peer).unwrap_or(&self.standard)
    }

    /// Makes a handshake with `hop` within `deadline`, offering only HTTP/1.1. Faults are on the hop's leg.
    pub(crate) async fn secure(
        &self,
        io: BoxIo,
        hop: &Hop,
        address: SocketAddr,
        deadline: Duration,
    ) -> Result<BoxIo, Fault> {
        let peer = Peer {
            host: &hop.target.host,
            tls: &hop.peer,
            http: HttpVersion::Http1,
            leg: Leg::Hop,
            address,
            deadline,
        };
        Ok(self.connect(io, &peer).await?.io)
    }
}

impl Connectors {
    fn new(roots: &Roots, peer: &PeerTls) -> Result<Self, BoxError> {
        let mut own = Vec::new();
        for file in &peer.roots {
            own.extend(certificates(file)?);
        }
        let connector = |http| {
            let mut config = client_config(roots, peer, &own)?;
            config.alpn_protocols = super::alpn::offered(http);
            Ok::<_, BoxError>(TlsConnector::from(Arc::new(config)))
        };
        Ok(Self {
            http1: connector(HttpVersion::Http1)?,
            http2: connector(HttpVersion::Http2)?,
            own: own.into(),
        })
    }

    fn lists(&self, leaf: &CertificateDer<'_>) -> bool {
        self.own.iter().any(|own| own == leaf)
    }
}

/// The name that the certificate of `peer` must contain.
pub(super) fn server_name(peer: &Peer<'_>) -> Result<ServerName<'static>, Fault> {
    match peer.host {
        Host::Name(name) => ServerName::try_from(name.to_string()).map_err(|error| {
            Fault::new(peer.leg, Stage::Handshaking, FaultKind::NameMismatch)
                .peer(peer.address)
                .source(error)
        }),
        Host::Ip(ip) => Ok(ServerName::IpAddress((*ip).into())),
    }
}

/// True for a certificate with timestamps of public logs.
fn is_logged(leaf: &CertificateDer<'_>) -> bool {
    let parsed = X509Certificate::from_der(leaf);
    parsed.is_ok_and(|(_, leaf)| {
        let mut extensions = leaf.extensions().iter();
        extensions.any(|extension| extension.oid == OID_CT_LIST_SCT)
    })
}

fn client_config(
    roots: &Roots,
    peer: &PeerTls,
    own: &[CertificateDer<'static>],
) -> Result<ClientConfig, BoxError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let verifier = Verifier::new(own.to_vec(), &roots.store, &provider)?;
    let builder = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some(client) = &peer.client else {
        return Ok(builder.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_file(&client.key)
        .map_err(|error| format!("{}: {error}", client.key.display()))?;
    let chain = certificates(&client.certificate)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        let (certificate, key) = (client.certificate.display(), client.key.display());
        format!("{certificate} with {key}: {error}").into()
    })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let failed = |error| BoxError::from(format!("{}: {error}", file.display()));
    CertificateDer::pem_file_iter(file)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
