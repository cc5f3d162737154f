//! Draining: running transfers get a grace period, then they are ended.

use std::{future::Future, time::Duration};

use crate::rt::{Shutdown, Tasks};

/// How long ended tasks may take: they only log a fault and close sockets.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The result of draining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainOutcome {
    /// True where no task was left.
    pub finished: bool,
    /// The number of transfers that were ended after the grace period, or at a second signal.
    pub ended: usize,
}

/// Accepts nothing new, waits for `tasks` until `grace` is over or `shutdown` is ended elsewhere, then ends the rest. Each task counts as a
/// transfer.
///
/// Returns a few seconds after the grace period at the latest, even if a task does not react.
pub(crate) async fn drain(tasks: &Tasks, shutdown: &Shutdown, grace: Duration) -> DrainOutcome {
    let running = || tasks.running();
    drain_until(tasks, shutdown, grace, shutdown.ended(), &running).await
}

/// Like [`drain`], but `stop_early` also ends the grace period; `transfers` counts what still runs before it is ended.
pub(super) async fn drain_until(
    tasks: &Tasks,
    shutdown: &Shutdown,
    grace: Duration,
    stop_early: impl Future<Output = ()>,
    transfers: &(dyn Fn() -> usize + Sync),
) -> DrainOutcome {
    shutdown.drain();
    let finished_in_time = tokio::select! {
        biased;
        () = tasks.finished() => true,
        () = shutdown.ended() => false,
        () = stop_early => false,
        () = tokio::time::sleep(grace) => false,
    };
    if finished_in_time {
        return DrainOutcome {
            finished: true,
            ended: 0,
        };
    }
    let ended = transfers();
    shutdown.end();
    let finished = tokio::time::timeout(END_TIMEOUT, tasks.finished())
        .await
        .is_ok();
    DrainOutcome { finished, ended }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (Tasks, Shutdown) {
        (Tasks::default(), Shutdown::default())
    }

    /// No sockets are involved, so the paused clock is safe.
    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_within_the_grace_period_is_not_ended() {
        let (tasks, shutdown) = world();
        let seen = shutdown.clone();
        tasks.spawn(async move {
            seen.drained().await;
            tokio::time::sleep(Duration::from_secs(29)).await;
            assert!(!seen.is_ended());
        });
        let drained = drain(&tasks, &shutdown, Duration::from_secs(30)).await;
        assert_eq!(
            drained,
            DrainOutcome {
                finished: true,
                ended: 0
            }
        );
        assert!(!shutdown.is_ended());
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_run_after_the_grace_period_are_ended_and_counted() {
        let (tasks, shutdown) = world();
        for _ in 0..3 {
            let shutdown = shutdown.clone();
            tasks.spawn(async move { shutdown.ended().await });
        }
        let began = tokio::time::Instant::now();
        let drained = drain(&tasks, &shutdown, Duration::from_secs(30)).await;
        assert_eq!(
            drained,
            DrainOutcome {
                finished: true,
                ended: 3
            }
        );
        assert_eq!(began.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ignores_shutdown_delays_draining_by_seconds() {
        let (tasks, shutdown) = world();
        tasks.spawn(std::future::pending());
        let began = tokio::time::Instant::now();
        let drained = drain(&tasks, &shutdown, Duration::from_secs(1)).await;
        assert_eq!(
            drained,
            DrainOutcome {
                finished: false,
                ended: 1
            }
        );
        assert!(began.elapsed() < Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_from_elsewhere_ends_the_grace_period() {
        let (tasks, shutdown) = world();
        let task = shutdown.clone();
        tasks.spawn(async move { task.ended().await });
        let elsewhere = shutdown.clone();
        let began = tokio::time::Instant::now();
        let (drained, ()) = tokio::join!(
            drain(&tasks, &shutdown, Duration::from_secs(3600)),
            async move { elsewhere.end() }
        );
        assert!(drained.finished);
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}
