//! What a check finds: how it ended, a few words for a column, and what the verdict must know.

use super::url::RemoteProtocol;
use crate::model::Target;
use crate::model::named::named;

named! {
/// How a check ended.
pub(crate) enum State {
    /// It is still running, or has not begun.
    Pending = "unfinished",
    /// All is well.
    Passed = "ok",
    /// Something is odd; nothing is broken by it.
    Warned = "warning",
    /// Something is broken.
    Failed = "failed",
    /// Nothing could be said either way.
    Unmeasured = "not-measured",
    /// Something that it needs failed, or it does not apply.
    Skipped = "skipped",
}
}

/// What the verdict must know beyond how a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// Who signed the certificate in the place of the site.
    Issuer(String),
    /// A log-in page of the network answers; where it leads, if it says so.
    Portal(Option<String>),
    /// The server's clock minus this machine's, in seconds.
    ClockSkew(i64),
    /// When the certificate is valid, in seconds since 1970.
    Validity(i64, i64),
    /// The addresses that a name led to are none that such a site can have.
    ImplausibleAddress {
        /// `fake`, `blocked` or `private`.
        word: &'static str,
        /// Which name leads where.
        sentence: String,
    },
    /// The status of an answer.
    Status(u16),
    /// A host that an upload would go to.
    Leads(Target, RemoteProtocol),
    /// A set-up of this client, which mends it.
    Client(&'static str),
    /// A variable of this shell that hides the daemon's CA from git, whatever the set-up wrote.
    HidesCa(&'static str),
    /// The daemon is of another version than this command.
    OtherVersion,
    /// The daemon had this fault with a site a short time ago.
    Recent(RecentFaults),
}

/// Equal faults of the running daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecentFaults {
    /// The host asked for.
    pub host: String,
    /// `leg/stage/kind`.
    pub code: String,
    /// Over which upstream.
    pub upstream: Option<String>,
    /// The advice of the log.
    pub advice: Option<String>,
    /// How many.
    pub count: usize,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// How it ended.
    pub state: State,
    /// A few words for a column.
    pub shown: String,
    /// A sentence more.
    pub detail: Option<String>,
    /// The code of the fault.
    pub code: Option<String>,
    /// What to do about it.
    pub advice: Option<String>,
    /// What the verdict must know.
    pub facts: Vec<Fact>,
}

impl Outcome {
    fn new(state: State, shown: impl Into<String>) -> Self {
        Self {
            state,
            shown: shown.into(),
            detail: None,
            code: None,
            advice: None,
            facts: Vec::new(),
        }
    }

    /// All is well.
    pub(crate) fn passed(shown: impl Into<String>) -> Self {
        Self::new(State::Passed, shown)
    }

    /// Something is odd.
    pub(crate) fn warned(shown: impl Into<String>) -> Self {
        Self::new(State::Warned, shown)
    }

    /// Something is broken.
    pub(crate) fn failed(shown: impl Into<String>) -> Self {
        Self::new(State::Failed, shown)
    }

    /// Nothing could be said.
    pub(crate) fn unmeasured(shown: impl Into<String>) -> Self {
        Self::new(State::Unmeasured, shown)
    }

    /// It does not apply here, or is silent.
    pub(crate) fn skipped(shown: impl Into<String>) -> Self {
        Self::new(State::Skipped, shown)
    }

    /// With a sentence more.
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

    /// With a fact for the verdict.
    #[must_use]
    pub(crate) fn fact(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }
}
