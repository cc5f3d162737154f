//! The result of a check: its state, a few words for a column, and facts for the verdict.

use super::{daemon::RecentFault, url::RemoteProtocol};
use crate::model::Target;
use crate::model::named::named;

named! {
/// The state of a check.
pub(crate) enum State {
    /// It has not ended.
    Pending = "unfinished",
    /// It passed.
    Passed = "ok",
    /// It found something unusual that breaks nothing.
    Warned = "warning",
    /// It failed.
    Failed = "failed",
    /// It could not be measured.
    Unmeasured = "not-measured",
    /// A check that it needs failed, or it does not apply.
    Skipped = "skipped",
}
}

/// What the verdict reads of a check beside its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckFacts {
    /// Who signed the certificate that was shown.
    pub issuer: Option<String>,
    /// When that certificate is valid, in seconds since 1970.
    pub validity: Option<(i64, i64)>,
    /// The log-in page of a network answers; its address, if it sends one.
    pub portal: Option<Option<String>>,
    /// The server's clock minus this machine's, in seconds.
    pub clock_skew: Option<i64>,
    /// The name resolves to an address that such a site cannot have: `fake`, `blocked` or `private`, and a sentence.
    pub implausible: Option<(&'static str, String)>,
    /// The hosts that an upload would go to.
    pub upload_hosts: Vec<(Target, RemoteProtocol)>,
    /// The `gitferry setup` that mends this client.
    pub setup: Option<&'static str>,
    /// A variable of this shell that hides the daemon's CA from git, whatever the set-up wrote.
    pub hides_ca: Option<&'static str>,
    /// The daemon is of another version than this command.
    pub other_version: bool,
    /// Only the daemon has the password of the proxy.
    pub lacks_password: bool,
    /// Recent faults of the daemon, equal ones once with their number.
    pub recent: Vec<(RecentFault, usize)>,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// How it ended.
    pub state: State,
    /// A few words for a column.
    pub shown: String,
    /// A sentence with details.
    pub detail: Option<String>,
    /// The code of the fault.
    pub code: Option<String>,
    /// What to do about it.
    pub advice: Option<String>,
    /// Facts for the verdict.
    pub facts: CheckFacts,
}

impl Outcome {
    fn new(state: State, shown: impl Into<String>) -> Self {
        Self {
            state,
            shown: shown.into(),
            detail: None,
            code: None,
            advice: None,
            facts: CheckFacts::default(),
        }
    }

    /// The check has not ended.
    pub(crate) fn pending() -> Self {
        Self::new(State::Pending, "not finished")
    }

    /// It passed.
    pub(crate) fn passed(shown: impl Into<String>) -> Self {
        Self::new(State::Passed, shown)
    }

    /// It found something unusual.
    pub(crate) fn warned(shown: impl Into<String>) -> Self {
        Self::new(State::Warned, shown)
    }

    /// It failed.
    pub(crate) fn failed(shown: impl Into<String>) -> Self {
        Self::new(State::Failed, shown)
    }

    /// It could not be measured.
    pub(crate) fn unmeasured(shown: impl Into<String>) -> Self {
        Self::new(State::Unmeasured, shown)
    }

    /// It does not apply, or was not run.
    pub(crate) fn skipped(shown: impl Into<String>) -> Self {
        Self::new(State::Skipped, shown)
    }

    /// With details.
    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With what to do about it.
    #[must_use]
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// With facts for the verdict.
    #[must_use]
    pub(crate) fn fact(mut self, set: impl FnOnce(&mut CheckFacts)) -> Self {
        set(&mut self.facts);
        self
    }
}
