//! One struct per event: it writes the log line and the counter.
//!
//! Messages are constant. Everything variable is a field, with the same name in log, API and metrics.
//!
//! The common fields of a transfer's lines are those of [`Subject`], written by `line!` below, and not of a `tracing` span. A span records
//! its fields once, while upstream and circuit change with each attempt. Half of the lines are written outside any span: by the watchdog,
//! the workers of segments and `Drop`. API and history use the same struct, which a span would duplicate. And a span is slower: a line of
//! seven fields takes 6,200 instructions here, and 8,900 in a span of a registry (callgrind, 10,000 lines).

mod circuit;
mod daemon;
mod fault;
#[cfg(any(test, feature = "testing"))]
mod observed;
mod refusal;
mod stall;
mod transfer;

use std::{borrow::Cow, sync::Arc};

use serde::Serialize;
use tokio::time::Instant;

use super::metrics::{self, Metrics};
use crate::model::fields::documented;
pub(crate) use circuit::{CircuitChanged, CircuitTurn, UpstreamReturned};
pub(crate) use daemon::*;
pub(crate) use fault::FaultOccurred;
pub(crate) use refusal::RequestsRefused;
pub use stall::StallReported;
pub(crate) use stall::{LateResponse, ResponseAwaited, SmallSegmentsHelped, StallPhase};
pub(crate) use transfer::TransferEnded;

/// An event that is written to the log and counted in one place.
pub(crate) trait LogEvent {
    /// Writes and counts the event.
    fn emit(&self, metrics: &Metrics);
}

/// A text that is usually a constant.
pub(crate) type EventText = Cow<'static, str>;

documented! {
/// The transfer of an event: the first fields of each of its lines.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Subject {
    /// The transfer's number.
    pub id: u64,
    /// The requested host.
    pub host: Arc<str>,
    /// The requested port.
    pub port: u16,
    /// The route's name.
    pub route: Arc<str>,
    /// The upstream of the attempt.
    pub upstream: Option<Arc<str>>,
    /// The upstream that is not used because its circuit is open.
    pub avoided: Option<String>,
    /// How long that circuit has been open, and why.
    pub circuit: Option<String>,
}
}

/// Writes a line of a transfer: the fields of its [`Subject`], its own, and a constant message.
macro_rules! line {
    ($level:ident, $subject:expr, $message:literal $(, $($fields:tt)+)?) => {{
        let subject: &$crate::track::event::Subject = $subject;
        tracing::$level!(
            id = subject.id,
            host = &*subject.host,
            port = subject.port,
            route = &*subject.route,
            upstream = subject.upstream.as_deref(),
            avoided = subject.avoided,
            circuit = subject.circuit,
            $($($fields)+,)?
            $message
        )
    }};
}
pub(in crate::track) use line;

/// A response with URLs that a client follows could not be rewritten.
#[derive(Clone, Debug)]
pub(crate) struct ResponseNotRewritten {
    /// The transfer.
    pub subject: Subject,
    /// The entry of the table of rewrites.
    pub rewrite: &'static str,
    /// Why.
    pub cause: String,
}

impl LogEvent for ResponseNotRewritten {
    fn emit(&self, metrics: &Metrics) {
        metrics.count(&metrics::UNMAPPED, &[&self.subject.route, self.rewrite]);
        line!(
            warn,
            &self.subject,
            "response not rewritten",
            rewrite = self.rewrite,
            cause = self.cause
        );
    }
}

/// An upload continues, but can no longer be sent again.
#[derive(Clone, Debug)]
pub(crate) struct ReplayGivenUp {
    /// The transfer.
    pub subject: Subject,
    /// Why.
    pub reason: String,
}

impl LogEvent for ReplayGivenUp {
    fn emit(&self, metrics: &Metrics) {
        metrics.count(&metrics::REPLAY_GIVEN_UP, &[&self.subject.route]);
        line!(
            info,
            &self.subject,
            "upload no longer kept for replay",
            reason = self.reason
        );
    }
}

/// A response on the reverse front links to hosts that are not served there.
#[derive(Clone, Debug)]
pub(crate) struct UnservedLinks {
    /// The transfer.
    pub subject: Subject,
    /// A few of the hosts and ports.
    pub to: Vec<String>,
}

impl LogEvent for UnservedLinks {
    fn emit(&self, metrics: &Metrics) {
        metrics.count(&metrics::UNMAPPED, &[&self.subject.route, "away"]);
        line!(
            warn,
            &self.subject,
            "response links to a host without a route",
            to = self.to.join(" "),
            advice = "add the host to a `[[route]]` or to `allow` of `[reverse]`; until then the client connects to it without gitferry"
        );
    }
}

/// Whole seconds from `at` to now.
fn seconds_since<S: serde::Serializer>(at: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(at.elapsed().as_secs())
}
