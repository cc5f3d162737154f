//! Notifications to the service manager (`sd_notify(3)`): ready, reloading, stopping, watchdog. Does nothing without `NOTIFY_SOCKET`.
//!
//! The socket is opened at start and may be an abstract one, which containers use.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::unix::net::UnixDatagram,
    sync::Arc,
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};

use crate::rt::{IoThreads, Shutdown, Tasks};

/// The connection to the service manager, if any. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notifier {
    socket: Option<Arc<UnixDatagram>>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The manager named by `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    ///
    /// Fails where the named socket cannot be reached; the daemon can continue with [`Notifier::default`].
    pub(crate) fn from_environment() -> io::Result<Self> {
        match env::var_os("NOTIFY_SOCKET") {
            Some(address) => Self::to(&address, watchdog(|name| env::var(name).ok())),
            None => Ok(Self::default()),
        }
    }

    /// The manager at `address` (a path, or `@` and an abstract name), which expects a watchdog notification within `watchdog`.
    pub(crate) fn to(address: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        connect(&socket, address)?;
        // A manager that does not read must not block the daemon: if its queue is full, the notification is lost.
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: Some(Arc::new(socket)),
            watchdog: watchdog.filter(|limit| !limit.is_zero()),
        })
    }

    /// Start or reload is complete; `systemctl status` shows `status`.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", line(status)));
    }

    /// A reload begins; [`Notifier::ready`] ends it.
    pub(crate) fn reloading(&self) {
        // Without the time, a manager that waits for the reload (`Type=notify-reload`) treats the notification as an old one.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// ShutdownConfig begins and may take `limit`, whatever the unit's `TimeoutStopSec` says.
    pub(crate) fn stopping(&self, status: &str, limit: Duration) {
        self.send(&format!(
            "STOPPING=1\nSTATUS={}\nEXTEND_TIMEOUT_USEC={}",
            line(status),
            limit.as_micros()
        ));
    }

    /// Sends a watchdog notification at half the requested interval, as long as all `threads` respond, until draining begins: from then on the
    /// manager does not expect any.
    pub(crate) fn watchdog(&self, tasks: &Tasks, threads: &IoThreads, shutdown: &Shutdown) {
        let Some(limit) = self.watchdog.filter(|_| self.socket.is_some()) else {
            return;
        };
        let (notifier, threads, shutdown) = (self.clone(), threads.clone(), shutdown.clone());
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(limit / 2);
            let notify = async {
                loop {
                    ticks.tick().await;
                    threads.respond().await;
                    notifier.send("WATCHDOG=1");
                }
            };
            tokio::select! {
                () = notify => {}
                () = shutdown.drained() => {}
            }
        });
    }

    fn send(&self, states: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(format!("{states}\n").as_bytes()) {
            tracing::debug!(%error, "cannot notify the service manager");
        }
    }
}

/// The interval in `WATCHDOG_USEC`, where `WATCHDOG_PID` is this process (sd_watchdog_enabled(3)).
fn watchdog(variable: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let micros = variable("WATCHDOG_USEC")?.parse().ok()?;
    let own = std::process::id().to_string();
    let is_ours = variable("WATCHDOG_PID").is_none_or(|pid| pid == own);
    is_ours.then(|| Duration::from_micros(micros))
}

/// A line break would start another assignment of the protocol.
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
