//! Sockets: listening, looking up, dialling directly and through hops.

pub(crate) mod dial;
mod interim;
pub(crate) mod listen;
pub(crate) mod resolve;

pub(crate) use interim::{InterimSender, Interims};
