//! Changes of an upstream's circuit.

use std::time::Duration;

use tracing::{info, warn};

use super::LogEvent;
use crate::model::named::named;
use crate::{
    model::{
        health::{AvoidedCircuit, CircuitChange},
        unit::millis,
    },
    track::metrics::{self, Metrics},
};

named! {
/// What caused a change.
pub(crate) enum CircuitTurn {
    /// The success or failure of a transfer.
    Transfer = "transfer",
    /// A dial by the daemon itself.
    Probe = "probe",
}
}

/// A circuit opened, is probed, stays open, is on trial, or closed.
#[derive(Clone, Debug)]
pub(crate) struct CircuitChanged {
    /// The requested host.
    pub host: String,
    /// The requested port.
    pub port: u16,
    /// The route's name.
    pub route: String,
    /// The upstream's label.
    pub upstream: String,
    /// A transfer or a probe.
    pub turn: CircuitTurn,
    /// The change.
    pub change: CircuitChange,
    /// The circuit after the change; `None` where it is closed.
    pub known: Option<AvoidedCircuit>,
    /// The fault's code, where a fault caused it.
    pub code: Option<String>,
}

impl LogEvent for CircuitChanged {
    fn emit(&self, metrics: &Metrics) {
        let (wait, closed) = match self.change {
            CircuitChange::Opened(wait) | CircuitChange::StaysOpen(wait) => (Some(wait), None),
            CircuitChange::Probing | CircuitChange::OnTrial => (None, None),
            CircuitChange::Closed(open) => (None, Some(open)),
        };
        let known = self.known.as_ref();
        let open = closed.or(known.map(|known| known.since)).map(millis);
        let last = known.map(|known| &*known.code);
        // One list of fields for all messages: tracing requires constant messages and levels.
        macro_rules! write_line {
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
            CircuitChange::Opened(_) => {
                metrics.count(&metrics::CIRCUITS_OPENED, &[&self.route, &self.upstream]);
                write_line!(warn, "circuit opened");
            }
            CircuitChange::Probing => write_line!(info, "circuit probing"),
            CircuitChange::StaysOpen(_) => write_line!(info, "circuit stays open"),
            CircuitChange::OnTrial => write_line!(info, "circuit on trial"),
            CircuitChange::Closed(_) => write_line!(info, "circuit closed"),
        }
    }
}

/// The only upstream of a host works again, after requests waited for it or failed at once.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamReturned {
    /// The requested host.
    pub host: String,
    /// The requested port.
    pub port: u16,
    /// The route's name.
    pub route: String,
    /// The upstream's label.
    pub upstream: String,
    /// The time without a success.
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
