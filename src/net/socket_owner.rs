//! Finds the user of a client's socket, where the client is on this machine.
//!
//! Linux only: one exact look-up per connection (sock_diag(7)), which the kernel answers within the call. Called by `listen`.
//! `model::access` decides which users are served, and `net::groups` returns the groups of a user.

mod sock_diag;

use std::{
    fs,
    io::{self, Read as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::unistd::geteuid;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{model::access::SocketOwner, sync::Mutex};

/// For tests: state, user and inode of the kernel's answer, or the kind of its error.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn read_reply(
    bytes: &[u8],
    (sequence, local, remote): (u32, SocketAddr, SocketAddr),
) -> Result<Option<(u8, u32, u32)>, io::ErrorKind> {
    match sock_diag::parse_reply(bytes, sequence, local, remote) {
        Ok(found) => Ok(found.map(|found| (found.state, found.uid, found.inode))),
        Err(error) => Err(error.kind()),
    }
}

/// For tests: the query to the kernel.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn request(sequence: u32, local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    sock_diag::request(sequence, local, remote)
}

/// Queries the kernel for owners.
#[derive(Debug)]
pub(crate) struct SocketOwners {
    netlink: Mutex<Socket>,
    sequence: AtomicU32,
    /// The user id that the kernel reports for users that have no id in this process's user namespace.
    overflow_uid: u32,
}

impl SocketOwners {
    /// Opens the netlink socket, and tests it with a connection of this process on `loopback`.
    ///
    /// Fails where the kernel does not answer, or answers wrongly: on other systems, under seccomp filters, in gVisor.
    pub(crate) fn open(loopback: IpAddr) -> io::Result<Self> {
        if !cfg!(target_os = "linux") {
            let why = "this system does not report the owner of a socket";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        let owners = Self {
            netlink: Mutex::new(netlink()?),
            sequence: AtomicU32::new(1),
            overflow_uid: overflow_uid(),
        };
        let listener = TcpListener::bind((loopback, 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, peer) = listener.accept()?;
        let own = owners.owner(server.local_addr()?, peer);
        drop(client);
        match own {
            SocketOwner::User(uid) if uid == geteuid().as_raw() => Ok(owners),
            SocketOwner::User(uid) => Err(io::Error::other(format!(
                "the kernel reports user {uid} as the owner of this process's own socket"
            ))),
            SocketOwner::Closed => Err(io::Error::other(
                "the kernel does not report the owner of this process's own socket",
            )),
            SocketOwner::Unknown(why) => Err(io::Error::other(why)),
        }
    }

    /// The owner of the client's end of a connection with the ends `server` and `client`.
    pub(crate) fn owner(&self, server: SocketAddr, client: SocketAddr) -> SocketOwner {
        /// linux/tcp_states.h.
        const ESTABLISHED: u8 = 1;
        const FIN_WAIT1: u8 = 4;
        const FIN_WAIT2: u8 = 5;
        let found = match self.look_up(client, server) {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%client, %error, "the kernel reports no owner");
                return SocketOwner::Unknown("the kernel reports no owner of the client's socket");
            }
        };
        // For a closed socket, or one whose process ended, the kernel reports user 0 and inode 0: without this check it would count as root.
        let held = matches!(found.state, ESTABLISHED | FIN_WAIT1 | FIN_WAIT2);
        if !held || found.inode == 0 {
            SocketOwner::Closed
        } else if found.uid == self.overflow_uid {
            SocketOwner::Unknown("the client's user has no ID in the daemon's user namespace")
        } else {
            SocketOwner::User(found.uid)
        }
    }

    fn look_up(&self, local: SocketAddr, remote: SocketAddr) -> io::Result<sock_diag::SocketEntry> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let netlink = self.netlink.lock();
        netlink.send(&sock_diag::request(sequence, local, remote))?;
        loop {
            let mut buffer = [0; 1024];
            let length = (&*netlink).read(&mut buffer)?;
            let bytes = buffer.get(..length).unwrap_or_default();
            if let Some(found) = sock_diag::parse_reply(bytes, sequence, local, remote)? {
                return Ok(found);
            }
        }
    }
}

/// Non-blocking: the kernel puts its answer into the socket before `send` returns.
fn netlink() -> io::Result<Socket> {
    const AF_NETLINK: i32 = 16;
    const NETLINK_SOCK_DIAG: i32 = 4;
    let protocol = Some(Protocol::from(NETLINK_SOCK_DIAG));
    let socket = Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, protocol)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// `nobody`, by default (kernel: Documentation/admin-guide/sysctl/kernel.rst, overflowuid).
fn overflow_uid() -> u32 {
    let text = fs::read_to_string("/proc/sys/kernel/overflowuid");
    let number = text.ok().and_then(|text| text.trim().parse().ok());
    number.unwrap_or(65534)
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
