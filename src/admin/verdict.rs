//! The daemon's health in one line: all healthy, or what is wrong and since when.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::upstreams::UpstreamView;
use crate::model::fields::documented;
use crate::model::named::named;
use crate::track::{Survey, history::Finished, moment};

/// How long a failure counts if no success follows.
const FAILURE_WINDOW: Duration = Duration::from_secs(10 * 60);

named! {
/// How the daemon's traffic fares.
pub(crate) enum HealthLevel {
    /// Nothing is wrong.
    Healthy = "healthy",
    /// Something is wrong, and gitferry goes around it.
    Degraded = "degraded",
    /// Transfers stall or fail.
    Failing = "failing",
}
}

documented! {
/// The verdict on everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct HealthVerdict {
    /// `healthy`, `degraded` or `failing`.
    pub level: HealthLevel,
    /// One sentence.
    pub text: String,
    /// Since when it has been so.
    pub since: Option<String>,
    /// What to do about it.
    pub advice: Option<String>,
    /// The transfer that it is about, if any.
    pub id: Option<u64>,
}
}

/// The verdict; `recent` is sorted, newest first.
pub(super) fn verdict(
    running: &Survey,
    recent: &[Arc<Finished>],
    upstreams: &[UpstreamView],
    now: SystemTime,
) -> HealthVerdict {
    stalled(running, now)
        .or_else(|| failed(recent, now))
        .or_else(|| circuits(upstreams, now))
        .unwrap_or_else(|| HealthVerdict {
            level: HealthLevel::Healthy,
            text: "All healthy".into(),
            since: None,
            advice: None,
            id: None,
        })
}

fn stalled(running: &Survey, now: SystemTime) -> Option<HealthVerdict> {
    let stalls = running.transfers.iter().filter(|it| {
        it.snapshot
            .stall
            .is_some_and(|verdict| verdict.ending_helps())
    });
    // A stalled transfer may have ended in the meantime.
    let count = running.loads.stalled().max(1);
    let worst = stalls.max_by_key(|it| it.snapshot.idle_ms)?;
    let it = &worst.snapshot;
    let code = it.stall.map(|verdict| verdict.as_str()).unwrap_or_default();
    let text = match count {
        1 => format!("1 transfer is stalled: {} ({code})", it.host),
        _ => format!(
            "{count} transfers are stalled: {} ({code}) and more",
            it.host
        ),
    };
    let advice = worst.timeline.stalls.last().map(|it| it.advice.clone());
    Some(HealthVerdict {
        level: HealthLevel::Failing,
        text,
        since: before(now, Duration::from_millis(it.idle_ms.unwrap_or(0))),
        advice,
        id: Some(it.id),
    })
}

/// The last failure of a host without a later success.
fn failed(recent: &[Arc<Finished>], now: SystemTime) -> Option<HealthVerdict> {
    let mut known_hosts: Vec<(&str, bool)> = Vec::new();
    let mut failures: Vec<&Arc<Finished>> = Vec::new();
    let young = |it: &&Arc<Finished>| {
        now.duration_since(it.ended)
            .is_ok_and(|ago| ago < FAILURE_WINDOW)
    };
    for it in recent.iter().take_while(young) {
        if it.result.starts_with("client/") {
            continue;
        }
        let known = known_hosts.iter().find(|(host, _)| **host == *it.host);
        let works = known.map_or(!it.failed, |(_, works)| *works);
        if known.is_none() {
            known_hosts.push((&it.host, works));
        }
        if it.failed && !works {
            failures.push(it);
        }
    }
    let last = failures.first()?;
    let first = failures.last()?;
    let text = match failures.len() {
        1 => format!("1 transfer failed: {} ({})", last.host, last.result),
        count => format!(
            "{count} transfers failed, the last: {} ({})",
            last.host, last.result
        ),
    };
    let faults = last.timeline.attempts.iter().rev();
    let advice = faults
        .filter_map(|attempt| attempt.fault.as_ref())
        .find_map(|fault| fault.advice.clone());
    Some(HealthVerdict {
        level: HealthLevel::Failing,
        text,
        since: Some(moment::logged(first.ended)),
        advice,
        id: Some(last.id),
    })
}

fn circuits(upstreams: &[UpstreamView], now: SystemTime) -> Option<HealthVerdict> {
    let open: Vec<_> = upstreams
        .iter()
        .flat_map(|it| it.circuits.iter().map(move |circuit| (it, circuit)))
        .collect();
    let (upstream, circuit) = open
        .iter()
        .min_by_key(|(_, circuit)| circuit.failed_s_ago)?;
    let more = match open.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    Some(HealthVerdict {
        level: HealthLevel::Degraded,
        text: format!(
            "{} fails for {} ({}){more}: other upstreams are tried first",
            upstream.upstream, circuit.host, circuit.code
        ),
        since: before(now, Duration::from_secs(circuit.failed_s_ago)),
        advice: None,
        id: None,
    })
}

fn before(now: SystemTime, ago: Duration) -> Option<String> {
    now.checked_sub(ago).map(moment::logged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::history::tests::finished;

    fn at(id: u64, host: &str, result: &str) -> Arc<Finished> {
        let mut it = finished(id);
        it.host = host.into();
        it.result = result.to_owned().into();
        it.failed = result != "answered";
        it.ended = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + id);
        Arc::new(it)
    }

    fn of(recent: &[Arc<Finished>]) -> HealthVerdict {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_100);
        verdict(&Survey::default(), recent, &[], now)
    }

    #[test]
    fn a_failure_counts_until_its_host_succeeds_and_a_clients_fault_never() {
        let reset = "origin/handshaking/reset";
        assert_eq!(of(&[]).level, HealthLevel::Healthy);
        let verdict = of(&[at(3, "b", "answered"), at(2, "a", reset), at(1, "a", reset)]);
        assert_eq!(verdict.level, HealthLevel::Failing);
        assert_eq!(
            verdict.text,
            "2 transfers failed, the last: a (origin/handshaking/reset)"
        );
        assert_eq!(verdict.since.as_deref(), Some("1970-01-12T13:46:41.000Z"));
        let mended = of(&[at(3, "a", "answered"), at(2, "a", reset)]);
        assert_eq!(mended.level, HealthLevel::Healthy);
        let gone = of(&[at(1, "a", "client/receiving-body/gone")]);
        assert_eq!(gone.level, HealthLevel::Healthy);
    }
}
