//! Sockets: listening, looking up, dialling directly and through hops.

pub mod dial;
mod interim;
pub mod io;
pub mod listen;
pub mod resolve;
mod tcp_info;

pub use interim::{Interims, Voice};
pub use io::{BoxIo, Glance, Prefixed, Tcp};
