//! Handshakes for inspection: which certificates a peer presents, and which ClientHello it answers.
//!
//! `gitferry doctor` compares several hellos and must see a certificate even where it is not trusted. No byte of a request is sent on such
//! a connection: it is closed after the handshake, and only the observations are returned.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio_rustls::TlsConnector;

use super::{trust::Roots, verify::explained};
use crate::{
    config::HttpVersion,
    io::BoxIo,
    model::{Fault, FaultKind, Host, Leg, Stage, classify, fault::BoxError},
};

/// The ClientHello to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    /// As gitferry sends it.
    Usual,
    /// A minimal one: one key share, few cipher suites, no ALPN.
    Small,
    /// More than one packet, with a post-quantum key share, as OpenSSL 3.5, Go 1.24 and browsers send it.
    Large,
    /// As gitferry sends it, without the host's name.
    Nameless,
}

/// What a peer presented.
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
/// Fails where the handshake does not complete; an untrusted certificate is no failure here.
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
            // Only the first has its key share in the hello; the second is for P-256 certificates in TLS 1.2.
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
    /// `None` where there are no roots.
    inner: Option<Arc<WebPkiServerVerifier>>,
    roots: Arc<RootCertStore>,
    schemes: Vec<SignatureScheme>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<PeerChain>>,
}

/// The chain, and the result of its verification.
type PeerChain = (Vec<CertificateDer<'static>>, Result<(), Error>);

impl Recorder {
    fn new(hello: Hello, roots: &Roots) -> Result<Self, BoxError> {
        let provider = Arc::new(provider(hello));
        let inner = if roots.store.is_empty() {
            None
        } else {
            let builder = WebPkiServerVerifier::builder_with_provider(
                Arc::clone(&roots.store),
                Arc::clone(&provider),
            );
            Some(builder.build()?)
        };
        Ok(Self {
            inner,
            roots: Arc::clone(&roots.store),
            schemes: provider
                .signature_verification_algorithms
                .supported_schemes(),
            provider,
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
        let verified: Result<(), Error> = match &self.inner {
            Some(inner) => inner
                .verify_server_cert(end_entity, intermediates, name, ocsp, now)
                .map(drop),
            None => Err(Error::InvalidCertificate(
                rustls::CertificateError::UnknownIssuer,
            )),
        };
        let verified =
            verified.map_err(|error| explained(error, &self.roots, end_entity, intermediates));
        let chain = [end_entity]
            .into_iter()
            .chain(intermediates)
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((chain, verified));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
