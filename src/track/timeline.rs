//! The events of one running or finished transfer: its stages in order, its attempts with their faults, its stalls. Each list is bounded.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize};

use crate::model::fields::documented;
use crate::model::named::named;
use crate::model::{Stage, attempts::Next};

/// The number of stages that are kept. Beyond it, the oldest after the first [`KEPT_FIRST`] are dropped.
const STEPS: usize = 64;
/// The number of attempts that are kept, and of stalls.
const ATTEMPTS: usize = 16;
/// The number of connections of a download in segments that are kept.
const SEGMENTS: usize = 32;
/// The number of first entries that are never dropped.
const KEPT_FIRST: usize = 4;

documented! {
/// The stages, attempts and stalls of one transfer, in the order of time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Timeline {
    /// The stages, in the order in which the transfer entered them.
    pub stages: Vec<Step>,
    /// The attempts, and why they failed.
    pub attempts: Vec<Attempt>,
    /// The stalls.
    pub stalls: Vec<StallNote>,
    /// How gitferry continued after faults.
    pub rescues: Vec<Rescue>,
    /// The congestion control of the last connection to the origin, of a finished transfer of 1 MiB or more.
    pub congestion: Option<String>,
    /// The connections that have fetched later ranges of a download.
    pub segments: Vec<Segment>,
}
}

documented! {
/// A connection that fetches, or has fetched, later ranges of a download.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// Its congestion control, where the system reports it.
    pub congestion: Option<String>,
    /// Bytes that it has received.
    pub received: u64,
}
}

documented! {
/// A stage that the transfer entered; it ends where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// The stage.
    pub stage: Stage,
    /// Milliseconds from the beginning of the transfer to the beginning of the stage.
    pub at_ms: u64,
    /// The attempt it belongs to; 0 before the first one.
    pub attempt: u32,
}
}

documented! {
/// One attempt to reach the origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// Its number, from 1 over all upstreams; 0 for a fault before the first attempt.
    pub attempt: u32,
    /// Milliseconds since the beginning of the transfer.
    pub at_ms: u64,
    /// The upstream's label.
    pub upstream: Option<Arc<str>>,
    /// The TCP peer.
    pub peer: Option<SocketAddr>,
    /// True where the connection came from the pool.
    pub reused: bool,
    /// Why it failed.
    pub fault: Option<FaultNote>,
}
}

documented! {
/// The fault that ended an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FaultNote {
    /// `leg/stage/kind`.
    pub code: String,
    /// Milliseconds since the beginning of the transfer.
    pub at_ms: u64,
    /// What happened, as the system or the peer reports it.
    pub cause: String,
    /// What gitferry did next.
    pub next: String,
    /// What the user can do about it.
    pub advice: Option<String>,
}
}

documented! {
/// A stall of the transfer, as it was reported last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StallNote {
    /// When it was reported last.
    #[serde(with = "instant_text")]
    pub at: SystemTime,
    /// Why nothing moved.
    pub verdict: String,
    /// The part of the path: client, hop or origin.
    pub leg: String,
    /// The stage in which it stalled.
    pub stage: String,
    /// How long nothing moved, in milliseconds.
    pub idle_ms: u64,
    /// True where it is over.
    pub over: bool,
    /// The evidence as text.
    pub evidence: String,
    /// What the user can do about it.
    pub advice: String,
}
}

named! {
/// How a transfer continued after a fault.
pub(crate) enum Rescue {
    /// Another attempt over the same upstream.
    Retry = "retry",
    /// The request's body was sent again.
    Replay = "replay",
    /// The rest of the response was requested.
    Resume = "resume",
    /// Another upstream.
    Failover = "failover",
}
}

impl Timeline {
    /// The timeline of a transfer that was just accepted.
    pub(crate) fn begun() -> Self {
        let mut timeline = Self::default();
        timeline.enter(Stage::Accepted, 0, 0);
        timeline
    }

    /// Records that the transfer enters `stage`.
    pub(crate) fn enter(&mut self, stage: Stage, at_ms: u64, attempt: u32) {
        let step = Step {
            stage,
            at_ms,
            attempt,
        };
        // A stage that took no time is dropped, unless it is the last.
        if self
            .stages
            .last()
            .is_some_and(|last| last.at_ms == at_ms && last.stage < stage)
        {
            self.stages.pop();
        }
        push(&mut self.stages, step, STEPS);
    }

    /// Begins an attempt through `upstream`.
    pub(crate) fn begin_attempt(&mut self, upstream: Arc<str>, attempt: u32, at_ms: u64) {
        let attempt = Attempt {
            attempt,
            at_ms,
            upstream: Some(upstream),
            ..Attempt::default()
        };
        if self.attempts.is_empty() {
            // Most transfers have one attempt, and 1,000 are kept: a vector begins with room for four, 672 bytes.
            self.attempts.reserve_exact(1);
        }
        push(&mut self.attempts, attempt, ATTEMPTS);
    }

    /// The current attempt.
    pub(crate) fn current_attempt(&mut self) -> Option<&mut Attempt> {
        self.attempts.last_mut()
    }

    /// Records the fault of the current attempt.
    pub(crate) fn note_fault(&mut self, fault: FaultNote) {
        match self.attempts.last_mut() {
            Some(attempt) if attempt.fault.is_none() => attempt.fault = Some(fault),
            _ => {
                let attempt = Attempt {
                    attempt: self.attempts.last().map_or(0, |last| last.attempt),
                    at_ms: fault.at_ms,
                    fault: Some(fault),
                    ..Attempt::default()
                };
                push(&mut self.attempts, attempt, ATTEMPTS);
            }
        }
    }

    /// Records the rescue by `next`, and the one by a body that is sent again (`replay`) or resumed.
    pub(crate) fn note_rescue(&mut self, next: &Next, by_body: Option<&'static str>) {
        let by_next = match (next, by_body) {
            (Next::GiveUp, _) => return,
            (Next::Again { .. }, Some(_)) => None,
            (Next::Again { .. }, None) => Some(Rescue::Retry),
            (Next::OtherUpstream { .. }, _) => Some(Rescue::Failover),
        };
        let by_body = match by_body {
            Some("replay") => Some(Rescue::Replay),
            Some(_) => Some(Rescue::Resume),
            None => None,
        };
        for rescue in [by_next, by_body].into_iter().flatten() {
            if !self.rescues.contains(&rescue) {
                self.rescues.push(rescue);
            }
        }
    }

    /// Records a connection that fetched ranges and has ended.
    pub(crate) fn note_segment(&mut self, segment: Segment) {
        push(&mut self.segments, segment, SEGMENTS);
    }

    /// Records a stall that began, continues or is over.
    pub(crate) fn note_stall(&mut self, stall: StallNote) {
        match self.stalls.last_mut() {
            Some(last) if !last.over => *last = stall,
            _ => push(&mut self.stalls, stall, ATTEMPTS),
        }
    }
}

fn push<T>(list: &mut Vec<T>, item: T, limit: usize) {
    if list.len() >= limit {
        list.remove(KEPT_FIRST.min(limit.saturating_sub(1)));
    }
    list.push(item);
}

/// A point in time in the format of the log.
pub(crate) mod instant_text {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::track::moment;

    pub(crate) fn serialize<S: Serializer>(
        at: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&moment::logged(*at))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        moment::parse(&text).ok_or_else(|| D::Error::custom("no point in time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_with_1000_attempts_keeps_the_first_and_the_last_ones() {
        let mut timeline = Timeline::default();
        for attempt in 1..=1000 {
            timeline.begin_attempt("direct".into(), attempt, u64::from(attempt) * 10);
            timeline.enter(Stage::Connecting, u64::from(attempt) * 10, attempt);
        }
        assert_eq!(timeline.attempts.len(), ATTEMPTS);
        assert_eq!(timeline.stages.len(), STEPS);
        assert_eq!(timeline.attempts[0].attempt, 1);
        assert_eq!(timeline.stages[STEPS - 1].attempt, 1000);
    }

    #[test]
    fn a_transfer_with_one_attempt_holds_memory_for_one() {
        let mut timeline = Timeline::begun();
        timeline.begin_attempt("direct".into(), 1, 0);
        assert_eq!(timeline.attempts.capacity(), 1);
    }

    #[test]
    fn a_stage_that_took_no_time_is_left_out() {
        let mut timeline = Timeline::default();
        timeline.enter(Stage::Resolving, 5, 1);
        timeline.enter(Stage::Connecting, 5, 1);
        timeline.enter(Stage::Handshaking, 9, 1);
        let stages: Vec<_> = timeline.stages.iter().map(|step| step.stage).collect();
        assert_eq!(stages, [Stage::Connecting, Stage::Handshaking]);
    }
}
