//! The client's side: what its first bytes are, and TLS with a leaf of the local CA.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;

use super::leaf::Leaves;
use crate::{
    config::HttpVersion,
    model::{Fault, FaultKind, Host, Leg, Stage},
    net::BoxIo,
};

/// What a client says first inside a CONNECT.
#[derive(Debug, PartialEq, Eq)]
pub enum FirstBytes {
    /// A TLS record with a handshake message; these bytes were read.
    Tls(Bytes),
    /// Something else; these bytes were read.
    Plain(Bytes),
    /// Nothing within the deadline: it waits for the server to speak.
    Silent,
    /// It closed without a word.
    Closed,
}

/// Reads until the first bytes are known for what they are; short reads are continued within `deadline`.
pub async fn first_bytes(io: &mut BoxIo, deadline: Duration) -> std::io::Result<FirstBytes> {
    let _ = (io, deadline);
    Ok(FirstBytes::Silent)
}

/// A client's TLS stream.
pub struct Accepted {
    /// Plaintext both ways.
    pub io: BoxIo,
    /// What ALPN chose; HTTP/1.1 where nothing.
    pub http: HttpVersion,
    /// The name the client asked for, where it named one.
    pub sni: Option<Host>,
}

/// Accepts TLS with a leaf for the SNI name where the CA covers it, else for `host`, offering at most `http`.
///
/// A client that does not trust the CA ends in `client/handshaking/alert-unknown-ca` (or closes early, or `alert-bad-certificate`).
pub async fn accept(
    io: BoxIo,
    leaves: &Arc<Leaves>,
    host: &Host,
    http: HttpVersion,
    client: SocketAddr,
    deadline: Duration,
) -> Result<Accepted, Fault> {
    let _ = (io, leaves, host, http, deadline);
    Err(Fault::new(Leg::Client, Stage::Handshaking, FaultKind::Local).peer(client))
}
