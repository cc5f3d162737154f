//! The events that tests subscribe to, as values.

use super::{FaultOccurred, StallReported, TransferEnded};
use crate::track::observe::{EndSeen, FaultSeen, Observation, StallSeen};

impl From<&FaultOccurred> for Observation {
    fn from(fault: &FaultOccurred) -> Self {
        Self::Fault(FaultSeen {
            host: fault.subject.host.to_string(),
            upstream: fault.subject.upstream.as_deref().map(Into::into),
            code: fault.code.clone(),
            leg: fault.leg.as_str().to_owned(),
            stage: fault.stage.as_str().to_owned(),
            kind: fault.kind.clone(),
            attempt: fault.attempt,
            next: fault.next.to_owned(),
            repeated: fault.repeated,
            cause: fault.cause.clone(),
            advice: fault.advice.clone(),
        })
    }
}

impl From<&StallReported> for Observation {
    fn from(stall: &StallReported) -> Self {
        Self::Stall(StallSeen {
            host: stall.subject.host.to_string(),
            phase: stall.phase.as_str().to_owned(),
            verdict: stall.verdict.as_str().to_owned(),
            leg: stall.leg.as_str().to_owned(),
            stage: stall.stage.as_str().to_owned(),
        })
    }
}

impl From<&TransferEnded> for Observation {
    fn from(end: &TransferEnded) -> Self {
        Self::Ended(EndSeen {
            host: end.subject.host.to_string(),
            method: end.method.to_string(),
            status: end.status,
            result: end.result.to_string(),
            attempts: end.attempts,
            rerouted: end.subject.circuit.is_some(),
            up: end.up,
            down: end.down,
        })
    }
}
