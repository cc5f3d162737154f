//! A direct connection to a host: the origin, or a hop.
//!
//! Happy eyeballs (RFC 8305) are implemented here: hyper-util's connector reports neither the stage nor the addresses tried, and both are
//! needed to explain a failed push.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{BoxFuture, DialRequest, DialledConnection, congestion};
use crate::{
    config::Override,
    io::{Tcp, tune},
    model::{Fault, FaultKind, Leg, Stage, Target, classify},
    net::resolve,
};

/// Resolves the name and connects to the first address that answers (RFC 8305).
pub(crate) async fn dial(attempt: &DialRequest<'_>) -> Result<DialledConnection, Fault> {
    let overrides = attempt.overrides(&attempt.target.host);
    let (tcp, peer) = connect(attempt, attempt.target, overrides, Leg::Origin).await?;
    let io = Box::new(tcp.clone());
    Ok(DialledConnection::new(io, tcp, peer))
}

/// A TCP connection to `target`, on `leg`, within the attempt's connect timeout.
///
/// A fault keeps the most informative of several errors, and lists all addresses where there were several.
pub(super) async fn connect(
    attempt: &DialRequest<'_>,
    target: &Target,
    overrides: &[Override],
    leg: Leg,
) -> Result<(Tcp, SocketAddr), Fault> {
    let limit = attempt.route.dial.connect_timeout;
    let max_segment = attempt.max_segment;
    let connecting = |address| -> BoxFuture<'_, io::Result<TcpStream>> {
        Box::pin(connect_socket(address, max_segment))
    };
    let mut race = Race::new(&connecting);
    let outcome = timeout(limit, async {
        let found = resolve::addresses(target, overrides, leg, attempt.progress).await?;
        let found = match (leg, attempt.public_only) {
            (Leg::Origin, Some(fake)) if overrides.is_empty() => {
                resolve::public(&found, target, fake)?
            }
            (Leg::Client | Leg::Hop | Leg::Origin, _) => found,
        };
        (attempt.progress)(Stage::Connecting);
        Ok(race.run(found).await)
    });
    match outcome.await {
        Ok(Ok(Some((socket, peer)))) => {
            let congestion = attempt.route.dial.congestion;
            Ok((congestion::apply(socket, congestion, peer), peer))
        }
        Ok(Err(fault)) => Err(fault),
        Ok(Ok(None)) | Err(_) => Err(race.fault(leg, target, limit)),
    }
}

async fn connect_socket(address: SocketAddr, max_segment: Option<u32>) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    tune(&SockRef::from(&socket));
    limit_unsent(&SockRef::from(&socket));
    if let Some(size) = max_segment {
        // Set before the SYN, so that the peer does not send larger ones either (tcp(7), TCP_MAXSEG).
        socket.set_tcp_mss(size)?;
    }
    let stream = connected(socket, address).await?;
    // On loopback the kernel may choose the closed port itself as the source port, and the socket then connects to itself.
    if stream.local_addr()? == address {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// Connects `socket`, which is non-blocking.
///
/// On loopback, where many hops are, the handshake is over when connect(2) returns `EINPROGRESS`. tokio's `TcpSocket` waits for an event
/// all the same: a turn of the event loop, a wake-up and a timer.
async fn connected(socket: Socket, address: SocketAddr) -> io::Result<TcpStream> {
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    let stream = TcpStream::from_std(socket.into())?;
    // getpeername(2) fails until the connection is established.
    if stream.peer_addr().is_err() {
        stream.writable().await?;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
    }
    Ok(stream)
}

/// How many unsent bytes the socket may hold. Bytes that are sent and not acknowledged do not count.
const MAX_UNSENT: u32 = 256 * 1024;

/// Otherwise the kernel accepts megabytes of an upload (tcp(7), TCP_NOTSENT_LOWAT), and the client is that far ahead of the path.
fn limit_unsent(socket: &SockRef<'_>) {
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT);
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, MAX_UNSENT);
}

/// Concurrent attempts; the first that connects wins, and dropping the race ends the others.
struct Race<'a, T> {
    connect: &'a ConnectFn<'a, T>,
    waiting: std::vec::IntoIter<SocketAddr>,
    running: Vec<(SocketAddr, BoxFuture<'a, io::Result<T>>)>,
    failed: Vec<FailedAddress>,
}

/// How to connect to one address; tests supply their own.
type ConnectFn<'a, T> = dyn Fn(SocketAddr) -> BoxFuture<'a, io::Result<T>> + Send + Sync + 'a;

struct FailedAddress {
    address: SocketAddr,
    kind: FaultKind,
    error: Option<io::Error>,
}

impl<'a, T> Race<'a, T> {
    fn new(connect: &'a ConnectFn<'a, T>) -> Self {
        Self {
            connect,
            waiting: Vec::new().into_iter(),
            running: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Starts with the first address; the next follows when one fails, or after a short delay without a result. `None` when all have failed.
    async fn run(&mut self, addresses: Vec<SocketAddr>) -> Option<(T, SocketAddr)> {
        self.waiting = addresses.into_iter();
        loop {
            if let Some(address) = self.waiting.next() {
                self.running.push((address, (self.connect)(address)));
            } else if self.running.is_empty() {
                return None;
            }
            let more = self.waiting.len() > 0;
            tokio::select! {
                biased;
                (address, result) = first_done(&mut self.running) => match result {
                    Ok(won) => return Some((won, address)),
                    Err(error) => self.failed.push(FailedAddress {
                        address,
                        kind: classify::connect(&error),
                        error: Some(error),
                    }),
                },
                () = sleep(ATTEMPT_DELAY), if more => {}
            }
        }
    }

    /// The fault of a race without a winner; attempts still running have timed out after `limit`.
    fn fault(self, leg: Leg, target: &Target, limit: Duration) -> Fault {
        let mut failed = self.failed;
        failed.extend(self.running.iter().map(|(address, _)| FailedAddress {
            address: *address,
            kind: FaultKind::TimedOut,
            error: None,
        }));
        let list: Vec<String> = failed
            .iter()
            .map(|failure| format!("{} {}", failure.address, failure.kind))
            .collect();
        let Some(reported) = failed.into_iter().min_by_key(|failure| rank(&failure.kind)) else {
            return Fault::new(leg, Stage::Resolving, FaultKind::TimedOut)
                .peer(target)
                .detail(format!("no answer from the resolver within {limit:?}"));
        };
        let timed_out = reported.kind == FaultKind::TimedOut;
        let mut fault = Fault::new(leg, Stage::Connecting, reported.kind).peer(reported.address);
        fault.source = reported.error.map(Into::into);
        if list.len() > 1 {
            fault.detail(format!("tried {}", list.join(", ")))
        } else if timed_out {
            fault.detail(format!("no answer within {limit:?}"))
        } else {
            fault
        }
    }
}

/// RFC 8305, section 5: the recommended "Connection Attempt Delay".
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The first completed future of `running`, removed from it; never completes where there is none.
async fn first_done<T>(
    running: &mut Vec<(SocketAddr, BoxFuture<'_, io::Result<T>>)>,
) -> (SocketAddr, io::Result<T>) {
    std::future::poll_fn(|cx| {
        let done = running
            .iter_mut()
            .enumerate()
            .find_map(|(at, (_, attempt))| match attempt.as_mut().poll(cx) {
                std::task::Poll::Ready(result) => Some((at, result)),
                std::task::Poll::Pending => None,
            });
        match done {
            Some((at, result)) => std::task::Poll::Ready((running.swap_remove(at).0, result)),
            None => std::task::Poll::Pending,
        }
    })
    .await
}

/// The rank of errors: a response, even a refusal, says more about the target than silence, and silence more than a missing route.
fn rank(kind: &FaultKind) -> usize {
    [
        FaultKind::Refused,
        FaultKind::Reset,
        FaultKind::TimedOut,
        FaultKind::Unreachable,
    ]
    .iter()
    .position(|reported| reported == kind)
    .unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// 192.0.2.1 never answers, 192.0.2.2 refuses after 100 ms, 192.0.2.3 has no route, 192.0.2.4 answers after 10 ms.
    fn network(address: SocketAddr) -> BoxFuture<'static, io::Result<&'static str>> {
        Box::pin(async move {
            match address.ip().to_string().as_str() {
                "192.0.2.1" => std::future::pending().await,
                "192.0.2.2" => {
                    sleep(Duration::from_millis(100)).await;
                    Err(io::ErrorKind::ConnectionRefused.into())
                }
                "192.0.2.3" => Err(io::ErrorKind::NetworkUnreachable.into()),
                _ => {
                    sleep(Duration::from_millis(10)).await;
                    Ok("connected")
                }
            }
        })
    }

    fn addresses(last: &[u8]) -> Vec<SocketAddr> {
        let address = |last: &u8| SocketAddr::from(([192, 0, 2, *last], 443));
        last.iter().map(address).collect()
    }

    async fn took(last: &[u8]) -> (Option<String>, u128) {
        let start = Instant::now();
        let mut race = Race::new(&network);
        let won = race.run(addresses(last)).await;
        let won = won.map(|(_, address)| address.to_string());
        (won, start.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_tried_beside_a_silent_one_and_at_once_after_a_failed_one() {
        let four = Some("192.0.2.4:443".to_owned());
        assert_eq!(took(&[4]).await, (four.clone(), 10));
        assert_eq!(took(&[1, 4]).await, (four.clone(), 260));
        assert_eq!(took(&[1, 1, 4]).await, (four.clone(), 510));
        assert_eq!(took(&[2, 4]).await, (four.clone(), 110));
        assert_eq!(took(&[3, 3, 3, 4]).await, (four.clone(), 10));
        // The refusal arrives 100 ms into the second attempt: the third does not wait for the rest of the delay.
        assert_eq!(took(&[1, 2, 4]).await, (four, 360));
        assert_eq!(took(&[3, 2]).await, (None, 100));
        assert_eq!(took(&[]).await, (None, 0));
    }

    async fn fails(last: &[u8]) -> Fault {
        let mut race = Race::new(&network);
        let limit = Duration::from_secs(10);
        let won = timeout(limit, race.run(addresses(last))).await;
        assert!(!matches!(won, Ok(Some(_))));
        let target = Target::parse("hf.co:443", None).unwrap();
        race.fault(Leg::Origin, &target, limit)
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_errors_the_most_informative_is_kept_and_every_address_is_listed() {
        assert_eq!(
            fails(&[3, 1, 2]).await.to_string(),
            "origin/connecting/refused with 192.0.2.2:443 \
             (tried 192.0.2.3:443 unreachable, 192.0.2.2:443 refused, 192.0.2.1:443 timed-out)"
        );
        assert_eq!(fails(&[3, 1]).await.code(), "origin/connecting/timed-out");
        assert_eq!(
            fails(&[1]).await.to_string(),
            "origin/connecting/timed-out with 192.0.2.1:443 (no answer within 10s)"
        );
        assert_eq!(
            fails(&[3]).await.chain(),
            "origin/connecting/unreachable with 192.0.2.3:443: network unreachable"
        );
    }
}
