//! Stalls: a transfer in which nothing moves although something should.
//!
//! The watchdog knows whose turn it is ([`Due`]) and looks at the one count that only this party can move. Toward a peer that is
//! what its kernel acknowledged, not what was written: megabytes fit into a socket's buffer, and none of them has arrived. When the
//! count stands still for longer than the route allows, the first of [`rules::STALL_RULES`] whose evidence is there gives the verdict.
//!
//! Pure: `track::watchdog` brings the samples and the clock, and acts on what comes out.

mod describe;
pub(crate) mod rules;
mod watchdog;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use describe::{SiblingText, StallContext, advice, evidence};
pub(crate) use rules::Verdict;
pub(crate) use watchdog::Watch;

use super::fields::documented;
use super::{Leg, Stage, unit};
use crate::model::named::named;

/// What a route allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StallLimits {
    /// Bytes are under way, and nobody acknowledges any; or an answer stops in its middle.
    #[serde(serialize_with = "unit::as_duration")]
    pub after: Duration,
    /// Reaching the origin: name, TCP, hop, TLS.
    #[serde(serialize_with = "unit::as_duration")]
    pub connect_after: Duration,
    /// The whole request is out, and no response begins: from here on it is acted upon. It is told earlier, see [`Watch::acts`].
    #[serde(serialize_with = "unit::as_duration")]
    pub answer_after: Duration,
    /// The client neither sends nor reads.
    #[serde(serialize_with = "unit::as_duration")]
    pub client_after: Duration,
    /// Bytes per second below which a moving transfer is throttled; 0 for never.
    #[serde(serialize_with = "unit::as_size")]
    pub floor: u64,
    /// Over how long the floor is measured.
    #[serde(serialize_with = "unit::as_duration")]
    pub floor_over: Duration,
}

impl StallLimits {
    /// What counts where the client leaves: it often gives up before `after`, as huggingface_hub does after 10 s without a byte, and then
    /// nobody would learn why. A response that has not begun may still have come, and the client's own silence explains nothing.
    pub(crate) fn at_departure(&self) -> Self {
        Self {
            after: self.after / 3,
            connect_after: Duration::ZERO,
            answer_after: Duration::ZERO,
            client_after: Duration::ZERO,
            floor: 0,
            floor_over: self.floor_over,
        }
    }
}

named! {
/// What is done about a stall.
#[derive(Default)]
pub enum Action {
    /// It is told, and goes on standing still.
    #[default]
    Report = "report",
    /// The transfer ends with a fault, before the client loses its patience.
    Fail = "fail",
    /// As fail; but what may be sent again is, on the next upstream.
    Failover = "failover",
}
}

documented! {
/// What the kernel says about a connection (Linux, `TCP_INFO`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kernel {
    /// Segments that the peer has not acknowledged.
    pub unacked: u32,
    /// Sent segments that arrived out of order (SACK).
    pub sacked: u32,
    /// Timeouts in a row without an answer.
    pub retransmits: u32,
    /// Segments sent again since the connection began.
    pub retransmitted: u32,
    /// Probes in a row without an answer: keepalive, or a closed window.
    pub probes: u32,
    /// Doublings of the timeout in force.
    pub backoff: u32,
    /// The retransmission timeout in force, in milliseconds.
    pub rto_ms: u32,
    /// The largest segment that is sent.
    pub mss: u32,
    /// The path's MTU as the kernel believes it.
    pub pmtu: u32,
    /// The receive window of the peer, in bytes; absent before Linux 5.4.
    pub window: Option<u32>,
    /// Bytes that were not sent because the window is full; absent before Linux 4.6.
    pub unsent: Option<u32>,
    /// Received segments that were out of order; absent before Linux 5.4.
    pub out_of_order: Option<u32>,
    /// Since the peer acknowledged anything, in milliseconds.
    pub last_ack_ms: u32,
    /// Since the peer sent data, in milliseconds.
    pub last_data_ms: u32,
}
}

documented! {
/// One side of a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Flow {
    /// Bytes that came from the peer; once a request is under way, those of its body and of the answer's alone.
    pub read: u64,
    /// Bytes written to the socket.
    pub written: u64,
    /// Written bytes that the peer's kernel has not acknowledged; 0 where this kernel does not say.
    pub queued: u64,
    /// True where this kernel says what was acknowledged.
    pub told: bool,
    /// True where the socket took no more bytes when it was last given some.
    pub blocked: bool,
    /// What the kernel says, where it does.
    pub kernel: Option<Kernel>,
}
}

impl Flow {
    /// Bytes that the peer's kernel has; bytes written where this kernel does not say.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.written.saturating_sub(self.queued)
    }

    /// True where bytes wait for the peer.
    pub(crate) fn is_pending(&self) -> bool {
        self.queued > 0 || self.blocked
    }
}

/// A transfer at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// The current stage.
    pub stage: Stage,
    /// Which attempt: a new one is a new beginning.
    pub attempt: u32,
    /// True for opaque bytes both ways.
    pub tunnel: bool,
    /// True where the client's whole request was sent.
    pub whole: bool,
    /// True where the answer began before that (an unbuffered CGI, a refusal).
    pub early: bool,
    /// True where the answer refuses or redirects.
    pub refused: bool,
    /// True where the attempt goes through a hop.
    pub hop: bool,
    /// True where a response is due soon: of a storage or to an LFS batch request.
    pub prompt: bool,
    /// True while the request's body waits for the client's next bytes; false while nobody asks it for more.
    pub asks_client: bool,
    /// True while the answer's body waits for the origin's next bytes; false while nobody asks it for more.
    pub asks_origin: bool,
    /// The client's side.
    pub client: Flow,
    /// The other side, once there is one.
    pub origin: Option<Flow>,
}

named! {
/// Who has to act next: client-sends, origin-reads, …
pub(crate) enum Due {
    /// Nobody's: queued here, or an idle tunnel.
    Nobody = "nobody",
    /// A connection is to be made.
    Connection = "connection",
    /// The client is to send.
    ClientSends = "client-sends",
    /// The client is to take what was written to it.
    ClientReads = "client-reads",
    /// The other side is to take what was written to it.
    OriginReads = "origin-reads",
    /// The other side is to answer, or to go on answering.
    OriginAnswers = "origin-answers",
}
}

/// A transfer in which nothing moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stall {
    /// Why, as far as the evidence goes.
    pub verdict: Verdict,
    /// The part of the path: client, hop or origin.
    pub leg: Leg,
    /// Whose turn it was.
    pub due: Due,
    /// For how long nothing has moved; for the throttled, how long it was watched.
    pub idle: Duration,
    /// The limit that was exceeded, in milliseconds.
    pub limit: Duration,
    /// Bytes per second, for the verdict throttled.
    pub rate: Option<u64>,
}

/// What one look at a transfer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    /// Nothing to tell.
    Quiet,
    /// The whole request is out since then, and no response begins. No stall yet; told once for an attempt.
    Waiting(Duration),
    /// No response begins where one was due by now, by the role of the route; nothing else says that it will not come, so this is no
    /// stall yet either. Reported once for an attempt.
    Late(Stall),
    /// It stands still, and this was not told yet.
    Stalled(Stall),
    /// It still stands still; told at twice the time, then at four times, and so on.
    GoesOn(Stall),
    /// What was told is over: something moves again.
    Over {
        /// The verdict that was told.
        verdict: Verdict,
        /// From the last movement to this one.
        lasted: Duration,
    },
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
