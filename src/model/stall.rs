//! Stalls: a transfer in which nothing moves although something should.
//!
//! The watchdog determines which party is due ([`Due`]) and reads the one count that only this party can move. For a peer that must read,
//! this is the number of bytes that its kernel acknowledged, not the number written: megabytes fit into a socket's buffer before any of
//! them arrives. When the count does not change for longer than the route allows, the first matching rule of [`rules::STALL_RULES`] gives
//! the verdict.
//!
//! `track::watchdog` supplies the samples and the clock, and acts on the result.

mod describe;
pub(crate) mod rules;
mod watchdog;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use describe::{SiblingText, StallContext, advice, evidence};
pub(crate) use rules::Verdict;
pub(crate) use watchdog::Watchdog;

use super::fields::documented;
use super::{Leg, Stage, unit};
use crate::model::named::named;

/// The limits of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StallLimits {
    /// How long sent bytes may go unacknowledged, or a response may stop in its middle.
    #[serde(serialize_with = "unit::as_duration")]
    pub after: Duration,
    /// How long reaching the origin may take: name, TCP, hop, TLS.
    #[serde(serialize_with = "unit::as_duration")]
    pub connect_after: Duration,
    /// How long a complete request may wait for its response before gitferry acts. It reports the stall earlier, see [`Watchdog::overdue`].
    #[serde(serialize_with = "unit::as_duration")]
    pub answer_after: Duration,
    /// How long the client may neither send nor read.
    #[serde(serialize_with = "unit::as_duration")]
    pub client_after: Duration,
    /// The rate in bytes per second below which a moving transfer is throttled; 0 for never.
    #[serde(serialize_with = "unit::as_size")]
    pub floor: u64,
    /// The span over which the rate is measured.
    #[serde(serialize_with = "unit::as_duration")]
    pub floor_over: Duration,
}

impl StallLimits {
    /// The limits that apply when the client disconnects. Clients often give up before `after` (huggingface_hub after 10 s without a byte), and
    /// with the usual limits no stall would be logged. A limit of zero disables its rule: a response that has not begun might still have
    /// begun in time, and the client's own silence is not a cause.
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
/// The action on a stall.
#[derive(Default)]
pub enum Action {
    /// Report it, and let the transfer go on.
    #[default]
    Report = "report",
    /// End the transfer with a fault, before the client's own timeout.
    Fail = "fail",
    /// As `Fail`, but send the request again through the next upstream where it may be repeated.
    Failover = "failover",
}
}

documented! {
/// The state of a connection in the kernel (Linux, `TCP_INFO`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kernel {
    /// Segments that the peer has not acknowledged.
    pub unacked: u32,
    /// Sent segments that arrived out of order (SACK).
    pub sacked: u32,
    /// Retransmission timeouts in a row without a response.
    pub retransmits: u32,
    /// Segments retransmitted since the connection began.
    pub retransmitted: u32,
    /// Probes in a row without a response: keepalive, or a closed window.
    pub probes: u32,
    /// Doublings of the current timeout.
    pub backoff: u32,
    /// The current retransmission timeout, in milliseconds.
    pub rto_ms: u32,
    /// The largest segment that is sent.
    pub mss: u32,
    /// The path MTU that the kernel assumes.
    pub pmtu: u32,
    /// The receive window of the peer, in bytes; absent before Linux 5.4.
    pub window: Option<u32>,
    /// Bytes that were not sent because the window is full; absent before Linux 4.6.
    pub unsent: Option<u32>,
    /// Received segments that were out of order; absent before Linux 5.4.
    pub out_of_order: Option<u32>,
    /// Time since the peer acknowledged anything, in milliseconds.
    pub last_ack_ms: u32,
    /// Time since the peer sent data, in milliseconds.
    pub last_data_ms: u32,
}
}

documented! {
/// One side of a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Flow {
    /// Bytes received from the peer; while a request is under way, only those of its body and of the response.
    pub read: u64,
    /// Bytes written to the socket.
    pub written: u64,
    /// Written bytes that the peer's kernel has not acknowledged; 0 where the local kernel does not report them.
    pub queued: u64,
    /// True where the local kernel reports acknowledgements.
    pub reports_acks: bool,
    /// True where the socket accepted no more bytes at the last write.
    pub blocked: bool,
    /// The state in the kernel, where it reports one.
    pub kernel: Option<Kernel>,
}
}

impl Flow {
    /// Bytes acknowledged by the peer's kernel; bytes written where the local kernel does not report acknowledgements.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.written.saturating_sub(self.queued)
    }

    /// True where written bytes are not acknowledged.
    pub(crate) fn is_pending(&self) -> bool {
        self.queued > 0 || self.blocked
    }
}

/// The state of a transfer that the watchdog reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// The current stage.
    pub stage: Stage,
    /// The attempt; a new attempt restarts the watchdog.
    pub attempt: u32,
    /// True for an opaque tunnel.
    pub tunnel: bool,
    /// True where the client's whole request was sent.
    pub whole: bool,
    /// True where the response began before the whole request was sent (an unbuffered CGI, a refusal).
    pub early: bool,
    /// True where the response refuses or redirects.
    pub refused: bool,
    /// True where the attempt goes through a hop.
    pub hop: bool,
    /// True where a response should come soon: from a storage, or to an LFS batch request.
    pub prompt: bool,
    /// True while the request's body waits for the client's next bytes; false while the connection does not read it.
    pub awaits_client: bool,
    /// True while the response's body waits for the origin's next bytes; false while the client's connection does not read it.
    pub awaits_origin: bool,
    /// The client's side.
    pub client: Flow,
    /// The hop's or origin's side, once it is connected.
    pub origin: Option<Flow>,
}

named! {
/// The party that must act next: client-sends, origin-reads, …
pub(crate) enum Due {
    /// No party: the transfer is queued, or the tunnel is idle.
    Nobody = "nobody",
    /// gitferry must establish a connection.
    Connection = "connection",
    /// The client must send.
    ClientSends = "client-sends",
    /// The client must read what was written to it.
    ClientReads = "client-reads",
    /// The hop or origin must read what was written to it.
    OriginReads = "origin-reads",
    /// The hop or origin must answer, or continue its response.
    OriginAnswers = "origin-answers",
}
}

/// A transfer in which nothing moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stall {
    /// The cause, according to the evidence.
    pub verdict: Verdict,
    /// The part of the path: client, hop or origin.
    pub leg: Leg,
    /// The party that was due.
    pub due: Due,
    /// How long nothing has moved; for a throttled transfer, how long its rate was measured.
    pub idle: Duration,
    /// The limit that was exceeded, in milliseconds.
    pub limit: Duration,
    /// Bytes per second, for the verdict throttled.
    pub rate: Option<u64>,
}

/// The result of one check of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    /// Nothing to report.
    Quiet,
    /// The request was sent completely, and no response has begun for this long. Not a stall yet; reported once for an attempt.
    Waiting(Duration),
    /// No response has begun, and the role of the route makes one due. Without other evidence this is not a stall yet. Reported once for an
    /// attempt.
    Late(Stall),
    /// The transfer stalls, and this was not reported yet.
    Stalled(Stall),
    /// The transfer still stalls; reported again after twice the time, four times the time, and so on.
    GoesOn(Stall),
    /// A reported stall is over: bytes move again.
    Over {
        /// The reported verdict.
        verdict: Verdict,
        /// From the last movement before the stall to the first one after it.
        lasted: Duration,
    },
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
