//! The plan of upstreams for one exchange: carries out the commands of [`Attempts`] that concern the log, circuits, waits and dialling.

mod dead;
mod learn;

use std::sync::Arc;

use tokio::time::Instant;

use crate::forward::{
    forwarder::Forwarder,
    upstream::attempt::{OriginStream, UpstreamDial, dial_once},
    upstream::background_dial::{BackgroundDial, Probing},
    upstream::circuit,
    upstream::destination::UpstreamNeeds,
};
use crate::{
    config::{HttpVersion, Route, Upstream},
    model::{
        Fault, FaultKind, Leg, Stage, Target,
        attempts::{
            Attempts, Command, ConnectCommand, ConnectionKind, Event, Next, Note, Reaction,
            policy::RetryPolicy,
        },
        segment_size::SMALL_SEGMENT,
    },
    net::dial::trail::{EMPTY_TRAIL, Trail},
    track::{FinalFault, TransferHandle},
};

/// The upstreams and attempts of one exchange.
pub(crate) struct UpstreamPlan {
    forwarder: Arc<Forwarder>,
    route: Arc<Route>,
    target: Target,
    transfer: TransferHandle,
    order: Vec<usize>,
    attempts: Attempts,
    /// True where the only upstream was known to be dead at the start.
    dead: bool,
    needs: UpstreamNeeds,
    probing: Probing,
    /// The trail of the client's CONNECT.
    trail: Trail,
    /// Permission to try the open circuit of the first upstream.
    trial: Option<circuit::Trial>,
}

/// The next step of an exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PlanStep {
    /// Take a connection.
    Connect(ConnectCommand),
    /// Send the request on it.
    Send,
    /// Pass the response on.
    Deliver,
}

impl UpstreamPlan {
    /// Begins at the route's first fitting upstream whose circuit is closed, or at the one on trial with this transfer.
    pub(crate) fn new(
        forwarder: &Arc<Forwarder>,
        transfer: &TransferHandle,
        scope: circuit::CircuitScope<'_>,
        needs: UpstreamNeeds,
        probing: Probing,
    ) -> Self {
        let route = scope.route;
        let (order, trial) = scope.order(forwarder, transfer, needs, probing);
        let dial = &route.dial;
        let policy = RetryPolicy::new(dial.attempts, dial.backoff, dial.backoff_limit);
        let mut attempts = Attempts::new(policy, transfer.stall_action(), order.len());
        let sole = order.first().filter(|_| order.len() == 1);
        let sole = sole.and_then(|at| route.upstreams.get(*at));
        let dead = sole
            .and_then(|upstream| scope.known_dead(&forwarder.shared, upstream))
            .is_some();
        if dead {
            attempts.limit_to_one_attempt();
        }
        Self {
            forwarder: Arc::clone(forwarder),
            route: Arc::clone(route),
            target: scope.target.clone(),
            transfer: transfer.clone(),
            attempts,
            dead,
            order,
            needs,
            probing,
            trail: EMPTY_TRAIL.clone(),
            trial,
        }
    }

    /// Sets the trail of the client's CONNECT, which a tunnel's hops receive.
    pub(crate) fn pass_trail(&mut self, trail: Trail) {
        self.trail = trail;
    }

    /// The first step.
    pub(crate) fn begin(&mut self, connection: ConnectionKind) -> PlanStep {
        let connect = self.attempts.begin(connection);
        self.connect_step(connect)
    }

    /// Reports `event` and returns the next step, at once or after a wait.
    ///
    /// Fails where no further attempt follows.
    pub(crate) async fn on_event(&mut self, event: Event) -> Result<PlanStep, FinalFault> {
        let mut step = self.step(event);
        loop {
            let wait = match step.command {
                Command::Wait { until } => until,
                Command::Connect(connect) => return Ok(self.connect_step(connect)),
                Command::Send => return Ok(PlanStep::Send),
                Command::Deliver => return Ok(PlanStep::Deliver),
                Command::GiveUp(fault) => return Err(self.transfer.give_up(fault)),
            };
            let event = tokio::select! {
                () = tokio::time::sleep_until(wait) => Event::Waited,
                () = self.forwarder.shared.shutdown.ended() => self.shutdown(),
            };
            step = self.step(event);
        }
    }

    /// Reports the `event` that ends the exchange.
    pub(crate) fn give_up(&mut self, event: Event) -> FinalFault {
        let fault = match self.step(event).command {
            Command::GiveUp(fault) => fault,
            Command::Connect(_) | Command::Wait { .. } | Command::Send | Command::Deliver => {
                Fault::new(Leg::Client, self.transfer.stage(), FaultKind::Local)
            }
        };
        self.transfer.give_up(fault)
    }

    /// The response or tunnel is complete.
    pub(crate) fn complete(&mut self) {
        let lesson = self.attempts.complete();
        self.apply_lesson(lesson);
    }

    /// The shutdown event, with the transfer's current stage.
    pub(crate) fn shutdown(&self) -> Event {
        Event::Shutdown(self.transfer.stage())
    }

    /// The upstream in use; `None` where the route has none that fits.
    pub(crate) fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.upstream_at(self.attempts.upstream())
    }

    /// The route.
    pub(crate) fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// True where a name must not resolve to a private network.
    pub(crate) fn public_only(&self) -> bool {
        self.probing.public_only
    }

    /// Dials once; fails with the event to report.
    pub(crate) async fn dial(&self, connect: ConnectCommand) -> Result<OriginStream, Event> {
        let dialling = async {
            match self.known_dead() {
                None => self.dial_upstream(connect).await,
                Some(known) => Box::pin(self.dial_dead(&known, connect)).await,
            }
        };
        tokio::select! {
            biased;
            () = self.forwarder.shared.shutdown.ended() => Err(self.shutdown()),
            dialled = dialling => dialled.map_err(Event::DialFailed),
        }
    }

    /// What is needed to dial the upstream in use again, in the background.
    pub(crate) fn background_dial(&self) -> Option<BackgroundDial> {
        Some(BackgroundDial {
            route: Arc::clone(&self.route),
            upstream: Arc::clone(self.upstream()?),
            target: self.target.clone(),
            probing: self.probing,
            max_segment: self.max_segment(self.attempts.small_segments()),
            trail: self.trail.clone(),
        })
    }

    async fn dial_upstream(&self, connect: ConnectCommand) -> Result<OriginStream, Fault> {
        let Some(upstream) = self.upstream_at(connect.upstream) else {
            return Err(self.needs.unmet_fault(&self.target, &self.route.name));
        };
        if let Some(mirror) = &upstream.mirror
            && self.forwarder.is_own(&mirror.target)
        {
            let fault = Fault::new(Leg::Client, Stage::Accepted, FaultKind::Loop);
            return Err(fault
                .peer(&mirror.target)
                .detail("the mirror is gitferry itself"));
        }
        let dial = UpstreamDial {
            route: &self.route,
            upstream,
            target: &self.target,
            purpose: self.probing.purpose,
            max_segment: self.max_segment(connect.small_segments),
            public_only: self.probing.fake_networks(&self.forwarder.config),
            trail: &self.trail,
            http: self.http(connect),
            connector: &self.forwarder.connector,
        };
        dial_once(&dial, Some(&self.transfer)).await
    }

    fn http(&self, connect: ConnectCommand) -> HttpVersion {
        match connect.http1 {
            true => HttpVersion::Http1,
            false => self.route.http,
        }
    }

    /// The configured segment size, or a smaller one.
    fn max_segment(&self, small: bool) -> Option<u32> {
        let small = small.then_some(SMALL_SEGMENT);
        match (small, self.route.dial.max_segment) {
            (Some(small), Some(limit)) => Some(small.min(limit)),
            (small, limit) => small.or(limit),
        }
    }

    fn upstream_at(&self, place: usize) -> Option<&Arc<Upstream>> {
        let index = self.order.get(place)?;
        self.route.upstreams.get(*index)
    }

    fn label(&self, place: usize) -> Arc<str> {
        let label = |upstream: &Arc<Upstream>| upstream.label.clone();
        self.upstream_at(place).map(label).unwrap_or_default()
    }

    fn step(&mut self, event: Event) -> Reaction {
        let now = Instant::now();
        let mut step = self.attempts.on(event, now, fastrand::f64());
        if let Command::GiveUp(fault) = step.command {
            let lesson = step.lesson.take();
            step = self.end(fault, now);
            if matches!(step.command, Command::GiveUp(_)) {
                step.lesson = lesson;
            }
        }
        self.apply_lesson(step.lesson.take());
        match step.note.take() {
            Some(Note::Fault(fault)) => self
                .transfer
                .report_fault(&fault, &self.next(&step.command, now)),
            Some(Note::Repeated(fault)) => {
                let next = self.next(&step.command, now);
                self.transfer.report_repeated_fault(&fault, &next);
            }
            Some(Note::IdleConnectionDied(fault)) => {
                self.transfer.log_idle_connection_death(&fault)
            }
            None => {}
        }
        step
    }

    /// Ends with `fault`, or tries again where the exchange waits for the only upstream.
    fn end(&mut self, fault: Fault, now: Instant) -> Reaction {
        let scope = self.scope();
        let sole = self.upstream_at(0).filter(|_| self.order.len() == 1);
        let Some(upstream) = sole.cloned() else {
            return Reaction::given_up(fault);
        };
        let shared = self.forwarder.shared.clone();
        if self.attempts.may_wait_for_upstream(&fault)
            && let Some(wait) = scope.sole_wait(&shared, &upstream, now)
        {
            let jitter = fastrand::f64();
            let step = self
                .attempts
                .wait_for_upstream(fault, wait.until, now, jitter);
            // Only the first request logs that the upstream is waited for; all of them log the result.
            return if wait.first {
                step
            } else {
                step.into_repeated()
            };
        }
        if self.attempts.proves_upstream_dead(&fault) {
            scope.note_sole_death(&shared, &upstream, &fault, now);
        }
        Reaction::given_up(fault)
    }

    fn scope(&self) -> circuit::CircuitScope<'_> {
        circuit::CircuitScope {
            route: &self.route,
            target: &self.target,
        }
    }

    fn next(&self, command: &Command, now: Instant) -> Next {
        match command {
            Command::Wait { until } => Next::Again {
                after: until.saturating_duration_since(now),
            },
            Command::Connect(connect) => Next::OtherUpstream {
                label: self.label(connect.upstream),
            },
            Command::Send | Command::Deliver | Command::GiveUp(_) => Next::GiveUp,
        }
    }

    fn connect_step(&mut self, connect: ConnectCommand) -> PlanStep {
        if connect.upstream > 0 {
            self.trial = None;
        }
        if let Some(upstream) = self.upstream_at(connect.upstream) {
            self.transfer
                .begin_attempt(&upstream.label, connect.attempt);
        }
        PlanStep::Connect(connect)
    }
}
