//! Keeps the history of finished transfers across restarts: reads it at start, saves it every minute and at the end.
//!
//! Only the owner of the state directory reads and saves it. A daemon that starts while another one owns the directory, such as the old one
//! that still drains, keeps its history in memory and takes the file over when that daemon has ended.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::state_lock::{LockAttempt, StateLock};
use crate::{
    forward::Shared,
    sync::Mutex,
    track::history::{History, file::HistoryLoad, lines},
};

/// The interval between two saves while transfers end: a crash loses at most this much.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// How often a daemon that does not own the directory tries to take it over.
const TAKE_OVER_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the history of a daemon in the file of its state directory.
#[derive(Clone)]
pub(super) struct HistoryKeeper {
    shared: Shared,
    directory: PathBuf,
    /// `None` while another daemon owns the directory.
    lock: Arc<Mutex<Option<StateLock>>>,
}

impl HistoryKeeper {
    /// Reads the history of `directory`, and keeps it saved until the daemon drains.
    pub(super) fn begin(shared: &Shared, directory: PathBuf) -> Self {
        let keeper = Self {
            shared: shared.clone(),
            directory,
            lock: Arc::default(),
        };
        if let Err(owner) = keeper.take() {
            lines::owned_by_another(&keeper.directory, owner);
            // Numbers that the other daemon has given are not given again.
            let last = History::last_number(&keeper.directory);
            shared.tracker.continue_after(last);
        }
        shared.tasks.spawn(keeper.clone().save_regularly());
        keeper
    }

    async fn save_regularly(self) {
        loop {
            let owned = self.owns();
            tokio::select! {
                () = tokio::time::sleep(if owned { SAVE_INTERVAL } else { TAKE_OVER_INTERVAL }) => {}
                () = self.shared.shutdown.drained() => return,
            }
            let keeper = self.clone();
            // Disk I/O may block.
            let _ = tokio::task::spawn_blocking(move || match owned {
                true => keeper.save(),
                false => keeper.take_over(),
            })
            .await;
        }
    }

    /// Saves new entries; where another daemon owns the directory, this run's history ends with the process.
    pub(super) fn save(&self) {
        if !self.owns() {
            self.take_over();
        }
        if self.owns()
            && let Err(problem) = self.shared.tracker.history().save(&self.directory)
        {
            lines::not_saved(&problem);
        }
    }

    fn take_over(&self) {
        if self.take().is_ok() {
            lines::taken_over(&self.directory);
        }
    }

    /// Locks the directory and reads the history. Fails where another daemon owns it, with its process id if known.
    fn take(&self) -> Result<(), Option<u32>> {
        let lock = match StateLock::attempt(&self.directory) {
            LockAttempt::Taken(lock) => lock,
            LockAttempt::Busy(owner) => return Err(owner),
            LockAttempt::Unsupported(lock, error) => {
                lines::not_locked(&self.directory, &error);
                lock
            }
        };
        let loaded = self.shared.tracker.history().load(&self.directory);
        lines::loaded(&loaded);
        if let HistoryLoad::Read(last) = loaded {
            self.shared.tracker.continue_after(last);
        }
        *self.lock.lock() = Some(lock);
        Ok(())
    }

    fn owns(&self) -> bool {
        self.lock.lock().is_some()
    }
}
