//! A fault of a transfer.

use serde::Serialize;
use tokio::time::Instant;

use super::{LogEvent, Subject, line, seconds_since};
use crate::model::fields::documented;
use crate::{
    model::{Leg, Stage},
    track::metrics::{self, Metrics},
};

documented! {
/// A fault, and what comes next.
#[derive(Clone, Debug, Serialize)]
pub struct FaultOccurred {
    /// The transfer.
    #[serde(flatten)]
    pub subject: Subject,
    /// `leg/stage/kind`.
    pub code: String,
    /// The part of the path: client, hop or origin.
    pub leg: Leg,
    /// The stage in which it happened.
    pub stage: Stage,
    /// The kind of fault.
    pub kind: String,
    /// The TCP peer.
    pub peer: Option<String>,
    /// The number of the attempt.
    pub attempt: u32,
    /// The time since the transfer began, in milliseconds.
    pub elapsed_ms: u64,
    /// What gitferry does next: `again`, `next-upstream` or `give-up`.
    pub next: &'static str,
    /// How long gitferry waits before the next attempt, in milliseconds.
    pub wait_ms: Option<u64>,
    /// The upstream of the next attempt, where it is another one.
    pub next_upstream: Option<String>,
    /// `replay` or `resume`, where gitferry sends the body again or requests the rest of the response.
    pub rescue: Option<&'static str>,
    /// What happened, as the system or the peer reports it.
    pub cause: String,
    /// What the user can do about it.
    pub advice: Option<String>,
    /// The kind of the advice: `other-upstream` or `other`.
    pub remedy: Option<&'static str>,
    /// True where an earlier fault of the transfer had the same advice: the log does not repeat it.
    #[serde(skip)]
    pub advised: bool,
    /// True where gitferry waits for an upstream whose failure was reported before: a debug line is enough.
    #[serde(skip)]
    pub repeated: bool,
    /// Seconds since it happened.
    #[serde(rename = "s_ago", serialize_with = "seconds_since")]
    pub at: Instant,
}
}

impl FaultOccurred {
    /// What gitferry does next, for people.
    pub(crate) fn next_step(&self) -> String {
        match (&self.next_upstream, self.wait_ms) {
            (Some(upstream), _) => format!("next upstream: {upstream}"),
            (None, Some(ms)) => format!("tries again in {ms} ms"),
            (None, None) => "gives up".into(),
        }
    }
}

impl LogEvent for FaultOccurred {
    fn emit(&self, metrics: &Metrics) {
        let route = &self.subject.route;
        metrics.count(&metrics::FAULTS, &[route, &self.code]);
        let means = match self.next {
            "again" => Some("retry"),
            "next-upstream" => Some("next-upstream"),
            _ => None,
        };
        if let Some(means) = self.rescue.or(means) {
            metrics.count(&metrics::RESCUES, &[route, means]);
        }
        let advice = self.advice.as_deref().filter(|_| !self.advised);
        // One list of fields for both levels: tracing requires a constant level.
        macro_rules! fault {
            ($level:ident) => {
                line!(
                    $level,
                    &self.subject,
                    "fault",
                    code = self.code,
                    leg = self.leg.as_str(),
                    stage = self.stage.as_str(),
                    kind = self.kind,
                    peer = self.peer,
                    attempt = self.attempt,
                    elapsed_ms = self.elapsed_ms,
                    next = self.next,
                    wait_ms = self.wait_ms,
                    next_upstream = self.next_upstream,
                    rescue = self.rescue,
                    cause = self.cause,
                    remedy = advice.and(self.remedy),
                    advice = advice
                )
            };
        }
        match self.repeated {
            true => fault!(debug),
            false => fault!(warn),
        }
    }
}
