//! One request, or one tunnel, being ferried. Its closing line is written when the last clone is dropped.

mod snapshot;
mod watched;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

pub use snapshot::Snapshot;
use watched::{Side, Watching};

use super::{
    event::{AnswerLedAway, AnswerLeft, FaultOccurred, TransferEnded},
    redact,
    registry::Registry,
};
use crate::{
    config::{self, Route},
    model::{
        Fault, FaultKind, Leg, Role, Stage, Target,
        advice::{self, Context},
        agent,
        health::Avoided,
        retry::Next,
        stall::Stall,
    },
};

/// What the client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Front {
    /// A request inside a terminated CONNECT.
    Intercept,
    /// An opaque tunnel after CONNECT, or `gitferry connect`.
    Tunnel,
    /// `GET http://host/…`.
    Absolute,
    /// `GET /host/…`.
    Reverse,
}

impl Front {
    /// The name in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intercept => "intercept",
            Self::Tunnel => "tunnel",
            Self::Absolute => "absolute",
            Self::Reverse => "reverse",
        }
    }
}

/// What a transfer begins with.
#[derive(Debug)]
pub struct Begin<'a> {
    /// How it came in.
    pub front: Front,
    /// The client's address.
    pub client: SocketAddr,
    /// Where it wants to go.
    pub target: &'a Target,
    /// `CONNECT`, `GET`, …
    pub method: &'a str,
    /// Path and query as received; redacted here, before it is kept. Empty for a tunnel.
    pub path: &'a str,
    /// Its route.
    pub route: &'a Route,
    /// The product of `User-Agent` (`git/2.39.5`), where given.
    pub agent: Option<&'a str>,
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The origin's answer was passed on whole.
    Answered(u16),
    /// gitferry answered itself, after a fault.
    Refused {
        /// The status given to the client.
        status: u16,
        /// The fault's code.
        code: Box<str>,
    },
    /// A tunnel that both sides closed.
    Closed,
    /// Broken off in the middle.
    Broken {
        /// The fault's code.
        code: Box<str>,
    },
}

/// Bytes moved, shared with the bodies and the tunnel.
#[derive(Debug, Default)]
pub struct Counters {
    /// Body bytes taken from the client.
    pub up: AtomicU64,
    /// Body bytes given to the client.
    pub down: AtomicU64,
    /// True while the request's body waits for the client.
    pub asks_client: AtomicBool,
    /// True while the answer's body waits for the origin.
    pub asks_origin: AtomicBool,
}

/// A handle on a running transfer; clones are the same transfer.
#[derive(Clone, Debug)]
pub struct Transfer(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    id: u64,
    about: About,
    begun: Instant,
    counters: Arc<Counters>,
    state: Mutex<State>,
    registry: Arc<Registry>,
    /// Told when `State::act` is set.
    stalled: Notify,
}

#[derive(Debug)]
struct About {
    front: Front,
    client: SocketAddr,
    target: Target,
    method: Box<str>,
    path: Box<str>,
    route: Box<str>,
    role: Role,
    stall: config::Stall,
    agent: Option<Box<str>>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    since: Instant,
    spent: [Duration; Stage::ALL.len()],
    attempts: u32,
    upstream: Option<Box<str>>,
    reused: bool,
    peer: Option<SocketAddr>,
    outcome: Option<Outcome>,
    handed_over: bool,
    tunnel: bool,
    hop: bool,
    client: Option<Side>,
    origin: Option<Side>,
    watching: Watching,
    /// The stall that the transfer is to end for.
    act: Option<Stall>,
    /// The open circuit that it avoids.
    circuit: Option<Box<str>>,
    /// The advice of its last fault.
    advised: Option<String>,
}

impl Transfer {
    pub(super) fn new(
        id: u64,
        begin: &Begin<'_>,
        registry: Arc<Registry>,
    ) -> (Self, std::sync::Weak<Inner>) {
        let now = Instant::now();
        let inner = Arc::new(Inner {
            id,
            about: About {
                front: begin.front,
                client: begin.client,
                target: begin.target.clone(),
                method: redact::text(begin.method).into(),
                path: redact::path(begin.path).into(),
                route: begin.route.name.clone(),
                role: begin.route.role,
                stall: begin.route.stall,
                agent: begin
                    .agent
                    .and_then(agent::product)
                    .map(|agent| redact::text(agent).into()),
            },
            begun: now,
            counters: Arc::default(),
            state: Mutex::new(State {
                stage: Stage::Accepted,
                since: now,
                spent: [Duration::ZERO; Stage::ALL.len()],
                attempts: 0,
                upstream: None,
                reused: false,
                peer: None,
                outcome: None,
                handed_over: false,
                tunnel: false,
                hop: false,
                client: None,
                origin: None,
                watching: Watching::default(),
                act: None,
                circuit: None,
                advised: None,
            }),
            registry,
            stalled: Notify::new(),
        });
        let weak = Arc::downgrade(&inner);
        (Self(inner), weak)
    }

    /// The stage begins now; the time since the last change is added to the stage before.
    pub fn enter(&self, stage: Stage) {
        self.0.state().enter(stage, Instant::now());
    }

    /// The stage it is in.
    pub fn stage(&self) -> Stage {
        self.0.state().stage
    }

    /// An attempt through `upstream` begins; `attempt` counts from 1 over all upstreams.
    pub fn attempting(&self, upstream: &str, attempt: u32) {
        let mut state = self.0.state();
        state.attempts = attempt;
        state.reused = false;
        state.origin = None;
        state.act = None;
        if state.upstream.as_deref() != Some(upstream) {
            state.upstream = Some(upstream.into());
        }
    }

    /// It does not go where the config says, because of an open circuit: every event of it will say so.
    pub fn avoids(&self, avoided: &Avoided) {
        let text = redact::text(&avoided.to_string());
        self.0.state().circuit = Some(text.into());
    }

    /// The connection was taken from the pool.
    pub fn reused(&self) {
        self.0.state().reused = true;
    }

    /// The address of the TCP peer.
    pub fn connected(&self, peer: SocketAddr) {
        self.0.state().peer = Some(peer);
    }

    /// The byte counters.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.0.counters)
    }

    /// The byte counters, for a moment.
    pub fn counts(&self) -> &Counters {
        &self.0.counters
    }

    /// The label of the upstream in use, if any.
    pub fn upstream(&self) -> Option<Box<str>> {
        self.0.state().upstream.clone()
    }

    /// The advice for a fault of this transfer.
    pub fn advice(&self, fault: &Fault) -> Option<String> {
        if let FaultKind::Stalled(verdict) = fault.kind {
            return Some(self.stall_advice(verdict));
        }
        let about = &self.0.about;
        let upstream = self.upstream();
        advice::advice(
            fault,
            Context {
                host: &about.target.host.to_string(),
                port: about.target.port,
                route: &about.route,
                upstream: upstream.as_deref().unwrap_or("direct"),
                agent: about.agent.as_deref(),
            },
        )
    }

    /// An upload goes on, but can no longer be sent again.
    pub fn replay_given_up(&self, reason: &str) {
        let about = &self.0.about;
        tracing::info!(
            id = self.0.id,
            host = %about.target.host,
            route = %about.route,
            reason,
            "upload is no longer kept"
        );
    }

    /// A pooled connection ended before it answered; the request goes out again.
    pub fn idle_connection_died(&self, fault: &Fault) {
        tracing::debug!(
            id = self.0.id,
            code = fault.code(),
            peer = fault.peer.as_deref().map(redact::text),
            "idle connection died"
        );
    }

    /// An answer whose URLs a client follows could not be rewritten; it goes on as it came.
    pub fn left_as_it_came(&self, rewrite: &'static str, why: &str) {
        self.0.registry.left(&AnswerLeft {
            id: self.0.id,
            host: self.0.about.target.host.to_string(),
            route: self.0.about.route.to_string(),
            rewrite,
            cause: redact::text(why),
        });
    }

    /// An answer on the reverse front points to hosts that are not served there.
    pub fn leads_away(&self, targets: &[Target]) {
        self.0.registry.led_away(&AnswerLedAway {
            id: self.0.id,
            host: self.0.about.target.host.to_string(),
            route: self.0.about.route.to_string(),
            to: targets.iter().map(ToString::to_string).collect(),
        });
    }

    /// Writes the fault's event and counts it.
    pub fn fault(&self, fault: &Fault, next: &Next) {
        let advice = self.advice(fault);
        let about = &self.0.about;
        let (attempts, upstream, circuit, advised) = {
            let mut state = self.0.state();
            let circuit = state.circuit.as_deref().map(ToOwned::to_owned);
            let advised = state.advised == advice;
            state.advised.clone_from(&advice);
            (state.attempts, state.upstream.clone(), circuit, advised)
        };
        let event = FaultOccurred {
            id: self.0.id,
            code: fault.code(),
            leg: fault.leg,
            stage: fault.stage,
            kind: fault.kind.as_str().into_owned(),
            peer: fault.peer.as_deref().map(redact::text),
            host: about.target.host.to_string(),
            port: about.target.port,
            route: about.route.to_string(),
            upstream: upstream.map(Into::into),
            attempt: attempts,
            elapsed_ms: millis(self.0.begun.elapsed()),
            next: match next {
                Next::Again { after } => format!("again in {} ms", after.as_millis()),
                Next::NextUpstream { label } => format!("next upstream {label}"),
                Next::GiveUp => "give up".into(),
            },
            circuit,
            rescued: !matches!(next, Next::GiveUp),
            cause: redact::text(&fault.chain()),
            advice,
            advised,
            at: Instant::now(),
        };
        if let (Some(upstream), true) = (&event.upstream, fault.leg != Leg::Client) {
            let (siblings, now) = (self.0.registry.siblings(), Instant::now());
            siblings.failed(&about.route, about.role, upstream, &event.code, now);
        }
        self.0.registry.fault(event);
    }

    /// Says how it ends; the first call counts, and without one the client went away.
    pub fn finish(&self, outcome: Outcome) {
        self.0.state().outcome.get_or_insert(outcome);
    }

    /// A CONNECT whose TLS stands: its requests are transfers of their own, so this one ends without a closing line.
    pub fn handed_over(&self) {
        self.0.state().handed_over = true;
    }
}

impl State {
    fn enter(&mut self, stage: Stage, now: Instant) {
        if let Some(spent) = self.spent.get_mut(self.stage as usize) {
            *spent += now.saturating_duration_since(self.since);
        }
        self.stage = stage;
        self.since = now;
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.state();
        let over = self.stall_ends(&mut state, now);
        let last = state.stage;
        state.enter(last, now);
        let outcome = state.outcome.take().unwrap_or_else(|| Outcome::Broken {
            code: format!("{}/{}/gone", Leg::Client.as_str(), last.as_str()).into(),
        });
        let (status, result) = match &outcome {
            Outcome::Answered(status) => (Some(*status), "answered"),
            Outcome::Refused { status, code } => (Some(*status), &**code),
            Outcome::Closed => (None, "closed"),
            Outcome::Broken { code } => (None, &**code),
        };
        let stages = Stage::ALL
            .iter()
            .zip(state.spent)
            .map(|(stage, spent)| (*stage, millis(spent)))
            .collect();
        let event = (!state.handed_over).then(|| TransferEnded {
            id: self.id,
            front: self.about.front,
            client: self.about.client,
            method: self.about.method.to_string(),
            host: self.about.target.host.to_string(),
            port: self.about.target.port,
            path: self.about.path.to_string(),
            route: self.about.route.to_string(),
            upstream: state.upstream.as_deref().map(ToOwned::to_owned),
            peer: state.peer,
            attempts: state.attempts,
            reused: state.reused,
            status,
            result: result.to_owned(),
            up: self.counters.up.load(Ordering::Relaxed),
            down: self.counters.down.load(Ordering::Relaxed),
            total_ms: millis(now.saturating_duration_since(self.begun)),
            stages,
            agent: self.about.agent.as_deref().map(ToOwned::to_owned),
            circuit: state.circuit.take().map(Into::into),
        });
        drop(state);
        if let Some(over) = over {
            self.registry.stall(over);
        }
        self.registry.ended(self.id, event);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
