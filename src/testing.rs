//! The interface for tests, benches and fuzz targets outside the crate (feature `testing`). It is not stable.

pub mod parsers;

use crate::model::{
    Fault, FaultKind, Leg, Stage, advice::AdviceContext, fault::table::FAULT_KINDS,
};

pub use crate::{
    config::{Config, DEFAULT, Problems, load},
    forward::Shared,
    model::health::Health,
    model::{Target, health::CircuitStatus, pseudonym},
    rt::{Shutdown, Tasks},
    service::{daemon::Daemon, drain::DrainOutcome},
    track::{
        Tracker,
        event::StallReported,
        metrics::Exposition,
        metrics::Metrics,
        observe::{EndSeen, Events, FaultSeen, Observation, StallSeen},
        transfer::Snapshot,
    },
};

/// The codes of the kinds of faults with advice.
pub fn kinds_with_advice() -> Vec<&'static str> {
    let context = AdviceContext {
        host: "host.test",
        port: 443,
        route: "route",
        upstream: "hop",
        max_segment: None,
    };
    let places = || {
        Leg::ALL
            .into_iter()
            .flat_map(|leg| Stage::ALL.map(|stage| (leg, stage)))
    };
    let advised = |kind: &FaultKind| {
        places().any(|(leg, stage)| {
            Fault::new(leg, stage, kind.clone())
                .advice(context)
                .is_some()
        })
    };
    let kinds = FAULT_KINDS.iter().zip(FaultKind::samples());
    let with_advice = kinds.filter(|(_, kind)| advised(kind));
    with_advice.map(|(row, _)| row.code).collect()
}

/// The codes of the verdicts on stalls.
pub fn verdicts() -> Vec<&'static str> {
    crate::model::stall::Verdict::ALL
        .map(|verdict| verdict.as_str())
        .to_vec()
}
