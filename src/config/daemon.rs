//! What concerns the daemon as a whole: where it listens and for whom, its files, its log, its limits.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Serialize, Serializer};

use super::{
    Variables, access::access, credentials::credentials, peer::extra_roots, resolve::Arguments,
    section::Section,
};
use crate::model::{HostPattern, access::Access, address::FakeNetwork, secret::Credentials, unit};

/// `[listen]`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Listen {
    /// The addresses, at least one.
    #[serde(rename = "address")]
    pub addresses: Vec<SocketAddr>,
    /// What clients must give (`Proxy-Authorization`); always there where an address is not loopback.
    #[serde(flatten)]
    pub credentials: Option<Credentials>,
    /// Which local users are served on loopback.
    #[serde(flatten)]
    pub access: Access,
    /// Client connections at once.
    pub max_connections: usize,
    /// The largest request head, in bytes.
    #[serde(serialize_with = "as_usize")]
    pub max_head: usize,
    /// How long a client may take to send a request's head.
    #[serde(serialize_with = "unit::as_duration")]
    pub head_timeout: Duration,
    /// How long a connection may wait for its next request.
    #[serde(serialize_with = "unit::as_duration")]
    pub idle_timeout: Duration,
}

impl Listen {
    /// `given` are addresses in place of those of the section.
    pub(super) fn read(
        section: Section<'_, '_>,
        variables: Variables<'_>,
        given: &[SocketAddr],
    ) -> Self {
        let written = addresses(&section);
        let listen = Self {
            addresses: match given {
                [] => written,
                given => given.to_vec(),
            },
            credentials: credentials(&section, variables),
            access: access(&section),
            max_connections: section.integer("max_connections", 1..=1_000_000) as usize,
            max_head: section.size_within("max_head", 8 << 10..=16 << 20) as usize,
            head_timeout: section.duration("head_timeout"),
            idle_timeout: section.duration("idle_timeout"),
        };
        let open = |address: &SocketAddr| !address.ip().is_loopback();
        if listen.addresses.iter().any(open) && listen.credentials.is_none() {
            section.at("address").problem(
                "an address other than loopback requires credentials: without them anybody could use this daemon",
                Some("set `username` and `password_file` (or `password_env`) of `[listen]`"),
            );
        }
        section.finish();
        listen
    }

    /// True where clients on loopback are told apart by their user: the config asks for it, or no password protects the port.
    pub(crate) fn asks_for_users(&self) -> bool {
        self.credentials.is_none() || self.access.is_explicit()
    }
}

fn addresses(section: &Section<'_, '_>) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    let written = section.strings("address", true);
    if written.is_empty() {
        let place = section.at("address");
        place.problem(
            "`listen.address` is empty",
            Some("at least one address is needed"),
        );
    }
    for item in written {
        match item.text.parse::<SocketAddr>() {
            Ok(address) => addresses.push(address),
            Err(_) => item.place.problem(
                format!("{:?} is not an address with a port", item.text),
                Some("such as \"127.0.0.1:4483\" or \"[::1]:4483\""),
            ),
        }
    }
    addresses
}

/// `[state]`: where the file says, else where the environment does.
pub(super) fn state_directory(section: Section<'_, '_>, variables: Variables<'_>) -> PathBuf {
    let written = section.path("directory");
    let absolute = |name| {
        variables(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    // systemd gives a list where a unit has several.
    let systemd =
        variables("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
    let found = written
        .or_else(|| systemd.filter(|path| path.is_absolute()))
        .or_else(|| absolute("XDG_STATE_HOME").map(|home| home.join("gitferry")))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state/gitferry")));
    if found.is_none() {
        section.at("directory").problem(
            "there is no state directory for the CA",
            Some("set `directory` of `[state]`, or $STATE_DIRECTORY, $XDG_STATE_HOME or $HOME"),
        );
    }
    section.finish();
    found.unwrap_or_default()
}

/// `[trust]`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Trust {
    /// Whether the platform's roots count.
    pub platform_roots: bool,
    /// PEM files beside the platform's roots.
    pub extra_roots: Vec<PathBuf>,
}

impl Trust {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let trust = Self {
            platform_roots: section.bool("platform_roots"),
            extra_roots: extra_roots(&section),
        };
        section.finish();
        trust
    }
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// The lowest level that is written.
    pub level: LogLevel,
}

impl Log {
    /// What the command line says comes first.
    pub(super) fn read(section: Section<'_, '_>, arguments: &Arguments) -> Self {
        let level = section.choice("level", &LEVELS);
        let format = section.choice("format", &FORMATS);
        let log = Self {
            format: arguments.log_format.unwrap_or(format),
            level: match level {
                LogLevel::Trace => LogLevel::Trace,
                _ if arguments.verbose => LogLevel::Debug,
                level => level,
            },
        };
        section.finish();
        log
    }
}

const FORMATS: [(&str, LogFormat); 5] = [
    ("auto", LogFormat::Auto),
    ("people", LogFormat::People),
    ("logfmt", LogFormat::Logfmt),
    ("text", LogFormat::Logfmt),
    ("json", LogFormat::Json),
];
const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// People on a terminal, logfmt in a file or journal.
    #[default]
    Auto,
    /// One line a transfer, two for what went wrong.
    People,
    /// `name=value`; `text` is its old name.
    Logfmt,
    /// One object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogLevel {
    /// gitferry cannot work.
    Error,
    /// A transfer failed or needed rescue.
    Warn,
    /// Life cycle and one closing line per transfer.
    #[default]
    Info,
    /// Attempts.
    Debug,
    /// Everything.
    Trace,
}

/// `[shutdown]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Stopping {
    /// How long running transfers may take to end after SIGTERM.
    #[serde(serialize_with = "unit::as_duration")]
    pub grace: Duration,
}

impl Stopping {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let stopping = Self {
            grace: section.duration("grace"),
        };
        section.finish();
        stopping
    }
}

/// `[pool]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Pool {
    /// How long an idle origin connection is kept.
    #[serde(serialize_with = "unit::as_duration")]
    pub idle_timeout: Duration,
    /// How many idle connections are kept for one origin, however few it used lately; 0: none ever.
    pub idle_per_origin: usize,
}

impl Pool {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let pool = Self {
            idle_timeout: section.duration("idle_timeout"),
            idle_per_origin: section.integer("idle_per_origin", 0..=1000) as usize,
        };
        section.finish();
        pool
    }
}

/// `[replay]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Replay {
    /// Bytes that all uploads together may keep in memory.
    #[serde(serialize_with = "unit::as_size")]
    pub memory: u64,
    /// Bytes that they may keep in the state directory beyond that.
    #[serde(serialize_with = "unit::as_size")]
    pub spool: u64,
}

impl Replay {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let replay = Self {
            memory: section.size("memory"),
            spool: section.size("spool"),
        };
        section.finish();
        replay
    }
}

/// `[downloads]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Downloads {
    /// Connections for one download; 0 or 1 switches segments off.
    pub segments: usize,
    /// Bytes that all downloads together may fetch ahead of their clients.
    #[serde(serialize_with = "unit::as_size")]
    pub memory: u64,
    /// A download is not segmented before it has run for this long.
    #[serde(serialize_with = "unit::as_duration")]
    pub begin_after: Duration,
}

impl Downloads {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let downloads = Self {
            segments: section.integer("segments", 0..=8) as usize,
            memory: section.size("memory"),
            begin_after: section.duration("begin_after"),
        };
        section.finish();
        downloads
    }
}

/// `[reverse]`.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Reverse {
    /// Hosts that are served beside those of the routes, by the upstreams and ports of `[other_hosts]`.
    pub allow: Vec<HostPattern>,
    /// Fake addresses of a local VPN tool, which count as public for a name that only a pattern of `allow` covers.
    pub fake_ip: Vec<FakeNetwork>,
}

impl Reverse {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let mut allow = Vec::new();
        for item in section.strings("allow", false) {
            match item.text.parse::<HostPattern>() {
                Ok(pattern) => allow.push(pattern),
                Err(_) => item.place.problem(
                    format!("{:?} is not a host", item.text),
                    Some("a name, an address, or a name with `*`; no scheme, no port, no path"),
                ),
            }
        }
        let mut fake_ip = Vec::new();
        for item in section.strings("fake_ip", false) {
            match item.text.parse::<FakeNetwork>() {
                Ok(network) => fake_ip.push(network),
                Err(message) => item.place.problem(
                    message,
                    Some("\"198.18.0.0/15\", \"fc00::/18\", or a part of one"),
                ),
            }
        }
        section.finish();
        Self { allow, fake_ip }
    }
}

/// `[rewrite]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Rewrite {
    /// The largest body whose URLs are mapped, in bytes; a larger one passes as it is.
    #[serde(serialize_with = "as_usize")]
    pub max_body: usize,
}

impl Rewrite {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let rewrite = Self {
            max_body: section.size_within("max_body", 64 << 10..=256 << 20) as usize,
        };
        section.finish();
        rewrite
    }
}

fn as_usize<S: Serializer>(bytes: &usize, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&unit::size(*bytes as u64))
}
