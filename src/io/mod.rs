//! Byte streams: TCP sockets that can be monitored, their state in the kernel, and streams with a prefix.
//!
//! Nothing here dials, listens or decides; [`crate::net`] opens the sockets and [`crate::track`] monitors them.

mod prefixed;
mod read_after_write_error;
mod tcp;
mod tcp_info;

pub(crate) use prefixed::{BoxIo, Prefixed};
pub(crate) use read_after_write_error::ReadAfterWriteError;
pub(crate) use tcp::{Tcp, TcpMonitor, congestion, tune};
pub(crate) use tcp_info::{PathInfo, retransmitted};
