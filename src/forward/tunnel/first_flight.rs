//! A tunnel's first flight: what the client sent before the origin's first byte, and whether it may be repeated.

use std::{future::poll_fn, io, mem::MaybeUninit, pin::Pin, task::ready};

use tokio::io::{AsyncRead as _, ReadBuf};

use crate::{io::BoxIo, model::Stage};

/// How many bytes are kept. A ClientHello has a few hundred bytes, and less than two thousand with a post-quantum key share.
pub(crate) const MAX_FLIGHT: usize = 64 * 1024;

/// The content of a first flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlightKind {
    /// Nothing yet, or too few bytes to tell.
    Unknown,
    /// TLS handshake messages only: they contain no request, so a repetition cannot act twice.
    Handshake,
    /// An ssh client's version line, sent before any key exchange (RFC 4253, section 4.2).
    SshVersion,
    /// Bytes that may act on the origin, including early data of TLS 1.3 (RFC 8446, section 8).
    Other,
}

impl FlightKind {
    /// The kind of `bytes`, which are everything the client has sent so far.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        const SSH: &[u8] = b"SSH-";
        if bytes.is_empty() {
            return Self::Unknown;
        }
        if bytes.starts_with(SSH) || SSH.starts_with(bytes) {
            return Self::SshVersion;
        }
        if records_are_handshake(bytes) {
            Self::Handshake
        } else {
            Self::Other
        }
    }

    /// The stage of a tunnel whose client has sent this and whose origin has sent nothing.
    pub(crate) fn stage(self) -> Stage {
        match self {
            Self::Unknown => Stage::Accepted,
            Self::Handshake => Stage::Handshaking,
            Self::SshVersion | Self::Other => Stage::ReceivingBody,
        }
    }

    /// True where the same bytes may be sent to another connection.
    pub(crate) fn is_replayable(self) -> bool {
        match self {
            Self::Unknown | Self::Handshake | Self::SshVersion => true,
            Self::Other => false,
        }
    }
}

/// Reads once, and appends what it read to `bytes`. It holds no buffer while it waits, and loses nothing when dropped.
pub(crate) async fn read_more(io: &mut BoxIo, bytes: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut buffer = [const { MaybeUninit::uninit() }; 4096];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(&mut *io).poll_read(cx, &mut buffer))?;
        bytes.extend_from_slice(buffer.filled());
        Ok(buffer.filled().len()).into()
    })
    .await
}

/// Checks the TLS records (RFC 8446, section 5.1): every type must be handshake or change-cipher-spec.
fn records_are_handshake(bytes: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    const CHANGE_CIPHER_SPEC: u8 = 20;
    let mut rest = bytes;
    loop {
        match rest {
            [] => return true,
            [HANDSHAKE | CHANGE_CIPHER_SPEC] | [HANDSHAKE | CHANGE_CIPHER_SPEC, 3] => return true,
            [HANDSHAKE | CHANGE_CIPHER_SPEC, 3, _] | [HANDSHAKE | CHANGE_CIPHER_SPEC, 3, _, _] => {
                return true;
            }
            [HANDSHAKE | CHANGE_CIPHER_SPEC, 3, _, high, low, body @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                match body.get(length..) {
                    Some(after) => rest = after,
                    None => return true,
                }
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_handshakes_and_ssh_versions_are_replayable() {
        let hello = [&[22, 3, 1, 0, 4][..], b"abcd"].concat();
        let cases: [(&[u8], FlightKind); 9] = [
            (b"", FlightKind::Unknown),
            (b"SS", FlightKind::SshVersion),
            (b"SSH-2.0-OpenSSH_9.2\r\n", FlightKind::SshVersion),
            (b"POST / HTTP/1.1\r\n", FlightKind::Other),
            (&[22, 3], FlightKind::Handshake),
            (&hello, FlightKind::Handshake),
            (
                &[&hello[..], &[20, 3, 3, 0, 1, 1]].concat(),
                FlightKind::Handshake,
            ),
            (
                &[&hello[..], &[23, 3, 3, 0, 1, 9]].concat(),
                FlightKind::Other,
            ),
            (&[22, 9, 9, 9], FlightKind::Other),
        ];
        for (bytes, flight) in cases {
            assert_eq!(FlightKind::of(bytes), flight, "{bytes:?}");
        }
        assert!(!FlightKind::Other.is_replayable());
    }
}
