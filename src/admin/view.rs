//! A snapshot of the running daemon for the status, the page and the API.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use serde::Serialize;
use tokio::time::Instant;

use super::{
    upstreams::{UpstreamView, upstreams},
    verdict::{self, HealthVerdict},
};
use crate::model::fields::documented;
use crate::{
    forward::Forwarder,
    model::refusals::RefusalCount,
    track::{
        event::{FaultOccurred, StallReported},
        history::{Finished, totals::DayTotal},
        moment,
        transfer::TransferDetail,
    },
};

/// The version of the API's JSON. It is raised when a field is removed or changes its meaning, not when one is added.
pub(crate) const API: u32 = 1;
/// The number of finished transfers in an overview.
pub(super) const RECENT: usize = 50;

documented! {
/// The daemon at one moment: what the page, `gitferry status` and `/-/status` show.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    /// The version of this JSON.
    pub api: u32,
    /// When the snapshot was made.
    pub now: String,
    /// The version of gitferry.
    pub version: &'static str,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// The addresses it listens on.
    pub listen: Vec<SocketAddr>,
    /// Whether the kernel says which local user a client on loopback is.
    pub users_told_apart: bool,
    /// The config's file; none for the embedded default.
    pub config: Option<String>,
    /// Tasks that run.
    pub tasks: usize,
    /// Idle origin connections.
    pub idle_connections: usize,
    /// Whether all is healthy; if not, what is wrong and since when.
    pub verdict: HealthVerdict,
    /// How many transfers run.
    pub running: usize,
    /// Running transfers: stalled ones first, then those that move, then the newest.
    pub transfers: Vec<TransferDetail>,
    /// Finished transfers, the newest first.
    pub recent: Vec<Arc<Finished>>,
    /// Every upstream of every route, in the order of the config.
    pub upstreams: Vec<UpstreamView>,
    /// The last faults, the newest first.
    pub faults: Vec<FaultOccurred>,
    /// The last stalls, the newest first.
    pub stalls: Vec<StallReported>,
    /// What origins refuse since their last success: 4xx and 5xx that are their own responses.
    pub refusals: Vec<RefusalCount>,
    /// What each route carried today (UTC).
    pub totals: Vec<DayTotal>,
}
}

impl Overview {
    /// The overview of the daemon of `forwarder`, started at `started`, with at most `limit` running transfers.
    pub(crate) fn of(forwarder: &Forwarder, started: Instant, limit: usize) -> Self {
        let tracker = &forwarder.shared.tracker;
        let survey = tracker.survey(limit);
        let recent = tracker.history().newest();
        let upstreams = upstreams(forwarder, &survey.loads, &recent);
        let verdict = verdict::verdict(&survey, &recent, &upstreams, SystemTime::now());
        let mut recent = recent;
        recent.truncate(RECENT);
        let config = &forwarder.config;
        Self {
            api: API,
            now: now(),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: started.elapsed().as_secs(),
            listen: config.listen.addresses.clone(),
            users_told_apart: forwarder.shared.users_told_apart.load(Ordering::Relaxed),
            config: config.file.as_ref().map(|file| file.display().to_string()),
            tasks: forwarder.shared.tasks.running(),
            idle_connections: forwarder.idle_connections(),
            verdict,
            running: survey.running,
            transfers: survey.transfers,
            recent,
            upstreams,
            faults: tracker.faults(),
            stalls: tracker.stalls(),
            refusals: tracker.refusals(),
            totals: tracker.history().today(SystemTime::now()),
        }
    }
}

/// The current time in the log's format.
pub(super) fn now() -> String {
    moment::logged(SystemTime::now())
}
