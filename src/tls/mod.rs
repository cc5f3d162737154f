//! The local CA, its leaves, accepting clients, and verified TLS to origins and hops.
//!
//! rustls with aws-lc-rs, without the post-quantum key share: a ClientHello of one segment passes middleboxes that lose
//! the second one. Verification is always on; there is no key that turns it off.

pub(crate) mod accept;
pub(crate) mod ca;
pub(crate) mod certificate;
pub(crate) mod connect;
mod files;
pub(crate) mod inspect;
pub(crate) mod leaf;
pub(crate) mod state;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod trust;
mod verify;

use crate::config::HttpVersion;

pub(crate) use accept::FirstBytes;
pub(crate) use ca::Authority;
pub(crate) use certificate::CaCertificate;
pub(crate) use connect::{Connector, Peer};
pub(crate) use leaf::Leaves;

/// What is offered by ALPN (RFC 7301).
fn alpn(http: HttpVersion) -> Vec<Vec<u8>> {
    match http {
        HttpVersion::Http1 => vec![b"http/1.1".to_vec()],
        HttpVersion::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    }
}

/// What was chosen; HTTP/1.1 where nothing was.
fn chosen(alpn: Option<&[u8]>) -> HttpVersion {
    if alpn == Some(b"h2") {
        HttpVersion::Http2
    } else {
        HttpVersion::Http1
    }
}
