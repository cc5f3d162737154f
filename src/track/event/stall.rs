//! A stall: that it began, that it goes on, that it is over.

use std::net::SocketAddr;

use serde::{Serialize, Serializer};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    model::{
        Leg, Role, Stage,
        stall::{Action, Due, Kernel, Verdict},
    },
    track::metrics::Metrics,
};

/// What is told of a stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Its limit has passed.
    Began,
    /// Nothing has moved since it was told.
    GoesOn,
    /// Something moves again, or another attempt began.
    Over,
    /// The transfer ended in it.
    Ended,
}

impl Phase {
    /// For people.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::GoesOn => "goes on",
            Self::Over => "over",
            Self::Ended => "ended with its transfer",
        }
    }

    /// True where nothing more is told of this stall.
    pub(crate) const fn is_end(self) -> bool {
        match self {
            Self::Began | Self::GoesOn => false,
            Self::Over | Self::Ended => true,
        }
    }
}

/// A stall, as it is now.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StallTold {
    /// Which of its lines.
    pub phase: Phase,
    /// The transfer's number.
    pub id: u64,
    /// Why nothing moves, as far as the evidence goes.
    pub verdict: Verdict,
    /// Whose side.
    #[serde(serialize_with = "leg")]
    pub leg: Leg,
    /// What was being done.
    #[serde(serialize_with = "stage")]
    pub stage: Stage,
    /// Whose turn it is.
    pub due: Due,
    /// For how long nothing moved, in milliseconds.
    pub idle_ms: u64,
    /// The limit that was passed.
    pub limit_ms: u64,
    /// Bytes per second, for the throttled.
    pub rate: Option<u64>,
    /// The host asked for.
    pub host: String,
    /// The port asked for.
    pub port: u16,
    /// The route's name.
    pub route: String,
    /// What its hosts serve.
    #[serde(serialize_with = "role")]
    pub role: Role,
    /// The upstream of the attempt.
    pub upstream: Option<String>,
    /// The TCP peer.
    pub peer: Option<SocketAddr>,
    /// Which attempt of the transfer.
    pub attempt: u32,
    /// Body bytes taken from the client.
    pub up: u64,
    /// Body bytes given to the client.
    pub down: u64,
    /// Bytes written to the other side's socket, TLS included.
    pub written: u64,
    /// Of these, bytes that the peer's kernel has; `None` where this system does not say.
    pub acknowledged: Option<u64>,
    /// Bytes that came from the other side, TLS included.
    pub answered: u64,
    /// What the kernel says about the connection that stands still.
    pub kernel: Option<Kernel>,
    /// How the other half of the site fares through the same upstream.
    pub sibling: Option<String>,
    /// The open circuit because of which the transfer did not go where the config says.
    pub circuit: Option<String>,
    /// What is done about it.
    pub action: Action,
    /// The facts, in words.
    pub evidence: String,
    /// The guess.
    pub advice: String,
    /// When this line of it was told.
    #[serde(rename = "s_ago", serialize_with = "super::seconds_since")]
    pub at: Instant,
}

fn leg<S: Serializer>(leg: &Leg, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(leg.as_str())
}

fn stage<S: Serializer>(stage: &Stage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(stage.as_str())
}

fn role<S: Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(role.as_str())
}

impl StallTold {
    /// Writes and counts it.
    pub(crate) fn emit(&self, metrics: &Metrics) {
        let verdict = self.verdict.as_str();
        match self.phase {
            Phase::Began => metrics.stall(&self.route, verdict),
            Phase::GoesOn => {}
            Phase::Over | Phase::Ended => metrics.stalled_for(&self.route, self.idle_ms),
        }
        let kernel = self.kernel;
        // One list of fields for the three messages: tracing wants message and level to be constant.
        macro_rules! told {
            ($level:ident, $message:literal, $advice:expr) => {
                $level!(
                    id = self.id,
                    verdict = verdict,
                    leg = self.leg.as_str(),
                    stage = self.stage.as_str(),
                    idle_ms = self.idle_ms,
                    limit_ms = self.limit_ms,
                    rate = self.rate,
                    host = self.host,
                    port = self.port,
                    route = self.route,
                    role = self.role.as_str(),
                    upstream = self.upstream,
                    peer = self.peer.map(tracing::field::display),
                    attempt = self.attempt,
                    up = self.up,
                    written = self.written,
                    acknowledged = self.acknowledged,
                    answered = self.answered,
                    down = self.down,
                    unacked = kernel.map(|kernel| kernel.unacked),
                    retransmits = kernel.map(|kernel| kernel.retransmits),
                    retransmitted = kernel.map(|kernel| kernel.retransmitted),
                    rto_ms = kernel.map(|kernel| kernel.rto_ms),
                    window = kernel.and_then(|kernel| kernel.window),
                    unsent = kernel.and_then(|kernel| kernel.unsent),
                    mss = kernel.map(|kernel| kernel.mss),
                    sibling = self.sibling,
                    circuit = self.circuit,
                    action = self.action.as_str(),
                    evidence = self.evidence,
                    advice = $advice,
                    $message
                )
            };
        }
        match self.phase {
            Phase::Began => told!(warn, "stall", Some(self.advice.as_str())),
            Phase::GoesOn => told!(warn, "stall goes on", Some(self.advice.as_str())),
            Phase::Over => info!(
                id = self.id,
                verdict,
                idle_ms = self.idle_ms,
                host = self.host,
                route = self.route,
                upstream = self.upstream,
                attempt = self.attempt,
                circuit = self.circuit,
                "stall over"
            ),
            Phase::Ended => info!(
                id = self.id,
                verdict,
                idle_ms = self.idle_ms,
                host = self.host,
                route = self.route,
                upstream = self.upstream,
                attempt = self.attempt,
                circuit = self.circuit,
                "stall ended with its transfer"
            ),
        }
    }
}

/// A transfer was answered only after its segments were made smaller: the path drops large ones.
#[derive(Clone, Debug)]
pub(crate) struct SmallSegmentsHelped {
    /// The transfer's number.
    pub id: u64,
    /// The host asked for.
    pub host: String,
    /// The route's name.
    pub route: String,
    /// The upstream of the attempt.
    pub upstream: Option<String>,
    /// The size that got through, in bytes.
    pub max_segment: u32,
}

impl SmallSegmentsHelped {
    /// Writes and counts it.
    pub(crate) fn emit(&self, metrics: &Metrics) {
        metrics.small_segments(&self.route);
        let size = self.max_segment;
        let advice = format!(
            "make it permanent with `dial = {{ max_segment = \"{size} B\" }}` in route `{}`, or lower this machine's MTU to {}",
            self.route,
            size + 80
        );
        warn!(
            id = self.id,
            host = self.host,
            route = self.route,
            upstream = self.upstream,
            max_segment = size,
            advice,
            "small segments helped"
        );
    }
}
