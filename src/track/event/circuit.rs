//! What becomes of an upstream's circuit.

use std::time::Duration;

use tracing::{info, warn};

use crate::{model::health::Change, track::metrics::Metrics};

/// Whose doing a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A transfer succeeded or failed.
    Transfer,
    /// The daemon dialled by itself.
    Probe,
}

impl Turn {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Probe => "probe",
        }
    }
}

/// A circuit opened, stays open, is on trial, or closed.
#[derive(Clone, Debug)]
pub struct CircuitChanged {
    /// The host asked for.
    pub host: String,
    /// The port asked for.
    pub port: u16,
    /// The route's name.
    pub route: String,
    /// The upstream's label.
    pub upstream: String,
    /// By a transfer or by a probe.
    pub turn: Turn,
    /// What became of it.
    pub change: Change,
    /// The fault, where it was one.
    pub code: Option<String>,
}

impl CircuitChanged {
    /// Writes and counts it.
    pub fn emit(&self, metrics: &Metrics) {
        let Self {
            host,
            port,
            route,
            upstream,
            code,
            ..
        } = self;
        let by = self.turn.as_str();
        match self.change {
            Change::Opened(wait) => {
                metrics.circuit(route, upstream);
                warn!(
                    host,
                    port,
                    route,
                    upstream,
                    by,
                    code,
                    probe_in_ms = millis(wait),
                    "circuit opened"
                );
            }
            Change::StaysOpen(wait) => info!(
                host,
                port,
                route,
                upstream,
                by,
                code,
                probe_in_ms = millis(wait),
                "circuit stays open"
            ),
            Change::OnTrial => info!(host, port, route, upstream, by, "circuit on trial"),
            Change::Closed(open) => {
                info!(
                    host,
                    port,
                    route,
                    upstream,
                    by,
                    open_ms = millis(open),
                    "circuit closed"
                );
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
