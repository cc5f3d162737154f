//! What an exchange reports to its [`Attempts`](super::Attempts), and the commands that follow.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::model::{Fault, FaultKind, Leg, Stage};

/// The reaction to a fault, as the log shows it.
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

/// What happened in an exchange.
#[derive(Debug)]
pub(crate) enum Event {
    /// A wait is over.
    Waited,
    /// An idle connection was taken.
    Reused,
    /// A new connection is established.
    Dialled,
    /// No connection could be established.
    DialFailed(Fault),
    /// The connection, or the client, failed before a response.
    Failed { fault: Fault, request: RequestState },
    /// The watchdog ended the wait for a response.
    Stalled { fault: Fault, request: RequestState },
    /// A response that cannot be passed on; another attempt may bring a usable one.
    Unusable { fault: Fault, request: RequestState },
    /// The request cannot be sent, or its response cannot be passed on; another attempt would end the same way.
    Refused(Fault),
    /// A response that can be passed on.
    Response(ResponseHead),
    /// The origin of a tunnel sent its first byte.
    Spoke,
    /// gitferry no longer holds what the tunnel's client sent, so no other attempt can replay it.
    ReplayGone,
    /// A delivered response ended early, after `got` bytes; `resumable` where a range request can fetch the rest.
    BrokeOff {
        fault: Fault,
        got: u64,
        resumable: bool,
    },
    /// gitferry stops.
    Shutdown(Stage),
}

/// The head of a response: the fields that the policy reads.
#[derive(Clone, Debug)]
pub(crate) struct ResponseHead {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub peer: SocketAddr,
    /// The evidence that a hop made the response, not the origin.
    pub by_hop: Option<Box<str>>,
    pub request: RequestState,
}

/// The state of a request after it was handed to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestState {
    /// The request may be repeated: its method is idempotent (RFC 9110, section 9.2.2), or it only reads.
    pub harmless: bool,
    /// The request asks for a protocol upgrade.
    pub upgrade: bool,
    pub body: BodyState,
    /// Bytes of the body that the connection has accepted.
    pub passed: u64,
    /// The connection returned the request unsent.
    pub returned: bool,
}

/// Whether a request's body can be sent from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyState {
    /// The request has no body.
    Empty,
    /// The body is small and held in memory.
    Held,
    /// The body is recorded while it is sent.
    Kept,
    /// The beginning of the body is no longer available.
    Gone,
}

impl ResponseHead {
    /// The fault of a response that is a refusal.
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
        fault.peer(self.peer).with_unsent(self.request.may_repeat())
    }
}

impl RequestState {
    /// True where the request can be sent again and cannot act twice.
    pub(crate) fn may_repeat(&self) -> bool {
        self.returned || self.harmless && !self.upgrade && self.body != BodyState::Gone
    }

    /// True where a repetition costs the client nothing.
    pub(crate) fn is_small(&self) -> bool {
        matches!(self.body, BodyState::Empty | BodyState::Held)
    }
}

/// The next command for the exchange.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take a connection.
    Connect(ConnectCommand),
    /// Wait until then and report [`Event::Waited`]; report [`Event::Shutdown`] if the daemon stops first.
    Wait { until: Instant },
    /// Send the request on the established connection.
    Send,
    /// Pass the response on.
    Deliver,
    /// Stop and report the fault.
    GiveUp(Fault),
}

/// The connection to send a request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionKind {
    /// An idle connection may die before the request reaches the peer, so a request that cannot be repeated never uses one.
    Idle,
    /// A connection dialled for the request.
    New,
}

/// How to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectCommand {
    /// The index of the upstream in the order of this exchange.
    pub upstream: usize,
    /// Counts from 1 over all upstreams.
    pub attempt: u32,
    /// [`ConnectionKind::Idle`] where an idle connection is acceptable.
    pub connection: ConnectionKind,
    /// True where a connection that was opened a moment ago, and never used, is acceptable.
    pub spare: bool,
    /// True to use small segments: the path may lose large ones.
    pub small_segments: bool,
    /// True to offer HTTP/1.1 only: the origin requires it.
    pub http1: bool,
}

/// A command, with what to log and what a circuit learns.
#[derive(Debug)]
pub(crate) struct Reaction {
    pub command: Command,
    /// For the log: a failure after which the exchange goes on.
    pub note: Option<Note>,
    /// What the circuit of an upstream learns; the number is the upstream's index.
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

    pub(super) fn with_note(mut self, note: Note) -> Self {
        self.note = Some(note);
        self
    }

    /// The same reaction without a log line: the fault was reported before.
    #[must_use]
    pub(crate) fn into_repeated(mut self) -> Self {
        self.note = self.note.map(|note| match note {
            Note::Fault(fault) => Note::Repeated(fault),
            note @ (Note::Repeated(_) | Note::IdleConnectionDied(_)) => note,
        });
        self
    }
}

/// A failure after which the exchange goes on.
#[derive(Debug)]
pub(crate) enum Note {
    Fault(Fault),
    /// A further failure of an upstream that gitferry waits for; the first one was reported.
    Repeated(Fault),
    /// An idle connection ended while the request was on its way. A peer may close an idle connection at any time (RFC 9112, section 9.5),
    /// so this is no fault of the path.
    IdleConnectionDied(Fault),
}

/// What a circuit learns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// The upstream reached the origin.
    Works,
    /// The upstream delivered a response or a tunnel to its end.
    Complete,
    /// This exchange gave up on the upstream.
    Failed(Cause),
    /// The upstream failed once, and this exchange cannot try it again. A second such failure in a row opens the circuit.
    Doubtful(Cause),
}

/// The part of a fault that a circuit keeps.
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
    /// The fault of an event that has one.
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
            | Self::Response(_)
            | Self::Spoke
            | Self::ReplayGone => None,
        }
    }
}

/// The fault of an exchange that ends because gitferry stops.
pub(super) fn shutdown(stage: Stage) -> Fault {
    Fault::new(Leg::Client, stage, FaultKind::Shutdown)
}
