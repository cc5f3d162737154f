//! The state of every circuit that is not closed, and of running probes and trials.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    AvoidedCircuit, FailureDepth,
    sole::{Sole, SoleAttempt},
};
use crate::model::Target;

/// The largest number of entries of each table: clients choose the host names.
pub(super) const LIMIT: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct CircuitTable {
    pub(super) circuits: HashMap<CircuitKey, Circuit>,
    /// Closed circuits whose last request failed in a way that may have been chance.
    pub(super) suspects: HashSet<CircuitKey>,
    /// The running probes and trials. They are separate from the circuits because one may outlive its circuit, and no second one may begin
    /// meanwhile.
    pub(super) running: HashMap<CircuitKey, CircuitUse>,
    /// The only upstreams of their hosts. Every request looks them up by host and by label, because a reload may change the label.
    pub(super) soles: BTreeMap<Target, Vec<(Box<str>, Sole)>>,
    /// The running attempts to reach dead upstreams.
    pub(super) sole_attempts: HashSet<(CircuitKey, SoleAttempt)>,
}

/// The host, with its port, and the upstream's label.
pub(super) type CircuitKey = (Box<str>, Box<str>);

#[derive(Clone, Debug)]
pub(super) struct Circuit {
    pub(super) route: Box<str>,
    pub(super) failures: u32,
    pub(super) opened: Instant,
    pub(super) last: Instant,
    pub(super) code: Box<str>,
    /// How far the last failed attempt came.
    pub(super) depth: FailureDepth,
    pub(super) wait: Duration,
    pub(super) state: CircuitState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CircuitState {
    /// The time of the next probe.
    Open(Instant),
    /// A probe is under way.
    Probing,
    /// The next transfer may try.
    TrialDue,
    /// A transfer tries.
    Trial,
}

/// Who tries a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CircuitUse {
    Probe,
    Trial,
}

/// The next step for a circuit.
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

    /// The rank among open circuits: those whose wait is over come first, as configured.
    pub(super) fn rank(&self, at: usize, now: Instant) -> (Option<Instant>, usize) {
        let waits = matches!(self.state, CircuitState::Open(until) if now < until);
        (waits.then_some(self.last), at)
    }
}

impl CircuitTable {
    /// Removes the older half of the circuits, so that a full table is not searched at every failure.
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
