//! The hop's greeting, its authentication, and whether it connects to this host.

use tokio::time::Instant;

use super::{Probe, shown};
use crate::{doctor::Outcome, model::Leg};

pub(in crate::doctor) async fn run(probe: &Probe) -> Outcome {
    if probe.hop().is_none() {
        return Outcome::skipped("");
    }
    let begun = Instant::now();
    match probe.dial().await {
        // In absolute form the hop gets no request yet.
        Ok(connection) if connection.absolute_form.is_some() => {
            Outcome::passed("reached").detail("plain HTTP goes through the hop request by request")
        }
        Ok(_) => Outcome::passed(format!("connects, {}", shown(begun.elapsed()))),
        Err(fault) => {
            debug_assert!(matches!(fault.leg, Leg::Hop | Leg::Origin));
            probe.failed(&fault)
        }
    }
}
