//! The table of checks.

use super::path::{self, Probe};
use crate::net::dial::Boxed;

/// One row: what is tried, when, and what its failure means.
pub(crate) struct Check {
    /// The stable name.
    pub name: &'static str,
    /// The checks that must have succeeded before; where one has not, this one is silent.
    pub needs: &'static [&'static str],
    /// The checks that must be over before, however they ended.
    pub after: &'static [&'static str],
    /// How it is run, and on what.
    pub run: Run,
    /// What its failure means, in a sentence without a full stop.
    pub means: &'static str,
}

/// How a check is run, by the kind of subject.
pub(crate) enum Run {
    /// On one host over one upstream.
    Path(for<'a> fn(&'a Probe) -> Boxed<'a, Outcome>),
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is still running, or has not begun.
    Pending,
    /// All is well.
    Passed,
    /// Something is odd; nothing is broken by it.
    Warned,
    /// Something is broken.
    Failed,
    /// Nothing could be said either way.
    Unmeasured,
    /// Something that it needs failed, or it does not apply.
    Skipped,
}

impl State {
    /// The name in JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "unfinished",
            Self::Passed => "ok",
            Self::Warned => "warning",
            Self::Failed => "failed",
            Self::Unmeasured => "not-measured",
            Self::Skipped => "skipped",
        }
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
    ImplausibleAddress(String),
    /// The status of an answer.
    Status(u16),
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

    /// With a fact for the verdict.
    #[must_use]
    pub(crate) fn fact(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }
}

/// Every check, in the order in which it is shown.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "name",
        needs: &[],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::name::run(probe))),
        means: "the name cannot be looked up, or leads to an address that such a site cannot have",
    },
    Check {
        name: "tcp",
        needs: &["name"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::tcp::run(probe))),
        means: "no TCP connection comes about: the port is filtered or nobody listens",
    },
    Check {
        name: "hop",
        needs: &["tcp"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::hop::run(probe))),
        means: "the hop does not connect to this host",
    },
    Check {
        name: "tls",
        needs: &["hop"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::tls::usual(probe))),
        means: "something on the path cuts or swallows the TLS handshake",
    },
    Check {
        name: "tls-small",
        needs: &["hop"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::tls::small(probe))),
        means: "the handshake fails even with the smallest ClientHello",
    },
    Check {
        name: "tls-large",
        needs: &["hop"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::tls::large(probe))),
        means: "a ClientHello of two packets, as new OpenSSL and Go send it, does not get through",
    },
    Check {
        name: "tls-no-sni",
        needs: &["hop"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::tls::nameless(probe))),
        means: "the handshake fails even without the host's name in it",
    },
    Check {
        name: "certificate",
        needs: &["tls"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::tls::certificate(probe))),
        means: "whoever answers cannot prove to be this host",
    },
    Check {
        name: "portal",
        needs: &["hop"],
        after: &["tls", "certificate"],
        run: Run::Path(|probe| Box::pin(path::portal::run(probe))),
        means: "the network's log-in page answers in the place of the site",
    },
    Check {
        name: "ssh",
        needs: &["hop"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::ssh::run(probe))),
        means: "no ssh server answers",
    },
    Check {
        name: "http",
        needs: &["certificate"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::http::run(probe))),
        means: "the site does not answer a request",
    },
    Check {
        name: "post-1k",
        needs: &["http"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::post::kibibyte(probe))),
        means: "a small request body does not arrive, or gets no answer",
    },
    Check {
        name: "post-mtu",
        needs: &["post-1k"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::post::beyond_mtu(probe))),
        means: "the path loses large packets (path MTU)",
    },
    Check {
        name: "post-256k",
        needs: &["post-mtu"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::post::quarter_mebibyte(probe))),
        means: "an upload stops in its middle",
    },
    Check {
        name: "path",
        needs: &["http"],
        after: &["post-1k", "post-mtu", "post-256k"],
        run: Run::Path(|probe| Box::pin(path::post::measured(probe))),
        means: "the kernel does not tell what it measured",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_needs_only_checks_that_stand_before_it() {
        let mut before = BTreeSet::new();
        for check in CHECKS {
            for needed in check.needs.iter().chain(check.after) {
                assert!(before.contains(needed), "{} needs {needed}", check.name);
            }
            assert!(before.insert(check.name), "{} stands twice", check.name);
            assert!(!check.means.ends_with('.'), "{}", check.name);
        }
    }
}
