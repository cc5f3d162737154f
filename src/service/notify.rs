//! Words to the service manager (`sd_notify(3)`): ready, reloading, stopping, alive. Without `NOTIFY_SOCKET` nothing is said.
//!
//! The words are the `sd-notify` crate's; the socket is ours, because the crate reads the environment at every word (a test
//! could not give it another one) and does not know abstract sockets, which containers use.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    io,
    os::unix::net::UnixDatagram,
    sync::Arc,
    time::Duration,
};

use sd_notify::NotifyState;

use crate::rt::{Shutdown, Tasks};

/// The way to the service manager, or to nobody. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notifier {
    socket: Option<Arc<UnixDatagram>>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The manager that `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` name.
    ///
    /// Fails where the socket is named but cannot be reached; the daemon may well go on with [`Notifier::default`].
    pub(crate) fn from_environment() -> io::Result<Self> {
        match std::env::var_os("NOTIFY_SOCKET") {
            Some(address) => Self::to(&address, sd_notify::watchdog_enabled()),
            None => Ok(Self::default()),
        }
    }

    /// The manager at `address` (a path, or `@` and an abstract name) that wants a sign of life within `watchdog`.
    pub(crate) fn to(address: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        connect(&socket, address)?;
        // A manager that does not read must not stop the daemon: a full queue loses a word, no more.
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: Some(Arc::new(socket)),
            watchdog: watchdog.filter(|limit| !limit.is_zero()),
        })
    }

    /// Start-up, or a reload, is done; `status` is what `systemctl status` shows.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&[NotifyState::Ready, NotifyState::Status(&line(status))]);
    }

    /// A reload begins; [`Notifier::ready`] ends it.
    pub(crate) fn reloading(&self) {
        let mut states = vec![NotifyState::Reloading];
        // Without the time, a manager that waits for the reload (`Type=notify-reload`) takes the word for an old one.
        states.extend(NotifyState::monotonic_usec_now());
        self.send(&states);
    }

    /// Stopping begins and may take `limit`, whatever the unit's `TimeoutStopSec` says.
    pub(crate) fn stopping(&self, status: &str, limit: Duration) {
        let micros = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
        self.send(&[
            NotifyState::Stopping,
            NotifyState::Status(&line(status)),
            NotifyState::ExtendTimeoutUsec(micros),
        ]);
    }

    /// Gives a sign of life at half the interval the manager asked for, until draining begins: it then no longer asks.
    pub(crate) fn watchdog(&self, tasks: &Tasks, shutdown: &Shutdown) {
        let Some(limit) = self.watchdog.filter(|_| self.socket.is_some()) else {
            return;
        };
        let (notifier, shutdown) = (self.clone(), shutdown.clone());
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(limit / 2);
            loop {
                tokio::select! {
                    _ = ticks.tick() => notifier.send(&[NotifyState::Watchdog]),
                    () = shutdown.drained() => return,
                }
            }
        });
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let message = states.iter().fold(String::new(), |mut message, state| {
            // Writing to a string does not fail.
            let _ = writeln!(message, "{state}");
            message
        });
        if let Err(error) = socket.send(message.as_bytes()) {
            tracing::debug!(%error, "cannot notify the service manager");
        }
    }
}

/// A line break would begin another word of the protocol.
fn line(status: &str) -> String {
    status.replace(['\n', '\r'], " ")
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn connect(socket: &UnixDatagram, address: &OsStr) -> io::Result<()> {
    use std::os::{
        linux::net::SocketAddrExt as _,
        unix::{ffi::OsStrExt as _, net::SocketAddr},
    };
    match address.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?),
        None => socket.connect(OsString::from(address)),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn connect(socket: &UnixDatagram, address: &OsStr) -> io::Result<()> {
    socket.connect(OsString::from(address))
}
