//! How the lines of the log look, text and JSON, by golden files in `tests/fixtures/log`.

use super::{golden, round_trip::written};
use crate::{
    model::{Leg, Stage},
    track::{
        Front,
        event::{FaultOccurred, TransferEnded},
        metrics::Metrics,
    },
};

#[test]
fn the_lines_of_the_log_look_as_they_did() {
    let ended = TransferEnded {
        id: 7,
        front: Front::Intercept,
        client: ([127, 0, 0, 1], 51234).into(),
        method: "PUT".into(),
        host: "cdn-lfs.hf.co".into(),
        port: 443,
        path: "/b/oid?X-Amz-Signature=***".into(),
        route: "hf-lfs".into(),
        upstream: Some("tunnel".into()),
        peer: Some(([192, 0, 2, 1], 1080).into()),
        attempts: 2,
        reused: false,
        status: Some(200),
        result: "answered".into(),
        up: 67_108_864,
        down: 0,
        total_ms: 91_240,
        stages: vec![
            (Stage::Connecting, 12),
            (Stage::Greeting, 0),
            (Stage::SendingBody, 91_000),
        ],
        agent: Some("git-lfs/3.3.0".into()),
        circuit: Some(
            "office is open since 12 s, failures 3, last hop/greeting/hop-refused-403".into(),
        ),
    };
    let fault = FaultOccurred {
        id: 7,
        code: "hop/greeting/hop-refused-403".into(),
        leg: Leg::Hop,
        stage: Stage::Greeting,
        kind: "hop-refused-403".into(),
        peer: Some("192.0.2.7:3128".into()),
        host: "cdn-lfs.hf.co".into(),
        port: 443,
        route: "hf-lfs".into(),
        upstream: Some("office".into()),
        attempt: 1,
        elapsed_ms: 20,
        next: "next upstream tunnel".into(),
        circuit: None,
        rescue: None,
        cause: "hop/greeting/hop-refused-403 with 192.0.2.7:3128 (it said \"no\")".into(),
        advice: Some("add another upstream to `upstreams` of route `hf-lfs`".into()),
        advised: false,
        at: tokio::time::Instant::now(),
    };
    let metrics = Metrics::default();
    let (ended, fault) = (
        written(|| ended.emit(&metrics)),
        written(|| fault.emit(&metrics)),
    );
    let both = |at: usize| format!("{}{}", fault[at], ended[at]);
    golden("log/events.text", &both(0));
    golden("log/events.json", &both(2));
}
