//! What `status` and `history` read of the daemon's JSON.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    cli::Failure,
    model::{refusals::RefusalCount, stall::Flow},
    track::{
        history::totals::DayTotal,
        timeline::{Segment, Timeline},
    },
};

/// An overview of the daemon. A field that an older daemon lacks is empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusOverview {
    /// The daemon's clock.
    pub now: String,
    /// The version of gitferry.
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
    /// The refusals of origins.
    #[serde(deserialize_with = "each")]
    pub refusals: Vec<RefusalCount>,
    /// What each route carried today.
    #[serde(deserialize_with = "each")]
    pub totals: Vec<DayTotal>,
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
    pub left_ms: Option<u64>,
    pub ahead: u64,
    pub total_ms: u64,
    pub began: String,
    pub ended: Option<String>,
    pub status: Option<u16>,
    pub result: String,
    pub failed: bool,
    pub refused: bool,
    #[serde(deserialize_with = "or_default")]
    pub timeline: Timeline,
    pub client_socket: Option<Flow>,
    pub origin_socket: Option<Flow>,
    pub congestion: Option<String>,
    pub segments: Vec<Segment>,
}

/// The answer about one transfer.
#[derive(Debug, Deserialize)]
pub(crate) struct OneTransfer {
    #[serde(default)]
    pub running: bool,
    pub transfer: StatusTransfer,
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

/// All entries that can be read: an entry of another version may not.
fn each<'de, D: Deserializer<'de>, T: DeserializeOwned>(input: D) -> Result<Vec<T>, D::Error> {
    let values = Vec::<Value>::deserialize(input)?;
    let read = values.into_iter().map(serde_json::from_value);
    Ok(read.filter_map(Result::ok).collect())
}

/// The default where the value of another version cannot be read.
fn or_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(input)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Parses a response of the daemon.
pub(crate) fn read<T: DeserializeOwned>(body: &str) -> Result<T, Failure> {
    serde_json::from_str(body)
        .map_err(|error| Failure::during("cannot read the daemon's response", error))
}

impl StatusTransfer {
    /// The larger direction as an arrow, its bytes so far, and the expected bytes.
    pub(crate) fn progress(&self) -> (char, u64, Option<u64>) {
        if self.up >= self.down {
            ('↑', self.up, self.up_total)
        } else {
            ('↓', self.down, self.down_total)
        }
    }

    /// Bytes per second in both directions.
    pub(crate) fn rate(&self) -> u64 {
        self.up_rate.saturating_add(self.down_rate)
    }

    /// How it was rescued; a failed transfer was not.
    pub(crate) fn rescues(&self) -> String {
        let rescues = self
            .timeline
            .rescues
            .iter()
            .filter(|_| !self.failed && !self.refused);
        let names: Vec<&str> = rescues.map(|rescue| rescue.as_str()).collect();
        names.join(", ")
    }

    /// The progress in per cent.
    pub(crate) fn percent(&self) -> Option<u64> {
        let (_, done, all) = self.progress();
        Some(done.saturating_mul(100).checked_div(all?)?.min(100))
    }

    /// The subject; the path where an older daemon has none.
    pub(crate) fn subject(&self) -> &str {
        match &*self.what {
            "" => &self.path,
            what => what,
        }
    }
}

impl StatusOverview {
    /// The last faults, the newest first; equal ones once with their number.
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
