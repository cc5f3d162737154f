//! A report as JSON: what the page has, without limits.

use serde_json::{Value, json};

use super::{
    counts::{FaultCounts, HostCounts, MEANS, Roles, safe},
    record::Time,
    summary::LogSummary,
    verdict::verdicts,
};

/// One object.
pub(super) fn data(summary: &LogSummary, roles: &Roles) -> Value {
    let transfers = &summary.transfers;
    let means = MEANS.iter().zip(transfers.means);
    let rescued_by: serde_json::Map<String, Value> = means
        .map(|(name, count)| ((*name).to_owned(), count.into()))
        .collect();
    json!({
        "from": summary.period.map(|(first, _)| first.rfc3339()),
        "to": summary.period.map(|(_, last)| last.rfc3339()),
        "lines": summary.lines,
        "starts": summary.starts,
        "transfers": {
            "ended": transfers.ended,
            "failed": transfers.failed,
            "rescued": transfers.rescued,
            "rescued_by": rescued_by,
            "open_ended": summary.open_ended(),
            "refused": transfers.refused,
            "up": transfers.up,
            "down": transfers.down,
        },
        "lost_ms": summary.lost_ms(),
        "hosts": summary.hosts.iter().map(|(name, it)| host(name, it, roles)).collect::<Vec<_>>(),
        "circuits": summary.circuits.data(),
        "refusals": summary.refusals.totals(),
        "verdicts": verdicts(summary, roles),
    })
}

fn host(name: &str, host: &HostCounts, roles: &Roles) -> Value {
    json!({
        "host": safe(name),
        "route": safe(&host.route),
        "role": host.role(roles).as_str(),
        "ended": host.ended,
        "failed": host.failed,
        "rescued": host.rescued,
        "upstreams": host.upstreams.iter().map(|(name, counts)| json!({
            "upstream": safe(name),
            "succeeded": counts.succeeded,
            "failed": counts.failed,
        })).collect::<Vec<_>>(),
        "codes": host.rows.iter().map(|(code, it)| row(code, it)).collect::<Vec<_>>(),
    })
}

fn row(code: &str, row: &FaultCounts) -> Value {
    let mut parts = code.splitn(3, '/').map(safe);
    json!({
        "code": safe(code),
        "leg": parts.next(),
        "stage": parts.next(),
        "kind": parts.next(),
        "times": row.times,
        "faults": row.faults,
        "stalls": row.stalls,
        "rescued": row.rescued,
        "lost_ms": row.lost_ms,
        "last": row.last.map(Time::rfc3339),
        "upstreams": row.upstreams.iter().map(|(name, count)| json!({
            "upstream": safe(name),
            "count": count,
        })).collect::<Vec<_>>(),
        "advice": row.advice.as_deref().map(safe),
    })
}
