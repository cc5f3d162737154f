//! Handshakes for inspection: the certificates that a peer presents, and the ClientHello that it answers.
//!
//! `gitferry doctor` compares several ClientHellos and needs the certificates even where they are not trusted. Such a connection carries
//! no request: it is closed after the handshake.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio_rustls::TlsConnector;

use super::{
    connect::{Connector, Peer, server_name},
    verify::Verifier,
};
use crate::{
    io::BoxIo,
    model::{Fault, FaultKind, Stage, classify, fault::BoxError},
    sync::Mutex,
};

/// The ClientHello to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    /// The one that gitferry sends.
    Usual,
    /// A minimal one: one key share, three cipher suites, no ALPN.
    Small,
    /// One of more than one packet, with a post-quantum key share, like that of OpenSSL 3.5, Go 1.24 and browsers.
    Large,
    /// The one that gitferry sends, without SNI.
    Nameless,
}

/// The certificates and the TLS version of a peer.
#[derive(Debug)]
pub(crate) struct Inspection {
    /// Its certificates, its own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Whether [`Connector::connect`] would accept them.
    pub verified: Result<(), Error>,
    /// `TLSv1_3` or `TLSv1_2`.
    pub version: Option<&'static str>,
}

impl Connector {
    /// Makes a handshake with `peer` by `hello`, with the peer's own roots and client certificate, then closes the connection.
    ///
    /// Fails where the handshake does not complete. An untrusted certificate does not fail it.
    pub(crate) async fn inspect(
        &self,
        io: BoxIo,
        peer: &Peer<'_>,
        hello: Hello,
    ) -> Result<Inspection, Fault> {
        let fault = |kind| Fault::new(peer.leg, Stage::Handshaking, kind).peer(peer.address);
        let name = server_name(peer)?;
        let local = |error: BoxError| fault(FaultKind::Local).source(error);
        let recorder = Arc::new(Recorder {
            verifier: self
                .verifier(peer.tls, &Arc::new(provider(hello)))
                .map_err(local)?,
            seen: Mutex::default(),
        });
        let mut config = config(hello, &recorder, self.identity(peer.tls))
            .map_err(|error| local(error.into()))?;
        if hello != Hello::Small {
            config.alpn_protocols = super::alpn::offered(peer.http);
        }
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, io);
        match tokio::time::timeout(peer.deadline, handshake).await {
            Err(_) => {
                Err(fault(FaultKind::TimedOut)
                    .detail(format!("no answer within {:?}", peer.deadline)))
            }
            Ok(Err(error)) => Err(fault(classify::io(&error)).source(error)),
            Ok(Ok(stream)) => {
                let version = stream.get_ref().1.protocol_version();
                let mut seen = recorder.inspection();
                seen.version = version.and_then(|version| version.as_str());
                Ok(seen)
            }
        }
    }
}

fn provider(hello: Hello) -> CryptoProvider {
    use aws_lc_rs::{cipher_suite as suite, kx_group as group};
    let mut provider = aws_lc_rs::default_provider();
    match hello {
        Hello::Usual | Hello::Nameless => {}
        Hello::Small => {
            // The hello has a key share only for the first group; the second is for P-256 certificates in TLS 1.2.
            provider.kx_groups = vec![group::X25519, group::SECP256R1];
            provider.cipher_suites = vec![
                suite::TLS13_AES_128_GCM_SHA256,
                suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            ];
        }
        Hello::Large => {
            provider.kx_groups = vec![
                group::X25519MLKEM768,
                group::X25519,
                group::SECP256R1,
                group::SECP384R1,
            ];
        }
    }
    provider
}

fn config(
    hello: Hello,
    recorder: &Arc<Recorder>,
    identity: Arc<dyn ResolvesClientCert>,
) -> Result<ClientConfig, Error> {
    let verifier: Arc<dyn ServerCertVerifier> = Arc::clone(recorder) as _;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider(hello)))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(identity);
    config.enable_sni = hello != Hello::Nameless;
    Ok(config)
}

/// Accepts any certificate and records the result of its verification.
#[derive(Debug)]
struct Recorder {
    verifier: Verifier,
    seen: Mutex<Option<PeerChain>>,
}

/// The chain, and the result of its verification.
type PeerChain = (Vec<CertificateDer<'static>>, Result<(), Error>);

impl Recorder {
    fn inspection(&self) -> Inspection {
        let seen = self.seen.lock().take();
        let (chain, verified) =
            seen.unwrap_or_else(|| (Vec::new(), Err(Error::NoCertificatesPresented)));
        Inspection {
            chain,
            verified,
            version: None,
        }
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .verifier
            .verify_server_cert(end_entity, intermediates, name, ocsp, now);
        let chain = [end_entity]
            .into_iter()
            .chain(intermediates)
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        let seen = Some((chain, verified.map(drop)));
        *self.seen.lock() = seen;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
