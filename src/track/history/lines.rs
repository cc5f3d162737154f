//! The log lines about the history's file.

use std::{io, path::Path};

use tracing::{info, warn};

use super::file::HistoryLoad;

/// The result of loading the history of earlier runs.
pub(crate) fn loaded(loaded: &HistoryLoad) {
    match loaded {
        HistoryLoad::Nothing => {}
        HistoryLoad::Read(last) => tracing::debug!(last, "history loaded"),
        HistoryLoad::Renamed(file, problem) => warn!(
            problem,
            file = %file.display(),
            advice = "a new history was started; you can delete the damaged file",
            "history is damaged, the file was renamed"
        ),
        HistoryLoad::Unreadable(problem) => warn!(
            problem,
            advice = "`directory` of `[state]` must be readable and writable for the daemon",
            "cannot read the history"
        ),
    }
}

/// The history could not be written.
pub(crate) fn not_saved(problem: &io::Error) {
    warn!(
        %problem,
        advice = "`directory` of `[state]` must be writable for the daemon, and its disk not full",
        "cannot save the history"
    );
}

/// Another daemon owns the state directory: this one does not save its history until the other one ends.
pub(crate) fn owned_by_another(directory: &Path, process: Option<u32>) {
    warn!(
        directory = %directory.display(),
        process,
        advice = "if both daemons are to run, give this one a state directory of its own: `directory` of `[state]`",
        "another daemon uses the state directory, the history is not saved until it stops"
    );
}

/// The other daemon has ended.
pub(crate) fn taken_over(directory: &Path) {
    info!(directory = %directory.display(), "the other daemon has stopped, the history is saved");
}

/// The file system cannot lock, so nothing prevents a second daemon.
pub(crate) fn not_locked(directory: &Path, error: &io::Error) {
    info!(
        directory = %directory.display(),
        %error,
        "cannot lock the state directory, run only one daemon on it"
    );
}
