//! A running transfer as the API and the status page show it.

use std::{net::SocketAddr, sync::atomic::Ordering};

use serde::Serialize;
use tokio::time::Instant;

use super::{Inner, millis};
use crate::model::stall::{Due, Verdict};

/// A running transfer, as the API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// The number that its log lines bear.
    pub id: u64,
    /// How it came in.
    pub front: &'static str,
    /// The client's address.
    pub client: SocketAddr,
    /// The host asked for.
    pub host: String,
    /// The port asked for.
    pub port: u16,
    /// `CONNECT`, `GET`, …
    pub method: Box<str>,
    /// Path and query, without secrets.
    pub path: Box<str>,
    /// The route's name.
    pub route: Box<str>,
    /// The upstream in use.
    pub upstream: Option<Box<str>>,
    /// The open circuit because of which it does not go where the config says.
    pub circuit: Option<Box<str>>,
    /// The TCP peer.
    pub peer: Option<SocketAddr>,
    /// Attempts so far.
    pub attempts: u32,
    /// What it is doing.
    pub stage: &'static str,
    /// For how long, in milliseconds.
    pub stage_ms: u64,
    /// Whose turn it is: `client-sends`, `origin-reads`, …
    pub due: Option<Due>,
    /// For how long this party did not move, in milliseconds.
    pub idle_ms: Option<u64>,
    /// The verdict on a stall that goes on.
    pub stall: Option<Verdict>,
    /// Bytes that the other side's kernel has, where this one says.
    pub acknowledged: Option<u64>,
    /// Body bytes from the client.
    pub up: u64,
    /// Body bytes to the client.
    pub down: u64,
    /// Since it began, in milliseconds.
    pub total_ms: u64,
}

impl Inner {
    pub(in crate::track) fn snapshot(&self, now: Instant) -> Snapshot {
        let state = self.state();
        let about = &self.about;
        let shown = state.watching.shown(now);
        Snapshot {
            id: self.id,
            front: about.front.as_str(),
            client: about.client,
            host: about.target.host.to_string(),
            port: about.target.port,
            method: about.method.clone(),
            path: about.path.clone(),
            route: about.route.clone(),
            upstream: state.upstream.clone(),
            circuit: state.circuit.as_ref().map(|(_, text)| text.clone()),
            peer: state.peer,
            attempts: state.attempts,
            stage: state.stage.as_str(),
            stage_ms: millis(now.saturating_duration_since(state.since)),
            due: shown.map(|(due, ..)| due),
            idle_ms: shown.map(|(_, idle, _)| millis(idle)),
            stall: shown.and_then(|(.., verdict)| verdict),
            acknowledged: state.watching.acknowledged(),
            up: self.counters.up.load(Ordering::Relaxed),
            down: self.counters.down.load(Ordering::Relaxed),
            total_ms: millis(now.saturating_duration_since(self.begun)),
        }
    }
}
