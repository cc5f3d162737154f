//! The counts of a report.

use std::collections::BTreeMap;

use serde::Serialize;

use super::record::Time;
use crate::{model::Role, track::redact};

/// How a transfer was rescued.
pub(super) const MEANS: &[&str] = &["retry", "next-upstream", "replay", "resume"];

/// The index in [`MEANS`] of what follows a fault, by its `next` and its `rescue`.
pub(super) fn means(next: &str, rescue: Option<&str>) -> Option<usize> {
    let by_next = match next {
        "again" => Some("retry"),
        "next-upstream" => Some("next-upstream"),
        _ => None,
    };
    let means = rescue.or(by_next)?;
    MEANS.iter().position(|known| *known == means)
}

/// The role of each route: the log may have its name only.
pub(crate) type Roles = BTreeMap<Box<str>, Role>;

/// Lines by kind.
#[derive(Debug, Default, Serialize)]
pub(super) struct LineCounts {
    pub(super) events: u64,
    pub(super) advice: u64,
    pub(super) foreign: u64,
    pub(super) unreadable: u64,
    pub(super) cut: u64,
}

/// Ended transfers.
#[derive(Debug, Default)]
pub(super) struct TransferCounts {
    pub(super) ended: u64,
    pub(super) failed: u64,
    pub(super) rescued: u64,
    /// By [`MEANS`].
    pub(super) means: [u64; MEANS.len()],
    /// The site itself refused the request, such as with a 500.
    pub(super) refused: u64,
    pub(super) up: u64,
    pub(super) down: u64,
}

/// A host and port.
#[derive(Debug, Default)]
pub(super) struct HostCounts {
    pub(super) route: Box<str>,
    /// The role of its route, where the log has it.
    pub(super) role: Option<Role>,
    pub(super) ended: u64,
    pub(super) failed: u64,
    pub(super) rescued: u64,
    pub(super) upstreams: BTreeMap<Box<str>, UpstreamCounts>,
    pub(super) rows: BTreeMap<Box<str>, FaultCounts>,
}

impl HostCounts {
    /// The role of its route, from the log, else from the config.
    pub(super) fn role(&self, roles: &Roles) -> Role {
        let configured = || roles.get(&self.route).copied();
        self.role.or_else(configured).unwrap_or(Role::Other)
    }
}

/// The results of a host through one upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UpstreamCounts {
    /// Transfers that succeeded through it.
    pub(super) succeeded: u64,
    /// Attempts that failed.
    pub(super) failed: u64,
}

/// The faults of a host with one code.
#[derive(Debug, Default)]
pub(super) struct FaultCounts {
    /// Faults, and stalls that no fault followed.
    pub(super) times: u64,
    pub(super) faults: u64,
    pub(super) stalls: u64,
    /// Faults and stalls of transfers that succeeded in the end.
    pub(super) rescued: u64,
    pub(super) lost_ms: u64,
    pub(super) last: Option<Time>,
    pub(super) upstreams: BTreeMap<Box<str>, u64>,
    pub(super) advice: Option<Box<str>>,
    /// The advice for each upstream, which may name its keys.
    pub(super) advices: BTreeMap<Box<str>, Box<str>>,
    /// True where the advice was to use another upstream.
    pub(super) other_upstream: bool,
}

/// The fields that faults, stalls and closing lines share.
#[derive(Clone, Copy, Debug)]
pub(super) struct TransferFields<'a> {
    pub(super) time: Option<Time>,
    /// Process and number.
    pub(super) transfer: (u32, u64),
    pub(super) host: &'a str,
    pub(super) port: u64,
    pub(super) route: &'a str,
    pub(super) role: Option<&'a str>,
    pub(super) upstream: Option<&'a str>,
    /// The code of the fault, or the result of a closing line.
    pub(super) code: &'a str,
    /// Since the transfer began, in milliseconds.
    pub(super) elapsed: u64,
    /// True where the advice of the line is to use another upstream.
    pub(super) other_upstream: bool,
    /// True for a tunnel that carried bytes: its time was not lost.
    pub(super) flowed: bool,
}

impl<'a> TransferFields<'a> {
    /// The upstream that the fault is about; `None` for a fault of the client.
    pub(super) fn blamed_upstream(&self) -> Option<&'a str> {
        self.upstream.filter(|_| !self.code.starts_with("client/"))
    }
}

/// The most upstreams of a host or a code.
pub(super) const UPSTREAMS: usize = 32;
/// The most characters of a name.
pub(super) const NAME: usize = 255;
/// The key for everything beyond a limit.
pub(super) const OTHERS: &str = "(others)";

/// The entry of an upstream.
pub(super) fn upstream_entry<'a, T: Default>(
    upstreams: &'a mut BTreeMap<Box<str>, T>,
    upstream: Option<&str>,
) -> &'a mut T {
    let name = upstream
        .map(|upstream| clip(upstream, NAME))
        .unwrap_or_default();
    let known = upstreams.contains_key(&name) || upstreams.len() < UPSTREAMS;
    upstreams
        .entry(if known { name } else { OTHERS.into() })
        .or_default()
}

/// The first `characters` characters.
pub(super) fn clip(text: &str, characters: usize) -> Box<str> {
    match text.char_indices().nth(characters) {
        Some((end, _)) => text.get(..end).unwrap_or_default().into(),
        None => text.into(),
    }
}

/// Text of a log without control characters and secrets: the log may come from anywhere.
pub(super) fn safe(text: &str) -> String {
    redact::text(text)
}
