//! What the user asked for: the TOML as typed becomes a [`Config`] as meant, or a list of problems.
//!
//! [`load`] is the one way in, at start and at every reload; it reports every mistake of a file at once. Code that
//! runs later holds an `Arc<Config>` and never asks "and if it was not set?". Nothing here touches the network.

mod access;
mod credentials;
mod daemon;
mod dial;
mod environment;
mod file;
mod hop;
mod peer;
pub(crate) mod problem;
pub(crate) mod reload;
mod resolve;
mod route;
mod section;
mod stall;
mod upstream;
mod value;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Serialize, Serializer, ser::SerializeMap as _};

pub(crate) use daemon::Listen;
pub(crate) use daemon::{
    Downloads, Log, LogFormat, LogLevel, Pool, Replay, Reverse, Rewrite, Stopping, Trust,
};
pub(crate) use dial::Dial;
pub(crate) use environment::Environment;
pub(crate) use hop::{Hop, HopKind};
#[cfg(test)]
pub(crate) use peer::ClientCertificate;
pub(crate) use peer::PeerTls;
pub(crate) use problem::Problem;
pub use problem::Problems;
use reload::Files;
pub(crate) use resolve::{Arguments, Variables};
pub(crate) use route::{HttpVersion, Override, Route};
pub(crate) use stall::{Interim, Stall, StallDefaults, Uploads};
pub(crate) use upstream::{Mirror, ToMirror, Upstream, Via};

use crate::model::{HostPattern, Target, TlsMode};

/// Everything the daemon needs to know, resolved.
///
/// It is serialised in the form of a config file, with every key that is in force and without secrets: what `gitferry check` prints.
#[derive(Debug, Serialize)]
pub struct Config {
    /// The file it came from; `None` for the embedded default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// What the `*_PROXY` variables say.
    pub environment: Arc<Environment>,
    /// Where and for whom the daemon listens.
    pub listen: Listen,
    /// The CA, and the spool of uploads.
    #[serde(rename = "state", serialize_with = "as_state")]
    pub state_directory: PathBuf,
    /// Who is trusted upstream.
    pub trust: Trust,
    /// The log.
    pub log: Log,
    /// How running transfers end.
    pub shutdown: Stopping,
    /// Deadlines and patience where a route says nothing else.
    pub dial: Dial,
    /// Limits and action where a route says nothing else.
    pub stall: StallDefaults,
    /// Uploads at once where a route says nothing else.
    pub uploads: Uploads,
    /// Interim answers.
    pub interim: Interim,
    /// Idle origin connections.
    pub pool: Pool,
    /// What uploads may keep so that they can be sent again.
    pub replay: Replay,
    /// Downloads over several connections.
    pub downloads: Downloads,
    /// What the reverse front serves beside the routes.
    pub reverse: Reverse,
    /// How much is rewritten.
    pub rewrite: Rewrite,
    /// Every hop, used or not.
    #[serde(serialize_with = "hop::by_name")]
    pub hops: Vec<Arc<Hop>>,
    /// Hosts that no route names.
    #[serde(serialize_with = "as_other_hosts")]
    pub other_hosts: Arc<Route>,
    /// Routes in the order of the file, then the built-in ones.
    #[serde(rename = "route")]
    pub routes: Vec<Arc<Route>>,
    /// Every file that the config was made of: a change of one is a reason to load it again.
    #[serde(skip)]
    pub files: Files,
    /// What is probably not meant, and stops nothing.
    pub warnings: Vec<Problem>,
}

fn as_state<S: Serializer>(directory: &Path, to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(1))?;
    map.serialize_entry("directory", directory)?;
    map.end()
}

fn as_other_hosts<S: Serializer>(route: &Route, to: S) -> Result<S::Ok, S::Error> {
    route::as_other_hosts(route, to)
}

/// Reads `file`, or the embedded default; keys that the file omits are the default's.
///
/// Fails with every mistake of the file at once.
pub fn load(file: Option<&Path>, variables: Variables<'_>) -> Result<Config, Problems> {
    load_with(file, variables, &Arguments::default())
}

/// The same with what the command line says in place of the file.
pub(crate) fn load_with(
    file: Option<&Path>,
    variables: Variables<'_>,
    arguments: &Arguments,
) -> Result<Config, Problems> {
    let Some(path) = file else {
        return resolve::read(None, variables, arguments);
    };
    let seen = reload::stamp(path);
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let mut config = resolve::read(Some((&text, path)), variables, arguments)?;
            config.files.insert(path.to_owned(), seen);
            Ok(config)
        }
        Err(error) => Err(Problems::from(vec![Problem {
            file: Some(path.to_owned()),
            message: format!("cannot be read: {error}"),
            hint: Some("check the path and the mode of that file".into()),
            ..Problem::default()
        }])),
    }
}

impl Config {
    /// The route of a host and port: exact names before wildcards, then the order of the file, then `[other_hosts]`.
    pub fn route(&self, target: &Target) -> &Arc<Route> {
        let fits = |exact: bool| {
            self.routes.iter().find(|route| {
                route
                    .ports
                    .as_ref()
                    .is_none_or(|ports| ports.contains(&target.port))
                    && route
                        .hosts
                        .iter()
                        .any(|host| host.is_exact() == exact && host.matches(&target.host))
            })
        };
        fits(true)
            .or_else(|| fits(false))
            .unwrap_or(&self.other_hosts)
    }

    /// True where a route of the file names the target.
    pub(crate) fn names(&self, target: &Target) -> bool {
        !Arc::ptr_eq(self.route(target), &self.other_hosts)
    }

    /// True where the reverse front serves the target: a route names it, or `[reverse] allow` does.
    ///
    /// `localhost` and addresses are never covered by a pattern, only by being named: an answer must not be able to point
    /// a client at what listens on this machine or in its network.
    pub fn serves(&self, target: &Target) -> bool {
        let own = target.host.is_loopback() || target.host.ip().is_some();
        self.names(target)
            || self
                .reverse
                .allow
                .iter()
                .any(|host| (host.is_exact() || !own) && host.matches(&target.host))
    }

    /// True where only a pattern of `[reverse] allow` lets the target in: its name must not lead into this network.
    pub fn distrusts(&self, target: &Target) -> bool {
        let exactly = |host: &HostPattern| host.is_exact() && host.matches(&target.host);
        !self.names(target) && !self.reverse.allow.iter().any(exactly)
    }

    /// What a handshake may be made with: every route's hosts, its mirrors, and the hops.
    pub(crate) fn tls_peers(&self) -> Vec<PeerTls> {
        let routes = self.routes.iter().map(|route| &route.peer);
        let of_routes = routes.flat_map(|peer| [peer.clone(), peer.without_client()]);
        let of_hops = self.hops.iter().map(|hop| hop.peer.clone());
        of_routes.chain(of_hops).collect()
    }

    /// The patterns whose TLS is terminated: what the local CA must be allowed to sign for.
    pub(crate) fn terminated_hosts(&self) -> impl Iterator<Item = &HostPattern> {
        self.routes
            .iter()
            .filter(|route| route.tls == TlsMode::Terminate)
            .flat_map(|route| &route.hosts)
    }
}

/// The config that a text makes in place of `path`.
///
/// Fails with every mistake of the text at once.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn read(text: &str, path: &Path, variables: Variables<'_>) -> Result<Config, Problems> {
    resolve::read(Some((text, path)), variables, &Arguments::default())
}

/// The config that a text makes, for tests of other modules: they need not know every key.
#[cfg(test)]
pub(crate) fn parsed(text: &str) -> Config {
    let home = |name: &str| (name == "HOME").then(|| "/home/user".to_owned());
    resolve::read(
        Some((text, Path::new("/test.toml"))),
        &home,
        &Arguments::default(),
    )
    .unwrap_or_else(|problems| panic!("{problems}"))
}

/// The text that the daemon runs on without a file; also the reference of every key.
pub const DEFAULT: &str = include_str!("../../config/gitferry.toml");
