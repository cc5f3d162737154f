//! What `status` and `history` read of the daemon's JSON, and its numbers for people.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use crate::cli::Failure;

/// An overview of the daemon. A field that an older daemon lacks is empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusOverview {
    /// The daemon's clock.
    pub now: String,
    /// Of gitferry.
    pub version: String,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// False where any user of the machine may use the daemon.
    pub users_told_apart: Option<bool>,
    /// Whether all is healthy.
    pub verdict: StatusVerdict,
    /// How many transfers run.
    pub running: usize,
    /// The running ones, stalled ones first.
    #[serde(deserialize_with = "each")]
    pub transfers: Vec<StatusTransfer>,
    /// The finished ones, the newest first.
    #[serde(deserialize_with = "each")]
    pub recent: Vec<StatusTransfer>,
    /// Every upstream.
    #[serde(deserialize_with = "each")]
    pub upstreams: Vec<StatusUpstream>,
    /// The last faults, the newest first.
    #[serde(deserialize_with = "each")]
    pub faults: Vec<StatusFault>,
    /// What origins refuse.
    #[serde(deserialize_with = "each")]
    pub refusals: Vec<StatusRefusal>,
    /// What each route carried today.
    #[serde(deserialize_with = "each")]
    pub totals: Vec<Total>,
}

/// Requests that an origin refused since its last success.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusRefusal {
    pub host: String,
    pub status: u16,
    pub count: u64,
}

/// The verdict on everything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusVerdict {
    /// `healthy`, `degraded` or `failing`.
    pub level: String,
    /// One sentence.
    pub text: String,
    /// Since when.
    pub since: Option<String>,
    /// What to do about it.
    pub advice: Option<String>,
}

/// A transfer, running or finished.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusTransfer {
    pub id: u64,
    pub what: String,
    pub front: String,
    pub client: String,
    pub agent: Option<String>,
    pub host: String,
    pub port: u16,
    pub method: String,
    pub path: String,
    pub route: String,
    pub upstream: Option<String>,
    pub circuit: Option<String>,
    pub peer: Option<String>,
    pub attempts: u32,
    pub reused: bool,
    pub stage: String,
    pub stage_ms: u64,
    pub idle_ms: Option<u64>,
    pub stall: Option<String>,
    pub up: u64,
    pub down: u64,
    pub up_total: Option<u64>,
    pub down_total: Option<u64>,
    pub up_rate: u64,
    pub down_rate: u64,
    pub total_ms: u64,
    pub began: String,
    pub ended: Option<String>,
    pub status: Option<u16>,
    pub result: String,
    pub failed: bool,
    pub timeline: StatusTimeline,
    pub client_socket: Option<Socket>,
    pub origin_socket: Option<Socket>,
    pub congestion: Option<String>,
    pub segments: Vec<StatusSegment>,
}

/// A connection that fetches later ranges of a download.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusSegment {
    pub congestion: Option<String>,
    pub received: u64,
}

/// What a transfer went through.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusTimeline {
    pub stages: Vec<StatusStep>,
    pub attempts: Vec<StatusAttempt>,
    pub stalls: Vec<StatusStall>,
    pub rescues: Vec<String>,
    pub congestion: Option<String>,
    pub segments: Vec<StatusSegment>,
}

/// A stage.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusStep {
    pub stage: String,
    pub at_ms: u64,
    pub attempt: u32,
}

/// An attempt.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusAttempt {
    pub attempt: u32,
    pub upstream: Option<String>,
    pub peer: Option<String>,
    pub reused: bool,
    pub fault: Option<AttemptFault>,
}

/// The fault that ended an attempt.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AttemptFault {
    pub cause: String,
    pub next: String,
    pub advice: Option<String>,
}

/// A stall of a transfer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusStall {
    pub verdict: String,
    pub leg: String,
    pub stage: String,
    pub idle_ms: u64,
    pub over: bool,
    pub evidence: String,
    pub advice: String,
}

/// A socket, as the kernel sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Socket {
    pub read: u64,
    pub written: u64,
    pub queued: u64,
    pub kernel: Option<StatusKernel>,
}

/// What the kernel says about a connection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusKernel {
    pub unacked: u32,
    pub retransmitted: u32,
    pub window: Option<u32>,
    pub rto_ms: u32,
    pub last_ack_ms: u32,
}

/// An upstream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusUpstream {
    pub route: String,
    pub upstream: String,
    pub health: String,
    pub running: usize,
    pub circuits: Vec<StatusCircuit>,
}

/// A circuit that is not closed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusCircuit {
    pub host: String,
    pub state: String,
    pub failures: u32,
    pub failed_s_ago: u64,
    pub code: String,
}

/// A fault.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusFault {
    pub code: String,
    pub host: String,
    pub upstream: Option<String>,
    pub cause: String,
    pub advice: Option<String>,
    pub s_ago: u64,
}

/// What a route carried on one day.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Total {
    pub up: u64,
    pub down: u64,
    pub transfers: u64,
    pub failed: u64,
    pub rescued: u64,
}

/// Every entry that can be read: one of another version's form is left out.
fn each<'de, D: Deserializer<'de>, T: DeserializeOwned>(input: D) -> Result<Vec<T>, D::Error> {
    let values = Vec::<Value>::deserialize(input)?;
    let read = values.into_iter().map(serde_json::from_value);
    Ok(read.filter_map(Result::ok).collect())
}

/// Reads an answer of the daemon.
pub(crate) fn read<T: DeserializeOwned>(body: &str) -> Result<T, Failure> {
    serde_json::from_str(body)
        .map_err(|error| Failure::during("cannot read the daemon's response", error))
}

impl StatusTransfer {
    /// The bytes of the direction that counts, with an arrow, and how many are expected.
    pub(crate) fn progress(&self) -> (char, u64, Option<u64>) {
        if self.up >= self.down {
            ('↑', self.up, self.up_total)
        } else {
            ('↓', self.down, self.down_total)
        }
    }

    /// Bytes a second both ways.
    pub(crate) fn rate(&self) -> u64 {
        self.up_rate.saturating_add(self.down_rate)
    }

    /// What is left, in milliseconds, at this rate.
    pub(crate) fn eta_ms(&self) -> Option<u64> {
        let (_, done, all) = self.progress();
        let left = all?.checked_sub(done).filter(|left| *left > 0)?;
        left.saturating_mul(1000).checked_div(self.rate())
    }

    /// How many of a hundred.
    pub(crate) fn percent(&self) -> Option<u64> {
        let (_, done, all) = self.progress();
        Some(done.saturating_mul(100).checked_div(all?)?.min(100))
    }

    /// What it is about; the path for a daemon that does not say.
    pub(crate) fn subject(&self) -> &str {
        match &*self.what {
            "" => &self.path,
            what => what,
        }
    }
}

impl StatusOverview {
    /// The last faults of the same code, host and upstream as one, with their number, the newest first.
    pub(crate) fn fault_groups(&self) -> Vec<(&StatusFault, usize)> {
        let mut groups: Vec<(&StatusFault, usize)> = Vec::new();
        for fault in &self.faults {
            let same = |it: &&mut (&StatusFault, usize)| {
                it.0.code == fault.code
                    && it.0.host == fault.host
                    && it.0.upstream == fault.upstream
            };
            match groups.iter_mut().find(same) {
                Some((_, count)) => *count += 1,
                None => groups.push((fault, 1)),
            }
        }
        groups
    }

    /// Upstreams in use, and those that are not healthy.
    pub(crate) fn upstreams_that_matter(&self) -> impl Iterator<Item = &StatusUpstream> {
        let matters =
            |it: &&StatusUpstream| it.running > 0 || !matches!(&*it.health, "healthy" | "unused");
        self.upstreams.iter().filter(matters)
    }
}
