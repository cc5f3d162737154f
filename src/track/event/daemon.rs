//! Log lines about the daemon itself: its listeners, config, CA and end.

use std::{net::SocketAddr, path::Path, time::Duration};

use tracing::{info, warn};

/// A socket is ready for clients.
pub(crate) fn listening(address: SocketAddr) {
    let page = format!("http://{address}/-/");
    info!(%address, page, version = env!("CARGO_PKG_VERSION"), "listening");
}

/// The process's descriptor limit may be too low for the clients that the config allows.
pub(crate) fn too_few_descriptors(limit: usize, clients: usize, asked: usize) {
    warn!(
        limit,
        clients,
        max_connections = asked,
        advice = "raise the hard limit (`ulimit -Hn`, `LimitNOFILE=` of the unit), or lower `max_connections` of `[listen]`",
        "too few file descriptors for max_connections"
    );
}

/// The configured congestion control is unavailable; the system's default remains in use.
pub(crate) fn congestion_not_set(name: &str, error: &str) {
    warn!(
        name,
        error,
        advice = "load its module as root (`modprobe tcp_NAME`), add it to net.ipv4.tcp_allowed_congestion_control, or set `congestion = \"system\"` in `[dial]`",
        "cannot set the congestion control, the system's remains in use"
    );
}

/// A connection without BBR lost many packets.
pub(crate) fn bbr_unavailable(peer: Option<SocketAddr>, retransmitted: u32, segments: u32) {
    warn!(
        peer = peer.map(tracing::field::display),
        retransmitted,
        segments,
        advice =
            "run `modprobe tcp_bbr` as root: uploads over a lossy path become many times faster",
        "the path loses packets, and the kernel does not offer BBR"
    );
}

/// The kernel does not report which local user a client on loopback is: all are served.
pub(crate) fn users_not_identified(error: &std::io::Error) {
    warn!(
        %error,
        advice = "if others use this machine, set `username` and `password_file` of `[listen]`",
        "local users cannot be identified, and all are served"
    );
}

/// The current config; `environment` is the hop of the upstream with this name.
pub(crate) fn config_loaded(file: Option<&Path>, routes: usize, environment: &str) {
    info!(config = source(file), routes, environment, "config loaded");
}

fn source(file: Option<&Path>) -> String {
    file.map_or_else(
        || "embedded default".into(),
        |file| file.display().to_string(),
    )
}

/// A new config is active; `restart` names the changes that need a restart.
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

/// A new config was invalid: the old one remains in force.
pub(crate) fn config_rejected(file: Option<&Path>, problem: &str, advice: Option<&str>) {
    let file = file.map(|file| format!(" {}", file.display()));
    let check = || format!("run `gitferry check{}`", file.unwrap_or_default());
    let advice = advice.map_or_else(check, ToOwned::to_owned);
    warn!(
        problem,
        advice, "config rejected, the previous one remains in force"
    );
}

/// A mistake in the config that does not prevent anything.
pub(crate) fn config_warning(problem: &str, advice: Option<&str>) {
    warn!(problem, advice, "config warning");
}

/// A CA was created on the first run.
pub(crate) fn ca_created(certificate: &Path) {
    info!(
        certificate = %certificate.display(),
        advice = "run `gitferry setup all`, so that git and git-lfs trust it",
        "local CA created"
    );
}

/// The CA works, but its user should know this problem.
pub(crate) fn ca_warning(problem: &str) {
    warn!(problem, "local CA warning");
}

/// The CA may not sign for some hosts: they are tunnelled until it is rotated.
pub(crate) fn ca_lacks_hosts(hosts: &str) {
    warn!(
        hosts,
        advice = "run `gitferry ca rotate`; until then gitferry tunnels these hosts",
        "local CA does not cover all hosts"
    );
}

/// A source of roots could not be read.
pub(crate) fn roots_incomplete(problem: &str) {
    warn!(
        problem,
        advice = "check `extra_roots` of `[trust]`",
        "cannot read all trusted roots"
    );
}

/// The daemon accepts no new clients.
pub(crate) fn draining(transfers: usize, grace: Duration) {
    info!(transfers, grace_s = grace.as_secs(), "draining");
}

/// The daemon has stopped.
pub(crate) fn stopped(ended: usize) {
    info!(ended, "stopped");
}
