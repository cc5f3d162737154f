//! The lines of the log in logfmt and JSON, compared with golden files in `tests/fixtures/log`.

use super::{golden, round_trip::written};
use crate::{
    model::{Leg, Stage},
    track::{
        Front,
        event::{FaultOccurred, LogEvent, Subject, TransferEnded},
        metrics::Metrics,
    },
};

#[test]
fn the_log_lines_match_their_golden_files() {
    let subject = |upstream: &str| Subject {
        id: 7,
        host: "cdn-lfs.hf.co".into(),
        port: 443,
        route: "hf-lfs".into(),
        upstream: Some(upstream.into()),
        avoided: None,
        circuit: None,
    };
    let ended = TransferEnded {
        subject: Subject {
            avoided: Some("office".into()),
            circuit: Some(
                "office open for 12 s, failures 3, last hop/greeting/hop-refused-403".into(),
            ),
            ..subject("tunnel")
        },
        front: Front::Intercept,
        client: ([127, 0, 0, 1], 51234).into(),
        method: "PUT".into(),
        path: "/b/oid?X-Amz-Signature=***".into(),
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
        credentials: false,
    };
    let fault = FaultOccurred {
        subject: subject("office"),
        code: "hop/greeting/hop-refused-403".into(),
        leg: Leg::Hop,
        stage: Stage::Greeting,
        kind: "hop-refused-403".into(),
        peer: Some("192.0.2.7:3128".into()),
        attempt: 1,
        elapsed_ms: 20,
        next: "next-upstream",
        wait_ms: None,
        next_upstream: Some("tunnel".into()),
        rescue: None,
        cause: "hop/greeting/hop-refused-403 with 192.0.2.7:3128 (it said \"no\")".into(),
        advice: Some("add another upstream to `upstreams` of route `hf-lfs`".into()),
        remedy: Some("other-upstream"),
        advised: false,
        repeated: false,
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
