//! The interface for tests, benches and fuzz targets outside the crate (feature `testing`). It is not stable.

pub mod parsers;

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

/// The codes of the verdicts on stalls.
pub fn verdicts() -> Vec<&'static str> {
    crate::model::stall::Verdict::ALL
        .map(|verdict| verdict.as_str())
        .to_vec()
}
