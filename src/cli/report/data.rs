//! A report as JSON: what the page has, without limits.

use serde_json::{Value, json};

use super::{
    counts::{FaultCounts, HostCounts, MEANS, Roles, safe},
    record::Time,
    summary::LogSummary,
    verdict::verdicts,
};

/// One object.
pub(super) fn data(sum: &LogSummary, roles: &Roles) -> Value {
    let transfers = &sum.transfers;
    let means = MEANS.iter().zip(transfers.means);
    let rescued_by: serde_json::Map<String, Value> = means
        .map(|(name, count)| ((*name).to_owned(), count.into()))
        .collect();
    json!({
        "from": sum.period.map(|(first, _)| first.rfc3339()),
        "to": sum.period.map(|(_, last)| last.rfc3339()),
        "lines": sum.lines,
        "starts": sum.starts,
        "transfers": {
            "ended": transfers.ended,
            "failed": transfers.failed,
            "rescued": transfers.rescued,
            "rescued_by": rescued_by,
            "open_ended": sum.open_ended(),
            "refused": transfers.refused,
            "up": transfers.up,
            "down": transfers.down,
        },
        "lost_ms": sum.lost_ms(),
        "hosts": sum.hosts.iter().map(|(name, it)| host(name, it, roles)).collect::<Vec<_>>(),
        "circuits": sum.circuits.data(),
        "refusals": sum.refusals.totals(),
        "verdicts": verdicts(sum, roles),
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
