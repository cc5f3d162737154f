//! Handshakes for inspection: the certificates that a peer presents, and the ClientHello that it answers.
//!
//! `gitferry doctor` compares several ClientHellos and needs the certificates even where they are not trusted. Such a connection carries
//! no request: it is closed after the handshake.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio_rustls::TlsConnector;

use super::{trust::Roots, verify::Verifier};
use crate::{
    config::HttpVersion,
    io::BoxIo,
    model::{Fault, FaultKind, Host, Leg, Stage, classify, fault::BoxError},
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
    /// Whether they are valid for the host with the given roots.
    pub verified: Result<(), Error>,
    /// `TLSv1_3` or `TLSv1_2`.
    pub version: Option<&'static str>,
}

/// Makes a handshake for `host` with `hello`, then closes the connection.
///
/// Fails where the handshake does not complete. An untrusted certificate does not fail it.
pub(crate) async fn inspect(
    io: BoxIo,
    host: &Host,
    hello: Hello,
    roots: &Roots,
    (peer, deadline): (SocketAddr, Duration),
) -> Result<Inspection, Fault> {
    let fault = |kind| Fault::new(Leg::Origin, Stage::Handshaking, kind).peer(peer);
    let name = match host {
        Host::Name(name) => ServerName::try_from(name.to_string())
            .map_err(|error| fault(FaultKind::NameMismatch).source(error))?,
        Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
    };
    let recorder = Arc::new(
        Recorder::new(hello, roots).map_err(|error| fault(FaultKind::Local).source(error))?,
    );
    let config = config(hello, &recorder).map_err(|error| fault(FaultKind::Local).source(error))?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, io);
    match tokio::time::timeout(deadline, handshake).await {
        Err(_) => Err(fault(FaultKind::TimedOut).detail(format!("no answer within {deadline:?}"))),
        Ok(Err(error)) => Err(fault(classify::io(&error)).source(error)),
        Ok(Ok(stream)) => {
            let version = stream.get_ref().1.protocol_version();
            let mut seen = recorder.inspection();
            seen.version = version.and_then(|version| version.as_str());
            Ok(seen)
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

fn config(hello: Hello, recorder: &Arc<Recorder>) -> Result<ClientConfig, Error> {
    let verifier: Arc<dyn ServerCertVerifier> = Arc::clone(recorder) as _;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider(hello)))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.enable_sni = hello != Hello::Nameless;
    if hello != Hello::Small {
        config.alpn_protocols = super::alpn::offered(HttpVersion::Http1);
    }
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
    fn new(hello: Hello, roots: &Roots) -> Result<Self, BoxError> {
        Ok(Self {
            verifier: Verifier::new(Vec::new(), &roots.store, &Arc::new(provider(hello)))?,
            seen: Mutex::default(),
        })
    }

    fn inspection(&self) -> Inspection {
        let seen = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
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
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
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
