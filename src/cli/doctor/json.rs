//! The results as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    doctor::{CheckSubject, Finding, verdict::Diagnosis},
    model::unit::millis,
};

/// The whole document.
pub(super) fn document(findings: &[Finding], verdict: &Diagnosis, took: Duration) -> Value {
    let checks: Vec<Value> = findings.iter().map(check).collect();
    json!({
        "gitferry": env!("CARGO_PKG_VERSION"),
        "took_ms": millis(took),
        "healthy": verdict.is_healthy(),
        "verdict": {
            "works": verdict.works,
            "broken": verdict.broken,
            "recent": verdict.recent,
            "change": verdict.change.as_ref().map(|change| json!({
                "sentence": change.sentence,
                "command": change.command,
                "toml": change.toml,
                "can_be_applied": change.edit.is_some(),
            })),
        },
        "checks": checks,
    })
}

fn check(finding: &Finding) -> Value {
    let outcome = &finding.outcome;
    let mut value = json!({
        "check": finding.check,
        "state": outcome.state.as_str(),
        "shown": outcome.shown,
        "detail": outcome.detail,
        "code": outcome.code,
        "advice": outcome.advice,
        "took_ms": millis(finding.took),
    });
    if let Some(object) = value.as_object_mut() {
        match &finding.subject {
            CheckSubject::Path(path) => {
                object.insert("host".into(), json!(path.host));
                object.insert("route".into(), json!(path.route));
                object.insert("upstream".into(), json!(path.upstream));
                object.insert("in_route".into(), json!(path.place.is_some()));
            }
            CheckSubject::Machine => {}
            CheckSubject::Client(name) => {
                object.insert("client".into(), json!(name));
            }
        }
    }
    value
}
