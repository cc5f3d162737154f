//! The local CA, its leaves, accepting clients, and verified TLS to origins and hops.
//!
//! rustls with aws-lc-rs, without the post-quantum key share: a ClientHello of one segment passes middleboxes that lose
//! the second one. Verification is always on; there is no key that turns it off.

pub mod accept;
pub mod ca;
pub mod certificate;
pub mod connect;
mod files;
pub mod leaf;
#[cfg(test)]
mod testing;
pub mod trust;

use crate::config::HttpVersion;

pub use accept::{Accepted, FirstBytes};
pub use ca::Authority;
pub use certificate::CaCertificate;
pub use connect::Connector;
pub use leaf::Leaves;

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
