//! The messages of one exact look-up (sock_diag(7)): a request for one TCP socket, and the kernel's answer.
//!
//! Own code on socket2's socket: netlink-packet-sock-diag with netlink-sys and their dependencies are ten crates, for two fixed structures
//! of 56 and 72 bytes, of which gitferry reads four fields.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

/// The kernel's answer about a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SocketEntry {
    /// Its TCP state (`ESTABLISHED` is 1).
    pub(super) state: u8,
    /// The user who opened it; 0 where no process holds it any more.
    pub(super) uid: u32,
    /// Its inode; 0 where no process holds it any more.
    pub(super) inode: u32,
}

/// linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// linux/netlink.h.
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const HEADER: usize = 16;
/// linux/inet_diag.h: `inet_diag_req_v2` and `inet_diag_msg`, and where the latter has its `inet_diag_sockid`.
const REQUEST: usize = 56;
const MESSAGE: usize = 72;
const ID: usize = HEADER + 4;
/// The part of `inet_diag_sockid` that identifies both ends: ports and addresses.
const ENDS: usize = 36;

/// A query for the TCP socket with local address `local`, connected to `remote`.
pub(super) fn request(sequence: u32, local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    const INET_DIAG_NOCOOKIE: [u8; 8] = [0xff; 8];
    const IPPROTO_TCP: u8 = 6;
    let mut bytes = Vec::with_capacity(HEADER + REQUEST);
    bytes.extend(((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend([family(local), IPPROTO_TCP, 0, 0]);
    // All states: the answer contains the actual one.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(ends(local, remote));
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(INET_DIAG_NOCOOKIE);
    bytes
}

/// The answer to [`request`]; `None` for a message with another `sequence`.
///
/// Fails with the kernel's error (`ENOENT`: there is no such socket), or where the message is no answer.
pub(super) fn parse_reply(
    bytes: &[u8],
    sequence: u32,
    local: SocketAddr,
    remote: SocketAddr,
) -> io::Result<Option<SocketEntry>> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "a netlink message is too short");
    let word = |at: usize| -> io::Result<[u8; 4]> {
        let word = bytes.get(at..at + 4).ok_or_else(short)?;
        word.try_into().map_err(|_| short())
    };
    if u32::from_ne_bytes(word(8)?) != sequence {
        return Ok(None);
    }
    let [low, high, ..] = word(4)?;
    match u16::from_ne_bytes([low, high]) {
        NLMSG_ERROR => {
            let error = i32::from_ne_bytes(word(HEADER)?);
            Err(io::Error::from_raw_os_error(error.wrapping_neg()))
        }
        SOCK_DIAG_BY_FAMILY if bytes.len() >= HEADER + MESSAGE => {
            // Where no connection matches, the kernel may return a listener on that port.
            if bytes.get(ID..ID + ENDS) != Some(&ends(local, remote)[..]) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let [_, state, ..] = word(HEADER)?;
            Ok(Some(SocketEntry {
                state,
                uid: u32::from_ne_bytes(word(HEADER + MESSAGE - 8)?),
                inode: u32::from_ne_bytes(word(HEADER + MESSAGE - 4)?),
            }))
        }
        _ => Err(short()),
    }
}

fn family(address: SocketAddr) -> u8 {
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn ends(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENDS);
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(remote.port().to_be_bytes());
    for address in [local, remote] {
        match address.ip() {
            IpAddr::V4(ip) => {
                bytes.extend(ip.octets());
                bytes.extend([0; 12]);
            }
            IpAddr::V6(ip) => bytes.extend(ip.octets()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// The kernel's answer to `request`, with the given `state`, `uid` and `inode`.
    fn reply(request: &[u8], state: u8, uid: u32, inode: u32) -> Vec<u8> {
        let mut bytes = ((HEADER + MESSAGE) as u32).to_ne_bytes().to_vec();
        bytes.extend(&request[4..HEADER]);
        bytes.extend([request[HEADER], state, 0, 0]);
        bytes.extend(&request[HEADER + 8..]);
        bytes.extend([0; 12]);
        bytes.extend(uid.to_ne_bytes());
        bytes.extend(inode.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_reply_counts_only_for_the_queried_connection() {
        for (local, remote) in [
            ("127.0.0.1:40000", "127.0.0.1:4483"),
            ("[::1]:40000", "[::1]:4483"),
        ] {
            let (local, remote) = (address(local), address(remote));
            let bytes = reply(&request(7, local, remote), 1, 1000, 99);
            let found = SocketEntry {
                state: 1,
                uid: 1000,
                inode: 99,
            };
            assert_eq!(parse_reply(&bytes, 7, local, remote).unwrap(), Some(found));
            assert_eq!(parse_reply(&bytes, 8, local, remote).unwrap(), None);
            let listener = SocketAddr::new(remote.ip(), 0);
            let bytes = reply(&request(7, local, listener), 10, 1000, 99);
            let error = parse_reply(&bytes, 7, local, remote).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }

    #[test]
    fn a_kernel_error_is_returned_and_a_truncated_message_is_an_error() {
        let (local, remote) = (address("127.0.0.1:40000"), address("127.0.0.1:4483"));
        let mut bytes = 36_u32.to_ne_bytes().to_vec();
        bytes.extend(NLMSG_ERROR.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(7_u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend((-2_i32).to_ne_bytes());
        let error = parse_reply(&bytes, 7, local, remote).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(2));
        let whole = reply(&request(7, local, remote), 1, 1000, 99);
        for length in 0..whole.len() {
            assert!(
                parse_reply(&whole[..length], 7, local, remote).is_err(),
                "{length}"
            );
        }
    }
}
