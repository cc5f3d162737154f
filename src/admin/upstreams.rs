//! The health of every upstream, from running transfers, recent transfers and circuits.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    config::{Upstream, Via},
    forward::Forwarder,
    model::fields::documented,
    track::{history::Finished, survey::UpstreamLoads},
};

/// The most hosts of a route that are listed.
const MAX_HOSTS: usize = 6;

documented! {
/// The health of one upstream of one route.
#[derive(Debug, Serialize)]
pub(crate) struct UpstreamView {
    /// The route.
    pub route: Arc<str>,
    /// What the route's hosts serve.
    pub role: &'static str,
    /// The route's hosts, a few of them.
    pub hosts: Vec<String>,
    /// Its label.
    pub upstream: Arc<str>,
    /// The hop it goes through, if any: a name, or `environment`.
    pub hop: Option<String>,
    /// The mirror that stands in for the site, if any.
    pub mirror: Option<String>,
    /// `unused`, `healthy`, `degraded` (its circuit is open for some host) or `failing` (a transfer over it stalls, or its last one failed).
    pub health: &'static str,
    /// Running transfers over it.
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
    /// Seconds since the last failure.
    pub failed_s_ago: u64,
    /// The code of the last failure.
    pub code: Box<str>,
}
}

/// Every upstream with its health, from its load, `recent` transfers and its circuits.
pub(super) fn upstreams(
    forwarder: &Forwarder,
    loads: &UpstreamLoads,
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
                .filter(|it| *it.route == *route.name && *it.upstream == *upstream.label)
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
                    .take(MAX_HOSTS)
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
            set_health(&mut view, loads, recent);
            views.push(view);
        }
    }
    views
}

fn hop(upstream: &Upstream) -> Option<String> {
    match &upstream.via {
        Via::Direct => None,
        Via::Hop(hop) => Some(hop.name.to_string()),
        Via::Environment(_) => Some("environment".into()),
    }
}

/// How long a finished transfer counts for its upstream's health.
const HEALTH_WINDOW: Duration = Duration::from_secs(15 * 60);

fn set_health(view: &mut UpstreamView, loads: &UpstreamLoads, recent: &[Arc<Finished>]) {
    let (running, stalled) = loads.of(&view.route, &view.upstream);
    let uses =
        |it: &Finished| it.route == view.route && it.upstream.as_ref() == Some(&view.upstream);
    let now = SystemTime::now();
    let last = recent
        .iter()
        .take_while(|it| {
            now.duration_since(it.ended)
                .is_ok_and(|ago| ago < HEALTH_WINDOW)
        })
        .find(|it| uses(it));
    let failed = last.is_some_and(|it| it.failed_upstream());
    view.running = running;
    view.health = match () {
        () if stalled > 0 || failed => "failing",
        () if !view.circuits.is_empty() => "degraded",
        () if last.is_some() || running > 0 => "healthy",
        () => "unused",
    };
}
