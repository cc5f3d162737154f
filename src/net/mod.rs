//! Sockets: listening, finding a client's user, resolving, dialling directly and through hops.

pub(crate) mod api;
pub(crate) mod dial;
pub(crate) mod groups;
mod interim;
pub(crate) mod listen;
mod request_line;
pub(crate) mod resolve;
pub(crate) mod socket_owner;

pub(crate) use interim::{InterimSender, Interims};
pub(crate) use request_line::RequestLine;
