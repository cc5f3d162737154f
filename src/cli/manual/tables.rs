//! The tables of the code as Markdown: faults, stalls, metrics, the API. A new row there is a new entry here.

use std::fmt::Write as _;

use crate::{
    admin::endpoints::ENDPOINTS,
    model::{
        Fault, FaultKind, Leg, Stage,
        advice::Context,
        fault::table::FAULT_KINDS,
        stall::{self, rules::STALL_RULES},
    },
    track::metrics::METRICS,
};

/// What stands for the names of a user's own config.
const EXAMPLE: Context<'_> = Context {
    host: "HOST",
    port: 443,
    route: "ROUTE",
    upstream: "HOP",
};

/// Where a fault of each leg is typical.
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

/// What gitferry advises, once for each different text.
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
        sibling: None,
    };
    let mut text = String::new();
    for rule in STALL_RULES {
        let advice = stall::advice(rule.verdict, about).text;
        let acts = match rule.acts {
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
