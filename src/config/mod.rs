//! What the user asked for: the TOML as typed becomes a [`Config`] as meant, or a list of problems.
//!
//! [`load`] is the one way in, at start and at every reload; it reports every mistake of a file at once. Code that
//! runs later holds an `Arc<Config>` and never asks "and if it was not set?". Nothing here touches the network.

mod environment;
mod file;
pub(crate) mod problem;
pub(crate) mod reload;
mod resolve;
mod route;
mod section;
mod stall;
mod value;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub(crate) use environment::Environment;
pub(crate) use problem::Problem;
pub use problem::Problems;
pub(crate) use resolve::Variables;
pub(crate) use route::{
    Dial, Hop, HopKind, HttpVersion, Mirror, Override, Route, ToMirror, Upstream, Via,
};
pub(crate) use stall::{Interim, Stall, Uploads};

use crate::model::{HostPattern, Target, TlsMode, secret::Credentials};

/// Everything the daemon needs to know, resolved.
#[derive(Debug)]
pub struct Config {
    /// The file it came from; `None` for the embedded default.
    pub file: Option<PathBuf>,
    /// Where and for whom the daemon listens.
    pub listen: Listen,
    /// The CA, and the spool of uploads.
    pub state_directory: PathBuf,
    /// Who is trusted upstream.
    pub trust: Trust,
    /// The log.
    pub log: Log,
    /// How long running transfers may take to end after SIGTERM.
    pub shutdown_grace: Duration,
    /// Idle origin connections.
    pub pool: Pool,
    /// What uploads may keep so that they can be sent again.
    pub replay: Replay,
    /// Routes in the order of the file.
    pub routes: Vec<Arc<Route>>,
    /// Hosts that no route names.
    pub other_hosts: Arc<Route>,
    /// What the reverse front serves beside the routes.
    pub reverse: Reverse,
    /// How much is rewritten.
    pub rewrite: Rewrite,
    /// Deadlines and patience where a route says nothing else.
    pub dial: Dial,
    /// Limits and action where a route says nothing else.
    pub stall: Stall,
    /// Uploads at once where a route says nothing else.
    pub uploads: Uploads,
    /// Interim answers.
    pub interim: Interim,
    /// Every hop, used or not.
    pub hops: Vec<Arc<Hop>>,
    /// What the `*_PROXY` variables say.
    pub environment: Arc<Environment>,
    /// Files whose content is part of the config, beside the file itself.
    pub secret_files: Vec<PathBuf>,
    /// What is doubtful and stops nothing.
    pub warnings: Vec<Problem>,
}

/// Reads `file`, or the embedded default; keys that the file omits are the default's.
///
/// Fails with every mistake of the file at once.
pub fn load(file: Option<&Path>, variables: Variables<'_>) -> Result<Config, Problems> {
    let default = resolve::read(DEFAULT, None, None, variables)?;
    let nowhere = |file: Option<&Path>, message: String, hint: Option<&str>| {
        let (file, hint) = (file.map(Path::to_owned), hint.map(ToOwned::to_owned));
        Problems(vec![Problem {
            file,
            line: 0,
            column: 0,
            key: String::new(),
            message,
            hint,
            source: None,
        }])
    };
    let Some(path) = file else {
        if default.state_directory.as_os_str().is_empty() {
            let hint = "set $STATE_DIRECTORY, $XDG_STATE_HOME or $HOME, or `directory` of `[state]` in a config file";
            return Err(nowhere(
                None,
                "there is no place for the CA".into(),
                Some(hint),
            ));
        }
        return Ok(default);
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| nowhere(Some(path), format!("cannot be read: {error}"), None))?;
    let mut config = resolve::read(&text, Some(path), Some(&default), variables)?;
    config.file = Some(path.to_owned());
    Ok(config)
}

/// `[listen]`.
#[derive(Debug, PartialEq, Eq)]
pub struct Listen {
    /// The addresses, at least one.
    pub addresses: Vec<SocketAddr>,
    /// What clients must give (`Proxy-Authorization`); always there where an address is not loopback.
    pub credentials: Option<Credentials>,
    /// Client connections at once.
    pub max_connections: usize,
    /// The largest request head, in bytes.
    pub max_head: usize,
    /// How long a client may take to send a request's head.
    pub head_timeout: Duration,
}

/// `[trust]`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    /// PEM files beside the platform's roots.
    pub extra_roots: Vec<PathBuf>,
    /// Whether the platform's roots count.
    pub platform_roots: bool,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// Text for people or JSON for programs.
    pub format: LogFormat,
    /// The lowest level that is written.
    pub level: LogLevel,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogLevel {
    /// gitferry cannot work.
    Error,
    /// A transfer failed or needed rescue.
    Warn,
    /// Life cycle and one closing line per transfer.
    Info,
    /// Attempts.
    Debug,
    /// Everything.
    Trace,
}

/// `[pool]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    /// How long an idle origin connection is kept.
    pub idle_timeout: Duration,
    /// How many idle connections are kept for one origin.
    pub idle_per_origin: usize,
}

/// `[replay]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replay {
    /// Bytes that all uploads together may keep in memory.
    pub memory: u64,
    /// Bytes that they may keep in the state directory beyond that.
    pub spool: u64,
}

/// `[reverse]`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reverse {
    /// Hosts that are served beside those of the routes, by the upstreams and ports of `[other_hosts]`.
    pub allow: Vec<HostPattern>,
}

/// `[rewrite]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rewrite {
    /// The largest body whose URLs are mapped, in bytes; a larger one passes as it is.
    pub max_body: usize,
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

    /// Every file that the config was made of: a change of one is a reason to load it again.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.file
            .iter()
            .chain(&self.trust.extra_roots)
            .chain(&self.secret_files)
            .cloned()
            .collect()
    }

    /// The patterns whose TLS is terminated: what the local CA must be allowed to sign for.
    pub(crate) fn terminated_hosts(&self) -> impl Iterator<Item = &HostPattern> {
        self.routes
            .iter()
            .filter(|route| route.tls == TlsMode::Terminate)
            .flat_map(|route| &route.hosts)
    }
}

/// The text that the daemon runs on without a file; also the reference of every key.
pub const DEFAULT: &str = include_str!("../../config/gitferry.toml");
