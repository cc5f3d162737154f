//! A stall: its beginning, continuation and end.

use std::{net::SocketAddr, time::SystemTime};

use super::{LogEvent, Subject, line};
use crate::model::fields::documented;
use crate::{
    model::{
        Leg, Role, Stage,
        stall::{Action, Due, Kernel, Verdict},
    },
    track::{
        metrics::{self, Metrics},
        timeline::StallNote,
    },
};
use serde::Serialize;
use tokio::time::Instant;

/// The phase of a stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StallPhase {
    /// Its limit has passed.
    Began,
    /// Nothing has moved since it was reported.
    GoesOn,
    /// Bytes move again, or another attempt began.
    Over,
    /// The transfer ended during the stall.
    Ended,
}

impl StallPhase {
    /// The text for people.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::GoesOn => "goes on",
            Self::Over => "over",
            Self::Ended => "ended with its transfer",
        }
    }

    /// True where nothing more is reported of this stall.
    pub(crate) const fn is_end(self) -> bool {
        match self {
            Self::Began | Self::GoesOn => false,
            Self::Over | Self::Ended => true,
        }
    }
}

documented! {
/// A stall in its present state.
#[derive(Clone, Debug, Serialize)]
pub struct StallReported {
    /// Whether the stall began, goes on or is over.
    pub phase: StallPhase,
    /// The transfer.
    #[serde(flatten)]
    pub subject: Subject,
    /// Why nothing moves, according to the evidence.
    pub verdict: Verdict,
    /// The part of the path: client, hop or origin.
    pub leg: Leg,
    /// The stage in which it happened.
    pub stage: Stage,
    /// The party that must act next: client-sends, origin-reads, …
    pub due: Due,
    /// How long nothing moved, in milliseconds.
    pub idle_ms: u64,
    /// The limit that was exceeded, in milliseconds.
    pub limit_ms: u64,
    /// Bytes per second, for the verdict throttled.
    pub rate: Option<u64>,
    /// What the route's hosts serve.
    pub role: Role,
    /// The TCP peer.
    pub peer: Option<SocketAddr>,
    /// The number of the attempt.
    pub attempt: u32,
    /// Body bytes taken from the client.
    pub up: u64,
    /// Body bytes given to the client.
    pub down: u64,
    /// Bytes written to the other side's socket, TLS included.
    pub written: u64,
    /// Written bytes that the peer's kernel acknowledged; absent where this system does not report it.
    pub acknowledged: Option<u64>,
    /// Bytes received from the other side, TLS included.
    pub answered: u64,
    /// The state of the stalled connection in the kernel.
    pub kernel: Option<Kernel>,
    /// How the other route of the site (main site or storage) works through the same upstream.
    pub sibling: Option<String>,
    /// What gitferry does about it.
    pub action: Action,
    /// The evidence as text.
    pub evidence: String,
    /// What the user can do about it.
    pub advice: String,
    /// The kind of the advice: `other-upstream` or `other`.
    pub remedy: &'static str,
    /// Seconds since it was last reported.
    #[serde(rename = "s_ago", serialize_with = "super::seconds_since")]
    pub at: Instant,
}
}

impl StallReported {
    /// The entry for the transfer's timeline.
    pub(crate) fn timeline_entry(&self) -> StallNote {
        StallNote {
            at: SystemTime::now(),
            verdict: self.verdict.as_str().into(),
            leg: self.leg.as_str().into(),
            stage: self.stage.as_str().into(),
            idle_ms: self.idle_ms,
            over: self.phase.is_end(),
            evidence: self.evidence.clone(),
            advice: self.advice.clone(),
        }
    }
}

impl LogEvent for StallReported {
    fn emit(&self, metrics: &Metrics) {
        let route = &self.subject.route;
        match self.phase {
            StallPhase::Began => metrics.count(&metrics::STALLS, &[route, self.verdict.as_str()]),
            StallPhase::GoesOn => {}
            StallPhase::Over | StallPhase::Ended => {
                metrics.add(&metrics::STALLED_MS, &[route], self.idle_ms)
            }
        }
        match self.phase {
            StallPhase::Began => self.evidence_line("stall"),
            StallPhase::GoesOn => self.evidence_line("stall goes on"),
            StallPhase::Over => self.end_line("stall over"),
            StallPhase::Ended => self.end_line("stall ended with its transfer"),
        }
    }
}

impl StallReported {
    /// The line of a stall that begins or continues.
    fn evidence_line(&self, message: &'static str) {
        let kernel = self.kernel;
        line!(
            warn,
            &self.subject,
            "{message}",
            verdict = self.verdict.as_str(),
            leg = self.leg.as_str(),
            stage = self.stage.as_str(),
            idle_ms = self.idle_ms,
            limit_ms = self.limit_ms,
            rate = self.rate,
            role = self.role.as_str(),
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
            action = self.action.as_str(),
            evidence = self.evidence,
            remedy = self.remedy,
            advice = self.advice
        );
    }

    /// The line of a stall's end.
    fn end_line(&self, message: &'static str) {
        line!(
            info,
            &self.subject,
            "{message}",
            verdict = self.verdict.as_str(),
            idle_ms = self.idle_ms,
            attempt = self.attempt
        );
    }
}

/// A response that has not begun but may still come. This is no stall, so it is no warning and has no advice.
#[derive(Clone, Debug)]
pub(crate) struct ResponseAwaited {
    /// The transfer.
    pub subject: Subject,
    /// How long gitferry has waited for it.
    pub idle_ms: u64,
    /// The limit at which it becomes a stall.
    pub limit_ms: u64,
    /// The action at that time.
    pub action: Action,
    /// Details of a response that was due by now.
    pub late: Option<LateResponse>,
}

/// A response that was due by now.
#[derive(Clone, Debug)]
pub(crate) struct LateResponse {
    /// The verdict if it becomes a stall.
    pub verdict: Verdict,
    /// The part of the path: client, hop or origin.
    pub leg: Leg,
    /// The stage in which it happened.
    pub stage: Stage,
    /// The role that makes it due.
    pub role: Role,
    /// The evidence as text.
    pub evidence: String,
}

impl LogEvent for ResponseAwaited {
    fn emit(&self, _: &Metrics) {
        let (idle_ms, limit_ms, action) = (self.idle_ms, self.limit_ms, self.action.as_str());
        match &self.late {
            None => line!(
                info,
                &self.subject,
                "waiting for the answer",
                idle_ms,
                limit_ms,
                action
            ),
            Some(late) => line!(
                info,
                &self.subject,
                "no answer yet",
                verdict = late.verdict.as_str(),
                leg = late.leg.as_str(),
                stage = late.stage.as_str(),
                idle_ms,
                limit_ms,
                role = late.role.as_str(),
                evidence = late.evidence,
                action
            ),
        }
    }
}

/// A transfer got a response only with small segments: the path drops large ones.
#[derive(Clone, Debug)]
pub(crate) struct SmallSegmentsHelped {
    /// The transfer.
    pub subject: Subject,
    /// The size of the small segments, in bytes.
    pub max_segment: u32,
}

impl LogEvent for SmallSegmentsHelped {
    fn emit(&self, metrics: &Metrics) {
        let (size, route) = (self.max_segment, &self.subject.route);
        metrics.count(&metrics::SMALL_SEGMENTS, &[route]);
        let advice = format!(
            "make it permanent with `dial = {{ max_segment = \"{size} B\" }}` in route `{route}`, or lower this machine's MTU to {}",
            size + 80
        );
        line!(
            warn,
            &self.subject,
            "small segments helped",
            max_segment = size,
            advice
        );
    }
}
