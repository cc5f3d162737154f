//! Signals: SIGTERM and SIGINT stop, SIGHUP reloads.
//!
//! SIGHUP has three senders. `nohup` starts a process with SIGHUP ignored: it stays ignored. A closing terminal sends SIGHUP to its
//! processes: if the process had a controlling terminal and can no longer open it, it stops. From every other sender SIGHUP means reload.

use std::{fs::File, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The meaning of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalRequest {
    /// SIGTERM, SIGINT: stop; a second one ends running transfers at once.
    Stop,
    /// SIGHUP: read the config again.
    Reload,
}

/// The signals that the daemon handles. While this lives, they do not kill the process.
#[derive(Debug)]
pub(crate) struct Signals(SignalSource);

#[derive(Debug)]
enum SignalSource {
    Process {
        terminate: Signal,
        interrupt: Signal,
        /// `None` where it was ignored when the process started.
        hang_up: Option<Signal>,
        /// True where the process started in a terminal.
        terminal: bool,
    },
    #[cfg(test)]
    Channel(tokio::sync::mpsc::UnboundedReceiver<SignalRequest>),
}

impl Signals {
    /// Installs the handlers. Fails where a handler cannot be set, or outside a runtime with I/O.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self(SignalSource::Process {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: match is_ignored(SignalKind::hangup()) {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
            terminal: has_terminal(),
        }))
    }

    /// Signals for one test; those of the process affect all tests at once.
    #[cfg(test)]
    pub(crate) fn channel() -> (tokio::sync::mpsc::UnboundedSender<SignalRequest>, Self) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        (sender, Self(SignalSource::Channel(receiver)))
    }

    /// Waits for the next signal. Cancel-safe, as `select!` requires.
    pub(crate) async fn next(&mut self) -> SignalRequest {
        match &mut self.0 {
            SignalSource::Process {
                terminate,
                interrupt,
                hang_up,
                terminal,
            } => tokio::select! {
                Some(()) = terminate.recv() => SignalRequest::Stop,
                Some(()) = interrupt.recv() => SignalRequest::Stop,
                Some(()) = next_hang_up(hang_up.as_mut()) => match *terminal && !has_terminal() {
                    true => SignalRequest::Stop,
                    false => SignalRequest::Reload,
                },
                // The streams end only with the runtime.
                else => std::future::pending().await,
            },
            #[cfg(test)]
            SignalSource::Channel(receiver) => match receiver.recv().await {
                Some(request) => request,
                None => std::future::pending().await,
            },
        }
    }
}

async fn next_hang_up(signal: Option<&mut Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

/// tty(4): opening it fails with ENXIO where the process has no controlling terminal (any more).
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// True where the process started with the signal ignored: proc(5), `SigIgn` of /proc/self/status, a mask with bit 0 for signal 1. False
/// where the file does not exist.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = kind.as_raw_value().saturating_sub(1);
    mask.is_some_and(|mask| mask >> bit & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// One test for all three: the process has one set of handlers, and sending before they are set would kill it.
    #[tokio::test]
    async fn signals_of_the_process_request_stop_and_reload() {
        let mut signals = Signals::listen().unwrap();
        for (name, expected) in [
            ("-HUP", SignalRequest::Reload),
            ("-TERM", SignalRequest::Stop),
            ("-INT", SignalRequest::Stop),
            ("-HUP", SignalRequest::Reload),
        ] {
            let sent = std::process::Command::new("kill")
                .args([name, &std::process::id().to_string()])
                .status()
                .unwrap();
            assert!(sent.success());
            let request = tokio::time::timeout(Duration::from_secs(10), signals.next())
                .await
                .unwrap();
            assert_eq!(request, expected, "{name}");
        }
    }
}
