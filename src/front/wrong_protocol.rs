//! A client whose proxy setting has the wrong scheme: it speaks TLS or SOCKS to a port that speaks plain HTTP.
//!
//! The client's own message rarely helps (`wrong version number`, `An unexpected TLS packet was received`), so gitferry logs the cause.
//! hyper refuses the first byte; here the refusal gets its cause, and a response in the client's protocol.

use std::net::SocketAddr;

use super::connection;
use crate::{
    model::{Fault, FaultKind, Leg, Stage},
    net::RequestLine,
};

/// The protocol that the client speaks instead of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WrongProtocol {
    Tls,
    Socks4,
    Socks5,
}

/// The fault of a connection to the plain HTTP port on which hyper refused a request.
pub(super) fn malformed(
    error: &hyper::Error,
    line: &RequestLine,
    client: SocketAddr,
) -> Option<Fault> {
    let fault = connection::malformed(error, line, client)?;
    let spoken = WrongProtocol::spoken(line);
    Some(spoken.map_or(fault, |spoken| spoken.fault().peer(client)))
}

/// The response with which hyper's own is replaced on the plain HTTP port.
pub(super) fn refusal(status: u16, line: &RequestLine) -> Vec<u8> {
    match WrongProtocol::spoken(line) {
        Some(spoken) => spoken.response().to_vec(),
        None => connection::refusal(status, line),
    }
}

impl WrongProtocol {
    /// A method begins with a letter. These bytes begin a TLS record with a handshake (RFC 8446, section 5.1) or name a version of SOCKS
    /// (RFC 1928, section 3).
    fn spoken(line: &RequestLine) -> Option<Self> {
        match line.first_byte()? {
            0x16 => Some(Self::Tls),
            0x04 => Some(Self::Socks4),
            0x05 => Some(Self::Socks5),
            _ => None,
        }
    }

    /// The text for the log.
    fn fault(self) -> Fault {
        let what = match self {
            Self::Tls => "a TLS hello",
            Self::Socks4 => "a SOCKS4 request",
            Self::Socks5 => "a SOCKS5 greeting",
        };
        Fault::new(Leg::Client, Stage::Accepted, FaultKind::NotHttp)
            .detail(format!("{what} arrived at the plain HTTP port"))
    }

    /// Refuses in the client's protocol where it has a refusal. A TLS client gets plain HTTP, which OpenSSL recognises and reports.
    fn response(self) -> &'static [u8] {
        match self {
            Self::Tls => {
                b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
                  gitferry: this port speaks plain HTTP: write http:// before its address\n"
            }
            // 91: rejected or failed; 255: no acceptable methods.
            Self::Socks4 => &[0, 91, 0, 0, 0, 0, 0, 0],
            Self::Socks5 => &[5, 255],
        }
    }
}
