//! Byte streams: a TCP socket whose progress can be read from outside, what the kernel knows of it, and streams with a prefix.
//!
//! Nothing here dials, listens or decides; [`crate::net`] makes the sockets and [`crate::track`] reads their progress.

mod prefixed;
mod reads_on;
mod tcp;
mod tcp_info;

pub(crate) use prefixed::{BoxIo, Prefixed};
pub(crate) use reads_on::ReadAfterWriteError;
pub(crate) use tcp::{Tcp, TcpMonitor};
pub(crate) use tcp::{congestion, tune};
pub(crate) use tcp_info::PathInfo;
pub(crate) use tcp_info::retransmitted;
