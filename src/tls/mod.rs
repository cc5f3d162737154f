//! The local CA, its leaves, accepting clients, and verified TLS to origins and hops.

pub mod accept;
pub mod ca;
pub mod connect;
pub mod leaf;
pub mod trust;

pub use accept::{Accepted, FirstBytes};
pub use ca::Authority;
pub use connect::Connector;
pub use leaf::Leaves;
