//! Sockets: listening, looking up, dialling directly and through hops.

pub mod dial;
mod interim;
pub mod io;
pub mod listen;
pub mod resolve;
mod tcp;
mod tcp_info;

pub use interim::{Interims, Voice};
pub use io::{BoxIo, Prefixed};
pub use tcp::{Glance, Tcp};
