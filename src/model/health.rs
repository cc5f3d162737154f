//! A circuit for each upstream and host: an upstream that failed is tried last until a probe shows that it is healthy again.
//!
//! | state | how it gets there | what it means |
//! |---|---|---|
//! | closed | the start; any success | tried in the order of the config |
//! | open | a transfer gave the upstream up: its attempts were used up, or the fault was a lasting one | tried last, the one that failed most recently last of all |
//! | probing | its wait is over, another upstream is healthy, and a transfer wants the host | tried last; the daemon dials it once in the background |
//! | trial | the probe connected, but the last failure came after the handshake | one transfer tries it first; if that client leaves, the next one does |
//!
//! The wait begins at `dial.cooldown` and doubles with every failure of a probe or a trial, up to [`LONGEST`] cooldowns. Where all
//! upstreams of a route are open, they are still tried; there are no probes then, because every transfer is one. The only upstream of a
//! host follows the rules of [`sole`]. One failure opens a circuit, because it is reported only after all attempts of `dial.attempts`.
//! (Envoy's outlier detection and linkerd2-proxy's consecutive failures count single requests.)
//!
//! A reset after the request was sent, where the request cannot be repeated, opens the circuit only if the next request fails the same way.
//!
//! A success must reach as far as the failure: after responses that broke off, only a complete response closes the circuit.
//!
//! Circuits belong to a host, not to a route: a hop that blocks the storage may still carry the main site. The caller supplies the clock,
//! makes the probes, and reports what changed.

mod change;
pub(crate) mod sole;
mod table;

use std::sync::MutexGuard;

use tokio::time::Instant;

use crate::sync::Mutex;

pub use change::CircuitStatus;
pub(crate) use change::{
    AvoidedCircuit, CircuitChange, CircuitFailure, CircuitQuery, FailureDepth, Order,
};
use table::{Circuit, CircuitState, CircuitTable, CircuitUse, LIMIT, ProbeDue, key};

/// The longest wait, in cooldowns.
pub(crate) const LONGEST: u32 = 10;
/// The most probes that run at once; further ones wait for a later transfer.
const PROBES: usize = 8;

/// All circuits that are not closed. All transfers share it and hold its lock only for a moment.
#[derive(Debug, Default)]
pub struct Health(Mutex<CircuitTable>);

/// How far a success reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Success {
    /// Up to the head of a response.
    Head,
    /// Up to the end of a response, or of a tunnel.
    Complete,
}

impl Health {
    /// True where every circuit is closed.
    pub(crate) fn all_closed(&self) -> bool {
        let table = self.table();
        table.circuits.is_empty() && table.suspects.is_empty()
    }

    /// Records that a transfer gave up on the upstream, or that its probe or trial failed.
    pub(crate) fn note_failure(&self, failure: CircuitFailure<'_>, now: Instant) -> CircuitChange {
        let mut table = self.table();
        if table.circuits.len() >= LIMIT {
            table.forget_oldest();
        }
        let longest = failure.cooldown.saturating_mul(LONGEST);
        let key = key(failure.host, failure.upstream);
        table.suspects.remove(&key);
        if let Some(circuit) = table.circuits.get_mut(&key) {
            circuit.failures = circuit.failures.saturating_add(1);
            // Concurrent attempts may report out of order.
            circuit.last = circuit.last.max(now);
            circuit.code = failure.code.into();
            circuit.depth = failure.depth;
            // Concurrent failures double the wait once, not several times.
            if !matches!(circuit.state, CircuitState::Open(until) if now < until) {
                circuit.wait = circuit.wait.saturating_mul(2).min(longest);
            }
            circuit.state = CircuitState::Open(circuit.last + circuit.wait);
            return CircuitChange::StaysOpen(circuit.wait);
        }
        let circuit = Circuit {
            route: failure.route.into(),
            failures: 1,
            opened: now,
            last: now,
            code: failure.code.into(),
            depth: failure.depth,
            wait: failure.cooldown,
            state: CircuitState::Open(now + failure.cooldown),
        };
        table.circuits.insert(key, circuit);
        CircuitChange::Opened(failure.cooldown)
    }

    /// Records the failure of a request that cannot be repeated. A second one without a success in between opens the circuit.
    pub(crate) fn note_doubtful_failure(
        &self,
        failure: CircuitFailure<'_>,
        now: Instant,
    ) -> Option<CircuitChange> {
        let key = key(failure.host, failure.upstream);
        {
            let mut table = self.table();
            if !table.circuits.contains_key(&key) && !table.suspects.contains(&key) {
                if table.suspects.len() >= LIMIT {
                    table.suspects.clear();
                }
                table.suspects.insert(key);
                return None;
            }
        }
        Some(self.note_failure(failure, now))
    }

    /// Records that the upstream worked for `host`, and closes the circuit. A failure after the head needs a complete response to close it.
    pub(crate) fn record_success(
        &self,
        host: &str,
        upstream: &str,
        success: Success,
        now: Instant,
    ) -> Option<CircuitChange> {
        let mut table = self.table();
        let key = key(host, upstream);
        table.suspects.remove(&key);
        table.circuits.get(&key).filter(|circuit| {
            success == Success::Complete || circuit.depth != FailureDepth::Response
        })?;
        let circuit = table.circuits.remove(&key)?;
        let lasted = now.saturating_duration_since(circuit.opened);
        Some(CircuitChange::Closed(lasted))
    }

    /// Records that the probe of [`Order::probe`] connected.
    pub(crate) fn record_connected_probe(
        &self,
        host: &str,
        upstream: &str,
        now: Instant,
    ) -> Option<CircuitChange> {
        let mut table = self.table();
        let circuit = table.circuits.get_mut(&key(host, upstream))?;
        if circuit.state != CircuitState::Probing {
            return None;
        }
        if circuit.depth == FailureDepth::Dial {
            drop(table);
            return self.record_success(host, upstream, Success::Head, now);
        }
        circuit.state = CircuitState::TrialDue;
        Some(CircuitChange::OnTrial)
    }

    /// Ends the trial of [`Order::trial`] or the probe of [`Order::probe`]. If it had no result (the trial's client left), the next transfer is
    /// the trial, or another probe follows after the same wait.
    pub(crate) fn end_attempt(&self, host: &str, upstream: &str, now: Instant) {
        let mut table = self.table();
        let key = key(host, upstream);
        let tried = table.running.remove(&key);
        let Some(circuit) = table.circuits.get_mut(&key) else {
            return;
        };
        circuit.state = match (circuit.state, tried) {
            (CircuitState::Trial, Some(CircuitUse::Trial)) => CircuitState::TrialDue,
            (CircuitState::Probing, Some(CircuitUse::Probe)) => {
                CircuitState::Open(now + circuit.wait)
            }
            (state, _) => state,
        };
    }

    /// The order in which to try `wanted`: as configured, with open circuits last, the most recent failure at the very end.
    pub(crate) fn order(&self, wanted: CircuitQuery<'_>, now: Instant) -> Order {
        let natural = || (0..wanted.upstreams.len()).collect();
        let mut table = self.table();
        if table.circuits.is_empty() || wanted.cooldown.is_zero() {
            return Order {
                upstreams: natural(),
                ..Order::default()
            };
        }
        let mut open: Vec<(usize, Circuit)> = Vec::new();
        let mut order = Order::default();
        for (at, upstream) in wanted.upstreams.iter().enumerate() {
            match table.circuits.get(&key(wanted.host, upstream)) {
                None => order.upstreams.push(at),
                Some(circuit) => open.push((at, circuit.clone())),
            }
        }
        table.try_one(&wanted, &open, &mut order, now);
        open.retain(|(at, _)| !order.upstreams.contains(at));
        open.sort_by_key(|(at, circuit)| circuit.rank(*at, now));
        let first = order.upstreams.first().or(open.first().map(|(at, _)| at));
        let first = first.copied();
        order.avoided = open
            .iter()
            .min_by_key(|(at, _)| at)
            .filter(|(at, _)| first.is_some_and(|first| *at < first))
            .map(|(at, circuit)| {
                let upstream = wanted.upstreams.get(*at).copied();
                circuit.avoided(upstream.unwrap_or_default(), now)
            });
        order.upstreams.extend(open.into_iter().map(|(at, _)| at));
        order
    }

    /// True where a probe's failure must still be reported: its circuit was not closed or forgotten meanwhile.
    pub(crate) fn is_probing(&self, host: &str, upstream: &str) -> bool {
        let circuit = self
            .table()
            .circuits
            .get(&key(host, upstream))
            .map(|it| it.state);
        circuit == Some(CircuitState::Probing)
    }

    /// Forgets all circuits for a new config: it may have other upstreams of the same names, and a user who repaired one wants to use it.
    /// Running probes and trials still end normally.
    pub(crate) fn clear(&self) {
        let mut table = self.table();
        table.circuits.clear();
        table.suspects.clear();
        table.soles.clear();
    }

    /// The circuit, where it is not closed.
    pub(crate) fn circuit(
        &self,
        host: &str,
        upstream: &str,
        now: Instant,
    ) -> Option<AvoidedCircuit> {
        let table = self.table();
        let circuit = table.circuits.get(&key(host, upstream))?;
        Some(circuit.avoided(upstream, now))
    }

    /// Every circuit that is not closed, by host and upstream label.
    pub fn snapshot(&self) -> Vec<CircuitStatus> {
        let mut conditions: Vec<CircuitStatus> = self
            .table()
            .circuits
            .iter()
            .map(|((host, upstream), circuit)| CircuitStatus {
                host: host.clone(),
                route: circuit.route.clone(),
                upstream: upstream.clone(),
                failures: circuit.failures,
                last: circuit.last,
                code: circuit.code.clone(),
                state: match circuit.state {
                    CircuitState::Open(_) => "open",
                    CircuitState::Probing => "probing",
                    CircuitState::TrialDue | CircuitState::Trial => "trial",
                },
            })
            .collect();
        conditions.sort_by(|a, b| (&a.host, &a.upstream).cmp(&(&b.host, &b.upstream)));
        conditions
    }

    fn table(&self) -> MutexGuard<'_, CircuitTable> {
        self.0.lock()
    }
}

impl CircuitTable {
    /// Chooses the open upstream that this transfer tries, itself or with a probe in the background.
    fn try_one(
        &mut self,
        wanted: &CircuitQuery<'_>,
        open: &[(usize, Circuit)],
        order: &mut Order,
        now: Instant,
    ) {
        let Some(first_healthy) = order.upstreams.first().copied() else {
            // Where no upstream is healthy, every transfer is a probe.
            return;
        };
        // A probe pays off only for an upstream that would be tried first.
        for (at, circuit) in open.iter().filter(|(at, _)| *at < first_healthy) {
            let Some(upstream) = wanted.upstreams.get(*at) else {
                continue;
            };
            let probes = self.running.values();
            let free = probes.filter(|tried| **tried == CircuitUse::Probe).count() < PROBES;
            let key = key(wanted.host, upstream);
            if self.running.contains_key(&key) {
                continue;
            }
            let Some(known) = self.circuits.get_mut(&key) else {
                continue;
            };
            match circuit.due(now) {
                ProbeDue::Trial => {
                    known.state = CircuitState::Trial;
                    self.running.insert(key, CircuitUse::Trial);
                    order.trial = true;
                    order.upstreams.insert(0, *at);
                    return;
                }
                ProbeDue::Probe if free => {
                    known.state = CircuitState::Probing;
                    self.running.insert(key, CircuitUse::Probe);
                    order.probe = Some(*at);
                    return;
                }
                ProbeDue::Probe | ProbeDue::Nothing => {}
            }
        }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
