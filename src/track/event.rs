//! One struct per event: it writes the log line and the counter.
//!
//! Messages are constant; everything variable is a field, of the same name in log, API and metrics.

mod circuit;
mod stall;

use std::{net::SocketAddr, path::Path, time::Duration};

use serde::Serialize;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{metrics::Metrics, transfer::Front};
pub(crate) use circuit::{CircuitChanged, Turn};
pub(crate) use stall::{Phase, SmallSegmentsHelped, StallTold};

use crate::model::{Leg, Stage};

/// The closing line of a transfer.
#[derive(Clone, Debug)]
pub(crate) struct TransferEnded {
    /// The number that its log lines bear.
    pub id: u64,
    /// How it came in.
    pub front: Front,
    /// The client's address.
    pub client: SocketAddr,
    /// `CONNECT`, `GET`, …
    pub method: String,
    /// The host asked for.
    pub host: String,
    /// The port asked for.
    pub port: u16,
    /// Path and query, without secrets.
    pub path: String,
    /// The route's name.
    pub route: String,
    /// The upstream of the last attempt.
    pub upstream: Option<String>,
    /// The TCP peer.
    pub peer: Option<SocketAddr>,
    /// Attempts in all.
    pub attempts: u32,
    /// The connection had carried an earlier request.
    pub reused: bool,
    /// What the client was answered.
    pub status: Option<u16>,
    /// `answered`, `closed`, or a fault's code.
    pub result: String,
    /// Body bytes from the client.
    pub up: u64,
    /// Body bytes to the client.
    pub down: u64,
    /// From begin to end, in milliseconds.
    pub total_ms: u64,
    /// Milliseconds in each stage.
    pub stages: Vec<(Stage, u64)>,
    /// The client's product.
    pub agent: Option<String>,
    /// The open circuit because of which it did not go where the config says.
    pub circuit: Option<String>,
}

impl TransferEnded {
    /// Writes and counts it.
    pub(crate) fn emit(&self, metrics: &Metrics) {
        metrics.transfer(self.front, &self.route, &self.result, self.up, self.down);
        if self.circuit.is_some() {
            metrics.rerouted(&self.route);
        }
        let stages = self
            .stages
            .iter()
            .filter(|(_, ms)| *ms > 0)
            .map(|(stage, ms)| format!("{}={ms}", stage.as_str()))
            .collect::<Vec<_>>()
            .join(",");
        info!(
            id = self.id,
            front = self.front.as_str(),
            client = %self.client,
            method = self.method,
            host = self.host,
            port = self.port,
            path = self.path,
            route = self.route,
            upstream = self.upstream,
            peer = self.peer.map(tracing::field::display),
            attempts = self.attempts,
            reused = self.reused,
            status = self.status,
            result = self.result,
            up = self.up,
            down = self.down,
            total_ms = self.total_ms,
            stages_ms = stages,
            agent = self.agent,
            circuit = self.circuit,
            "transfer ended"
        );
    }
}

/// A fault, and what comes next.
#[derive(Clone, Debug, Serialize)]
pub struct FaultOccurred {
    /// The transfer's number.
    pub id: u64,
    /// `leg/stage/kind`.
    pub code: String,
    /// The part of the path.
    #[serde(serialize_with = "leg")]
    pub leg: Leg,
    /// What was being done.
    #[serde(serialize_with = "stage")]
    pub stage: Stage,
    /// What went wrong.
    pub kind: String,
    /// Whom it went wrong with.
    pub peer: Option<String>,
    /// The host asked for.
    pub host: String,
    /// The port asked for.
    pub port: u16,
    /// The route's name.
    pub route: String,
    /// The upstream of the attempt.
    pub upstream: Option<String>,
    /// Which attempt of the transfer.
    pub attempt: u32,
    /// Since the transfer began, in milliseconds.
    pub elapsed_ms: u64,
    /// What is done about it.
    pub next: String,
    /// The open circuit because of which the transfer did not go where the config says.
    pub circuit: Option<String>,
    /// `replay` or `resume`, where the transfer goes on with bytes that had passed already.
    pub rescue: Option<&'static str>,
    /// The fact.
    pub cause: String,
    /// The guess.
    pub advice: Option<String>,
    /// True where an earlier fault of the transfer had the same advice: the log does not repeat it.
    #[serde(skip)]
    pub advised: bool,
    /// When it happened.
    #[serde(rename = "s_ago", serialize_with = "seconds_since")]
    pub at: Instant,
}

/// Whole seconds from `at` to now.
fn seconds_since<S: serde::Serializer>(at: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(at.elapsed().as_secs())
}

fn leg<S: serde::Serializer>(leg: &Leg, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(leg.as_str())
}

fn stage<S: serde::Serializer>(stage: &Stage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(stage.as_str())
}

impl FaultOccurred {
    /// Writes and counts it.
    pub(crate) fn emit(&self, metrics: &Metrics) {
        metrics.fault(&self.route, &self.code);
        let advice = self.advice.as_deref().filter(|_| !self.advised);
        warn!(
            id = self.id,
            code = self.code,
            leg = self.leg.as_str(),
            stage = self.stage.as_str(),
            kind = self.kind,
            peer = self.peer,
            host = self.host,
            port = self.port,
            route = self.route,
            upstream = self.upstream,
            attempt = self.attempt,
            elapsed_ms = self.elapsed_ms,
            next = self.next,
            rescue = self.rescue,
            circuit = self.circuit,
            cause = self.cause,
            advice = advice,
            "fault"
        );
    }
}

/// An answer with URLs that a client follows was passed on as it came.
#[derive(Clone, Debug)]
pub(crate) struct AnswerLeft {
    /// The transfer's number.
    pub id: u64,
    /// The host asked for.
    pub host: String,
    /// The route's name.
    pub route: String,
    /// The entry of the table of rewrites.
    pub rewrite: &'static str,
    /// Why.
    pub cause: String,
}

impl AnswerLeft {
    /// Writes and counts it.
    pub(crate) fn emit(&self, metrics: &Metrics) {
        metrics.unmapped(&self.route, self.rewrite);
        warn!(
            id = self.id,
            host = self.host,
            route = self.route,
            rewrite = self.rewrite,
            cause = self.cause,
            "answer left as it came"
        );
    }
}

/// An answer on the reverse front points to hosts that are not served there.
#[derive(Clone, Debug)]
pub(crate) struct AnswerLedAway {
    /// The transfer's number.
    pub id: u64,
    /// The host asked for.
    pub host: String,
    /// The route's name.
    pub route: String,
    /// Hosts and ports, a few of them.
    pub to: Vec<String>,
}

impl AnswerLedAway {
    /// Writes and counts it.
    pub(crate) fn emit(&self, metrics: &Metrics) {
        metrics.unmapped(&self.route, "away");
        warn!(
            id = self.id,
            host = self.host,
            route = self.route,
            to = self.to.join(" "),
            advice = "name the host in a `[[route]]` or in `allow` of `[reverse]`, or the client goes there without gitferry",
            "answer leads away"
        );
    }
}

/// A socket is ready for clients.
pub(crate) fn listening(address: SocketAddr) {
    info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
}

/// The config that is in force.
pub(crate) fn config_taken(file: Option<&Path>, routes: usize) {
    info!(config = source(file), routes, "config taken");
}

fn source(file: Option<&Path>) -> String {
    file.map_or_else(
        || "embedded default".into(),
        |file| file.display().to_string(),
    )
}

/// A new config is in force; `restart` names what it changes only at the next start.
pub(crate) fn config_reloaded(file: Option<&Path>, routes: usize, restart: &[String]) {
    info!(config = source(file), routes, "config reloaded");
    for key in restart {
        warn!(
            key,
            advice = "restart the daemon for it",
            "config change needs a restart"
        );
    }
}

/// A new config was bad: the old one stays.
pub(crate) fn config_refused(file: Option<&Path>, problem: &str) {
    let file = file.map(|file| format!(" {}", file.display()));
    let advice = format!(
        "see `gitferry check{}`",
        file.as_deref().unwrap_or_default()
    );
    warn!(problem, advice, "config refused, the old one stays");
}

/// A mistake that does not stop anything.
pub(crate) fn config_doubtful(problem: &str) {
    warn!(problem, "config is doubtful");
}

/// A CA was made on first run.
pub(crate) fn ca_made(certificate: &Path) {
    info!(
        certificate = %certificate.display(),
        advice = "run `gitferry setup all`, so that git, git-lfs and ssh use it",
        "local ca made"
    );
}

/// The CA works, but its user should know this.
pub(crate) fn ca_doubtful(problem: &str) {
    warn!(problem, "local ca is doubtful");
}

/// The CA may not sign for some hosts: they are tunnelled until it is renewed.
pub(crate) fn ca_must_be_renewed(hosts: &str) {
    warn!(
        hosts,
        advice = "run `gitferry ca rotate`; until then these hosts are tunnelled",
        "local ca does not cover all hosts"
    );
}

/// Something about the roots could not be read.
pub(crate) fn roots_incomplete(problem: &str) {
    warn!(
        problem,
        advice = "see `[trust]` in the config",
        "trusted roots are incomplete"
    );
}

/// The daemon takes nothing new.
pub(crate) fn draining(transfers: usize, grace: Duration) {
    info!(transfers, grace_s = grace.as_secs(), "draining");
}

/// The daemon is over.
pub(crate) fn stopped(ended: usize) {
    info!(ended, "stopped");
}
