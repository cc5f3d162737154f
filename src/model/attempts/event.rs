//! What an exchange reports to its [`Attempts`](super::Attempts), and what it is to do next.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::model::{Fault, FaultKind, Leg, Stage};

/// What follows a fault, as the log says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The same upstream again, after a wait.
    Again {
        /// The wait.
        after: Duration,
    },
    /// The next upstream of the route, at once.
    OtherUpstream {
        /// Its label.
        label: Arc<str>,
    },
    /// The client gets an error.
    GiveUp,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A wait is over.
    Waited,
    /// An idle connection was taken.
    Reused,
    /// A new connection stands.
    Dialled,
    /// No connection came about.
    DialFailed(Fault),
    /// The connection failed before an answer, or the client did.
    Failed { fault: Fault, request: RequestState },
    /// The watchdog ended the wait for an answer.
    Stalled { fault: Fault, request: RequestState },
    /// An answer that cannot be passed on; another attempt may bring a better one.
    Unusable { fault: Fault, request: RequestState },
    /// The request cannot be sent, or its answer cannot be passed on, and another attempt would end in the same way.
    Refused(Fault),
    /// An answer that can be passed on.
    Answered(Answered),
    /// The origin of a tunnel sent its first byte.
    Spoke,
    /// What a tunnel's client sent is not kept any more.
    Unheld,
    /// A delivered answer ended early, after `got` bytes; `resumable` where its rest can be asked for.
    BrokeOff {
        fault: Fault,
        got: u64,
        resumable: bool,
    },
    /// gitferry stops.
    Shutdown(Stage),
}

/// The head of an answer, as far as the policy goes.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub peer: SocketAddr,
    /// What shows that a hop made it, and not the origin.
    pub by_hop: Option<Box<str>>,
    pub request: RequestState,
}

/// What is known of a request once it was handed to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestState {
    /// A second request does no harm (RFC 9110, section 9.2.2), or only asks.
    pub harmless: bool,
    /// It asks for another protocol.
    pub upgrade: bool,
    pub body: BodyState,
    /// Bytes of the body that the connection has taken.
    pub passed: u64,
    /// Nothing of it was written: the connection gave it back.
    pub returned: bool,
}

/// Whether a request's body can be sent from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyState {
    /// There is none.
    Empty,
    /// It is small, and kept in memory.
    Held,
    /// It is kept while it passes.
    Kept,
    /// Its beginning is gone.
    Gone,
}

impl Answered {
    /// What it says, where it is a refusal.
    pub(super) fn fault(&self) -> Fault {
        let fault = match &self.by_hop {
            Some(sign) => {
                let kind = FaultKind::HopRefused(self.status);
                Fault::new(Leg::Hop, Stage::AwaitingHead, kind).detail(sign.clone())
            }
            None => {
                let kind = FaultKind::Answered(self.status);
                Fault::new(Leg::Origin, Stage::AwaitingHead, kind)
            }
        };
        fault.peer(self.peer).sent(!self.request.may_repeat())
    }
}

impl RequestState {
    /// True where the request can be made anew, and cannot act twice.
    pub(crate) fn may_repeat(&self) -> bool {
        self.returned || self.harmless && !self.upgrade && self.body != BodyState::Gone
    }

    /// True where repeating costs the client nothing.
    pub(crate) fn is_small(&self) -> bool {
        matches!(self.body, BodyState::Empty | BodyState::Held)
    }
}

/// What the exchange does next.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take a connection.
    Connect(Connect),
    /// Report [`Event::Waited`] then, or [`Event::Shutdown`] before.
    Wait { until: Instant },
    /// Send the request on the connection that stands.
    Send,
    /// Pass the answer on.
    Deliver,
    /// Nothing is tried any more.
    GiveUp(Fault),
}

/// A connection to send a request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionKind {
    /// It may die before the request reaches the peer, so a request that cannot be repeated never takes one.
    Idle,
    /// It was dialled for the request.
    New,
}

/// How to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    /// The place of the upstream in the order of this exchange.
    pub upstream: usize,
    /// Counts from 1 over all upstreams.
    pub attempt: u32,
    /// [`ConnectionKind::Idle`] where an idle connection will do.
    pub connection: ConnectionKind,
    /// A connection that was opened a moment ago for a request like this one, and never used, will do.
    pub spare: bool,
    /// Large segments may be lost on the path.
    pub small_segments: bool,
    /// The origin wants HTTP/1.1.
    pub http1: bool,
}

/// A command, and what comes with it.
#[derive(Debug)]
pub(crate) struct Reaction {
    pub command: Command,
    /// For the log, where something failed and the exchange goes on.
    pub note: Option<Note>,
    /// What the circuit of an upstream learns; its place in the order.
    pub lesson: Option<(usize, Lesson)>,
}

impl Reaction {
    pub(super) fn of(command: Command) -> Self {
        Self {
            command,
            note: None,
            lesson: None,
        }
    }

    pub(crate) fn given_up(fault: Fault) -> Self {
        Self::of(Command::GiveUp(fault))
    }

    pub(super) fn noting(mut self, note: Note) -> Self {
        self.note = Some(note);
        self
    }

    /// The same step, whose fault was reported before.
    #[must_use]
    pub(crate) fn quietly(mut self) -> Self {
        self.note = self.note.map(|note| match note {
            Note::Fault(fault) => Note::Repeated(fault),
            note @ (Note::Repeated(_) | Note::IdleConnectionDied(_)) => note,
        });
        self
    }
}

/// Something failed, and it is not the end.
#[derive(Debug)]
pub(crate) enum Note {
    Fault(Fault),
    /// The same of an upstream that is waited for and whose failure was reported.
    Repeated(Fault),
    /// An idle connection ended while the request was on its way to it (RFC 9112, section 9.3.1): the peer's right, and no fault of
    /// the path.
    IdleConnectionDied(Fault),
}

/// What a circuit learns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// The upstream reached the origin.
    Works,
    /// It carried an answer, or a tunnel, to its end.
    Whole,
    /// It is given up for this exchange.
    Failed(Cause),
    /// It failed once, and cannot be tried again for this exchange: a second time in a row is a failure.
    Doubtful(Cause),
}

/// What a circuit keeps of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub code: String,
    pub stage: Stage,
}

impl Cause {
    pub(crate) fn of(fault: &Fault) -> Self {
        Self {
            code: fault.code(),
            stage: fault.stage,
        }
    }
}

impl Event {
    /// The fault that it brings, where it brings one.
    pub(super) fn into_fault(self) -> Option<Fault> {
        match self {
            Self::DialFailed(fault)
            | Self::Refused(fault)
            | Self::Failed { fault, .. }
            | Self::Stalled { fault, .. }
            | Self::Unusable { fault, .. }
            | Self::BrokeOff { fault, .. } => Some(fault),
            Self::Shutdown(stage) => Some(shutdown(stage)),
            Self::Waited
            | Self::Reused
            | Self::Dialled
            | Self::Answered(_)
            | Self::Spoke
            | Self::Unheld => None,
        }
    }
}

/// The fault of an exchange that gitferry ends because it stops.
pub(super) fn shutdown(stage: Stage) -> Fault {
    Fault::new(Leg::Client, stage, FaultKind::Shutdown)
}
