//! The log lines about the history's file.

use tracing::warn;

use super::file::HistoryLoad;

/// The result of loading the history of earlier runs.
pub(crate) fn loaded(loaded: &HistoryLoad) {
    match loaded {
        HistoryLoad::Nothing => {}
        HistoryLoad::Read(last) => tracing::debug!(last, "history loaded"),
        HistoryLoad::SetAside(file, problem) => warn!(
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
pub(crate) fn not_saved(problem: &std::io::Error) {
    warn!(
        %problem,
        advice = "`directory` of `[state]` must be writable for the daemon, and its disk not full",
        "cannot save the history"
    );
}
