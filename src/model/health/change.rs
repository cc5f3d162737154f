//! What is asked of circuits, and what is told of them.

use std::{fmt, time::Duration};

use tokio::time::Instant;

/// What a transfer is about to do, as far as circuits are asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CircuitQuery<'a> {
    /// The host, with its port.
    pub host: &'a str,
    /// The labels of the upstreams that would do, in the order of the config.
    pub upstreams: &'a [&'a str],
    /// `dial.cooldown` of the route; zero for no circuits at all.
    pub cooldown: Duration,
}

/// In which order to try upstreams, and what comes with it. Numbers are places in [`CircuitQuery::upstreams`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// All of them.
    pub upstreams: Vec<usize>,
    /// The open circuit that made the first one not the first of the config.
    pub avoided: Option<AvoidedCircuit>,
    /// To be probed now; [`super::Health::stood`] or [`super::Health::failed`] must be told how it went, and then [`super::Health::ended`].
    pub probe: Option<usize>,
    /// The first one is on trial; [`super::Health::ended`] must be told when the transfer does not use it any more.
    pub trial: bool,
}

/// A circuit that is open, as an event says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AvoidedCircuit {
    /// Its upstream.
    pub upstream: Box<str>,
    /// Since when it is open.
    pub since: Duration,
    /// How often transfers, probes and trials failed.
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
    /// A probe reaches as far: the fault came while dialling or shaking hands.
    pub shallow: bool,
    /// It came after the answer's head: only an answer that is whole proves the contrary.
    pub late: bool,
    /// `dial.cooldown` of the route.
    pub cooldown: Duration,
}

/// What became of a circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was closed, and is open; to be probed after this time.
    Opened(Duration),
    /// It stays open; to be probed after this time.
    StaysOpen(Duration),
    /// The daemon dials it now.
    Probing,
    /// Its probe stood, and the next transfer tries.
    OnTrial,
    /// It was open for this long, and is closed.
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
