//! Reaching an origin: every upstream of the route, every attempt, until one stands or none is left.
//!
//! [`UpstreamPlan`] keeps the place in that sequence, so that a tunnel whose origin hangs up before its first byte goes on where
//! dialling had stopped. What comes after a fault is decided by [`RetryPolicy`]; this module waits and goes on.

use std::sync::Arc;

use crate::forward::{
    Forwarder,
    upstream::attempt::{Once, Purpose, Reached, once},
    upstream::circuit,
    upstream::destination::UpstreamNeeds,
};
use crate::{
    config::{Route, Upstream},
    model::{
        Fault, FaultKind, Leg, Stage, Target,
        attempts::{
            Next,
            policy::{Decision, RetryPolicy, SMALL_SEGMENT, Tried, suspects_large_segments},
        },
    },
    track::Transfer,
};

/// The sequence of upstreams and attempts of one transfer.
#[derive(Clone)]
pub(crate) struct UpstreamPlan {
    route: Arc<Route>,
    target: Target,
    order: Vec<usize>,
    at: usize,
    on_this: u32,
    total: u32,
    policy: RetryPolicy,
    wants: UpstreamNeeds,
    public_only: bool,
    /// Leave to try an open circuit.
    trial: Option<Arc<circuit::Trial>>,
    /// Something looked as if large segments were lost.
    small_segments: bool,
}

impl UpstreamPlan {
    /// Begins at the route's first fitting upstream whose circuit is closed, or at the one that this transfer is to try.
    pub(crate) fn new(
        forwarder: &Forwarder,
        transfer: &Transfer,
        about: circuit::About<'_>,
        wants: UpstreamNeeds,
        probing: circuit::Probing,
    ) -> Self {
        let route = about.route;
        let (order, trial) = about.order(forwarder, transfer, wants, probing);
        let dial = &route.dial;
        let policy = RetryPolicy::new(dial.attempts, dial.backoff, dial.backoff_limit);
        Self {
            route: Arc::clone(route),
            target: about.target.clone(),
            order,
            at: 0,
            on_this: 0,
            total: 0,
            policy,
            wants,
            public_only: probing.public_only,
            trial,
            small_segments: false,
        }
    }

    /// The upstream whose turn it is.
    pub(crate) fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.order
            .get(self.at)
            .and_then(|index| self.route.upstreams.get(*index))
    }

    /// The route.
    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    /// True where a name must not lead into a private network.
    pub(crate) fn public_only(&self) -> bool {
        self.public_only
    }

    /// True before any attempt.
    pub(crate) fn is_first(&self) -> bool {
        self.total == 0
    }

    /// Counts an attempt and says so.
    pub(crate) fn begin(&mut self, transfer: &Transfer) {
        self.on_this += 1;
        self.total += 1;
        if let Some(upstream) = self.upstream() {
            transfer.attempting(&upstream.label, self.total);
        }
    }

    /// An idle connection ended while the request was on its way to it (RFC 9112, section 9.3.1): the peer's right and no
    /// fault of the path, so it is no attempt either. What comes next is a new connection.
    pub(crate) fn idle_connection_died(&mut self, transfer: &Transfer, fault: &Fault) {
        self.on_this = self.on_this.saturating_sub(1);
        transfer.idle_connection_died(fault);
    }

    /// Bytes have moved since the last fault: the upstream has its tries again.
    pub(crate) fn renew(&mut self) {
        self.on_this = 1;
    }

    /// Notes that the upstream whose turn it is reached the origin.
    pub(crate) fn succeeded(&self, forwarder: &Forwarder, transfer: &Transfer) {
        if let Some(upstream) = self.upstream() {
            self.about().succeeded(forwarder, upstream);
        }
        transfer.worked();
        if let (true, Some(size)) = (self.small_segments, self.max_segment()) {
            transfer.small_segments_helped(size);
        }
    }

    /// Where the end of what the upstream carries is written down.
    pub(crate) fn account(&self, forwarder: &Forwarder) -> Option<circuit::Account> {
        let about = self.about();
        Some(about.account(forwarder, self.upstream()?, self.trial.as_ref()))
    }

    fn about(&self) -> circuit::About<'_> {
        circuit::About {
            route: &self.route,
            target: &self.target,
        }
    }

    /// What the config says, or less.
    fn max_segment(&self) -> Option<u32> {
        let small = self.small_segments.then_some(SMALL_SEGMENT);
        match (small, self.route.dial.max_segment) {
            (Some(small), Some(limit)) => Some(small.min(limit)),
            (small, limit) => small.or(limit),
        }
    }

    /// Tells the fault, waits where that is what comes next, and is false where nothing does.
    pub(crate) async fn after(
        &mut self,
        forwarder: &Forwarder,
        transfer: &Transfer,
        fault: &Fault,
    ) -> bool {
        let left = self.order.len().saturating_sub(self.at + 1);
        let tried = Tried {
            on_this_upstream: self.on_this,
            upstreams_left: left,
        };
        self.small_segments |= suspects_large_segments(fault);
        let decision = self.policy.decide(fault, tried, fastrand::f64());
        // A mirror that asks for what it does not get is well: what is public comes from it next time.
        // And what this machine lacks (descriptors, ports) says nothing about a path.
        let ill = fault.leg != Leg::Client
            && !matches!(
                fault.kind,
                FaultKind::CredentialsWithheld | FaultKind::Local
            );
        if !matches!(decision, Decision::Again { .. })
            && ill
            && let Some(upstream) = self.upstream()
        {
            self.about().failed(forwarder, upstream, fault);
            self.trial = None;
        }
        match decision {
            Decision::Again { after } => {
                transfer.fault(fault, &Next::Again { after });
                tokio::select! {
                    () = tokio::time::sleep(after) => true,
                    () = forwarder.shared.shutdown.ended() => false,
                }
            }
            Decision::OtherUpstream => {
                self.at += 1;
                self.on_this = 0;
                let label = self
                    .upstream()
                    .map(|upstream| upstream.label.clone())
                    .unwrap_or_default();
                transfer.fault(fault, &Next::OtherUpstream { label });
                true
            }
            Decision::GiveUp => {
                transfer.gives_up(fault);
                false
            }
        }
    }

    /// Dials until an origin is reached; the last fault where none is.
    pub(crate) async fn reach(
        &mut self,
        forwarder: &Forwarder,
        transfer: &Transfer,
        target: &Target,
        purpose: Purpose,
    ) -> Result<Reached, Fault> {
        loop {
            self.begin(transfer);
            let attempt = tokio::select! {
                attempt = self.attempt(forwarder, transfer, target, purpose) => attempt,
                () = forwarder.shared.shutdown.ended() => {
                    Err(Fault::new(Leg::Client, transfer.stage(), FaultKind::Shutdown))
                }
            };
            match attempt {
                Ok(reached) => {
                    transfer.connected(reached.peer);
                    return Ok(reached);
                }
                Err(fault) if self.after(forwarder, transfer, &fault).await => {}
                Err(fault) => return Err(fault),
            }
        }
    }

    async fn attempt(
        &self,
        forwarder: &Forwarder,
        transfer: &Transfer,
        target: &Target,
        purpose: Purpose,
    ) -> Result<Reached, Fault> {
        let Some(upstream) = self.upstream() else {
            return Err(self.wants.unmet(target, &self.route.name));
        };
        if let Some(mirror) = &upstream.mirror
            && forwarder.is_own(&mirror.target)
        {
            let fault = Fault::new(Leg::Client, Stage::Accepted, FaultKind::Loop);
            return Err(fault
                .peer(&mirror.target)
                .detail("the mirror is gitferry itself"));
        }
        let dial = Once {
            route: &self.route,
            upstream,
            target,
            purpose,
            max_segment: self.max_segment(),
            public_only: self.public_only,
            connector: &forwarder.connector,
        };
        once(&dial, Some(transfer)).await
    }
}
