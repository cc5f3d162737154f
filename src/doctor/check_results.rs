//! The findings so far. The checks write them, the display and the verdict read them.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::Outcome;

use crate::sync::Mutex;

/// What a check was run on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum CheckSubject {
    /// A host over one upstream.
    Path(PathName),
    /// This machine.
    Machine,
    /// An installed client, by name and version.
    Client(Box<str>),
}

/// The names of a host and an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PathName {
    /// The host asked for, with its port unless the scheme implies it.
    pub host: Box<str>,
    /// Its route.
    pub route: Arc<str>,
    /// What the host serves: `main-site`, `lfs-storage`, `other`.
    pub role: &'static str,
    /// The upstream's label.
    pub upstream: Arc<str>,
    /// The upstream's position in the route; `None` for an upstream of another route, which is tried as an alternative.
    pub place: Option<usize>,
    /// True for a connection without a hop; `environment` may be one or the other.
    pub direct: bool,
    /// The upstream in the syntax of the config.
    pub written: Box<str>,
}

impl fmt::Display for CheckSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{} via {}", path.host, path.upstream),
            Self::Machine => f.write_str("this machine"),
            Self::Client(name) => f.write_str(name),
        }
    }
}

/// One check of one subject.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// What was checked.
    pub subject: CheckSubject,
    /// The check's name.
    pub check: &'static str,
    /// The result; pending until the check ends.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// All findings, in the order in which their checks were planned.
#[derive(Debug, Default)]
pub(crate) struct CheckResults {
    findings: Mutex<Vec<Finding>>,
    changed: Notify,
}

impl CheckResults {
    /// Adds a pending finding for a check that will run.
    pub(super) fn plan(&self, subject: &CheckSubject, check: &'static str) {
        self.findings.lock().push(Finding {
            subject: subject.clone(),
            check,
            outcome: Outcome::pending(),
            took: Duration::ZERO,
        });
    }

    /// Saves the result of a planned check.
    pub(super) fn put(
        &self,
        subject: &CheckSubject,
        check: &'static str,
        outcome: Outcome,
        took: Duration,
    ) {
        let mut findings = self.findings.lock();
        let planned = findings
            .iter_mut()
            .find(|finding| finding.check == check && finding.subject == *subject);
        if let Some(finding) = planned {
            finding.outcome = outcome;
            finding.took = took;
        }
        drop(findings);
        self.changed.notify_waiters();
    }

    /// True where checks of the subject are planned.
    pub(super) fn knows(&self, subject: &CheckSubject) -> bool {
        self.findings
            .lock()
            .iter()
            .any(|finding| finding.subject == *subject)
    }

    /// A copy of everything.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.findings.lock().clone()
    }

    /// Waits for the next change.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
