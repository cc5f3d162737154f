//! What signals ask for: SIGTERM and SIGINT to stop, SIGHUP to reload.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalRequest {
    /// SIGTERM, SIGINT: stop; the second time, at once.
    Stop,
    /// SIGHUP: read the config again.
    Reload,
}

/// The signals the daemon listens to. As long as this lives they do not kill the process.
#[derive(Debug)]
pub(crate) struct Signals(Source);

#[derive(Debug)]
enum Source {
    Process {
        terminate: Signal,
        interrupt: Signal,
        hang_up: Signal,
    },
    #[cfg(test)]
    Told(tokio::sync::mpsc::UnboundedReceiver<SignalRequest>),
}

impl Signals {
    /// Listens from now on; fails where a handler cannot be set, or outside a runtime with I/O.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self(Source::Process {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        }))
    }

    /// A test's own signals: those of the process belong to every test at once.
    #[cfg(test)]
    pub(crate) fn told() -> (tokio::sync::mpsc::UnboundedSender<SignalRequest>, Self) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        (sender, Self(Source::Told(receiver)))
    }

    /// Waits for the next one. Nothing is lost where the wait is given up, as in `select!`.
    pub(crate) async fn next(&mut self) -> SignalRequest {
        match &mut self.0 {
            Source::Process {
                terminate,
                interrupt,
                hang_up,
            } => tokio::select! {
                Some(()) = terminate.recv() => SignalRequest::Stop,
                Some(()) = interrupt.recv() => SignalRequest::Stop,
                Some(()) = hang_up.recv() => SignalRequest::Reload,
                // The streams end with the runtime only.
                else => std::future::pending().await,
            },
            #[cfg(test)]
            Source::Told(receiver) => match receiver.recv().await {
                Some(asked) => asked,
                None => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// One test for all three: the process has one set of handlers, and sending before they are set would kill it.
    #[tokio::test]
    async fn signals_of_the_process_are_heard_and_do_not_kill_it() {
        let mut signals = Signals::listen().unwrap();
        for (name, asked) in [
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
            let heard = tokio::time::timeout(Duration::from_secs(10), signals.next())
                .await
                .unwrap();
            assert_eq!(heard, asked, "{name}");
        }
    }
}
