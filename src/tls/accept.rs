//! The client's side: detects the protocol from the first bytes, and accepts TLS with a leaf of the local CA.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::server::{Acceptor, ClientHello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::LazyConfigAcceptor;
use tokio_util::bytes::Bytes;

use super::leaf::Leaves;
use crate::{
    config::HttpVersion,
    io::BoxIo,
    model::{Fault, FaultKind, Host, Leg, Stage, classify},
};

/// What a client sends first inside a CONNECT.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FirstBytes {
    /// A TLS record with a handshake message; these bytes were read.
    Tls(Bytes),
    /// Something else; these bytes were read.
    Plain(Bytes),
    /// Nothing within the deadline: the client waits for the server to speak first.
    Silent,
    /// The client closed the connection without sending.
    Closed,
}

/// Reads until the first bytes show the protocol, also over several short reads, within `deadline`.
pub(crate) async fn first_bytes(io: &mut BoxIo, deadline: Duration) -> io::Result<FirstBytes> {
    // Record type handshake, legacy version 3.x (RFC 8446, section 5.1).
    const TLS: [u8; 2] = [22, 3];
    let mut read = Vec::with_capacity(512);
    let reading = async {
        while read.len() < TLS.len() && TLS.starts_with(&read) {
            if io.read_buf(&mut read).await? == 0 {
                break;
            }
        }
        Ok::<_, io::Error>(())
    };
    let timed = tokio::time::timeout(deadline, reading).await;
    match timed {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) if read.is_empty() => Ok(FirstBytes::Closed),
        Err(_) if read.is_empty() => Ok(FirstBytes::Silent),
        Ok(Ok(())) | Err(_) if read.starts_with(&TLS) => Ok(FirstBytes::Tls(read.into())),
        Ok(Ok(())) | Err(_) => Ok(FirstBytes::Plain(read.into())),
    }
}

/// A client's TLS stream.
pub(crate) struct ClientTls {
    /// Plaintext in both directions.
    pub io: BoxIo,
    /// The version chosen by ALPN; HTTP/1.1 where none was chosen.
    pub http: HttpVersion,
}

/// Accepts TLS with a leaf for `host`, offering at most `http`.
///
/// A ClientHello whose SNI names another host gets the alert `unrecognized_name`, because it is unclear which of the two hosts the client
/// wants. A client that does not trust the CA causes `client/handshaking/alert-unknown-ca`, `alert-bad-certificate` or `closed-early`.
pub(crate) async fn accept(
    io: BoxIo,
    leaves: &Arc<Leaves>,
    (host, http): (&Host, HttpVersion),
    client: SocketAddr,
    deadline: Duration,
) -> Result<ClientTls, Fault> {
    let fault = |kind| Fault::new(Leg::Client, Stage::Handshaking, kind).peer(client);
    let accepting = async {
        let io_fault = |error: io::Error| fault(classify::io(&error)).source(error);
        let start = LazyConfigAcceptor::new(Acceptor::default(), io)
            .await
            .map_err(io_fault)?;
        if let Some(other) = mismatched_name(&start.client_hello(), host) {
            let mut io = start.io;
            // A client that has disconnected needs no alert.
            let _ = io.write_all(&UNRECOGNIZED_NAME).await;
            let _ = io.shutdown().await;
            let detail = format!("the ClientHello names {other}, the CONNECT named {host}");
            return Err(fault(FaultKind::Misdirected).detail(detail));
        }
        let config = leaves
            .server_config(host, http)
            .map_err(|error| fault(FaultKind::Local).source(error))?;
        let stream = start.into_stream(config).await.map_err(io_fault)?;
        let chosen = super::alpn::chosen(stream.get_ref().1.alpn_protocol());
        Ok(ClientTls {
            io: Box::new(stream),
            http: chosen,
        })
    };
    tokio::time::timeout(deadline, accepting)
        .await
        .unwrap_or_else(|_| Err(fault(FaultKind::TimedOut)))
}

/// A fatal alert record in plain text (RFC 8446, section 6; RFC 6066, section 3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The SNI name, where it differs from `host`. rustls drops a name that is an address.
fn mismatched_name(hello: &ClientHello<'_>, host: &Host) -> Option<String> {
    let name = hello.server_name()?;
    (name.parse().as_ref() != Ok(host)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
