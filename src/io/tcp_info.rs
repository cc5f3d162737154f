//! The kernel's state of a connection: bytes acknowledged, bytes in flight, losses.
//!
//! Linux reports all of it (`TCP_INFO`, `SIOCOUTQ`), macOS only the unacknowledged bytes (`SO_NWRITE`), other systems nothing: there only
//! the written bytes are known. The system calls are unsafe code, because neither nix nor socket2 wraps them. libc's `tcp_info` has no field
//! that is newer than Linux 4.1, so fields are read by their offsets in `include/uapi/linux/tcp.h`, a struct that only grows at its end.

use crate::{
    io::tcp::{Tcp, TcpMonitor, congestion},
    model::stall::Flow,
};

impl TcpMonitor {
    /// The bytes read, written and acknowledged; all zero once the socket is closed.
    pub(crate) fn flow(&self) -> Flow {
        self.tcp().map(|tcp| tcp.flow()).unwrap_or_default()
    }

    /// [`Self::flow`] with the kernel's `TCP_INFO`, which costs one more system call.
    pub(crate) fn detailed_flow(&self) -> Flow {
        self.tcp()
            .map(|tcp| tcp.detailed_flow())
            .unwrap_or_default()
    }

    /// Probes in a row that the peer has not answered.
    pub(crate) fn unanswered_probes(&self) -> u32 {
        let kernel = self.tcp().and_then(|tcp| kernel(&tcp));
        kernel.map_or(0, |kernel| kernel.probes)
    }

    /// The stream's own counts, without the kernel's acknowledgements.
    pub(crate) fn counts(&self) -> Flow {
        let counts = |tcp: Tcp| Flow {
            read: tcp.bytes_read(),
            written: tcp.bytes_written(),
            ..Flow::default()
        };
        self.tcp().map(counts).unwrap_or_default()
    }
}

/// The kernel's measurements of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathInfo {
    /// The smoothed round-trip time, in microseconds.
    pub rtt_us: u32,
    /// Segments sent with data, where the kernel counts them (Linux 4.6).
    pub segments: u32,
    /// Segments retransmitted.
    pub retransmitted: u32,
    /// The path MTU in use, in bytes.
    pub pmtu: u32,
    /// The congestion control in use.
    pub congestion: Option<String>,
}

impl Tcp {
    /// The kernel's measurements of the path; `None` where it does not report them.
    pub(crate) fn path(&self) -> Option<PathInfo> {
        path(self)
    }

    /// True where the kernel has ended the connection, because the peer reset it or did not answer; false where it does not report that.
    pub(crate) fn is_closed(&self) -> bool {
        is_closed(self)
    }

    fn flow(&self) -> Flow {
        let (queued, written) = self.queued_and_written();
        Flow {
            read: self.bytes_read(),
            written,
            queued: queued.unwrap_or(0),
            reports_acks: queued.is_some(),
            blocked: self.is_blocked(),
            kernel: None,
        }
    }

    /// [`Self::flow`] with the kernel's `TCP_INFO`.
    pub(crate) fn detailed_flow(&self) -> Flow {
        Flow {
            kernel: kernel(self),
            ..self.flow()
        }
    }

    /// The bytes in the send queue, and the bytes written, both at the same moment. Bytes written between two readings would count as
    /// acknowledged, or as the reverse.
    fn queued_and_written(&self) -> (Option<u64>, u64) {
        let mut written = self.bytes_written();
        for _ in 0..8 {
            let queued = queued(self);
            let now = self.bytes_written();
            if now == written {
                return (queued, written);
            }
            written = now;
        }
        // The writer goes on all the time, so the peer acknowledges bytes, and a small difference does not matter.
        (queued(self), written)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn kernel(tcp: &Tcp) -> Option<crate::model::stall::Kernel> {
    linux::TcpInfo::of(tcp.socket()).map(|info| info.kernel())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn kernel(_: &Tcp) -> Option<crate::model::stall::Kernel> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_closed(tcp: &Tcp) -> bool {
    linux::TcpInfo::of(tcp.socket()).is_none_or(|info| info.is_closed())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_closed(_: &Tcp) -> bool {
    false
}

/// The number of segments retransmitted, and of all segments sent with data.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn retransmitted(socket: &tokio::net::TcpStream) -> Option<(u32, u32)> {
    let info = linux::TcpInfo::of(socket)?;
    Some((info.u32_at(100)?, info.u32_at(156)?))
}

/// The number of segments retransmitted, and of all segments sent with data.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn retransmitted(_: &tokio::net::TcpStream) -> Option<(u32, u32)> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn path(tcp: &Tcp) -> Option<PathInfo> {
    Some(PathInfo {
        congestion: congestion(&socket2::SockRef::from(tcp.socket())),
        ..linux::TcpInfo::of(tcp.socket())?.path()
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn path(_: &Tcp) -> Option<PathInfo> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn queued(tcp: &Tcp) -> Option<u64> {
    linux::queued(tcp.socket())
}

#[cfg(target_vendor = "apple")]
fn queued(tcp: &Tcp) -> Option<u64> {
    apple::queued(tcp.socket())
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn queued(_: &Tcp) -> Option<u64> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::os::fd::AsRawFd;

    use nix::libc;

    use super::PathInfo;
    use crate::model::stall::Kernel;

    /// The part of `struct tcp_info` that this kernel fills in.
    pub(super) struct TcpInfo {
        bytes: [u8; 256],
        length: usize,
    }

    impl TcpInfo {
        #[expect(
            unsafe_code,
            reason = "no safe wrapper of TCP_INFO knows the fields since Linux 4.2"
        )]
        pub(super) fn of(socket: &impl AsRawFd) -> Option<Self> {
            let mut bytes = [0_u8; 256];
            let mut length = libc::socklen_t::try_from(bytes.len()).ok()?;
            // SAFETY: the descriptor is open as long as `socket` is borrowed; the kernel writes at most `length` bytes to `bytes`, and
            // their number to `length`.
            let done = unsafe {
                libc::getsockopt(
                    socket.as_raw_fd(),
                    libc::IPPROTO_TCP,
                    libc::TCP_INFO,
                    bytes.as_mut_ptr().cast(),
                    &raw mut length,
                )
            };
            let length = usize::try_from(length).ok()?;
            (done == 0).then_some(Self { bytes, length })
        }

        pub(super) fn kernel(&self) -> Kernel {
            Kernel {
                retransmits: self.byte(2),
                probes: self.byte(3),
                backoff: self.byte(4),
                rto_ms: self.u32_at(8).unwrap_or(0) / 1000,
                mss: self.u32_at(16).unwrap_or(0),
                unacked: self.u32_at(24).unwrap_or(0),
                sacked: self.u32_at(28).unwrap_or(0),
                last_data_ms: self.u32_at(52).unwrap_or(0),
                last_ack_ms: self.u32_at(56).unwrap_or(0),
                pmtu: self.u32_at(60).unwrap_or(0),
                retransmitted: self.u32_at(100).unwrap_or(0),
                unsent: self.u32_at(144),
                out_of_order: self.u32_at(224),
                window: self.u32_at(228),
            }
        }

        /// All but the congestion control, which has its own socket option.
        pub(super) fn path(&self) -> PathInfo {
            PathInfo {
                rtt_us: self.u32_at(68).unwrap_or(0),
                segments: self.u32_at(156).unwrap_or(0),
                retransmitted: self.u32_at(100).unwrap_or(0),
                pmtu: self.u32_at(60).unwrap_or(0),
                congestion: None,
            }
        }

        /// `TCP_CLOSE` of include/net/tcp_states.h.
        pub(super) fn is_closed(&self) -> bool {
            self.byte(0) == 7
        }

        fn byte(&self, at: usize) -> u32 {
            self.bytes.get(at).copied().unwrap_or(0).into()
        }

        /// `None` where this kernel is older than the field.
        pub(super) fn u32_at(&self, at: usize) -> Option<u32> {
            let bytes = self.bytes.get(..self.length)?.get(at..at + 4)?;
            bytes.try_into().ok().map(u32::from_ne_bytes)
        }
    }

    /// Bytes in the send queue, sent or unsent (tcp(7), `SIOCOUTQ`).
    #[expect(unsafe_code, reason = "no safe wrapper of SIOCOUTQ")]
    pub(super) fn queued(socket: &impl AsRawFd) -> Option<u64> {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the descriptor is open as long as `socket` is borrowed, and the kernel writes one int.
        let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
        (done == 0).then(|| u64::try_from(bytes).ok())?
    }
}

#[cfg(target_vendor = "apple")]
mod apple {
    use std::os::fd::AsRawFd;

    use nix::libc;

    /// Bytes in the send buffer (getsockopt(2), `SO_NWRITE`).
    #[expect(unsafe_code, reason = "no safe wrapper of SO_NWRITE")]
    pub(super) fn queued(socket: &impl AsRawFd) -> Option<u64> {
        let mut bytes: libc::c_int = 0;
        let mut length = libc::socklen_t::try_from(size_of::<libc::c_int>()).ok()?;
        // SAFETY: the descriptor is open as long as `socket` is borrowed, and the kernel writes one int.
        let done = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NWRITE,
                (&raw mut bytes).cast(),
                &raw mut length,
            )
        };
        (done == 0).then(|| u64::try_from(bytes).ok())?
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
