use tokio::time::Instant;

use super::{rules::STALL_RULES, *};
use crate::model::{
    Role,
    siblings::{Sibling, SiblingOutcome},
};

pub(super) const LIMITS: StallLimits = StallLimits {
    after: Duration::from_secs(20),
    connect_after: Duration::from_secs(15),
    answer_after: Duration::from_secs(120),
    client_after: Duration::from_secs(60),
    floor: 0,
    floor_over: Duration::from_secs(60),
};

/// A healthy connection after its handshake.
const KERNEL: Kernel = Kernel {
    unacked: 0,
    sacked: 0,
    retransmits: 0,
    retransmitted: 0,
    probes: 0,
    backoff: 0,
    rto_ms: 204,
    mss: 1448,
    pmtu: 1500,
    window: Some(64_000),
    unsent: Some(0),
    out_of_order: Some(0),
    last_ack_ms: 10,
    last_data_ms: 10,
};

fn flow(written: u64, queued: u64, kernel: Kernel) -> Flow {
    Flow {
        read: 3000,
        written,
        queued,
        reports_acks: true,
        blocked: false,
        kernel: Some(kernel),
    }
}

fn sample(stage: Stage, origin: Flow) -> Sample {
    Sample {
        stage,
        attempt: 1,
        tunnel: false,
        whole: stage >= Stage::AwaitingHead,
        early: false,
        refused: false,
        hop: false,
        prompt: false,
        awaits_client: true,
        awaits_origin: true,
        client: flow(500, 0, KERNEL),
        origin: (stage > Stage::Greeting).then_some(origin),
    }
}

/// The first stall of a transfer that stays in the state `sample`: its verdict, its leg, and the second of the report.
fn first_stall(sample: &Sample, limits: &StallLimits) -> Option<(Verdict, Leg, u64)> {
    let start = Instant::now();
    let mut watch = Watchdog::new(sample, limits, start);
    for second in 1..600 {
        let now = start + Duration::from_secs(second);
        if let Observed::Stalled(stall) = watch.observe(sample, limits, now) {
            return Some((stall.verdict, stall.leg, second));
        }
    }
    None
}

const LOST: Kernel = Kernel {
    unacked: 10,
    retransmits: 5,
    rto_ms: 6500,
    ..KERNEL
};
const CLOSED: Kernel = Kernel {
    window: Some(0),
    unsent: Some(200_000),
    ..KERNEL
};

#[test]
fn every_verdict_has_its_evidence_its_leg_and_its_limit() {
    use Verdict as V;
    let lost = |acknowledged: u64| flow(acknowledged + 14_480, 14_480, LOST);
    let cases = [
        (Stage::SendingBody, lost(1_000_000), V::PathDrops, 20),
        (Stage::SendingBody, lost(2000), V::PathMtu, 20),
        (
            Stage::SendingBody,
            flow(9_000_000, 200_000, CLOSED),
            V::PeerNotReading,
            20,
        ),
        (
            Stage::SendingBody,
            flow(9_000_000, 0, KERNEL),
            V::ClientIdle,
            60,
        ),
        (
            Stage::AwaitingHead,
            flow(9_000_000, 0, KERNEL),
            V::NoAnswer,
            120,
        ),
        (Stage::AwaitingHead, lost(1_000_000), V::PathDrops, 20),
        (
            Stage::ReceivingBody,
            flow(900, 0, KERNEL),
            V::AnswerStopped,
            20,
        ),
        (Stage::Handshaking, lost(0), V::PathMtu, 15),
        (Stage::Handshaking, flow(517, 0, KERNEL), V::NoAnswer, 15),
    ];
    for (stage, origin, verdict, after) in cases {
        let leg = if verdict == V::ClientIdle {
            Leg::Client
        } else {
            Leg::Origin
        };
        assert_eq!(
            first_stall(&sample(stage, origin), &LIMITS),
            Some((verdict, leg, after)),
            "{stage:?} {origin:?}"
        );
    }
    for stage in [Stage::Resolving, Stage::Connecting, Stage::Greeting] {
        let mut sample = sample(stage, Flow::default());
        sample.hop = true;
        assert_eq!(
            first_stall(&sample, &LIMITS),
            Some((V::NeverConnected, Leg::Hop, 15))
        );
    }
}

#[test]
fn a_lost_small_first_flight_is_path_drops_and_not_path_mtu() {
    let origin = flow(300, 300, Kernel { unacked: 1, ..LOST });
    let stall = first_stall(&sample(Stage::Handshaking, origin), &LIMITS).unwrap();
    assert_eq!(stall.0, Verdict::PathDrops);
}

#[test]
fn a_gap_in_received_or_acknowledged_segments_is_path_mtu() {
    let gap = Kernel {
        out_of_order: Some(1),
        ..KERNEL
    };
    let response = sample(Stage::Handshaking, flow(517, 0, gap));
    assert_eq!(first_stall(&response, &LIMITS).unwrap().0, Verdict::PathMtu);
    let gap = Kernel { sacked: 1, ..LOST };
    let body = sample(Stage::SendingBody, flow(9_000_000, 5000, gap));
    assert_eq!(first_stall(&body, &LIMITS).unwrap().0, Verdict::PathMtu);
}

#[test]
fn unanswered_probes_are_path_drops_even_where_nothing_was_sent() {
    let probed = Kernel {
        probes: 3,
        ..KERNEL
    };
    let waiting = sample(Stage::AwaitingHead, flow(9000, 0, probed));
    assert_eq!(
        first_stall(&waiting, &LIMITS).unwrap().0,
        Verdict::PathDrops
    );
}

#[test]
fn a_blocked_write_is_peer_not_reading_where_the_kernel_reports_nothing() {
    let mut origin = flow(9_000_000, 0, KERNEL);
    (origin.kernel, origin.reports_acks, origin.blocked) = (None, false, true);
    let stands = sample(Stage::SendingBody, origin);
    assert_eq!(
        first_stall(&stands, &LIMITS).unwrap().0,
        Verdict::PeerNotReading
    );
    let start = Instant::now();
    let mut watch = Watchdog::new(&stands, &LIMITS, start);
    let Observed::Stalled(stall) = watch.observe(&stands, &LIMITS, start + LIMITS.after) else {
        panic!("no stall")
    };
    assert!(evidence(&stall, &stands).contains("does not report acknowledged bytes"));
}

#[test]
fn a_client_that_does_not_read_its_response_is_idle_and_the_origin_is_not_blamed() {
    let mut slow = sample(Stage::ReceivingBody, flow(900, 0, KERNEL));
    slow.client = flow(4_000_000, 300_000, CLOSED);
    assert_eq!(
        first_stall(&slow, &LIMITS),
        Some((Verdict::ClientIdle, Leg::Client, 60))
    );
    // HTTP/2 has its own flow control: nothing is queued in TCP, and gitferry reads nothing more from the origin.
    slow.client = flow(4_000_000, 0, KERNEL);
    slow.awaits_origin = false;
    assert_eq!(first_stall(&slow, &LIMITS).unwrap().0, Verdict::ClientIdle);
}

#[test]
fn a_queued_transfer_and_a_tunnel_whose_origin_spoke_last_are_never_stalled() {
    assert_eq!(
        first_stall(&sample(Stage::Queued, Flow::default()), &LIMITS),
        None
    );
    let start = Instant::now();
    let mut tunnel = sample(Stage::ReceivingBody, flow(900, 0, KERNEL));
    tunnel.tunnel = true;
    let mut watch = Watchdog::new(&tunnel, &LIMITS, start);
    if let Some(origin) = &mut tunnel.origin {
        origin.read += 1;
    }
    for second in 1..1000 {
        let now = start + Duration::from_secs(second);
        assert_eq!(watch.observe(&tunnel, &LIMITS, now), Observed::Quiet);
    }
    // The client sends, and gets no response.
    tunnel.client.read += 100;
    let asked = start + Duration::from_secs(1000);
    assert_eq!(watch.observe(&tunnel, &LIMITS, asked), Observed::Quiet);
    let late = asked + LIMITS.answer_after;
    let Observed::Stalled(stall) = watch.observe(&tunnel, &LIMITS, late) else {
        panic!("no stall")
    };
    assert_eq!(stall.verdict, Verdict::NoAnswer);
}

#[test]
fn bytes_from_the_client_are_no_progress_while_the_origin_acknowledges_none() {
    let start = Instant::now();
    let mut stands = sample(Stage::SendingBody, flow(1_000_000, 50_000, LOST));
    let mut watch = Watchdog::new(&stands, &LIMITS, start);
    for second in 1..20 {
        stands.client.read += 80_000;
        if let Some(origin) = &mut stands.origin {
            (origin.written, origin.queued) = (origin.written + 80_000, origin.queued + 80_000);
        }
        let now = start + Duration::from_secs(second);
        assert_eq!(watch.observe(&stands, &LIMITS, now), Observed::Quiet);
    }
    let observed = watch.observe(&stands, &LIMITS, start + LIMITS.after);
    assert!(matches!(observed, Observed::Stalled(stall) if stall.verdict == Verdict::PathDrops));
}

#[test]
fn time_in_which_this_process_did_not_run_is_not_idle_time() {
    let sample = sample(Stage::AwaitingHead, flow(1000, 0, KERNEL));
    let start = Instant::now();
    let mut watch = Watchdog::new(&sample, &LIMITS, start);
    let idle = Duration::from_secs(10);
    let observed = watch.observe(&sample, &LIMITS, start + idle);
    assert!(matches!(observed, Observed::Quiet), "{observed:?}");
    let lost = Duration::from_secs(600);
    let now = start + idle + lost;
    watch.not_counting(lost, now);
    let observed = watch.observe(&sample, &LIMITS, now);
    assert!(matches!(observed, Observed::Quiet), "{observed:?}");
    assert_eq!(watch.idle_time(now).1, idle);
}

#[test]
fn a_long_stall_is_reported_at_doubling_times_and_its_end_once() {
    let start = Instant::now();
    let mut stands = sample(Stage::SendingBody, flow(1_000_000, 50_000, LOST));
    let mut watch = Watchdog::new(&stands, &LIMITS, start);
    let mut reports = Vec::new();
    for second in 1..=200 {
        match watch.observe(&stands, &LIMITS, start + Duration::from_secs(second)) {
            Observed::Stalled(_) => reports.push(("stalled", second)),
            Observed::GoesOn(stall) => {
                assert_eq!(stall.idle, Duration::from_secs(second));
                reports.push(("goes on", second));
            }
            Observed::Over { .. } => reports.push(("over", second)),
            Observed::Quiet | Observed::Waiting(_) | Observed::Late(_) => {}
        }
    }
    assert_eq!(
        reports,
        [
            ("stalled", 20),
            ("goes on", 40),
            ("goes on", 80),
            ("goes on", 160)
        ]
    );
    if let Some(origin) = &mut stands.origin {
        origin.queued = 40_000;
    }
    let now = start + Duration::from_secs(201);
    let over = Observed::Over {
        verdict: Verdict::PathDrops,
        lasted: Duration::from_secs(201),
    };
    assert_eq!(watch.observe(&stands, &LIMITS, now), over);
    assert_eq!(watch.unfinished_stall(now), None);
    assert_eq!(
        watch.observe(&stands, &LIMITS, now + Duration::from_secs(1)),
        Observed::Quiet
    );
}

#[test]
fn a_transfer_below_the_floor_is_throttled_and_its_standstill_is_a_second_stall() {
    let limits = StallLimits {
        floor: 4096,
        ..LIMITS
    };
    let start = Instant::now();
    let mut slow = sample(Stage::SendingBody, flow(1_000_000, 500_000, KERNEL));
    let mut watch = Watchdog::new(&slow, &limits, start);
    let mut reports = Vec::new();
    for second in 1..200 {
        if second < 90
            && let Some(origin) = &mut slow.origin
        {
            origin.queued -= 1000;
        }
        match watch.observe(&slow, &limits, start + Duration::from_secs(second)) {
            Observed::Stalled(stall) => reports.push((stall.verdict, second)),
            Observed::Over { .. } => panic!("over at {second}"),
            Observed::GoesOn(_) | Observed::Quiet | Observed::Waiting(_) | Observed::Late(_) => {}
        }
    }
    assert_eq!(
        reports,
        [(Verdict::Throttled, 60), (Verdict::PeerNotReading, 109)]
    );
    // A slow client does not make the origin throttled.
    let mut waiting = sample(Stage::SendingBody, flow(1_000_000, 0, KERNEL));
    let mut watch = Watchdog::new(&waiting, &limits, start);
    for second in 1..200 {
        waiting.client.read += 10;
        let now = start + Duration::from_secs(second);
        assert_eq!(watch.observe(&waiting, &limits, now), Observed::Quiet);
    }
}

#[test]
fn a_limit_of_zero_disables_its_rule() {
    let limits = StallLimits {
        client_after: Duration::ZERO,
        ..LIMITS
    };
    let idle = sample(Stage::SendingBody, flow(9_000_000, 0, KERNEL));
    assert_eq!(first_stall(&idle, &limits), None);
}

#[test]
fn every_verdict_is_in_the_table_once_and_has_advice_that_names_a_key_or_a_command() {
    let mut codes: Vec<_> = STALL_RULES
        .iter()
        .map(|rule| rule.verdict.as_str())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), 8);
    let works = Sibling {
        route: "hf-main".into(),
        role: Role::MainSite,
        outcome: SiblingOutcome::Works,
        ago: Duration::from_secs(3),
    };
    for rule in STALL_RULES {
        for sibling in [None, Some(&works)] {
            let about = StallContext {
                host: "cdn-lfs.hf.co",
                route: "hf-lfs",
                upstream: "office",
                max_segment: None,
                sibling,
            };
            let text = advice(rule.verdict, about).text;
            assert!(
                text.contains('`') && !text.ends_with('.') && !text.contains('\n'),
                "{text}"
            );
        }
    }
    assert_eq!(
        SiblingText(&works, "office").to_string(),
        "hf-main works through office (3 s ago)"
    );
}

/// A storage takes the whole upload and never answers. A notice comes after 20 s, the verdict within 30 s, the stall at `answer_after`.
/// Until then, a storage that is only slow (because it verifies a large object, for example) looks the same.
#[test]
fn a_storage_that_does_not_answer_has_its_verdict_within_30_s_and_is_a_stall_at_its_limit() {
    let events = |prompt: bool| {
        let start = Instant::now();
        let mut waiting = sample(Stage::AwaitingHead, flow(9_000_000, 0, KERNEL));
        waiting.prompt = prompt;
        let mut watch = Watchdog::new(&waiting, &LIMITS, start);
        let (mut reports, mut acts) = (Vec::new(), None);
        for second in 1..=200 {
            let now = start + Duration::from_secs(second);
            match watch.observe(&waiting, &LIMITS, now) {
                Observed::Waiting(idle) => reports.push(("waiting", idle.as_secs())),
                Observed::Late(stall) => {
                    assert_eq!(stall.verdict, Verdict::NoAnswer);
                    reports.push(("late", second));
                }
                Observed::Stalled(stall) => {
                    assert_eq!(stall.verdict, Verdict::NoAnswer);
                    reports.push(("stall", second));
                }
                Observed::GoesOn(_) | Observed::Quiet => {}
                Observed::Over { .. } => panic!("over at {second}"),
            }
            if watch.overdue(&waiting, &LIMITS, now).is_some() {
                acts = acts.or(Some(second));
            }
        }
        (reports, acts)
    };
    assert_eq!(
        events(true),
        (
            vec![("waiting", 20), ("late", 25), ("stall", 120)],
            Some(120)
        )
    );
    assert_eq!(
        events(false),
        (vec![("waiting", 20), ("stall", 120)], Some(120))
    );
}

#[test]
fn a_dead_connection_is_reported_within_30_s_on_every_route() {
    let probed = Kernel {
        probes: 3,
        ..KERNEL
    };
    let waiting = sample(Stage::AwaitingHead, flow(9000, 0, probed));
    assert_eq!(
        first_stall(&waiting, &LIMITS),
        Some((Verdict::PathDrops, Leg::Origin, 25))
    );
}

/// A user reported that the verdict `path-mtu` advised to set `max_segment`, which was set already.
#[test]
fn the_advice_does_not_set_a_segment_size_that_is_set_already() {
    let advised = |max_segment| {
        let about = StallContext {
            host: "hf.co",
            route: "hf-lfs",
            upstream: "office",
            max_segment,
            sibling: None,
        };
        advice(Verdict::PathMtu, about)
    };
    let text = advised(None).text;
    assert!(text.contains("set `max_segment`"), "{text}");
    let text = advised(Some(1400)).text;
    assert!(text.contains("is 1400 B, lower it"), "{text}");
    for limit in [1200, 536] {
        let advice = advised(Some(limit));
        assert_eq!(advice.remedy, crate::model::advice::Remedy::OtherUpstream);
        assert!(!advice.text.contains("dial = "), "{}", advice.text);
    }
}
