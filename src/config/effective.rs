//! The resolved config, which all other parts of gitferry use.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{
    Dial, Downloads, Environment, Hop, Interim, Listen, Log, PeerTls, PoolConfig, Problem, Replay,
    Reverse, RewriteConfig, Route, ShutdownConfig, StallDefaults, Trust, UploadsConfig,
    files::Files, hop, route,
};
use crate::model::{HostPattern, Target, TlsMode};

/// All settings of the daemon, resolved.
///
/// It serialises in the form of a config file, with all effective keys and without secrets: `gitferry check` prints that.
#[derive(Debug, Serialize)]
pub struct Config {
    /// The file it came from; `None` for the embedded default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The values of the `*_PROXY` variables.
    pub environment: Arc<Environment>,
    /// The listening addresses and the clients served.
    pub listen: Listen,
    /// The CA, and the spool of uploads.
    #[serde(rename = "state", serialize_with = "as_state")]
    pub state_directory: PathBuf,
    /// The roots for upstream connections.
    pub trust: Trust,
    /// The log.
    pub log: Log,
    /// The end of running transfers at shutdown.
    pub shutdown: ShutdownConfig,
    /// Dial settings for routes without their own.
    pub dial: Dial,
    /// Stall limits and action for routes without their own.
    pub stall: StallDefaults,
    /// Concurrent uploads for routes without their own limit.
    pub uploads: UploadsConfig,
    /// Interim responses.
    pub interim: Interim,
    /// Idle origin connections.
    pub pool: PoolConfig,
    /// The budget for recording uploads, so that they can be sent again.
    pub replay: Replay,
    /// Downloads over several connections.
    pub downloads: Downloads,
    /// Hosts of the reverse front in addition to the routes.
    pub reverse: Reverse,
    /// The limit for rewriting responses.
    pub rewrite: RewriteConfig,
    /// Every hop, used or not.
    #[serde(serialize_with = "hop::by_name")]
    pub hops: Vec<Arc<Hop>>,
    /// The settings for hosts without a route.
    #[serde(serialize_with = "route::as_other_hosts")]
    pub other_hosts: Arc<Route>,
    /// Routes in the order of the file, then the built-in ones.
    #[serde(rename = "route")]
    pub routes: Vec<Arc<Route>>,
    /// All files of the config. A change of one triggers a reload.
    #[serde(skip)]
    pub files: Files,
    /// Probable mistakes that do not prevent use.
    pub warnings: Vec<Problem>,
}

fn as_state<S: Serializer>(directory: &Path, to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(1))?;
    map.serialize_entry("directory", directory)?;
    map.end()
}

impl Config {
    /// The route of a host and port: the first route with the exact name, else the first with a matching wildcard, else `[other_hosts]`.
    pub fn route(&self, target: &Target) -> &Arc<Route> {
        let first = |eligible: fn(&HostPattern) -> bool| {
            self.routes.iter().find(|route| {
                route
                    .ports
                    .as_ref()
                    .is_none_or(|ports| ports.contains(&target.port))
                    && route
                        .hosts
                        .iter()
                        .any(|host| eligible(host) && host.matches(&target.host))
            })
        };
        first(HostPattern::is_exact)
            .or_else(|| first(HostPattern::is_wildcard))
            .unwrap_or(&self.other_hosts)
    }

    /// True where a route covers the target.
    pub(crate) fn has_route(&self, target: &Target) -> bool {
        !Arc::ptr_eq(self.route(target), &self.other_hosts)
    }

    /// True where the reverse front serves the target: a route or `[reverse] allow` covers it.
    ///
    /// A wildcard of `allow` does not cover `localhost` and addresses, so that no response can direct a client to this machine or its network.
    pub fn serves(&self, target: &Target) -> bool {
        let own = target.host.is_loopback() || target.host.ip().is_some();
        self.has_route(target)
            || self
                .reverse
                .allow
                .iter()
                .any(|host| (host.is_exact() || !own) && host.matches(&target.host))
    }

    /// True where only a wildcard of `[reverse] allow` covers the target. Its name must not resolve to a private address then.
    pub fn needs_public_address(&self, target: &Target) -> bool {
        let exactly = |host: &HostPattern| host.is_exact() && host.matches(&target.host);
        !self.has_route(target) && !self.reverse.allow.iter().any(exactly)
    }

    /// The TLS settings of all possible peers: every route's hosts, its mirrors, and the hops.
    pub(crate) fn tls_peers(&self) -> Vec<PeerTls> {
        let routes = self.routes.iter().map(|route| &route.peer);
        let of_routes = routes.flat_map(|peer| [peer.clone(), peer.without_client()]);
        let of_hops = self.hops.iter().map(|hop| hop.peer.clone());
        of_routes.chain(of_hops).collect()
    }

    /// The hosts whose TLS is terminated: the local CA must be able to sign for them.
    pub(crate) fn terminated_hosts(&self) -> impl Iterator<Item = &HostPattern> {
        self.routes
            .iter()
            .filter(|route| route.tls == TlsMode::Terminate)
            .flat_map(|route| &route.hosts)
    }
}
