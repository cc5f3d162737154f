//! The tables of the code as Markdown: faults, stalls, metrics, the API.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    admin::{
        daemon::{DaemonView, EnvironmentView},
        endpoints::ENDPOINTS,
        upstreams::{CircuitView, UpstreamView},
        verdict::HealthVerdict,
        view::Overview,
    },
    config::UPSTREAM_KINDS,
    model::{
        Fault, FaultKind, Leg, Stage,
        advice::AdviceContext,
        fault::table::FAULT_KINDS,
        fields::Field,
        stall::{self, Flow, Kernel, rules::STALL_RULES},
    },
    track::{
        event::{FaultOccurred, StallReported, Subject, TransferEnded},
        history::{Finished, totals::DayTotal},
        metrics::METRICS,
        timeline::{Attempt, FaultNote, Segment, StallNote, Step, Timeline},
        transfer::{Snapshot, TransferDetail},
    },
};

/// Placeholders for names of the user's config.
const EXAMPLE: AdviceContext<'_> = AdviceContext {
    host: "HOST",
    port: 443,
    route: "ROUTE",
    upstream: "HOP",
    max_segment: None,
};

/// Typical stages for a fault of each leg.
const PLACES: [(Leg, Stage); 7] = [
    (Leg::Client, Stage::Accepted),
    (Leg::Client, Stage::Handshaking),
    (Leg::Hop, Stage::Connecting),
    (Leg::Hop, Stage::Greeting),
    (Leg::Origin, Stage::Connecting),
    (Leg::Origin, Stage::Handshaking),
    (Leg::Origin, Stage::AwaitingHead),
];

/// Every stage of a transfer.
pub(super) fn stages() -> String {
    let names = Stage::ALL.map(|stage| format!("`{}`", stage.as_str()));
    names.join(", ")
}

/// Every kind of hop: its scheme, what it is, the port that the scheme implies.
pub(super) fn hop_kinds() -> String {
    let rows = UPSTREAM_KINDS.iter().map(|kind| kind.row());
    let rows = rows.map(|row| {
        let meaning = row.meaning.trim().trim_end_matches('.');
        let port = row
            .default_port
            .map(|port| format!("; port {port} unless it names one"));
        let port = port.unwrap_or_default();
        format!("`{}://`\n: {meaning}{port}.\n\n", row.scheme)
    });
    rows.collect()
}

/// Every kind of fault: its code, what it means, the status of the error answer, what to do.
pub(super) fn faults() -> String {
    let mut text = String::new();
    for (row, sample) in FAULT_KINDS.iter().zip(FaultKind::samples()) {
        let _ = write!(text, "`{}`\n: {}\n\n", row.code, row.meaning.trim());
        let code = sample.as_str();
        if code != row.code {
            let _ = write!(
                text,
                "    The code ends with the value, as in `{code}`.\n\n"
            );
        }
        for advice in advices(&sample) {
            let _ = writeln!(text, "    - {advice}.");
        }
        text.push('\n');
    }
    text
}

/// The advice on a kind of fault, each different text once.
fn advices(kind: &FaultKind) -> Vec<String> {
    let mut found: Vec<(Vec<&str>, String)> = Vec::new();
    for (leg, stage) in PLACES {
        let Some(advice) = Fault::new(leg, stage, kind.clone()).advice(EXAMPLE) else {
            continue;
        };
        match found.iter_mut().find(|(_, text)| *text == advice.text) {
            Some((legs, _)) if legs.contains(&leg.as_str()) => {}
            Some((legs, _)) => legs.push(leg.as_str()),
            None => found.push((vec![leg.as_str()], advice.text)),
        }
    }
    let one = found.len() == 1;
    let said = |(legs, text): (Vec<&str>, String)| match one {
        true => text,
        false => format!("{}: {text}", legs.join(", ")),
    };
    found.into_iter().map(said).collect()
}

/// Every verdict on a stall.
pub(super) fn stalls() -> String {
    let about = stall::StallContext {
        host: EXAMPLE.host,
        route: EXAMPLE.route,
        upstream: EXAMPLE.upstream,
        max_segment: None,
        sibling: None,
    };
    let mut text = String::new();
    for rule in STALL_RULES {
        let advice = stall::advice(rule.verdict, about).text;
        let acts = match rule.ending_helps {
            true => "`action` applies.",
            false => "It is reported only.",
        };
        let _ = write!(
            text,
            "`{}`\n: {}. {acts}\n\n    - {advice}.\n\n",
            rule.verdict.as_str(),
            capitalised(rule.meaning)
        );
    }
    text
}

/// Every metric.
pub(super) fn metrics() -> String {
    let mut text = String::new();
    for metric in METRICS {
        let labels: Vec<_> = metric
            .labels
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let labels = match &labels[..] {
            [] => "no labels".into(),
            labels => format!("labels: {}", labels.join(", ")),
        };
        let _ = write!(
            text,
            "`{}`\n: {} {}; {labels}.\n\n",
            metric.name,
            metric.help,
            capitalised(metric.kind.as_str())
        );
    }
    text
}

/// What the JSON of the API consists of, each object with its fields.
const OBJECTS: &[(&str, &[&[Field]])] = &[
    ("An overview", &[Overview::FIELDS]),
    ("The verdict of an overview", &[HealthVerdict::FIELDS]),
    (
        "A running transfer",
        &[Snapshot::FIELDS, TransferDetail::FIELDS],
    ),
    ("A finished transfer", &[Finished::FIELDS]),
    ("A timeline", &[Timeline::FIELDS]),
    ("A stage of a timeline", &[Step::FIELDS]),
    ("An attempt of a timeline", &[Attempt::FIELDS]),
    ("The fault of an attempt", &[FaultNote::FIELDS]),
    ("A stall of a timeline", &[StallNote::FIELDS]),
    ("A connection of a download in segments", &[Segment::FIELDS]),
    ("A socket", &[Flow::FIELDS]),
    ("The kernel's view of a socket", &[Kernel::FIELDS]),
    ("An upstream", &[UpstreamView::FIELDS]),
    ("A circuit of an upstream", &[CircuitView::FIELDS]),
    ("A fault", &[Subject::FIELDS, FaultOccurred::FIELDS]),
    ("A stall", &[Subject::FIELDS, StallReported::FIELDS]),
    ("The totals of a route on a day", &[DayTotal::FIELDS]),
    ("The daemon", &[DaemonView::FIELDS]),
    ("The environment of the daemon", &[EnvironmentView::FIELDS]),
];

/// The fields of the log's lines about a transfer, and those of them that only the API shows.
const LINES: &[(&[Field], &[&str])] = &[
    (Subject::FIELDS, &[]),
    (TransferEnded::FIELDS, &["subject", "stages"]),
    (FaultOccurred::FIELDS, &["s_ago"]),
    (StallReported::FIELDS, &["phase", "due", "kernel", "s_ago"]),
    (Kernel::FIELDS, ONLY_IN_THE_API),
];

/// What the log's lines leave out of the kernel's view of a socket.
const ONLY_IN_THE_API: &[&str] = &[
    "backoff",
    "last_ack_ms",
    "last_data_ms",
    "out_of_order",
    "pmtu",
    "probes",
    "sacked",
];

/// Every object of the API with the names of its fields.
pub(super) fn objects() -> String {
    let mut text = String::new();
    for (title, parts) in OBJECTS {
        let _ = write!(text, "\n### {title}\n\n");
        for field in parts.iter().copied().flatten().filter(|it| !it.is_hidden()) {
            let _ = write!(text, "`{}`\n: {}\n\n", field.name(), field.meaning());
        }
    }
    text
}

/// The names and meanings of the fields that lines about a transfer have.
pub(super) fn line_fields() -> BTreeMap<&'static str, &'static str> {
    let mut seen = BTreeMap::new();
    for (fields, left_out) in LINES {
        let fields = fields.iter().filter(|field| !field.is_hidden());
        for field in fields.filter(|field| !left_out.contains(&field.name())) {
            seen.entry(field.name()).or_insert(field.meaning());
        }
    }
    seen
}

/// The fields that lines about a transfer have, each once.
pub(super) fn fields() -> String {
    let mut text = String::new();
    for (name, meaning) in line_fields() {
        let _ = write!(text, "`{name}`\n: {meaning}\n\n");
    }
    text
}

/// Every address below `/-/`.
pub(super) fn endpoints() -> String {
    let mut text = String::new();
    for endpoint in ENDPOINTS {
        let _ = write!(text, "`{}`\n: {}\n\n", endpoint.path, endpoint.summary);
        for parameter in endpoint.parameters {
            let _ = writeln!(text, "    - `{}`: {}", parameter.name, parameter.summary);
        }
        text.push('\n');
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase());
    first.into_iter().flatten().chain(letters).collect()
}
