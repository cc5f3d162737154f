//! The daemon as a service: signals, readiness towards systemd, reload, draining.
//!
//! The command that runs the daemon waits in [`serve`], from readiness to the end of the last transfer. The caller decides what is served
//! and how a config is reloaded; this module handles no client sockets.

pub(crate) mod daemon;
pub(crate) mod drain;
mod history;
pub(crate) mod notify;
pub(crate) mod signals;
mod state_lock;

use std::time::Duration;

pub(crate) use drain::DrainOutcome;
pub(crate) use notify::Notifier;
pub(crate) use signals::{SignalRequest, Signals};

use crate::{
    rt::{IoThreads, Shutdown, Tasks},
    track::event,
};

/// The time added to the requested stopping time before the service manager kills the process.
const STOP_MARGIN: Duration = Duration::from_secs(10);

/// What [`serve`] needs of the running daemon.
pub(crate) struct Service<'a> {
    /// The signals.
    pub signals: &'a mut Signals,
    /// The service manager, if any.
    pub notifier: &'a Notifier,
    /// All tasks.
    pub tasks: &'a Tasks,
    /// The threads that serve clients.
    pub threads: &'a IoThreads,
    /// Stops the daemon.
    pub shutdown: &'a Shutdown,
    /// The number of running transfers, for the log. Tasks are more.
    pub transfers: &'a (dyn Fn() -> usize + Sync),
}

/// Reports readiness, handles signals until one stops the daemon (or `shutdown` is begun elsewhere), then drains.
///
/// `reload` returns the new status line, or why the old config stays; it is called on SIGHUP and whenever `changed` completes. `grace` is
/// called when stopping begins, because a reload may have changed it. A second signal ends running transfers at once.
pub(crate) async fn serve(
    service: Service<'_>,
    status: &str,
    mut reload: impl AsyncFnMut() -> Result<String, String>,
    mut changed: impl AsyncFnMut(),
    grace: impl Fn() -> Duration,
) -> DrainOutcome {
    let Service {
        signals,
        notifier,
        tasks,
        threads,
        shutdown,
        transfers,
    } = service;
    notifier.watchdog(tasks, threads, shutdown);
    notifier.ready(status);
    loop {
        let request = tokio::select! {
            request = signals.next() => request,
            () = changed() => SignalRequest::Reload,
            () = shutdown.drained() => SignalRequest::Stop,
        };
        match request {
            SignalRequest::Stop => break,
            SignalRequest::Reload => {
                notifier.reloading();
                match reload().await {
                    Ok(status) => notifier.ready(&status),
                    Err(reason) => notifier.ready(&format!("reload refused: {reason}")),
                }
            }
        }
    }
    let grace = grace();
    let running = transfers();
    event::draining(running, grace);
    notifier.stopping(
        &format!("{running} transfers may end within {grace:?}"),
        grace.saturating_add(STOP_MARGIN),
    );
    drain::drain_until(tasks, shutdown, grace, stop(signals), transfers).await
}

/// Waits for another stop signal. Reloads are ignored: the remaining transfers are about to end.
async fn stop(signals: &mut Signals) {
    while signals.next().await != SignalRequest::Stop {}
}

#[cfg(test)]
mod tests;
