//! Circuits in use: the order in which a transfer tries its upstreams, the failures recorded against them, and probes.
//!
//! [`crate::model::health`] has the rules; this module dials and reports changes.

use std::sync::Arc;

use tokio::time::Instant;

use crate::forward::{
    forwarder::{Forwarder, Shared},
    upstream::background_dial::{BackgroundDial, Probing},
    upstream::destination::UpstreamNeeds,
};
use crate::{
    config::{Route, Upstream},
    model::{
        Fault, Stage, Target, TlsMode,
        attempts::Cause,
        health::{
            CircuitChange, CircuitFailure, CircuitQuery, FailureDepth, Health, Success,
            sole::{DeadUpstream, SoleAttempt, SoleWait},
        },
    },
    track::{
        TransferHandle,
        event::{CircuitChanged, CircuitTurn, UpstreamReturned},
        redact,
    },
};

/// What a circuit belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CircuitScope<'a> {
    pub(crate) route: &'a Arc<Route>,
    pub(crate) target: &'a Target,
}

/// Permission for a transfer or probe to try an open circuit; returned when dropped.
#[derive(Debug)]
pub(crate) struct Trial {
    health: Arc<Health>,
    host: Box<str>,
    upstream: Arc<str>,
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.health
            .end_attempt(&self.host, &self.upstream, Instant::now());
    }
}

/// An attempt to reach a dead upstream; ends when dropped.
#[derive(Debug)]
pub(crate) struct DeadAttempt {
    health: Arc<Health>,
    host: Box<str>,
    upstream: Arc<str>,
    attempt: SoleAttempt,
}

impl Drop for DeadAttempt {
    fn drop(&mut self) {
        self.health
            .end_sole_attempt(&self.host, &self.upstream, self.attempt);
    }
}

impl CircuitScope<'_> {
    fn host(&self) -> String {
        self.target.to_string()
    }

    /// The indices of fitting upstreams in the route's list, in the order to try them, and permission to try the first where it is on trial;
    /// starts a probe where one is due.
    pub(crate) fn order(
        self,
        forwarder: &Arc<Forwarder>,
        transfer: &TransferHandle,
        needs: UpstreamNeeds,
        probing: Probing,
    ) -> (Vec<usize>, Option<Trial>) {
        let fitting: Vec<(usize, &Arc<Upstream>)> = self
            .route
            .upstreams
            .iter()
            .enumerate()
            .filter(|(_, upstream)| needs.is_met_by(upstream))
            .collect();
        if fitting.len() < 2 {
            return (fitting.into_iter().map(|(at, _)| at).collect(), None);
        }
        let labels: Vec<&str> = fitting
            .iter()
            .map(|(_, upstream)| &*upstream.label)
            .collect();
        let host = self.host();
        let wanted = CircuitQuery {
            host: &host,
            upstreams: &labels,
            cooldown: self.route.dial.cooldown,
        };
        let order = forwarder.shared.health.order(wanted, Instant::now());
        if let Some(avoided) = &order.avoided {
            transfer.note_avoided_circuit(avoided);
        }
        if let Some((_, upstream)) = order.probe.and_then(|at| fitting.get(at)) {
            self.probe(forwarder, upstream, probing);
        }
        let tried = order.upstreams.first().filter(|_| order.trial);
        let tried = tried.and_then(|at| labels.get(*at));
        let trial = tried.map(|label| self.trial(&forwarder.shared, label));
        let places = order.upstreams.into_iter();
        let places = places.filter_map(|at| Some(fitting.get(at)?.0)).collect();
        (places, trial)
    }

    fn trial(self, shared: &Shared, upstream: &str) -> Trial {
        Trial {
            health: Arc::clone(&shared.health),
            host: self.host().into(),
            upstream: upstream.into(),
        }
    }

    /// The upstream worked for this host.
    pub(crate) fn note_success(self, shared: &Shared, upstream: &Upstream, success: Success) {
        if shared.health.all_closed() {
            return;
        }
        let (host, now) = (self.host(), Instant::now());
        if let Some(change) = shared
            .health
            .record_success(&host, &upstream.label, success, now)
        {
            self.report_change(shared, upstream, CircuitTurn::Transfer, change, None);
        }
    }

    /// A success through the only upstream of this host.
    pub(crate) fn note_sole_success(self, shared: &Shared, upstream: &Upstream) {
        let now = Instant::now();
        let health = &shared.health;
        if let Some(away) = health.note_sole_success(self.target, &upstream.label, now) {
            shared.tracker.emit(&UpstreamReturned {
                host: self.target.host.to_string(),
                port: self.target.port,
                route: self.route.name.to_string(),
                upstream: redact::text(&upstream.label),
                away,
            });
        }
    }

    /// The wait of a request that used its attempts up, for the only upstream of this host.
    pub(crate) fn sole_wait(
        self,
        shared: &Shared,
        upstream: &Upstream,
        now: Instant,
    ) -> Option<SoleWait> {
        let patience = self.route.dial.patience;
        let health = &shared.health;
        health.sole_wait(self.target, &upstream.label, patience, now)
    }

    /// The only upstream of this host did not return.
    pub(crate) fn note_sole_death(
        self,
        shared: &Shared,
        upstream: &Upstream,
        fault: &Fault,
        now: Instant,
    ) {
        let cooldown = (self.route.dial.cooldown, now);
        let health = &shared.health;
        health.note_sole_death(self.target, &upstream.label, fault, cooldown);
    }

    /// Why the only upstream of this host is known to be dead.
    pub(crate) fn known_dead(self, shared: &Shared, upstream: &Upstream) -> Option<DeadUpstream> {
        let health = &shared.health;
        health.known_dead(self.target, &upstream.label, Instant::now())
    }

    /// Permission to try the only upstream of this host although it is dead; `None` where another request tries it.
    pub(crate) fn try_dead(
        self,
        shared: &Shared,
        upstream: &Upstream,
        attempt: SoleAttempt,
    ) -> Option<DeadAttempt> {
        let host = self.host();
        let may = shared
            .health
            .begin_sole_attempt(&host, &upstream.label, attempt);
        may.then(|| DeadAttempt {
            health: Arc::clone(&shared.health),
            host: host.into(),
            upstream: upstream.label.clone(),
            attempt,
        })
    }

    /// A transfer gave up on the upstream for this host.
    pub(crate) fn note_failure(self, shared: &Shared, upstream: &Upstream, cause: &Cause) {
        self.failed(shared, upstream, CircuitTurn::Transfer, cause);
    }

    /// The upstream failed once for this host, perhaps by chance.
    pub(crate) fn note_suspicion(self, shared: &Shared, upstream: &Upstream, cause: &Cause) {
        if !self.has_circuits() {
            return;
        }
        let host = self.host();
        let failure = self.failure(&host, upstream, cause);
        if let Some(change) = shared.health.note_doubtful_failure(failure, Instant::now()) {
            self.report_change(
                shared,
                upstream,
                CircuitTurn::Transfer,
                change,
                Some(&cause.code),
            );
        }
    }

    fn failed(self, shared: &Shared, upstream: &Upstream, turn: CircuitTurn, cause: &Cause) {
        if !self.has_circuits() {
            return;
        }
        let host = self.host();
        let failure = self.failure(&host, upstream, cause);
        let change = shared.health.note_failure(failure, Instant::now());
        self.report_change(shared, upstream, turn, change, Some(&cause.code));
    }

    fn failure<'f>(
        &'f self,
        host: &'f str,
        upstream: &'f Upstream,
        cause: &'f Cause,
    ) -> CircuitFailure<'f> {
        // In a tunnel the client makes the handshake, so a probe does not reach as far.
        let reach = match self.route.tls {
            TlsMode::Tunnel => Stage::Greeting,
            TlsMode::Terminate | TlsMode::Deny => Stage::Handshaking,
        };
        CircuitFailure {
            host,
            route: &self.route.name,
            upstream: &upstream.label,
            code: &cause.code,
            depth: if cause.stage <= reach {
                FailureDepth::Dial
            } else if cause.stage < Stage::ReceivingBody {
                FailureDepth::Request
            } else {
                FailureDepth::Response
            },
            cooldown: self.route.dial.cooldown,
        }
    }

    /// False where every order of upstreams is the same: a circuit would show a choice that nobody has.
    fn has_circuits(self) -> bool {
        self.route.upstreams.len() > 1 && !self.route.dial.cooldown.is_zero()
    }

    fn report_change(
        self,
        shared: &Shared,
        upstream: &Upstream,
        turn: CircuitTurn,
        change: CircuitChange,
        code: Option<&str>,
    ) {
        shared.tracker.emit(&CircuitChanged {
            host: self.target.host.to_string(),
            port: self.target.port,
            route: self.route.name.to_string(),
            upstream: redact::text(&upstream.label),
            turn,
            change,
            known: shared
                .health
                .circuit(&self.host(), &upstream.label, Instant::now()),
            code: code.map(ToOwned::to_owned),
        });
    }

    /// Dials once in a task of its own, independent of any client.
    fn probe(self, forwarder: &Arc<Forwarder>, upstream: &Arc<Upstream>, probing: Probing) {
        let shared = &forwarder.shared;
        let trial = self.trial(shared, &upstream.label);
        let (turn, change) = (CircuitTurn::Probe, CircuitChange::Probing);
        self.report_change(shared, upstream, turn, change, None);
        let dial = BackgroundDial::new(self.route, upstream, self.target, probing);
        let forwarder = Arc::clone(forwarder);
        shared.tasks.spawn(async move {
            let (shared, scope) = (&forwarder.shared, dial.scope());
            let upstream = &dial.upstream;
            let dialled = tokio::select! {
                dialled = dial.dial_once(&forwarder, dial.route.http) => dialled,
                () = shared.shutdown.drained() => return,
            };
            let (health, host) = (&shared.health, scope.host());
            match dialled {
                Ok(_) => {
                    let now = Instant::now();
                    if let Some(change) = health.record_connected_probe(&host, &upstream.label, now)
                    {
                        scope.report_change(shared, upstream, turn, change, None);
                    }
                }
                Err(fault) if health.is_probing(&host, &upstream.label) => {
                    scope.failed(shared, upstream, turn, &Cause::of(&fault));
                }
                // The circuit was closed meanwhile, or belongs to an earlier config: the result no longer counts.
                Err(_) => {}
            }
            drop(trial);
        });
    }
}

impl BackgroundDial {
    pub(super) fn scope(&self) -> CircuitScope<'_> {
        CircuitScope {
            route: &self.route,
            target: &self.target,
        }
    }
}
