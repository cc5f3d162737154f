//! What was found so far: written by the checks as they end, read by the display and the verdict.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::Outcome;

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

/// A host over one upstream, by its names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PathName {
    /// The host asked for; the port stands behind it where it is none that the scheme implies.
    pub host: Box<str>,
    /// Its route.
    pub route: Arc<str>,
    /// What the host serves: `main-site`, `lfs-storage`, `other`.
    pub role: &'static str,
    /// The upstream's label.
    pub upstream: Arc<str>,
    /// Its place among the route's upstreams; none for one that the route does not have, which is tried as a way out.
    pub place: Option<usize>,
    /// True where no hop is between; the environment may name one or none.
    pub direct: bool,
    /// The upstream as a config writes it.
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
    /// Of what.
    pub subject: CheckSubject,
    /// The check's name.
    pub check: &'static str,
    /// What was found; pending until then.
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
    /// Makes room for a check that will be run.
    pub(super) fn plan(&self, subject: &CheckSubject, check: &'static str) {
        self.lock().push(Finding {
            subject: subject.clone(),
            check,
            outcome: Outcome::pending(),
            took: Duration::ZERO,
        });
    }

    /// Writes down what a planned check found.
    pub(super) fn put(
        &self,
        subject: &CheckSubject,
        check: &'static str,
        outcome: Outcome,
        took: Duration,
    ) {
        let mut findings = self.lock();
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

    /// True where the subject was planned before.
    pub(super) fn knows(&self, subject: &CheckSubject) -> bool {
        self.lock()
            .iter()
            .any(|finding| finding.subject == *subject)
    }

    /// A copy of everything.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.lock().clone()
    }

    /// Ends with the next change.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Finding>> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
