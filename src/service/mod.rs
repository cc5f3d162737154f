//! The daemon as a service: signals, readiness towards systemd, reload, draining.
//!
//! [`serve`] is what the command that runs the daemon waits in, from "ready" to the last transfer's end. What is served, and how a
//! config is reloaded, is the caller's: nothing here knows a socket of a client.

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
    rt::{Shutdown, Tasks},
    track::event,
};

/// How long after the last asked-for end the service manager may take us for dead.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// The running daemon, as its service sees it.
pub(crate) struct Service<'a> {
    /// What signals ask for.
    pub signals: &'a mut Signals,
    /// The service manager, where there is one.
    pub notifier: &'a Notifier,
    /// Everything that runs.
    pub tasks: &'a Tasks,
    /// What ends it.
    pub shutdown: &'a Shutdown,
    /// How many transfers run; tasks are more, and nothing that a reader of the log counts in.
    pub transfers: &'a (dyn Fn() -> usize + Sync),
}

/// Says that the daemon is ready, obeys signals until one asks to stop (or `shutdown` is begun elsewhere), then drains.
///
/// `reload` answers with the new status line, or with why the old config stays; it is called on SIGHUP and whenever `changed` ends.
/// `grace` is asked when stopping begins, so that
/// a reload may have changed it. A second signal ends at once what still runs.
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
        shutdown,
        transfers,
    } = service;
    notifier.watchdog(tasks, shutdown);
    notifier.ready(status);
    loop {
        let asked = tokio::select! {
            asked = signals.next() => asked,
            () = changed() => SignalRequest::Reload,
            () = shutdown.drained() => SignalRequest::Stop,
        };
        match asked {
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
        grace.saturating_add(LAST_WORDS),
    );
    drain::drain_until(tasks, shutdown, grace, stop(signals), transfers).await
}

/// Waits for another signal to stop: nobody needs a new config for transfers that are about to end.
async fn stop(signals: &mut Signals) {
    while signals.next().await != SignalRequest::Stop {}
}

#[cfg(test)]
mod tests;
