//! Sets the congestion control of outgoing connections, and reports where it cannot be set.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::{
    io::{Tcp, retransmitted},
    model::congestion::Congestion,
    sync::Mutex,
    track::event,
};

/// Sets the algorithm of `congestion` for a connection to `peer`. Call it after connecting: a route's `congctl` overrides earlier settings.
///
/// Where the algorithm is unavailable, the system's default stays. This is logged once for each name; for `auto` only where packets are lost.
pub(super) fn apply(socket: TcpStream, congestion: Congestion, peer: SocketAddr) -> Tcp {
    let Some(name) = congestion.algorithm_for(peer.ip()) else {
        return Tcp::new(socket);
    };
    match set(&SockRef::from(&socket), name) {
        Ok(()) => Tcp::new(socket),
        Err(error) if error.kind() == io::ErrorKind::NotFound && congestion == Congestion::Auto => {
            Tcp::with_close_hook(socket, advise_on_loss)
        }
        Err(error) => {
            static LOGGED: Mutex<Vec<Congestion>> = Mutex::new(Vec::new());
            let mut logged = LOGGED.lock();
            if !logged.contains(&congestion) {
                logged.push(congestion);
                event::congestion_not_set(name, &refusal(&error));
            }
            Tcp::new(socket)
        }
    }
}

/// The algorithm that a connection beyond this machine would use, tested on a socket: its name, or why it is unavailable.
pub(crate) fn in_force(congestion: Congestion) -> io::Result<String> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    let socket = SockRef::from(&socket);
    if let Some(name) = congestion.name() {
        match set(&socket, name) {
            Err(error) if congestion == Congestion::Auto => {
                tracing::debug!(name, %error, "the system's congestion control remains in use");
            }
            result => result?,
        }
    }
    Ok(crate::io::congestion(&socket).unwrap_or_else(|| "unknown".into()))
}

/// Why the kernel refuses an algorithm. Its own words, such as "No such file or directory", name no file of the user.
pub(crate) fn refusal(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "the kernel does not offer it".into(),
        io::ErrorKind::PermissionDenied => {
            "only root may set it: it is not in net.ipv4.tcp_allowed_congestion_control".into()
        }
        _ => error.to_string(),
    }
}

/// A connection with at least this many segments that retransmitted at least every 200th counts as lossy.
const MIN_SEGMENTS: u32 = 1000;

/// Logs once, at the end of a lossy connection, that BBR would help.
fn advise_on_loss(socket: &TcpStream) {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    let Some((retransmitted, sent)) = retransmitted(socket) else {
        return;
    };
    if sent < MIN_SEGMENTS || retransmitted < sent / 200 || LOGGED.swap(true, Ordering::Relaxed) {
        return;
    }
    let peer = socket.peer_addr().ok();
    event::bbr_unavailable(peer, retransmitted, sent);
}

#[cfg(target_os = "linux")]
fn set(socket: &SockRef<'_>, name: &str) -> io::Result<()> {
    socket.set_tcp_congestion(name.as_bytes())
}

#[cfg(not(target_os = "linux"))]
fn set(_: &SockRef<'_>, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::NotFound.into())
}

#[cfg(all(test, target_os = "linux"))]
#[expect(
    clippy::unwrap_used,
    reason = "a helper of a test whose preparation fails has failed"
)]
mod tests {
    use super::*;

    async fn connected() -> (TcpStream, SocketAddr) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (TcpStream::connect(address).await.unwrap(), address)
    }

    fn of(tcp: &Tcp) -> String {
        crate::io::congestion(&SockRef::from(tcp.socket())).unwrap()
    }

    #[tokio::test]
    async fn a_named_algorithm_is_set_beyond_loopback_and_an_unknown_one_changes_nothing() {
        let far: SocketAddr = "192.0.2.1:443".parse().unwrap();
        let (socket, near) = connected().await;
        let usual = of(&Tcp::new(socket));
        let set =
            async |name: &str, peer| of(&apply(connected().await.0, name.parse().unwrap(), peer));
        assert_eq!(set("reno", far).await, "reno");
        assert_eq!(set("reno", near).await, usual);
        assert_eq!(set("system", far).await, usual);
        assert_eq!(set("no_such_control", far).await, usual);
    }

    #[test]
    fn the_algorithm_in_force_is_tested_on_a_socket() {
        assert_eq!(in_force("reno".parse().unwrap()).unwrap(), "reno");
        let error = in_force("no_such_control".parse().unwrap()).unwrap_err();
        assert_eq!(refusal(&error), "the kernel does not offer it");
        assert!(["bbr", "cubic", "reno"].contains(&&*in_force(Congestion::Auto).unwrap()));
    }
}
