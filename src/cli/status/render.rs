//! The status as text, for people.

use std::fmt::Write as _;

use serde_json::Value;

/// How many faults, and how many stalls, are shown.
const SHOWN: usize = 10;

/// The whole page; a field that is missing shows as `-`.
pub(super) fn render(status: &Value) -> String {
    let mut page = format!(
        "gitferry {}, up {} s\n\n",
        text(status, "version"),
        text(status, "uptime_s")
    );
    if status.get("users_told_apart") == Some(&Value::Bool(false)) {
        page.push_str("local users are not told apart: see `[listen]`\n\n");
    }
    transfers(&mut page, list(status, "transfers"));
    upstreams(&mut page, list(status, "upstreams"));
    stalls(&mut page, list(status, "stalls"));
    faults(&mut page, list(status, "faults"));
    page
}

fn list<'a>(status: &'a Value, key: &str) -> &'a [Value] {
    let list = status.get(key).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

fn transfers(page: &mut String, transfers: &[Value]) {
    let _ = writeln!(page, "{} running", transfers.len());
    for transfer in transfers {
        let _ = writeln!(
            page,
            "  #{} {} {}:{} {} via {}: {} for {} ms, {} up, {} down",
            text(transfer, "id"),
            text(transfer, "method"),
            text(transfer, "host"),
            text(transfer, "port"),
            text(transfer, "path"),
            text(transfer, "upstream"),
            text(transfer, "stage"),
            text(transfer, "stage_ms"),
            text(transfer, "up"),
            text(transfer, "down")
        );
        if let Some(circuit) = transfer.get("circuit").and_then(Value::as_str) {
            let _ = writeln!(page, "    not through {circuit}");
        }
        if let Some(verdict) = transfer.get("stall").and_then(Value::as_str) {
            let idle = text(transfer, "idle_ms");
            let _ = writeln!(page, "    stalled for {idle} ms: {verdict}");
        }
    }
}

fn upstreams(page: &mut String, upstreams: &[Value]) {
    page.push_str("\nupstreams\n");
    for upstream in upstreams {
        let name = format!(
            "{} via {}",
            text(upstream, "route"),
            text(upstream, "upstream")
        );
        let circuits = list(upstream, "circuits");
        if circuits.is_empty() {
            let _ = writeln!(page, "  {name}: healthy");
        }
        for circuit in circuits {
            let _ = writeln!(
                page,
                "  {name}: {} for {}, failures: {}, the last {} s ago: {}",
                text(circuit, "state"),
                text(circuit, "host"),
                text(circuit, "failures"),
                text(circuit, "failed_s_ago"),
                text(circuit, "code")
            );
        }
    }
}

fn stalls(page: &mut String, stalls: &[Value]) {
    if !stalls.is_empty() {
        page.push_str("\nlast stalls\n");
    }
    for stall in stalls.iter().take(SHOWN) {
        let _ = writeln!(
            page,
            "  {} s ago: {}/{}{}, {} after {} ms: {}",
            text(stall, "s_ago"),
            text(stall, "leg"),
            text(stall, "verdict"),
            way(stall),
            text(stall, "phase"),
            text(stall, "idle_ms"),
            text(stall, "evidence")
        );
        advice(page, stall);
    }
}

fn faults(page: &mut String, faults: &[Value]) {
    if !faults.is_empty() {
        page.push_str("\nlast faults\n");
    }
    for fault in faults.iter().take(SHOWN) {
        let (code, cause) = (text(fault, "code"), text(fault, "cause"));
        let _ = writeln!(
            page,
            "  {} s ago: {code}{}, {}",
            text(fault, "s_ago"),
            way(fault),
            next(fault)
        );
        // The cause begins with the code, which stands above.
        let more = cause.strip_prefix(&code).unwrap_or(&cause);
        if !more.is_empty() {
            let _ = writeln!(page, "    {}", more.trim_start_matches([':', ' ']));
        }
        advice(page, fault);
    }
}

/// What was done about a fault.
fn next(fault: &Value) -> String {
    match (fault.get("next_upstream"), fault.get("wait_ms")) {
        (Some(Value::String(upstream)), _) => format!("next upstream: {upstream}"),
        (_, Some(Value::Number(ms))) => format!("tries again in {ms} ms"),
        _ => "gives up".into(),
    }
}

fn advice(page: &mut String, event: &Value) {
    if let Some(advice) = event.get("advice").and_then(Value::as_str) {
        let _ = writeln!(page, "    advice: {advice}");
    }
}

/// ` huggingface.co:443 via office`, as far as there is such a thing.
fn way(event: &Value) -> String {
    let mut way = String::new();
    if text(event, "host") != "-" {
        let _ = write!(way, " {}:{}", text(event, "host"), text(event, "port"));
    }
    if let Some(upstream) = event.get("upstream").and_then(Value::as_str) {
        let _ = write!(way, " via {upstream}");
    }
    way
}

/// A field as text; `-` where there is none.
fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => "-".into(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fault_is_shown_with_its_time_cause_and_advice() {
        let status = json!({
            "version": "1", "uptime_s": 2,
            "faults": [
                {
                    "s_ago": 3, "code": "hop/greeting/refused", "host": "hf.co", "port": 443, "upstream": "office",
                    "next": "give-up", "cause": "hop/greeting/refused with 192.0.2.1:3128: connection refused",
                    "advice": "check `url`"
                },
                {
                    "s_ago": 4, "code": "client/accepted/not-http", "host": "-", "port": 0, "upstream": null,
                    "next": "give-up", "cause": "client/accepted/not-http (a TLS hello)", "advice": null
                },
            ],
        });
        let page = render(&status);
        let shown = "last faults\n  \
             3 s ago: hop/greeting/refused hf.co:443 via office, gives up\n    \
             with 192.0.2.1:3128: connection refused\n    \
             advice: check `url`\n  \
             4 s ago: client/accepted/not-http, gives up\n    \
             (a TLS hello)\n";
        assert!(page.ends_with(shown), "{page}");
    }
}
