//! The hop's greeting, its authentication, and whether it connects to this host.

use tokio::time::Instant;

use super::{CheckResult, Probe, shown};
use crate::doctor::Outcome;

pub(in crate::doctor) async fn run(probe: &Probe) -> CheckResult {
    if probe.hop().is_none() {
        return Ok(Outcome::skipped(""));
    }
    let begun = Instant::now();
    let connection = probe.dial().await?;
    Ok(match connection.absolute_form {
        // In absolute form the hop gets no request yet.
        Some(_) => {
            Outcome::passed("reached").detail("plain HTTP goes through the hop request by request")
        }
        None => Outcome::passed(format!("connects, {}", shown(begun.elapsed()))),
    })
}
