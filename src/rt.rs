//! The runtime: [`IoThreads`], which serve the clients, [`Tasks`], which spawns all tasks, and [`Shutdown`], the two steps of stopping.
//!
//! Draining waits for every spawned task, so that no transfer is cut off. In addition: [`Workers`], threads for calls that may block for
//! long; [`Lookups`], which share and cache the results of such calls; [`ReusedTimer`]; [`memory`], which returns unused memory to the
//! system; and the limits of this process.

mod io_threads;
mod lookups;
pub(crate) mod memory;
mod reused_timer;
mod system;
mod workers;

#[cfg(test)]
#[path = "../tests/support/skip.rs"]
#[allow(dead_code, reason = "shared with the tests outside the crate")]
pub(crate) mod skip;

use std::future::Future;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use io_threads::{IoPlace, IoThreads, io_thread_number};
pub(crate) use lookups::Lookups;
pub(crate) use reused_timer::ReusedTimer;
pub(crate) use system::{descriptor_limit, shows_colours, terminal_size};
pub(crate) use workers::Workers;

/// Every task of the daemon. Clones share the same set.
#[derive(Clone, Debug, Default)]
pub struct Tasks(TaskTracker);

impl Tasks {
    /// Spawns `task` on the calling thread. [`Tasks::finished`] waits for its end.
    ///
    /// The task is boxed, because tokio copies it several times while it spawns and ends it, and the largest ones have 8 and 16 KiB.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(Box::pin(task));
    }

    /// Like [`Tasks::spawn`], on the thread of `place`, which counts the task until it ends.
    pub(crate) fn spawn_at(&self, place: IoPlace, task: impl Future<Output = ()> + Send + 'static) {
        let runtime = place.runtime().clone();
        let counted = async move {
            let _place = place;
            task.await;
        };
        self.0.spawn_on(Box::pin(counted), &runtime);
    }

    /// The number of running tasks.
    pub(crate) fn running(&self) -> usize {
        self.0.len()
    }

    /// Waits until no task runs.
    pub(crate) async fn finished(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

/// hyper spawns a task for each HTTP/2 stream.
impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// Stops in two steps: first gitferry accepts nothing new, then it ends what still runs.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    ended: CancellationToken,
}

impl Shutdown {
    /// Step one: accept nothing new, and let transfers finish.
    pub(crate) fn drain(&self) {
        self.draining.cancel();
    }

    /// Step two: end what still runs, with a fault that names shutdown.
    pub(crate) fn end(&self) {
        self.draining.cancel();
        self.ended.cancel();
    }

    /// True after step one.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits for step one.
    pub async fn drained(&self) {
        self.draining.cancelled().await;
    }

    /// True after step two.
    #[cfg(test)]
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits for step two.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}
