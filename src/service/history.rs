//! The history of finished transfers over restarts: read at start, saved every minute and at the end.

use std::{path::Path, time::Duration};

use crate::{
    forward::Shared,
    track::history::{file::HistoryLoad, lines},
};

/// How often it is saved while transfers end: what a crash can lose.
const EVERY: Duration = Duration::from_secs(60);

/// Reads the history of `directory`, and keeps it saved until the daemon drains.
pub(super) fn begin(shared: &Shared, directory: &Path) {
    let loaded = shared.tracker.history().load(directory);
    lines::loaded(&loaded);
    if let HistoryLoad::Read(last) = loaded {
        shared.tracker.continue_after(last);
    }
    let (saved, directory) = (shared.clone(), directory.to_owned());
    shared.tasks.spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = saved.shutdown.drained() => return,
            }
            let (shared, directory) = (saved.clone(), directory.clone());
            // It waits for a disk.
            let _ = tokio::task::spawn_blocking(move || save(&shared, &directory)).await;
        }
    });
}

/// Saves what is new.
pub(super) fn save(shared: &Shared, directory: &Path) {
    if let Err(problem) = shared.tracker.history().save(directory) {
        lines::not_saved(&problem);
    }
}
