//! Why a peer's certificate is not trusted, in more detail than rustls gives.

use std::{error::Error, fmt, io};

/// Why a certificate is not trusted: rustls reports only that the issuer is unknown.
#[derive(Clone, Debug)]
pub(crate) enum Untrusted {
    /// No root signed it; its issuer's name.
    Issuer(String),
    /// It is a root itself: a self-signed CA certificate in `extra_roots`, which the server presents as its own.
    OwnRoot,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer(issuer) => {
                write!(f, "the certificate is signed by \"{issuer}\", which is not trusted")
            }
            Self::OwnRoot => f.write_str(
                "the server's own certificate is in `extra_roots` (or the system's roots), which hold CAs: a CA certificate is not accepted as a server's",
            ),
        }
    }
}

impl Error for Untrusted {}

/// The reason in a handshake error.
pub(crate) fn handshake_reason(error: &io::Error) -> Option<&Untrusted> {
    reason(error.get_ref()?.downcast_ref()?)
}

/// The same in an error of rustls.
pub(crate) fn reason(error: &rustls::Error) -> Option<&Untrusted> {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
            other.0.downcast_ref()
        }
        _ => None,
    }
}
