//! A running transfer in the API and on the status page.

use std::{
    cmp::Reverse,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use serde::Serialize;
use tokio::time::Instant;

use super::{TransferState, millis, watching::WatchedSocket};
use crate::model::fields::documented;
use crate::{
    io::TcpMonitor,
    model::{
        resource,
        stall::{Due, Flow, Verdict, Watchdog},
    },
    track::{
        event::EventText,
        pace::RateSampler,
        running::Watched,
        survey::{Activity, UpstreamLoads},
        timeline::{Segment, Timeline, instant_text},
    },
};

documented! {
/// A running transfer in the API.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// The number of the transfer, as in the log.
    pub id: u64,
    /// The front: intercept, tunnel, absolute, reverse, or unknown where no request could be read.
    pub front: &'static str,
    /// The client's address.
    pub client: SocketAddr,
    /// The requested host.
    pub host: Arc<str>,
    /// The requested port.
    pub port: u16,
    /// `CONNECT`, `GET`, …
    pub(crate) method: EventText,
    /// Path and query, without secrets.
    pub path: Arc<str>,
    /// The request in the terms of git and git-lfs: `me/model push`, `LFS 4d7a214614`.
    pub what: String,
    /// The route's name.
    pub route: Arc<str>,
    /// The upstream in use.
    pub upstream: Option<Arc<str>>,
    /// The open circuit because of which another upstream is used.
    pub circuit: Option<Box<str>>,
    /// The TCP peer.
    pub peer: Option<SocketAddr>,
    /// The congestion control of the connection to the peer, where the system reports it.
    pub congestion: Option<String>,
    /// Further connections, which fetch later ranges of a download.
    pub(crate) segments: Vec<Segment>,
    /// Attempts so far.
    pub attempts: u32,
    /// The current stage.
    pub stage: &'static str,
    /// How long it has been in that stage, in milliseconds.
    pub stage_ms: u64,
    /// The party that must act next: `client-sends`, `origin-reads`, …
    pub due: Option<Due>,
    /// How long that party has not moved, in milliseconds.
    pub idle_ms: Option<u64>,
    /// The verdict on the current stall.
    pub stall: Option<Verdict>,
    /// Bytes that the other side's kernel acknowledged; absent where this system does not report it.
    pub acknowledged: Option<u64>,
    /// Body bytes from the client.
    pub up: u64,
    /// Body bytes to the client.
    pub down: u64,
    /// The size of the request body, where the client declared it.
    pub up_total: Option<u64>,
    /// The size of the response body, where the origin declared it.
    pub down_total: Option<u64>,
    /// Body bytes that range connections received and that wait until the client has all bytes before them.
    pub ahead: u64,
    /// Bytes per second from the client, within the last second.
    pub up_rate: u64,
    /// Bytes per second of the response, within the last second, over all connections.
    pub down_rate: u64,
    /// The estimated time until all bytes have moved, in milliseconds; bytes of all connections count.
    pub left_ms: Option<u64>,
    /// The time since it began, in milliseconds.
    pub total_ms: u64,
    /// When it began.
    #[serde(with = "instant_text")]
    pub began: SystemTime,
    /// The client's product, as in `git/2.39.5`.
    pub agent: Option<Arc<str>>,
}
}

/// The state of a connection that still fetches; its byte counts include TLS.
fn segment(socket: &TcpMonitor) -> Segment {
    Segment {
        congestion: socket.congestion(),
        received: socket.tcp().map_or(0, |tcp| tcp.bytes_read()),
    }
}

documented! {
/// A running transfer with all its details.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TransferDetail {
    /// The fields of the list.
    #[serde(flatten)]
    pub snapshot: Snapshot,
    /// Bytes per second, both directions together, one number for each of the last 60 seconds, the oldest first.
    pub rates: Vec<u32>,
    /// Its stages, attempts and stalls.
    pub timeline: Timeline,
    /// The client's socket at the last check of the watchdog.
    pub client_socket: Option<Flow>,
    /// The socket to the origin or hop at the last check of the watchdog.
    pub origin_socket: Option<Flow>,
}
}

impl TransferState {
    pub(in crate::track) fn snapshot(&self, now: Instant) -> Snapshot {
        let mut state = self.state();
        let about = &self.about;
        let [up, down] = self.counters.moved();
        if self.rests() {
            // The watchdog does not check it.
            state.watching.pace.observe(now, up, down);
        }
        let shown = state.watching.status(now);
        let (up_rate, down_rate) = state.watching.pace.rates();
        Snapshot {
            id: self.id,
            front: about.front.as_str(),
            client: about.client,
            host: about.target.host.text(),
            port: about.target.port,
            method: about.method.clone(),
            path: about.path.clone(),
            what: resource::describe(&about.method, &about.path).into_owned(),
            route: about.route.clone(),
            upstream: state.upstream.clone(),
            circuit: state.circuit.as_ref().map(|(_, text)| text.clone()),
            peer: state.peer,
            congestion: state.origin.as_ref().and_then(WatchedSocket::congestion),
            segments: state.segments.iter().map(segment).collect(),
            attempts: state.attempts,
            stage: state.stage.as_str(),
            stage_ms: millis(now.saturating_duration_since(state.since)),
            due: shown.map(|(due, ..)| due),
            idle_ms: shown.map(|(_, idle, _)| millis(idle)),
            stall: shown.and_then(|(.., verdict)| verdict),
            acknowledged: state.watching.acknowledged(),
            up,
            down,
            up_total: known(&self.counters.up_total),
            down_total: known(&self.counters.down_total),
            ahead: self.counters.ahead.load(Ordering::Relaxed),
            up_rate,
            down_rate,
            left_ms: self.left(&state.watching.pace, now),
            began: self.began,
            agent: about.agent.clone(),
            total_ms: millis(now.saturating_duration_since(self.begun)),
        }
    }

    /// The estimated time until all bytes have moved.
    fn left(&self, pace: &RateSampler, now: Instant) -> Option<u64> {
        let counters = &self.counters;
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (up, down) = (get(&counters.up), get(&counters.down));
        if up >= down {
            return pace.time_for(
                get(&counters.up_total)
                    .checked_sub(up)
                    .filter(|it| *it > 0)?,
            );
        }
        let rest = get(&counters.down_total)
            .checked_sub(down)
            .filter(|it| *it > 0)?;
        match rest.saturating_sub(get(&counters.ahead)) {
            // Everything has arrived, so the remaining time depends on the client's rate.
            0 => {
                let elapsed = millis(now.saturating_duration_since(self.begun));
                rest.saturating_mul(elapsed).checked_div(down)
            }
            missing => pace.time_for(missing),
        }
    }

    /// Its rank in an overview. Adds it to the load of its upstream.
    pub(in crate::track) fn rank(&self, loads: &mut UpstreamLoads) -> (Activity, Reverse<u64>) {
        let state = self.state();
        let stall = state.watching.watch.as_ref().and_then(Watchdog::verdict);
        if let Some(upstream) = &state.upstream {
            let is_stalled = stall.is_some_and(Verdict::ending_helps);
            loads.add(&self.about.route, upstream, is_stalled);
        }
        let activity = match (stall, state.watching.pace.rates()) {
            (Some(_), _) => Activity::Stalled,
            (None, (0, 0)) => Activity::Still,
            (None, _) => Activity::Moving,
        };
        (activity, Reverse(self.id))
    }

    /// The snapshot with the timeline and the sockets.
    pub(in crate::track) fn detail(&self, now: Instant) -> TransferDetail {
        let snapshot = self.snapshot(now);
        let state = self.state();
        let sides = state.watching.sides();
        TransferDetail {
            snapshot,
            rates: state.watching.pace.samples(),
            timeline: state.timeline.clone(),
            client_socket: sides.map(|(client, _)| client),
            origin_socket: sides.and_then(|(_, origin)| origin),
        }
    }
}

/// A length that a peer declared; `None` where it is 0, which means unknown.
fn known(total: &AtomicU64) -> Option<u64> {
    Some(total.load(Ordering::Relaxed)).filter(|total| *total > 0)
}
