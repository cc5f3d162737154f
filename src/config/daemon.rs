//! The sections that concern the daemon as a whole: its files, its log, its limits.

use std::{path::PathBuf, time::Duration};

use serde::Serialize;

use super::{
    Arguments, Variables,
    log_format::{FORMATS, LogFormat, LogLevel},
    peer::extra_roots,
    section::Section,
};
use crate::model::{HostPattern, address::FakeNetwork, unit};

/// `[state]`: the directory of the config file, else of the environment.
pub(super) fn state_directory(section: Section<'_, '_>, variables: Variables<'_>) -> PathBuf {
    let written = section.path("directory");
    let absolute = |name| {
        variables(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    // systemd sets a list separated by colons where a unit has several directories.
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
    /// True where the platform's roots are trusted.
    pub platform_roots: bool,
    /// PEM files with further roots.
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
    /// The format, for people or for programs.
    pub format: LogFormat,
    /// The lowest level that is logged.
    pub level: LogLevel,
}

impl Log {
    /// The command line takes precedence over the section.
    pub(super) fn read(section: Section<'_, '_>, arguments: &Arguments) -> Self {
        let level = section.choice("level", &LogLevel::NAMES);
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

/// `[shutdown]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ShutdownConfig {
    /// How long running transfers may go on after SIGTERM.
    #[serde(serialize_with = "unit::as_duration")]
    pub grace: Duration,
}

impl ShutdownConfig {
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
pub(crate) struct PoolConfig {
    /// How long an idle origin connection is kept.
    #[serde(serialize_with = "unit::as_duration")]
    pub idle_timeout: Duration,
    /// The number of idle connections kept for one origin at least, even if it used fewer lately; 0 keeps none.
    pub idle_per_origin: usize,
}

impl PoolConfig {
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
    /// Bytes of uploads held in memory, over all uploads.
    #[serde(serialize_with = "unit::as_size")]
    pub memory: u64,
    /// Further bytes in files of the state directory.
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
    /// Connections for one download; 0 or 1 disables segments.
    pub segments: usize,
    /// Bytes fetched ahead of clients, over all downloads.
    #[serde(serialize_with = "unit::as_size")]
    pub memory: u64,
    /// A download runs this long before it is segmented.
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
    /// Hosts served in addition to those of the routes, with the upstreams and ports of `[other_hosts]`.
    pub allow: Vec<HostPattern>,
    /// Fake addresses of a local VPN tool, which count as public for a name that only a pattern of `allow` covers.
    pub fake_ip: Vec<FakeNetwork>,
}

impl Reverse {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let mut allow = Vec::new();
        for item in section.strings("allow") {
            match item.text.parse::<HostPattern>() {
                Ok(pattern) => allow.push(pattern),
                Err(_) => item.place.problem(
                    format!("{:?} is not a host", item.text),
                    Some("a name, an address, or a name with `*`; no scheme, no port, no path"),
                ),
            }
        }
        let mut fake_ip = Vec::new();
        for item in section.strings("fake_ip") {
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
pub(crate) struct RewriteConfig {
    /// The largest body, in bytes, whose URLs are rewritten; a larger one is passed on unchanged.
    #[serde(serialize_with = "unit::as_usize")]
    pub max_body: usize,
}

impl RewriteConfig {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let rewrite = Self {
            max_body: section.size_within("max_body", 64 << 10..=256 << 20) as usize,
        };
        section.finish();
        rewrite
    }
}
