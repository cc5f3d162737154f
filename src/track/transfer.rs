//! A transfer: one request or one tunnel. Its closing line is written when its only owner drops it.

mod begin;
mod closing;
mod events;
mod progress;
mod snapshot;
mod tunnel_rest;
mod watching;

use std::{
    net::SocketAddr,
    ops::Deref,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{sync::Notify, time::Instant};

use begin::method;
pub(crate) use begin::{Counters, TransferOutcome, TransferStart};
pub(crate) use events::FinalFault;
pub use snapshot::Snapshot;
pub(crate) use snapshot::TransferDetail;
pub(crate) use tunnel_rest::TunnelStop;
use watching::WatchdogState;
pub(crate) use watching::WatchedSocket;

use super::{
    Front,
    event::{EventText, Subject},
    ledger::Ledger,
    redact,
    running::RunningTransfers,
    timeline::Timeline,
};
use crate::{
    config,
    io::TcpMonitor,
    model::{
        Fault, Role, Stage, Target, agent, health::AvoidedCircuit, stall::Stall, unit::millis,
    },
    sync::Mutex,
};

/// A running transfer. Dropping it ends it, whatever handles exist.
#[derive(Debug)]
pub(crate) struct Transfer(TransferHandle);

/// A handle to a transfer, for reporting. It does not keep the transfer running.
#[derive(Clone, Debug)]
pub(crate) struct TransferHandle(Arc<TransferState>);

impl Deref for Transfer {
    type Target = TransferHandle;

    fn deref(&self) -> &TransferHandle {
        &self.0
    }
}

#[derive(Debug)]
pub(super) struct TransferState {
    id: u64,
    about: TransferInfo,
    begun: Instant,
    /// The start by the wall clock.
    began: SystemTime,
    counters: Counters,
    state: Mutex<TransferData>,
    ledger: Arc<Ledger>,
    running: Arc<RunningTransfers<TransferState>>,
    /// Notified when `TransferData::act` is set.
    stalled: Notify,
    /// True while the transfer is an idle tunnel, which the watchdog rarely checks.
    resting: AtomicBool,
}

#[derive(Debug)]
struct TransferInfo {
    front: Front,
    client: SocketAddr,
    target: Target,
    method: EventText,
    path: Arc<str>,
    route: Arc<str>,
    role: Role,
    stall: config::StallConfig,
    /// `dial.max_segment`.
    max_segment: Option<u32>,
    agent: Option<Arc<str>>,
}

#[derive(Debug)]
struct TransferData {
    stage: Stage,
    since: Instant,
    stage_times: [Duration; Stage::ALL.len()],
    attempts: u32,
    upstream: Option<Arc<str>>,
    reused: bool,
    peer: Option<SocketAddr>,
    outcome: Option<TransferOutcome>,
    /// True after its end: nothing more is reported.
    closed: bool,
    handed_over: bool,
    tunnel: bool,
    hop: bool,
    client: Option<WatchedSocket>,
    origin: Option<WatchedSocket>,
    /// Connections that fetch later ranges of a download.
    segments: Vec<TcpMonitor>,
    watching: WatchdogState,
    /// The stall because of which the transfer must end.
    act: Option<Stall>,
    /// The avoided upstream, and the state of its open circuit.
    circuit: Option<(Box<str>, Box<str>)>,
    /// The advice of its last fault.
    advised: Option<String>,
    timeline: Timeline,
}

impl Transfer {
    pub(super) fn new(
        id: u64,
        begin: &TransferStart<'_>,
        ledger: Arc<Ledger>,
        running: Arc<RunningTransfers<TransferState>>,
    ) -> (Self, std::sync::Weak<TransferState>) {
        let now = Instant::now();
        let inner = Arc::new(TransferState {
            id,
            about: TransferInfo {
                front: begin.front,
                client: begin.client,
                target: begin.target.clone(),
                method: method(begin.method),
                path: redact::path(begin.path).into(),
                route: Arc::clone(&begin.route.name),
                role: begin.route.role,
                stall: begin.route.stall,
                max_segment: begin.route.dial.max_segment,
                agent: begin
                    .agent
                    .and_then(agent::product)
                    .map(|agent| redact::text(agent).into()),
            },
            begun: now,
            began: SystemTime::now(),
            counters: Counters::default(),
            state: Mutex::new(TransferData {
                stage: Stage::Accepted,
                since: now,
                stage_times: [Duration::ZERO; Stage::ALL.len()],
                attempts: 0,
                upstream: None,
                reused: false,
                peer: None,
                outcome: None,
                closed: false,
                handed_over: false,
                tunnel: false,
                hop: false,
                client: None,
                origin: None,
                segments: Vec::new(),
                watching: WatchdogState::default(),
                act: None,
                circuit: None,
                advised: None,
                timeline: Timeline::begun(),
            }),
            ledger,
            running,
            stalled: Notify::new(),
            resting: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&inner);
        (Self(TransferHandle(inner)), weak)
    }

    /// A handle to it.
    pub(crate) fn handle(&self) -> TransferHandle {
        self.0.clone()
    }

    /// Sets its outcome. The first call counts; without a call, the client disconnected.
    pub(crate) fn finish(&self, outcome: TransferOutcome) {
        self.0.0.state().outcome.get_or_insert(outcome);
    }

    /// Ends a CONNECT without a closing line after its TLS handshake, because its requests are transfers of their own.
    pub(crate) fn close_silently(&self) {
        self.0.0.state().handed_over = true;
    }

    /// Ends with a logged fault, without a response.
    pub(crate) fn break_off(&self, given_up: &FinalFault) {
        self.finish(TransferOutcome::Broken {
            code: given_up.code().into(),
        });
    }

    /// Logs the fault that ends it.
    pub(crate) fn fail(&self, fault: Fault) {
        self.break_off(&self.give_up(fault));
    }
}

impl TransferHandle {
    /// Enters a stage; the time since the last change is added to the previous stage.
    pub(crate) fn enter(&self, stage: Stage) {
        self.0.state().enter(stage, self.0.begun, Instant::now());
    }

    /// Marks that the transfer enters `stage`, unless it is that far already. Before the first attempt nothing is sent: a body that is read
    /// into memory then belongs to the client's request.
    pub(crate) fn advance(&self, stage: Stage) {
        let mut state = self.0.state();
        if state.attempts > 0 && state.stage < stage {
            state.enter(stage, self.0.begun, Instant::now());
        }
    }

    /// The current stage.
    pub(crate) fn stage(&self) -> Stage {
        self.0.state().stage
    }

    /// Starts an attempt through `upstream`; `attempt` counts from 1 over all upstreams.
    pub(crate) fn begin_attempt(&self, upstream: &Arc<str>, attempt: u32) {
        let at = millis(self.0.begun.elapsed());
        let mut state = self.0.state();
        let shown = match redact::is_plain(upstream) {
            true => Arc::clone(upstream),
            false => redact::text(upstream).into(),
        };
        state
            .timeline
            .begin_attempt(Arc::clone(&shown), attempt, at);
        state.attempts = attempt;
        state.reused = false;
        state.origin = None;
        state.act = None;
        state.upstream = Some(shown);
    }

    /// Records the open circuit because of which the first upstream is not used. All later events contain it.
    pub(crate) fn note_avoided_circuit(&self, avoided: &AvoidedCircuit) {
        let [upstream, text] = [&*avoided.upstream, &avoided.to_string()].map(redact::text);
        self.0.state().circuit = Some((upstream.into(), text.into()));
    }

    /// Records that the connection was taken from the pool.
    pub(crate) fn mark_reused(&self) {
        let mut state = self.0.state();
        state.reused = true;
        if let Some(attempt) = state.timeline.current_attempt() {
            attempt.reused = true;
        }
    }

    /// The address of the TCP peer of the last attempt.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.0.state().peer
    }

    /// Sets the address of the TCP peer.
    pub(crate) fn set_peer(&self, peer: SocketAddr) {
        let mut state = self.0.state();
        state.peer = Some(peer);
        if let Some(attempt) = state.timeline.current_attempt() {
            attempt.peer = Some(peer);
        }
    }

    /// The byte counters.
    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Records whether the request carries credentials.
    pub(crate) fn note_credentials(&self, given: bool) {
        self.0.counters.credentials.store(given, Ordering::Relaxed);
    }

    /// Sets the length of the request's body, as the client declared it.
    pub(crate) fn expect_up(&self, total: Option<u64>) {
        let known = &self.0.counters.up_total;
        known.store(total.unwrap_or(0), Ordering::Relaxed);
    }

    /// Sets the length of the response's body, as the origin declared it.
    pub(crate) fn expect_down(&self, total: Option<u64>) {
        let known = &self.0.counters.down_total;
        known.store(total.unwrap_or(0), Ordering::Relaxed);
    }

    /// The label of the upstream in use, if any.
    pub(crate) fn upstream(&self) -> Option<Arc<str>> {
        self.0.state().upstream.clone()
    }
}

impl TransferData {
    /// Adds the time since the last change to the current stage.
    fn add_stage_time(&mut self, now: Instant) {
        if let Some(stage_times) = self.stage_times.get_mut(self.stage as usize) {
            *stage_times += now.saturating_duration_since(self.since);
        }
    }

    fn enter(&mut self, stage: Stage, begun: Instant, now: Instant) {
        self.add_stage_time(now);
        let at = millis(now.saturating_duration_since(begun));
        self.timeline.enter(stage, at, self.attempts);
        self.stage = stage;
        self.since = now;
    }
}

impl TransferState {
    /// The common fields of its events.
    fn subject(&self, state: &TransferData) -> Subject {
        let about = &self.about;
        let circuit = state.circuit.as_ref();
        Subject {
            id: self.id,
            host: about.target.host.text(),
            port: about.target.port,
            route: Arc::clone(&about.route),
            upstream: state.upstream.clone(),
            avoided: circuit.map(|(upstream, _)| upstream.to_string()),
            circuit: circuit.map(|(_, text)| text.to_string()),
        }
    }

    fn state(&self) -> MutexGuard<'_, TransferData> {
        self.state.lock()
    }
}
