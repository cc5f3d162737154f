//! Converts foreign errors into [`FaultKind`]s: the only place that matches on another crate's enums.

use std::{error::Error, io};

use nix::libc;

use super::{FaultKind, untrusted::Untrusted};

/// The kind of an I/O error, at any depth in the chain of sources, including inside hyper's and rustls' errors.
///
/// Where nothing in the chain is more specific, the stream ended too early.
pub(crate) fn io(error: &(dyn Error + 'static)) -> FaultKind {
    in_chain(error).unwrap_or(FaultKind::ClosedEarly)
}

/// The kind of an error on a client's connection after its first request. A disconnect, by Ctrl-C for example, is [`FaultKind::Gone`].
pub(crate) fn client(error: &(dyn Error + 'static)) -> FaultKind {
    match io(error) {
        FaultKind::Reset | FaultKind::ClosedEarly => FaultKind::Gone,
        kind => kind,
    }
}

/// The kind of a TLS error.
pub(crate) fn tls(error: &rustls::Error) -> FaultKind {
    use rustls::{CertificateError as Certificate, Error as Tls};
    match error {
        Tls::InvalidCertificate(certificate) => match certificate {
            Certificate::Expired | Certificate::ExpiredContext { .. } => FaultKind::Expired,
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                FaultKind::NotYetValid
            }
            Certificate::UnknownIssuer => FaultKind::UnknownIssuer,
            Certificate::Other(other) if other.0.is::<Untrusted>() => FaultKind::UnknownIssuer,
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                FaultKind::NameMismatch
            }
            // webpki reports this for a self-signed CA certificate; the actual problem is that it is not trusted.
            Certificate::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                FaultKind::UnknownIssuer
            }
            _ => FaultKind::BadCertificate,
        },
        Tls::AlertReceived(alert) => FaultKind::Alert(alert_name(*alert).into()),
        Tls::PeerIncompatible(_) | Tls::NoApplicationProtocol => FaultKind::NoCommonTls,
        Tls::NoCertificatesPresented => FaultKind::BadCertificate,
        // A name that no certificate can contain.
        Tls::UnsupportedNameType => FaultKind::NameMismatch,
        Tls::EncryptError
        | Tls::FailedToGetCurrentTime
        | Tls::FailedToGetRandomBytes
        | Tls::General(_)
        | Tls::HandshakeNotComplete
        | Tls::InconsistentKeys(_) => FaultKind::Local,
        _ => FaultKind::BadAnswer,
    }
}

/// The names of RFC 8446, section 6, from those of rustls; a number where there is no name.
fn alert_name(alert: rustls::AlertDescription) -> String {
    use rustls::AlertDescription as Alert;
    match alert {
        Alert::UnrecognisedName => "unrecognized-name".to_owned(),
        Alert::UnknownPSKIdentity => "unknown-psk-identity".to_owned(),
        Alert::EncryptedClientHelloRequired => "ech-required".to_owned(),
        Alert::Unknown(number) => number.to_string(),
        other => kebab(&format!("{other:?}")),
    }
}

/// `UnknownCA` as `unknown-ca`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    let mut before_upper = true;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !before_upper {
            kebab.push('-');
        }
        before_upper = letter.is_ascii_uppercase();
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

/// The kind of the outermost error in the chain of sources that has one.
fn in_chain(error: &(dyn Error + 'static)) -> Option<FaultKind> {
    let mut next = Some(error);
    while let Some(level) = next {
        if let Some(io) = level.downcast_ref::<io::Error>() {
            // `source()` of an I/O error skips the error that it was made from.
            let inner = io.get_ref().and_then(|inner| in_chain(inner));
            return inner.or_else(|| io_kind(io));
        }
        if let Some(error) = level.downcast_ref::<rustls::Error>() {
            return Some(tls(error));
        }
        if let Some(kind) = level.downcast_ref::<h2::Error>().and_then(http2) {
            return Some(kind);
        }
        if let Some(kind) = level.downcast_ref::<hyper::Error>().and_then(hyper_kind) {
            return Some(kind);
        }
        next = level.source();
    }
    None
}

/// The error code that the peer sent for a stream or connection, or the violation that h2 found in its frames.
fn http2(error: &h2::Error) -> Option<FaultKind> {
    if let Some(io) = error.get_io() {
        return in_chain(io);
    }
    let reason = error.reason()?;
    if error.is_library() {
        return Some(FaultKind::BadAnswer);
    }
    error.is_remote().then(|| {
        let known = u32::from(reason) <= u32::from(h2::Reason::HTTP_1_1_REQUIRED);
        let name = match known {
            true => format!("{reason:?}").to_ascii_lowercase().replace('_', "-"),
            false => u32::from(reason).to_string(),
        };
        FaultKind::Http2(name.into())
    })
}

/// True where the peer states that it did not process the request: it refused the stream, or its GOAWAY names an earlier stream as the
/// last (RFC 9113, section 8.7).
pub(crate) fn is_unprocessed(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(level) = next {
        if let Some(error) = level.downcast_ref::<h2::Error>() {
            let refused = matches!(
                error.reason(),
                Some(h2::Reason::REFUSED_STREAM | h2::Reason::HTTP_1_1_REQUIRED)
            );
            return error.is_remote() && (refused || error.is_go_away());
        }
        next = level.source();
    }
    false
}

fn io_kind(error: &io::Error) -> Option<FaultKind> {
    use io::ErrorKind as Kind;
    Some(match error.kind() {
        // NotConnected: the reset arrived before the socket was asked for its peer.
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::NotConnected => {
            FaultKind::Reset
        }
        Kind::ConnectionRefused => FaultKind::Refused,
        Kind::UnexpectedEof => FaultKind::ClosedEarly,
        Kind::TimedOut => FaultKind::TimedOut,
        Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::AddrNotAvailable
        | Kind::NetworkDown => FaultKind::Unreachable,
        Kind::InvalidData => FaultKind::BadAnswer,
        _ => {
            error.raw_os_error()?;
            FaultKind::Local
        }
    })
}

/// The kind of an error of `connect()`. The address is unreachable unless this machine lacks a resource: EPERM and EACCES come from a
/// firewall, EHOSTDOWN from a neighbour that does not answer, EINVAL from an address without a scope.
pub(crate) fn connect(error: &io::Error) -> FaultKind {
    const SHORTAGES: [i32; 5] = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOMEM,
        libc::ENOBUFS,
        libc::EAGAIN,
    ];
    let shortage = error
        .raw_os_error()
        .is_some_and(|code| SHORTAGES.contains(&code));
    match io(error) {
        FaultKind::Local if !shortage => FaultKind::Unreachable,
        kind => kind,
    }
}

/// True where hyper could not decode a body. It reports this as an I/O error, such as "Invalid chunk size line".
pub(crate) fn is_malformed(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(level) = next {
        if let Some(error) = level.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            );
        }
        next = level.source();
    }
    false
}

/// The kind of a hyper error itself; `None` where the level below is more specific.
fn hyper_kind(error: &hyper::Error) -> Option<FaultKind> {
    if error.is_parse_too_large() {
        Some(FaultKind::TooLarge)
    } else if error.is_parse() {
        Some(FaultKind::BadAnswer)
    } else if error.is_timeout() {
        Some(FaultKind::TimedOut)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use rustls::{
        AlertDescription as Alert, CertificateError as Certificate, Error as Tls, InvalidMessage,
        PeerIncompatible,
    };

    use super::*;

    #[test]
    fn io_errors_have_their_kinds() {
        use io::ErrorKind as Kind;
        let cases = [
            (Kind::ConnectionReset, FaultKind::Reset),
            (Kind::BrokenPipe, FaultKind::Reset),
            (Kind::NotConnected, FaultKind::Reset),
            (Kind::ConnectionRefused, FaultKind::Refused),
            (Kind::UnexpectedEof, FaultKind::ClosedEarly),
            (Kind::TimedOut, FaultKind::TimedOut),
            (Kind::HostUnreachable, FaultKind::Unreachable),
            (Kind::NetworkUnreachable, FaultKind::Unreachable),
            (Kind::InvalidData, FaultKind::BadAnswer),
            (Kind::Other, FaultKind::ClosedEarly),
        ];
        for (error, kind) in cases {
            assert_eq!(io(&io::Error::from(error)), kind, "{error}");
        }
        let disk_full = io::Error::from_raw_os_error(libc::ENOSPC);
        assert_eq!(io(&disk_full), FaultKind::Local);
    }

    #[test]
    fn an_address_behind_a_firewall_or_a_dead_neighbour_is_unreachable_and_a_shortage_is_local() {
        let cases = [
            (libc::EACCES, FaultKind::Unreachable),
            (libc::EPERM, FaultKind::Unreachable),
            (libc::EHOSTDOWN, FaultKind::Unreachable),
            (libc::ENETDOWN, FaultKind::Unreachable),
            (libc::EAFNOSUPPORT, FaultKind::Unreachable),
            (libc::EINVAL, FaultKind::Unreachable),
            (libc::ECONNREFUSED, FaultKind::Refused),
            (libc::ETIMEDOUT, FaultKind::TimedOut),
            (libc::EMFILE, FaultKind::Local),
            (libc::ENOBUFS, FaultKind::Local),
        ];
        for (code, kind) in cases {
            assert_eq!(connect(&io::Error::from_raw_os_error(code)), kind, "{code}");
        }
    }

    #[test]
    fn an_error_is_found_at_any_depth_of_the_chain() {
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(io(&io::Error::other(reset())), FaultKind::Reset);
        let twice = io::Error::other(io::Error::other(reset()));
        assert_eq!(io(&twice), FaultKind::Reset);
        let fault = crate::model::Fault::new(
            crate::model::Leg::Origin,
            crate::model::Stage::Handshaking,
            FaultKind::Reset,
        );
        assert_eq!(io(&fault.source(reset())), FaultKind::Reset);
    }

    fn code(error: &Tls) -> String {
        tls(error).as_str().into_owned()
    }

    #[test]
    fn tls_errors_have_their_kinds() {
        let invalid = Tls::InvalidCertificate;
        for (error, kind) in [
            (invalid(Certificate::Expired), "expired"),
            (invalid(Certificate::NotValidYet), "not-yet-valid"),
            (invalid(Certificate::UnknownIssuer), "unknown-issuer"),
            (invalid(Certificate::NotValidForName), "name-mismatch"),
            (invalid(Certificate::BadSignature), "bad-certificate"),
            (invalid(Certificate::InvalidPurpose), "bad-certificate"),
            (invalid(Certificate::Revoked), "bad-certificate"),
            (Tls::NoCertificatesPresented, "bad-certificate"),
            (
                Tls::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
                "no-common-tls",
            ),
            (Tls::NoApplicationProtocol, "no-common-tls"),
            (
                Tls::InvalidMessage(InvalidMessage::InvalidContentType),
                "bad-answer",
            ),
            (Tls::DecryptError, "bad-answer"),
            (Tls::UnsupportedNameType, "name-mismatch"),
            (Tls::FailedToGetRandomBytes, "local"),
        ] {
            assert_eq!(code(&error), kind, "{error:?}");
        }
    }

    #[test]
    fn an_alert_keeps_its_name() {
        for (alert, name) in [
            (Alert::UnknownCA, "alert-unknown-ca"),
            (Alert::UnrecognisedName, "alert-unrecognized-name"),
            (Alert::HandshakeFailure, "alert-handshake-failure"),
            (Alert::UnknownPSKIdentity, "alert-unknown-psk-identity"),
            (Alert::Unknown(99), "alert-99"),
        ] {
            assert_eq!(code(&Tls::AlertReceived(alert)), name);
        }
    }

    #[test]
    fn a_tls_error_is_found_below_an_io_error() {
        let alert = Tls::AlertReceived(Alert::UnknownCA);
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, alert);
        assert_eq!(io(&wrapped).as_str(), "alert-unknown-ca");
    }
}
