//! The queries to circuits, and the changes that they report.

use std::{fmt, time::Duration};

use tokio::time::Instant;

/// The host and the upstreams of a transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CircuitQuery<'a> {
    /// The host, with its port.
    pub host: &'a str,
    /// The labels of the fitting upstreams, in the order of the config.
    pub upstreams: &'a [&'a str],
    /// `dial.cooldown` of the route; zero disables circuits.
    pub cooldown: Duration,
}

/// The order in which to try upstreams, with a probe or trial to make. Numbers are indices into [`CircuitQuery::upstreams`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// All upstreams.
    pub upstreams: Vec<usize>,
    /// The open circuit because of which the first upstream of the config is not tried first.
    pub avoided: Option<AvoidedCircuit>,
    /// The upstream to probe now. The caller reports the result to [`super::Health::record_connected_probe`] or [`super::Health::note_failure`], then calls [`super::Health::end_attempt`].
    pub probe: Option<usize>,
    /// True where the first upstream is on trial; the caller calls [`super::Health::end_attempt`] when the transfer no longer uses it.
    pub trial: bool,
}

/// An open circuit, as an event reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AvoidedCircuit {
    /// Its upstream.
    pub upstream: Box<str>,
    /// The time since it opened.
    pub since: Duration,
    /// The number of failed transfers, probes and trials.
    pub failures: u32,
    /// The last fault.
    pub code: Box<str>,
}

impl fmt::Display for AvoidedCircuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} open for {} s, failures {}, last {}",
            self.upstream,
            self.since.as_secs(),
            self.failures,
            self.code
        )
    }
}

/// A failure of an upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CircuitFailure<'a> {
    /// The host, with its port.
    pub host: &'a str,
    /// The route.
    pub route: &'a str,
    /// The upstream's label.
    pub upstream: &'a str,
    /// The fault.
    pub code: &'a str,
    /// How far the attempt came.
    pub depth: FailureDepth,
    /// `dial.cooldown` of the route.
    pub cooldown: Duration,
}

/// How far a failed attempt came, so that only a success which comes as far closes the circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureDepth {
    /// It failed while dialling or in the handshake: a probe comes as far.
    Dial,
    /// It failed after that, before a response.
    Request,
    /// It failed after the response's head: only a complete response comes as far.
    Response,
}

/// What changed about a circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CircuitChange {
    /// It was closed and is now open; the next probe comes after this time.
    Opened(Duration),
    /// It stays open; the next probe comes after this time.
    StaysOpen(Duration),
    /// The daemon dials it now.
    Probing,
    /// Its probe connected, and the next transfer tries it.
    OnTrial,
    /// It was open for this long and is now closed.
    Closed(Duration),
}

/// A circuit that is not closed, for the status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitStatus {
    /// The host it failed for, with its port.
    pub host: Box<str>,
    /// The route it failed in.
    pub route: Box<str>,
    /// The upstream's label.
    pub upstream: Box<str>,
    /// Failures since its last success.
    pub failures: u32,
    /// The last of them.
    pub last: Instant,
    /// Its code.
    pub code: Box<str>,
    /// `open`, `probing`, `trial`.
    pub state: &'static str,
}
