//! Verification of a peer: a certificate in the peer's own `roots` is trusted directly, every other one through the common roots.
//!
//! The error of a certificate that no root signed names the issuer.

use std::{net::IpAddr, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::certificate;
use crate::model::{FaultKind, classify, fault::BoxError, untrusted::Untrusted};

/// Trusts the `own` certificates, and those that a common root signed.
#[derive(Debug)]
pub(super) struct Verifier {
    own: Vec<CertificateDer<'static>>,
    /// `None` where there are no roots.
    web: Option<Arc<WebPkiServerVerifier>>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(
        own: Vec<CertificateDer<'static>>,
        roots: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, BoxError> {
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider));
        let web = match roots.is_empty() {
            true => None,
            false => Some(builder.build()?),
        };
        Ok(Self {
            own,
            web,
            roots: Arc::clone(roots),
            algorithms: provider.signature_verification_algorithms,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The comparison is byte for byte: an own certificate may be a CA's, but what it signed is not trusted.
        if self.own.iter().any(|own| own == end_entity) {
            return own_certificate(end_entity, server_name, now)
                .map(|()| ServerCertVerified::assertion());
        }
        let verified = match &self.web {
            Some(web) => {
                web.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        verified.map_err(|error| explained(error, &self.roots, end_entity, intermediates))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// `error`, with the reason where the certificate is not trusted.
fn explained(
    error: Error,
    roots: &RootCertStore,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Error {
    if classify::tls(&error) != FaultKind::UnknownIssuer {
        return error;
    }
    let reason = if is_root(roots, end_entity) {
        Some(Untrusted::OwnRoot)
    } else {
        let last = intermediates.last().unwrap_or(end_entity);
        certificate::issuer(last).map(Untrusted::Issuer)
    };
    reason.map_or(error, |reason| {
        CertificateError::Other(OtherError(Arc::new(reason))).into()
    })
}

fn is_root(roots: &RootCertStore, certificate: &CertificateDer<'_>) -> bool {
    let mut alone = RootCertStore::empty();
    let added = alone.add(certificate.clone().into_owned());
    let anchor = alone.roots.first();
    added.is_ok() && anchor.is_some_and(|anchor| roots.roots.contains(anchor))
}

/// Checks the dates, the purpose and the name of a listed certificate. webpki cannot do it: it refuses a CA certificate as a server's, and
/// `openssl req -x509` creates one with CA:TRUE.
fn own_certificate(
    der: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), Error> {
    let (_, parsed) =
        X509Certificate::from_der(der).map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    let usage = parsed.extended_key_usage().ok().flatten();
    if usage.is_some_and(|usage| !usage.value.any && !usage.value.server_auth) {
        return Err(CertificateError::InvalidPurpose.into());
    }
    match parsed.subject_alternative_name() {
        Ok(Some(_)) => verify_server_name(&ParsedCertificate::try_from(der)?, name),
        // RFC 9525 does not use common names, but old tools write no other name.
        Ok(None) if has_common_name(&parsed, name) => Ok(()),
        Ok(None) => Err(CertificateError::NotValidForName.into()),
        Err(_) => Err(CertificateError::BadEncoding.into()),
    }
}

fn has_common_name(certificate: &X509Certificate<'_>, name: &ServerName<'_>) -> bool {
    let mut names = certificate.subject().iter_common_name();
    names.any(|common| {
        let Ok(common) = common.as_str() else {
            return false;
        };
        match name {
            ServerName::DnsName(name) => common.eq_ignore_ascii_case(name.as_ref()),
            ServerName::IpAddress(ip) => common
                .parse::<IpAddr>()
                .is_ok_and(|common| common == IpAddr::from(*ip)),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests;
