//! The events that tests subscribe to, as values.

use super::{FaultOccurred, StallReported, TransferEnded};
use crate::track::observe::{EndSeen, FaultSeen, Observation, StallSeen};

impl From<&FaultOccurred> for Observation {
    fn from(fault: &FaultOccurred) -> Self {
        Self::Fault(FaultSeen {
            host: fault.subject.host.clone(),
            upstream: fault.subject.upstream.clone(),
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
            host: stall.subject.host.clone(),
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
            host: end.subject.host.clone(),
            method: end.method.clone(),
            status: end.status,
            result: end.result.clone(),
            attempts: end.attempts,
            rerouted: end.subject.circuit.is_some(),
            up: end.up,
            down: end.down,
        })
    }
}
