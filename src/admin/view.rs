//! What the status, the page and the API show: taken from the running daemon at one moment.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::time::Instant;

use super::verdict::{self, Verdict};
use crate::model::fields::documented;
use crate::{
    forward::Forwarder,
    model::refusals::Refused,
    track::{
        event::{FaultOccurred, StallReported},
        history::{Finished, totals::DayTotal},
        moment,
        transfer::Detail,
    },
};

/// The version of the API's JSON: raised when a field changes its meaning or goes away, not when one is added.
pub(crate) const API: u32 = 1;
/// How many finished transfers an overview has.
pub(super) const RECENT: usize = 50;
/// How many hosts of a route are named.
const HOSTS: usize = 6;

documented! {
/// The daemon at one moment: what the page, `gitferry status` and `/-/status` show.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    /// The version of this JSON.
    pub api: u32,
    /// When it was made.
    pub now: String,
    /// Of gitferry.
    pub version: &'static str,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Whether the kernel says which local user a client on loopback is.
    pub users_told_apart: bool,
    /// The config's file; none for the embedded default.
    pub config: Option<String>,
    /// Tasks that run.
    pub tasks: usize,
    /// Idle origin connections.
    pub idle_connections: usize,
    /// Whether all is healthy, or what is wrong since when.
    pub verdict: Verdict,
    /// How many transfers run.
    pub running: usize,
    /// Running transfers: stalled ones first, then those that move, then the newest.
    pub transfers: Vec<Detail>,
    /// Finished transfers, the newest first.
    pub recent: Vec<Arc<Finished>>,
    /// Every upstream of every route, in the order of the config.
    pub upstreams: Vec<UpstreamView>,
    /// The last faults, the newest first.
    pub faults: Vec<FaultOccurred>,
    /// The last stalls, the newest first.
    pub stalls: Vec<StallReported>,
    /// What origins refuse since their last success: 4xx and 5xx that are their own answers.
    pub refusals: Vec<Refused>,
    /// What each route carried today (UTC).
    pub totals: Vec<DayTotal>,
}
}

documented! {
/// The health of one upstream of one route.
#[derive(Debug, Serialize)]
pub(crate) struct UpstreamView {
    /// The route.
    pub route: Box<str>,
    /// What the route's hosts serve.
    pub role: &'static str,
    /// The route's hosts, a few of them.
    pub hosts: Vec<String>,
    /// Its label.
    pub upstream: Box<str>,
    /// The hop it goes through, if any: a name, or `environment`.
    pub hop: Option<String>,
    /// The mirror that stands in for the site, if any.
    pub mirror: Option<String>,
    /// `unused`, `healthy`, `degraded` (its circuit is open for some host) or `failing` (a transfer over it stalls, or its last one failed).
    pub health: &'static str,
    /// Transfers over it that run.
    pub running: usize,
    /// Its circuits that are not closed.
    pub circuits: Vec<CircuitView>,
}
}

documented! {
/// An upstream's circuit for one host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CircuitView {
    /// The host, with its port.
    pub host: Box<str>,
    /// `open`, `probing`, `trial`.
    pub state: &'static str,
    /// Failures since its last success.
    pub failures: u32,
    /// Seconds since the last of them.
    pub failed_s_ago: u64,
    /// The last of them.
    pub code: Box<str>,
}
}

impl Overview {
    /// The daemon that `forwarder` serves for, which began at `started`, with at most `limit` running transfers.
    pub(crate) fn of(forwarder: &Forwarder, started: Instant, limit: usize) -> Self {
        let tracker = &forwarder.shared.tracker;
        let (running, transfers) = transfers(forwarder, limit);
        let recent = tracker.history().newest();
        let upstreams = upstreams(forwarder, &transfers, &recent);
        let verdict = verdict::verdict(&transfers, &recent, &upstreams, SystemTime::now());
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
            running,
            transfers,
            recent,
            upstreams,
            faults: tracker.faults(),
            stalls: tracker.stalls(),
            refusals: tracker.refusals(),
            totals: tracker.history().today(SystemTime::now()),
        }
    }
}

/// The time, as the log writes it.
pub(super) fn now() -> String {
    moment::logged(SystemTime::now())
}

/// How many run, and the first `limit` of them in the order of an overview.
pub(super) fn transfers(forwarder: &Forwarder, limit: usize) -> (usize, Vec<Detail>) {
    let tracker = &forwarder.shared.tracker;
    let mut list = tracker.list();
    let running = list.len();
    list.sort_by_key(|it| {
        let moves = it.up_rate > 0 || it.down_rate > 0;
        (it.stall.is_none(), !moves, std::cmp::Reverse(it.id))
    });
    list.truncate(limit);
    let details = list.iter().filter_map(|it| tracker.detail(it.id));
    (running, details.collect())
}

/// Every upstream with its health, as far as `running` and `recent` transfers and its circuits show it.
pub(super) fn upstreams(
    forwarder: &Forwarder,
    running: &[Detail],
    recent: &[Arc<Finished>],
) -> Vec<UpstreamView> {
    let config = &forwarder.config;
    let open = forwarder.shared.health.snapshot();
    let now = Instant::now();
    let mut views = Vec::new();
    for route in config.routes.iter().chain([&config.other_hosts]) {
        for upstream in &route.upstreams {
            let circuits: Vec<_> = open
                .iter()
                .filter(|it| it.route == route.name && it.upstream == upstream.label)
                .map(|it| CircuitView {
                    host: it.host.clone(),
                    state: it.state,
                    failures: it.failures,
                    failed_s_ago: now.saturating_duration_since(it.last).as_secs(),
                    code: it.code.clone(),
                })
                .collect();
            let mut view = UpstreamView {
                route: route.name.clone(),
                role: route.role.as_str(),
                hosts: route
                    .hosts
                    .iter()
                    .take(HOSTS)
                    .map(ToString::to_string)
                    .collect(),
                upstream: upstream.label.clone(),
                hop: hop(upstream),
                mirror: upstream
                    .mirror
                    .as_ref()
                    .map(|mirror| mirror.target.host.to_string()),
                health: "unused",
                running: 0,
                circuits,
            };
            judge(&mut view, running, recent);
            views.push(view);
        }
    }
    views
}

fn hop(upstream: &crate::config::Upstream) -> Option<String> {
    use crate::config::Via;
    match &upstream.via {
        Via::Direct => None,
        Via::Hop(hop) => Some(hop.name.to_string()),
        Via::Environment(_) => Some("environment".into()),
    }
}

/// How long a finished transfer speaks for its upstream.
const SPEAKS_FOR: Duration = Duration::from_secs(15 * 60);

fn judge(view: &mut UpstreamView, running: &[Detail], recent: &[Arc<Finished>]) {
    let uses = |route: &str, upstream: Option<&str>| {
        route == &*view.route && upstream == Some(&*view.upstream)
    };
    let over: Vec<_> = running
        .iter()
        .filter(|it| uses(&it.snapshot.route, it.snapshot.upstream.as_deref()))
        .collect();
    let stalls = over
        .iter()
        .any(|it| it.snapshot.stall.is_some_and(|verdict| verdict.acts()));
    let now = SystemTime::now();
    let last = recent
        .iter()
        .take_while(|it| {
            now.duration_since(it.ended)
                .is_ok_and(|ago| ago < SPEAKS_FOR)
        })
        .find(|it| uses(&it.route, it.upstream.as_deref()));
    let failed = last.is_some_and(|it| it.failed_upstream());
    view.running = over.len();
    view.health = match () {
        () if stalls || failed => "failing",
        () if !view.circuits.is_empty() => "degraded",
        () if last.is_some() || !over.is_empty() => "healthy",
        () => "unused",
    };
}
