//! The listening sockets, bound here or passed by systemd, and an accept loop that survives temporary errors.
//!
//! `service` calls [`open`] once at start; `front` takes clients from each [`Acceptor`]. The config decides who may connect from where. This
//! module only refuses what the config cannot see: a socket from systemd that would open the daemon to the network.

pub(crate) mod slots;

use std::{
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::{FromRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

pub(crate) use slots::Slot;
use slots::{SlotLimits, Slots};

use super::socket_owner::SocketOwners;
use crate::{
    config::Listen,
    io::{Tcp, tune},
    model::access::SocketOwner,
    rt::{IoPlace, IoThreads},
};

/// The receive buffer for clients on this machine. By default a window grows to megabytes, and the client considers data sent that a slow
/// path has yet to carry: git-lfs then counts its 30 s while its body is still on the way. Linux doubles the value for its own bookkeeping.
/// The round trip on loopback is too short for a window of this size to slow anything down.
pub(crate) const CLIENT_BUFFER: usize = 256 * 1024;

/// Opens the addresses of the config, or takes the sockets of systemd's socket activation instead.
///
/// `receive_buffer` sets `SO_RCVBUF` for clients on loopback; other clients may be far away, and need the kernel's automatic window. Fails
/// on the first address that cannot be opened, with advice. Clients are served on `threads`.
pub(crate) fn open(
    listen: &Listen,
    receive_buffer: Option<usize>,
    owners: Option<&Arc<SocketOwners>>,
    limits: SlotLimits,
    threads: &IoThreads,
) -> Result<Vec<Acceptor>, ListenError> {
    let mut sockets = inherited()?;
    for socket in &sockets {
        check_inherited(socket, listen.credentials.is_some())?;
    }
    if sockets.is_empty() {
        sockets = listen
            .addresses
            .iter()
            .map(bind)
            .collect::<Result<_, _>>()?;
    }
    let slots = Slots::new(limits);
    sockets
        .into_iter()
        .map(|socket| {
            let acceptor = Acceptor::new(socket, slots.clone(), receive_buffer, threads.clone())?;
            let near = acceptor.address.ip().is_loopback();
            let owners = owners.filter(|_| near).map(Arc::clone);
            Ok(Acceptor { owners, ..acceptor })
        })
        .collect()
}

/// A listening socket, and the slots for its clients.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    address: SocketAddr,
    slots: Slots,
    threads: IoThreads,
    /// The query for owners, on loopback, where the kernel reports them.
    owners: Option<Arc<SocketOwners>>,
}

/// An accepted client.
#[derive(Debug)]
pub(crate) struct AcceptedClient {
    /// Its connection.
    pub tcp: Tcp,
    /// Its address.
    pub peer: SocketAddr,
    /// Its user, where it came over loopback and the kernel reports one.
    pub owner: Option<SocketOwner>,
    /// Its slot, or its claim to one; keep it as long as the connection is served.
    pub slot: Slot,
}

impl Acceptor {
    fn new(
        socket: Socket,
        slots: Slots,
        receive_buffer: Option<usize>,
        threads: IoThreads,
    ) -> Result<Self, ListenError> {
        let open = || {
            // Accepted sockets inherit it before the client learns the window.
            let address = socket.local_addr()?.as_socket();
            let near = address.is_some_and(|address| address.ip().is_loopback());
            if let Some(size) = receive_buffer.filter(|_| near) {
                socket.set_recv_buffer_size(size)?;
            }
            tune(&SockRef::from(&socket));
            socket.set_nonblocking(true)?;
            let listener = TcpListener::from_std(socket.into())?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = open().map_err(|error| ListenError::new(None, error))?;
        Ok(Self {
            listener,
            address,
            slots,
            threads,
            owners: None,
        })
    }

    /// The next client, and its place on the thread that its socket belongs to. Never fails: an error of one connection affects only that one, and when this machine lacks descriptors or memory, it
    /// waits and retries. While many clients have sent no request, further ones wait in the kernel's queue.
    ///
    /// May be dropped at any time without losing a client.
    pub(crate) async fn accept(&self) -> (AcceptedClient, IoPlace) {
        self.slots.wait_for_room().await;
        let accept = || poll_fn(|cx| self.poll_accept(cx));
        let (place, socket, peer) = self.accept_with_retry(accept).await;
        // Linux copies the options of the listening socket.
        if !cfg!(target_os = "linux") {
            tune(&SockRef::from(&socket));
        }
        let owners = self.owners.as_ref();
        // A socket that listens on one loopback address accepts connections to that address only.
        let owner = owners.map(|owners| match owners.owner(self.address, peer) {
            // A connection that was reset has no peer any more (getpeername(2), ENOTCONN).
            SocketOwner::Unknown(_) if socket.peer_addr().is_err() => SocketOwner::Closed,
            owner => owner,
        });
        let tcp = Tcp::new(socket);
        let slot = self.slots.enter(peer, owner, tcp.monitor());
        let client = AcceptedClient {
            tcp,
            peer,
            owner,
            slot,
        };
        (client, place)
    }

    fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(IoPlace, TcpStream, SocketAddr)>> {
        let place = self.threads.place();
        let entered = place.enter();
        let accepted = ready!(self.listener.poll_accept(cx));
        drop(entered);
        Poll::Ready(accepted.map(|(socket, peer)| (place, socket, peer)))
    }

    /// The address; with the actual port where the config says 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    async fn accept_with_retry<T, F>(&self, accept: impl Fn() -> F) -> T
    where
        F: Future<Output = io::Result<T>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match accept().await {
                Ok(accepted) => return accepted,
                Err(error) => error,
            };
            if is_connection_specific(&error) {
                continue;
            }
            if pause == FIRST_PAUSE {
                tracing::warn!(address = %self.address, %error, "cannot accept a connection");
            }
            // The connection stays in the queue and the socket stays readable: without a pause this would loop.
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}

/// The first pause when this machine lacks a resource; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Errors of a connection that ended in the queue (accept(2): "treat them like EAGAIN by retrying").
fn is_connection_specific(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
            | Kind::NetworkDown
            | Kind::NetworkUnreachable
            | Kind::HostUnreachable
    )
}

fn bind(address: &SocketAddr) -> Result<Socket, ListenError> {
    let bound = || {
        let socket = Socket::new(
            Domain::for_address(*address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // A restart must not wait for TIME_WAIT of the last connections.
        socket.set_reuse_address(true)?;
        socket.bind(&(*address).into())?;
        socket.listen(BACKLOG)?;
        Ok(socket)
    };
    bound().map_err(|error| ListenError::new(Some(*address), error))
}

/// The kernel limits it to `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// The sockets of socket activation (sd_listen_fds(3)); none where systemd passed none, and for every call but the first.
fn inherited() -> Result<Vec<Socket>, ListenError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    let variable = |name: &str| std::env::var(name).ok();
    if variable("LISTEN_PID") != Some(std::process::id().to_string()) {
        return Ok(Vec::new());
    }
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidInput, "invalid LISTEN_FDS");
    let count = variable("LISTEN_FDS").map_or(Ok(0), |count| count.parse::<u16>().map_err(invalid));
    let end = |count| FIRST_INHERITED + i32::from(count);
    let sockets = count.and_then(|count| (FIRST_INHERITED..end(count)).map(adopt).collect());
    sockets.map_err(|error| ListenError::new(None, error))
}

/// `SD_LISTEN_FDS_START`.
const FIRST_INHERITED: i32 = 3;

#[expect(
    unsafe_code,
    reason = "a descriptor that comes as a number in the environment can only be believed"
)]
fn adopt(descriptor: i32) -> io::Result<Socket> {
    // SAFETY: `LISTEN_PID` names this process, so its parent opened the descriptor for it; `TAKEN` lets it be owned once.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    socket.set_cloexec(true)?;
    Ok(socket)
}

/// A socket unit may name any address; that must not make the daemon an open relay.
fn check_inherited(socket: &Socket, has_credentials: bool) -> Result<(), ListenError> {
    let fail = |address, text: &str| {
        let error = io::Error::new(io::ErrorKind::InvalidInput, text);
        Err(ListenError::new(address, error))
    };
    let address = socket.local_addr().ok().and_then(|a| a.as_socket());
    let listens = socket.is_listener().unwrap_or(false);
    match address {
        Some(address) if listens && (address.ip().is_loopback() || has_credentials) => Ok(()),
        Some(address) if listens => fail(
            Some(address),
            "the socket unit listens on the network, and `username` of `[listen]` is not set",
        ),
        _ => fail(
            None,
            "the service manager passed a descriptor that is not a listening TCP socket",
        ),
    }
}

/// Why an address cannot be listened on.
#[derive(Debug)]
pub(crate) struct ListenError {
    /// The address, where one is known.
    pub address: Option<SocketAddr>,
    source: io::Error,
}

impl ListenError {
    fn new(address: Option<SocketAddr>, source: io::Error) -> Self {
        Self { address, source }
    }

    /// Advice for the user.
    pub(crate) fn advice(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => {
                "another process listens there: `gitferry status` shows whether it is gitferry; if not, set another port in `address` of `[listen]`"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 require root: set another port in `address` of `[listen]`"
            }
            io::ErrorKind::AddrNotAvailable => {
                "no interface of this machine has the address: set `address` of `[listen]`, such as `127.0.0.1:4483`"
            }
            _ => "check `address` of `[listen]`, or `ListenStream=` of the socket unit",
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "cannot listen on {address}"),
            None => f.write_str("cannot listen"),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests;
