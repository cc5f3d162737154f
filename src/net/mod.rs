//! Sockets: listening, looking up, dialling directly and through hops.

pub mod dial;
pub mod io;
pub mod listen;
pub mod resolve;

pub use io::{BoxIo, Prefixed, Tcp};
