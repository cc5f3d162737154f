//! Foreign errors into [`FaultKind`]s: the only place that matches on another crate's enums.

use std::{error::Error, io};

use super::FaultKind;

/// What an I/O error means, wherever in a chain of sources it stands.
pub fn io(error: &(dyn Error + 'static)) -> FaultKind {
    let mut next = Some(error);
    while let Some(level) = next {
        if let Some(io) = level.downcast_ref::<io::Error>() {
            if let Some(inner) = io
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            {
                return tls(inner);
            }
            if let Some(kind) = io_kind(io) {
                return kind;
            }
        }
        if let Some(error) = level.downcast_ref::<rustls::Error>() {
            return tls(error);
        }
        next = level.source();
    }
    FaultKind::ClosedEarly
}

/// What a TLS error means.
pub fn tls(error: &rustls::Error) -> FaultKind {
    let _ = error;
    FaultKind::BadAnswer
}

fn io_kind(error: &io::Error) -> Option<FaultKind> {
    use io::ErrorKind as Kind;
    Some(match error.kind() {
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => FaultKind::Reset,
        Kind::ConnectionRefused => FaultKind::Refused,
        Kind::UnexpectedEof => FaultKind::ClosedEarly,
        Kind::TimedOut => FaultKind::TimedOut,
        Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::AddrNotAvailable
        | Kind::NetworkDown => FaultKind::Unreachable,
        Kind::InvalidData => FaultKind::BadAnswer,
        _ => return error.raw_os_error().map(|_| FaultKind::Local),
    })
}

/// What an error of hyper means.
pub fn http(error: &hyper::Error) -> FaultKind {
    if error.is_parse_too_large() {
        FaultKind::TooLarge
    } else if error.is_parse() {
        FaultKind::BadAnswer
    } else if error.is_timeout() {
        FaultKind::TimedOut
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        FaultKind::ClosedEarly
    } else {
        io(error)
    }
}
