//! What is kept of every circuit that is not closed, and of the probes and trials that run.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    AvoidedCircuit,
    sole::{Sole, SoleAttempt},
};
use crate::model::Target;

/// Hosts are named by clients, who name as many as they like.
pub(super) const LIMIT: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) circuits: HashMap<CircuitKey, Circuit>,
    /// Closed circuits whose last request failed in a way that may have been chance.
    pub(super) suspects: HashSet<CircuitKey>,
    /// The probes and trials that run. Apart, so that one outlives its circuit's closing and no second one begins beside it.
    pub(super) running: HashMap<CircuitKey, CircuitUse>,
    /// The only upstreams of their hosts, which every request looks up twice: by the host, and by the label, since a reload may give it another.
    pub(super) soles: BTreeMap<Target, Vec<(Box<str>, Sole)>>,
    /// The attempts to reach those that are dead.
    pub(super) sole_attempts: HashSet<(CircuitKey, SoleAttempt)>,
}

/// By host, with its port, and by the upstream's label.
pub(super) type CircuitKey = (Box<str>, Box<str>);

#[derive(Clone, Debug)]
pub(super) struct Circuit {
    pub(super) route: Box<str>,
    pub(super) failures: u32,
    pub(super) opened: Instant,
    pub(super) last: Instant,
    pub(super) code: Box<str>,
    /// A probe reaches as far as this failure.
    pub(super) shallow: bool,
    /// An answer's head does not reach as far.
    pub(super) late: bool,
    pub(super) wait: Duration,
    pub(super) state: CircuitState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CircuitState {
    /// To be probed at this time.
    Open(Instant),
    /// The daemon dials.
    Probing,
    /// Whoever comes first may try.
    TrialDue,
    /// Somebody tries.
    Trial,
}

/// By whom a circuit is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CircuitUse {
    Probe,
    Trial,
}

/// What a circuit is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeDue {
    Nothing,
    Probe,
    Trial,
}

impl Circuit {
    pub(super) fn due(&self, now: Instant) -> ProbeDue {
        match self.state {
            CircuitState::Open(until) if now >= until => ProbeDue::Probe,
            CircuitState::TrialDue => ProbeDue::Trial,
            CircuitState::Open(_) | CircuitState::Probing | CircuitState::Trial => {
                ProbeDue::Nothing
            }
        }
    }

    pub(super) fn avoided(&self, upstream: &str, now: Instant) -> AvoidedCircuit {
        AvoidedCircuit {
            upstream: upstream.into(),
            since: now.saturating_duration_since(self.opened),
            failures: self.failures,
            code: self.code.clone(),
        }
    }

    /// Among the open ones: first those whose wait is over, as configured.
    pub(super) fn rank(&self, at: usize, now: Instant) -> (Option<Instant>, usize) {
        let waits = matches!(self.state, CircuitState::Open(until) if now < until);
        (waits.then_some(self.last), at)
    }
}

impl Table {
    /// Half of the table at once, so that a full one does not search with every failure.
    pub(super) fn forget_oldest(&mut self) {
        let mut times: Vec<Instant> = self.circuits.values().map(|circuit| circuit.last).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        self.circuits.retain(|_, circuit| circuit.last > median);
    }
}

pub(super) fn key(host: &str, upstream: &str) -> CircuitKey {
    (host.into(), upstream.into())
}
