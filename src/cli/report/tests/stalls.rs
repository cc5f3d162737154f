//! The lines that a stall's event writes are summarised.

use super::{round_trip::written, summarised};
use crate::{
    model::{
        Leg, Role, Stage,
        stall::{Action, Due, Verdict},
    },
    track::{
        event::{LogEvent, StallPhase, StallReported, Subject},
        metrics::Metrics,
    },
};

fn lines_of(phase: StallPhase) -> [String; 3] {
    let event = StallReported {
        phase,
        subject: Subject {
            id: 1,
            host: "a".into(),
            port: 443,
            route: "r".into(),
            upstream: Some("u".into()),
            avoided: None,
            circuit: None,
        },
        verdict: Verdict::PathDrops,
        leg: Leg::Origin,
        stage: Stage::SendingBody,
        due: Due::OriginReads,
        idle_ms: 7000,
        limit_ms: 5000,
        rate: None,
        role: Role::LfsStorage,
        peer: Some(([192, 0, 2, 1], 443).into()),
        attempt: 1,
        up: 0,
        down: 0,
        written: 900,
        acknowledged: Some(17),
        answered: 0,
        kernel: None,
        sibling: Some("hf-main works through u (3 s ago)".into()),
        action: Action::Report,
        evidence: "it \"drops\"; a=b".into(),
        advice: "add another upstream to `upstreams` of route `r`".into(),
        remedy: "other-upstream",
        at: tokio::time::Instant::now(),
    };
    written(|| event.emit(&Metrics::default()))
}

#[test]
fn a_stall_counts_once_with_its_time_and_advice_in_every_format() {
    for end in [StallPhase::Over, StallPhase::Ended] {
        let lines = [StallPhase::Began, StallPhase::GoesOn, end].map(lines_of);
        for form in 0..3 {
            let log: String = lines.iter().map(|forms| &*forms[form]).collect();
            let summary = summarised(&[log.as_bytes()]);
            assert_eq!(summary.lines.unreadable, 0, "{log}");
            let row = &summary.hosts["a"].rows["origin/sending-body/stalled-path-drops"];
            assert_eq!((row.times, row.stalls, row.lost_ms), (1, 1, 7000), "{log}");
            assert_eq!(
                row.advice.as_deref(),
                Some("add another upstream to `upstreams` of route `r`")
            );
        }
    }
}
