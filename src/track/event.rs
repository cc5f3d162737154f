//! One struct per event: it writes the log line and the counter.
//!
//! Messages are constant; everything variable is a field, of the same name in log, API and metrics.

mod circuit;
mod history;
mod stall;

use std::{net::SocketAddr, path::Path, time::Duration};

use serde::Serialize;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    metrics::{self, Metrics},
    transfer::Front,
};
pub(crate) use circuit::{CircuitChanged, Turn};
pub(crate) use history::{history_loaded, history_not_saved};
pub use stall::StallTold;
pub(crate) use stall::{Phase, SmallSegmentsHelped};

use crate::model::{Leg, Stage};

/// What happened: written to the log and counted in one place.
pub(crate) trait Event {
    /// Writes and counts it.
    fn emit(&self, metrics: &Metrics);
}

/// Whose event it is: the fields that every line of a transfer begins with.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Subject {
    /// The transfer's number.
    pub id: u64,
    /// The host asked for.
    pub host: String,
    /// The port asked for.
    pub port: u16,
    /// The route's name.
    pub route: String,
    /// The upstream of the attempt.
    pub upstream: Option<String>,
    /// The upstream that is not used because its circuit is open.
    pub avoided: Option<String>,
    /// Since when that circuit is open, and why.
    pub circuit: Option<String>,
}

/// Writes a line of a transfer: the fields of its [`Subject`], its own, and a constant message.
macro_rules! line {
    ($level:ident, $subject:expr, $message:literal $(, $($fields:tt)+)?) => {{
        let subject: &$crate::track::event::Subject = $subject;
        tracing::$level!(
            id = subject.id,
            host = subject.host,
            port = subject.port,
            route = subject.route,
            upstream = subject.upstream,
            avoided = subject.avoided,
            circuit = subject.circuit,
            $($($fields)+,)?
            $message
        )
    }};
}
pub(in crate::track) use line;

/// The closing line of a transfer.
#[derive(Clone, Debug)]
pub(crate) struct TransferEnded {
    /// Which transfer; its upstream is that of the last attempt.
    pub subject: Subject,
    /// How it came in.
    pub front: Front,
    /// The client's address.
    pub client: SocketAddr,
    /// `CONNECT`, `GET`, …
    pub method: String,
    /// Path and query, without secrets.
    pub path: String,
    /// The TCP peer.
    pub peer: Option<SocketAddr>,
    /// Attempts in all.
    pub attempts: u32,
    /// The connection had carried an earlier request.
    pub reused: bool,
    /// The status of the answer to the client.
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
}

impl Event for TransferEnded {
    fn emit(&self, metrics: &Metrics) {
        let route = &self.subject.route;
        self.measure(metrics, route);
        let stages = self
            .stages
            .iter()
            .filter(|(_, ms)| *ms > 0)
            .map(|(stage, ms)| format!("{}={ms}", stage.as_str()))
            .collect::<Vec<_>>()
            .join(",");
        line!(
            info,
            &self.subject,
            "transfer ended",
            front = self.front.as_str(),
            client = %self.client,
            method = self.method,
            path = self.path,
            peer = self.peer.map(tracing::field::display),
            attempts = self.attempts,
            reused = self.reused,
            status = self.status,
            result = self.result,
            up = self.up,
            down = self.down,
            total_ms = self.total_ms,
            stages_ms = stages,
            agent = self.agent
        );
    }
}

impl TransferEnded {
    fn measure(&self, metrics: &Metrics, route: &str) {
        metrics.count(
            &metrics::TRANSFERS,
            &[self.front.as_str(), route, &self.result],
        );
        metrics.add(&metrics::BODY_BYTES, &[route, "up"], self.up);
        metrics.add(&metrics::BODY_BYTES, &[route, "down"], self.down);
        if self.subject.circuit.is_some() {
            metrics.count(&metrics::REROUTED, &[route]);
        }
        let mut before = 0;
        for (stage, ms) in self.stages.iter().filter(|(_, ms)| *ms > 0) {
            metrics.observe_ms(&metrics::STAGE_SECONDS, &[route, stage.as_str()], *ms);
            if *stage != Stage::ReceivingBody {
                before += ms;
            }
        }
        if self.result == "answered" {
            metrics.observe_ms(&metrics::FIRST_BYTE_SECONDS, &[route], before);
        }
    }
}

/// A fault, and what comes next.
#[derive(Clone, Debug, Serialize)]
pub struct FaultOccurred {
    /// Which transfer.
    #[serde(flatten)]
    pub subject: Subject,
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
    /// Which attempt of the transfer.
    pub attempt: u32,
    /// Since the transfer began, in milliseconds.
    pub elapsed_ms: u64,
    /// What is done about it: `again`, `next-upstream` or `give-up`.
    pub next: &'static str,
    /// How long gitferry waits before the next attempt, in milliseconds.
    pub wait_ms: Option<u64>,
    /// The upstream of the next attempt, where it is another one.
    pub next_upstream: Option<String>,
    /// `replay` or `resume`, where the transfer goes on with bytes that had passed already.
    pub rescue: Option<&'static str>,
    /// The fact.
    pub cause: String,
    /// The guess.
    pub advice: Option<String>,
    /// What the advice comes to: `other-upstream` or `other`.
    pub remedy: Option<&'static str>,
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
    /// What is done about it, for people.
    pub(crate) fn next_step(&self) -> String {
        match (&self.next_upstream, self.wait_ms) {
            (Some(upstream), _) => format!("next upstream: {upstream}"),
            (None, Some(ms)) => format!("tries again in {ms} ms"),
            (None, None) => "gives up".into(),
        }
    }
}

impl Event for FaultOccurred {
    fn emit(&self, metrics: &Metrics) {
        let route = &self.subject.route;
        metrics.count(&metrics::FAULTS, &[route, &self.code]);
        let means = match self.next {
            "again" => Some("retry"),
            "next-upstream" => Some("next-upstream"),
            _ => None,
        };
        if let Some(means) = self.rescue.or(means) {
            metrics.count(&metrics::RESCUES, &[route, means]);
        }
        let advice = self.advice.as_deref().filter(|_| !self.advised);
        line!(
            warn,
            &self.subject,
            "fault",
            code = self.code,
            leg = self.leg.as_str(),
            stage = self.stage.as_str(),
            kind = self.kind,
            peer = self.peer,
            attempt = self.attempt,
            elapsed_ms = self.elapsed_ms,
            next = self.next,
            wait_ms = self.wait_ms,
            next_upstream = self.next_upstream,
            rescue = self.rescue,
            cause = self.cause,
            remedy = advice.and(self.remedy),
            advice = advice
        );
    }
}

/// A response whose URLs a client follows could not be rewritten.
#[derive(Clone, Debug)]
pub(crate) struct ResponseNotRewritten {
    /// Which transfer.
    pub subject: Subject,
    /// The entry of the table of rewrites.
    pub rewrite: &'static str,
    /// Why.
    pub cause: String,
}

impl Event for ResponseNotRewritten {
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

/// An upload goes on, but can no longer be sent again.
#[derive(Clone, Debug)]
pub(crate) struct ReplayGivenUp {
    /// Which transfer.
    pub subject: Subject,
    /// Why.
    pub reason: String,
}

impl Event for ReplayGivenUp {
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
    /// Which transfer.
    pub subject: Subject,
    /// Hosts and ports, a few of them.
    pub to: Vec<String>,
}

impl Event for UnservedLinks {
    fn emit(&self, metrics: &Metrics) {
        metrics.count(&metrics::UNMAPPED, &[&self.subject.route, "away"]);
        line!(
            warn,
            &self.subject,
            "response links to a host without a route",
            to = self.to.join(" "),
            advice = "add the host to a `[[route]]` or to `allow` of `[reverse]`; until then the client goes there without gitferry"
        );
    }
}

/// A socket is ready for clients.
pub(crate) fn listening(address: SocketAddr) {
    info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
}

/// This process may have too few descriptors for the clients that the config allows.
pub(crate) fn too_few_descriptors(limit: usize, clients: usize, asked: usize) {
    warn!(
        limit,
        clients,
        max_connections = asked,
        advice = "raise the hard limit (`ulimit -Hn`, `LimitNOFILE=` of the unit), or lower `max_connections` of `[listen]`",
        "too few file descriptors for max_connections"
    );
}

/// The congestion control that the config names cannot be had: the system's stays.
pub(crate) fn congestion_not_set(name: &str, error: &std::io::Error) {
    warn!(
        name,
        %error,
        advice = "load its module as root (`modprobe tcp_NAME`), add it to net.ipv4.tcp_allowed_congestion_control, or set `congestion = \"system\"` in `[dial]`",
        "the congestion control cannot be set, the system's stays"
    );
}

/// A connection without BBR lost many packets.
pub(crate) fn bbr_would_help(peer: Option<SocketAddr>, retransmitted: u32, segments: u32) {
    warn!(
        peer = peer.map(tracing::field::display),
        retransmitted,
        segments,
        advice =
            "run `modprobe tcp_bbr` as root: uploads over a lossy path become many times faster",
        "the path loses packets, and the kernel does not offer BBR"
    );
}

/// Nobody can say which local user a client on loopback is: all are served.
pub(crate) fn users_not_told_apart(error: &std::io::Error) {
    warn!(
        %error,
        advice = "on a machine that others use, set `username` and `password_file` of `[listen]`",
        "local users are not told apart, and all are served"
    );
}

/// The config that is in force.
pub(crate) fn config_taken(file: Option<&Path>, routes: usize) {
    info!(config = source(file), routes, "config loaded");
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
            advice = "restart the daemon",
            "config change needs a restart"
        );
    }
}

/// A new config was bad: the old one stays.
pub(crate) fn config_refused(file: Option<&Path>, problem: &str, advice: Option<&str>) {
    let file = file.map(|file| format!(" {}", file.display()));
    let check = || format!("run `gitferry check{}`", file.unwrap_or_default());
    let advice = advice.map_or_else(check, ToOwned::to_owned);
    warn!(
        problem,
        advice, "config rejected, the previous one stays in force"
    );
}

/// A mistake that does not stop anything.
pub(crate) fn config_warning(problem: &str) {
    warn!(problem, "config warning");
}

/// A CA was made on first run.
pub(crate) fn ca_made(certificate: &Path) {
    info!(
        certificate = %certificate.display(),
        advice = "run `gitferry setup all`, so that git and git-lfs trust it",
        "local CA created"
    );
}

/// The CA works, but its user should know this.
pub(crate) fn ca_warning(problem: &str) {
    warn!(problem, "local CA warning");
}

/// The CA may not sign for some hosts: they are tunnelled until it is renewed.
pub(crate) fn ca_must_be_renewed(hosts: &str) {
    warn!(
        hosts,
        advice = "run `gitferry ca rotate`; until then gitferry tunnels these hosts",
        "local CA does not cover all hosts"
    );
}

/// Something about the roots could not be read.
pub(crate) fn roots_incomplete(problem: &str) {
    warn!(
        problem,
        advice = "check `extra_roots` of `[trust]`",
        "cannot read all trusted roots"
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
