//! What becomes of an upstream's circuit.

use std::time::Duration;

use tracing::{info, warn};

use super::LogEvent;
use crate::model::named::named;
use crate::{
    model::{
        health::{AvoidedCircuit, Change},
        unit::millis,
    },
    track::metrics::{self, Metrics},
};

named! {
/// Whose doing a change is.
pub(crate) enum CircuitTurn {
    /// A transfer succeeded or failed.
    Transfer = "transfer",
    /// The daemon dialled by itself.
    Probe = "probe",
}
}

/// A circuit opened, is probed, stays open, is on trial, or closed.
#[derive(Clone, Debug)]
pub(crate) struct CircuitChanged {
    /// The host asked for.
    pub host: String,
    /// The port asked for.
    pub port: u16,
    /// The route's name.
    pub route: String,
    /// The upstream's label.
    pub upstream: String,
    /// By a transfer or by a probe.
    pub turn: CircuitTurn,
    /// What became of it.
    pub change: Change,
    /// The circuit as it is now; none where it is closed.
    pub known: Option<AvoidedCircuit>,
    /// The fault, where it was one.
    pub code: Option<String>,
}

impl LogEvent for CircuitChanged {
    fn emit(&self, metrics: &Metrics) {
        let (wait, closed) = match self.change {
            Change::Opened(wait) | Change::StaysOpen(wait) => (Some(wait), None),
            Change::Probing | Change::OnTrial => (None, None),
            Change::Closed(open) => (None, Some(open)),
        };
        let known = self.known.as_ref();
        let open = closed.or(known.map(|known| known.since)).map(millis);
        let last = known.map(|known| &*known.code);
        // One list of fields for all messages: tracing wants message and level to be constant.
        macro_rules! told {
            ($level:ident, $message:literal) => {
                $level!(
                    host = self.host,
                    port = self.port,
                    route = self.route,
                    upstream = self.upstream,
                    by = self.turn.as_str(),
                    failures = known.map(|known| known.failures),
                    open_ms = open,
                    probe_in_ms = wait.map(millis),
                    code = self.code.as_deref().or(last),
                    $message
                )
            };
        }
        match self.change {
            Change::Opened(_) => {
                metrics.count(&metrics::CIRCUITS_OPENED, &[&self.route, &self.upstream]);
                told!(warn, "circuit opened");
            }
            Change::Probing => told!(info, "circuit probing"),
            Change::StaysOpen(_) => told!(info, "circuit stays open"),
            Change::OnTrial => told!(info, "circuit on trial"),
            Change::Closed(_) => told!(info, "circuit closed"),
        }
    }
}

/// The only upstream of a host works again: requests had waited for it, or were answered at once.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamReturned {
    /// The host asked for.
    pub host: String,
    /// The port asked for.
    pub port: u16,
    /// The route's name.
    pub route: String,
    /// The upstream's label.
    pub upstream: String,
    /// For how long nothing got through.
    pub away: Duration,
}

impl LogEvent for UpstreamReturned {
    fn emit(&self, _: &Metrics) {
        info!(
            host = self.host,
            port = self.port,
            route = self.route,
            upstream = self.upstream,
            away_ms = millis(self.away),
            "upstream reachable again"
        );
    }
}
