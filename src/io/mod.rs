//! Byte streams: a TCP socket whose progress can be read from outside, what the kernel knows of it, and streams with a prefix.
//!
//! Nothing here dials, listens or decides; [`crate::net`] makes the sockets and [`crate::track`] reads their progress.

mod prefixed;
mod read_after_write_error;
mod tcp;
mod tcp_info;

pub(crate) use prefixed::{BoxIo, Prefixed};
pub(crate) use read_after_write_error::ReadAfterWriteError;
pub(crate) use tcp::{Tcp, TcpMonitor};
pub(crate) use tcp::{congestion, tune};
pub(crate) use tcp_info::PathInfo;
pub(crate) use tcp_info::retransmitted;
