//! A client whose proxy setting has the wrong scheme: it speaks TLS or SOCKS to a port that speaks plain HTTP.
//!
//! The client's own message rarely helps (`wrong version number`, `An unexpected TLS packet was received`), so gitferry logs the cause.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, time::error::Elapsed};

use crate::{
    io::Tcp,
    model::{Fault, FaultKind, Leg, Stage},
};

/// The protocol that the client speaks instead of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WrongProtocol {
    Tls,
    Socks4,
    Socks5,
}

impl WrongProtocol {
    /// Peeks at the client's first byte; `None` where it may begin a request. Fails where none arrives within `limit`.
    pub(super) async fn detect(socket: &Tcp, limit: Duration) -> Result<Option<Self>, Elapsed> {
        let mut first = [0];
        // hyper handles a connection that ends or fails before its first byte.
        let peeked = tokio::time::timeout(limit, socket.socket().peek(&mut first)).await?;
        let one = matches!(peeked, Ok(1)).then(|| Self::of(first));
        Ok(one.flatten())
    }

    /// A method begins with a letter. These bytes begin a TLS record with a handshake (RFC 8446, section 5.1) or name a version of SOCKS
    /// (RFC 1928, section 3).
    const fn of(first: [u8; 1]) -> Option<Self> {
        match first {
            [0x16] => Some(Self::Tls),
            [0x04] => Some(Self::Socks4),
            [0x05] => Some(Self::Socks5),
            _ => None,
        }
    }

    /// The text for the log.
    pub(super) fn fault(self) -> Fault {
        let what = match self {
            Self::Tls => "a TLS hello",
            Self::Socks4 => "a SOCKS4 request",
            Self::Socks5 => "a SOCKS5 greeting",
        };
        Fault::new(Leg::Client, Stage::Accepted, FaultKind::NotHttp)
            .detail(format!("{what} arrived at the plain HTTP port"))
    }

    /// Refuses in the client's protocol where it has a refusal. A TLS client gets plain HTTP, which OpenSSL recognises and reports.
    pub(super) async fn response(self, socket: &mut Tcp) {
        let response: &[u8] = match self {
            Self::Tls => {
                b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
                  gitferry: this port speaks plain HTTP: write http:// before its address\n"
            }
            // 91: rejected or failed; 255: no acceptable methods.
            Self::Socks4 => &[0, 91, 0, 0, 0, 0, 0, 0],
            Self::Socks5 => &[5, 255],
        };
        // A client that has disconnected needs no response.
        let _ = socket.write_all(response).await;
    }
}
