//! The local CA, its leaves, accepting clients, and verified TLS to origins and hops.
//!
//! rustls with aws-lc-rs, without the post-quantum key share: a ClientHello of one segment passes middleboxes that lose the second
//! segment. Verification is always on; no config key disables it.

pub(crate) mod accept;
mod alpn;
pub(crate) mod ca;
pub(crate) mod certificate;
pub(crate) mod connect;
mod error;
pub(crate) mod files;
pub(crate) mod inspect;
pub(crate) mod leaf;
pub(crate) mod seed;
pub(crate) mod state;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod trust;
mod verify;

pub(crate) use accept::FirstBytes;
pub(crate) use ca::Authority;
pub(crate) use certificate::CaCertificate;
pub(crate) use connect::{Connector, Peer};
pub(crate) use error::CaError;
pub(crate) use leaf::Leaves;
