use std::time::Duration;

use super::{
    FailureDepth::{Dial, Request},
    *,
};

const COOLDOWN: Duration = Duration::from_secs(30);
const LABELS: [&str; 3] = ["environment", "office", "tunnel"];
const HOST: &str = "cdn-lfs.hf.co:443";

fn failure(upstream: &str, depth: FailureDepth) -> CircuitFailure<'_> {
    CircuitFailure {
        host: HOST,
        route: "hf-lfs",
        upstream,
        code: "origin/handshaking/reset",
        depth,
        cooldown: COOLDOWN,
    }
}

fn order(health: &Health, now: Instant) -> Order {
    let wanted = CircuitQuery {
        host: HOST,
        upstreams: &LABELS,
        cooldown: COOLDOWN,
    };
    health.order(wanted, now)
}

fn after(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn the_upstream_that_failed_last_is_tried_last() {
    let (health, start) = (Health::default(), Instant::now());
    assert_eq!(order(&health, start).upstreams, [0, 1, 2]);
    health.note_failure(failure("environment", Dial), start);
    assert_eq!(order(&health, start).upstreams, [1, 2, 0]);
    health.note_failure(failure("office", Dial), after(start, 10));
    assert_eq!(order(&health, after(start, 10)).upstreams, [2, 0, 1]);
    health.note_failure(failure("environment", Dial), after(start, 20));
    assert_eq!(order(&health, after(start, 20)).upstreams, [2, 1, 0]);
}

#[test]
fn an_avoided_upstream_is_reported_with_its_last_fault() {
    let (health, start) = (Health::default(), Instant::now());
    let opened = health.note_failure(failure("environment", Dial), start);
    assert_eq!(opened, CircuitChange::Opened(COOLDOWN));
    let avoided = order(&health, after(start, 12)).avoided.unwrap();
    assert_eq!(
        avoided.to_string(),
        "environment open for 12 s, failures 1, last origin/handshaking/reset"
    );
    // Upstreams configured after the one in use would not have been tried.
    health.record_success(HOST, "environment", Success::Complete, after(start, 12));
    health.note_failure(failure("tunnel", Dial), start);
    assert_eq!(order(&health, start).avoided, None);
}

#[test]
fn one_probe_at_a_time_runs_after_the_cooldown_and_closes_the_circuit() {
    let (health, start) = (Health::default(), Instant::now());
    health.note_failure(failure("environment", Dial), start);
    assert_eq!(order(&health, after(start, 29)).probe, None);
    let due = order(&health, after(start, 30));
    assert_eq!((due.probe, due.upstreams), (Some(0), vec![1, 2, 0]));
    assert_eq!(
        order(&health, after(start, 31)).probe,
        None,
        "one at a time"
    );
    let change = health.record_connected_probe(HOST, "environment", after(start, 32));
    assert_eq!(change, Some(CircuitChange::Closed(Duration::from_secs(32))));
    assert_eq!(order(&health, after(start, 32)).upstreams, [0, 1, 2]);
    assert_eq!(health.snapshot(), []);
}

#[test]
fn a_probe_that_fails_doubles_the_wait_up_to_ten_cooldowns() {
    let (health, start) = (Health::default(), Instant::now());
    health.note_failure(failure("environment", Dial), start);
    let mut at = start;
    for seconds in [60, 120, 240, 300, 300] {
        at += Duration::from_secs(300);
        assert_eq!(order(&health, at).probe, Some(0));
        let change = health.note_failure(failure("environment", Dial), at);
        health.end_attempt(HOST, "environment", at);
        let wait = Duration::from_secs(seconds);
        assert_eq!(change, CircuitChange::StaysOpen(wait));
        assert_eq!(
            order(&health, at + wait - Duration::from_secs(1)).probe,
            None
        );
    }
}

#[test]
fn concurrent_failures_do_not_double_the_wait() {
    let (health, start) = (Health::default(), Instant::now());
    for number in 0..5 {
        health.note_failure(failure("environment", Dial), after(start, number));
    }
    assert_eq!(health.snapshot()[0].failures, 5);
    assert_eq!(order(&health, after(start, 33)).probe, None);
    assert_eq!(order(&health, after(start, 34)).probe, Some(0));
}

#[test]
fn a_circuit_that_a_stall_opened_needs_a_probe_and_a_trial() {
    let (health, start) = (Health::default(), Instant::now());
    health.note_failure(failure("environment", Request), start);
    assert_eq!(order(&health, after(start, 30)).probe, Some(0));
    let stood = health.record_connected_probe(HOST, "environment", after(start, 31));
    health.end_attempt(HOST, "environment", after(start, 31));
    assert_eq!(stood, Some(CircuitChange::OnTrial));
    assert_eq!(order(&health, after(start, 31)).upstreams, [0, 1, 2]);
    assert_eq!(order(&health, after(start, 31)).upstreams, [1, 2, 0]);
    let failed = health.note_failure(failure("environment", Request), after(start, 40));
    health.end_attempt(HOST, "environment", after(start, 40));
    assert_eq!(failed, CircuitChange::StaysOpen(2 * COOLDOWN));
    assert_eq!(order(&health, after(start, 41)).upstreams, [1, 2, 0]);
    assert_eq!(order(&health, after(start, 100)).probe, Some(0));
    health.record_connected_probe(HOST, "environment", after(start, 101));
    health.end_attempt(HOST, "environment", after(start, 101));
    assert_eq!(order(&health, after(start, 101)).upstreams, [0, 1, 2]);
    health.record_success(HOST, "environment", Success::Complete, after(start, 102));
    assert_eq!(order(&health, after(start, 102)).upstreams, [0, 1, 2]);
    assert_eq!(order(&health, after(start, 102)).upstreams, [0, 1, 2]);
}

/// A circuit opened by a stall, probed, and on trial from 31 s on.
fn on_trial(health: &Health, start: Instant) {
    health.note_failure(failure("environment", Request), start);
    assert_eq!(order(health, after(start, 30)).probe, Some(0));
    let stood = health.record_connected_probe(HOST, "environment", after(start, 31));
    health.end_attempt(HOST, "environment", after(start, 31));
    assert_eq!(stood, Some(CircuitChange::OnTrial));
}

#[test]
fn the_next_transfer_repeats_a_trial_whose_client_left_and_does_not_interrupt_a_long_one() {
    let (health, start) = (Health::default(), Instant::now());
    on_trial(&health, start);
    let tries = |seconds| order(&health, after(start, seconds)).trial;
    assert!(tries(31));
    assert!(!tries(32) && !tries(100_000), "an upload may take hours");
    health.end_attempt(HOST, "environment", after(start, 33));
    assert!(tries(33));
    assert!(!tries(34));
}

#[test]
fn a_circuit_that_opened_again_during_a_trial_gets_no_second_trial() {
    let (health, start) = (Health::default(), Instant::now());
    on_trial(&health, start);
    assert!(order(&health, after(start, 31)).trial);
    // A transfer without another upstream found that it works, then that it does not.
    health.record_success(HOST, "environment", Success::Complete, after(start, 40));
    health.note_failure(failure("environment", Request), after(start, 40));
    let beside = order(&health, after(start, 72));
    assert_eq!((beside.probe, beside.trial), (None, false));
    health.end_attempt(HOST, "environment", after(start, 73));
    assert_eq!(order(&health, after(start, 73)).probe, Some(0));
}

#[test]
fn after_a_response_that_broke_off_only_a_complete_one_closes_the_circuit() {
    let (health, start) = (Health::default(), Instant::now());
    health.note_failure(failure("environment", FailureDepth::Response), start);
    let head = health.record_success(HOST, "environment", Success::Head, start);
    assert_eq!(head, None);
    let whole = health.record_success(HOST, "environment", Success::Complete, start);
    assert_eq!(whole, Some(CircuitChange::Closed(Duration::ZERO)));
}

#[test]
fn where_all_circuits_are_open_all_upstreams_are_tried_and_none_is_probed() {
    let (health, start) = (Health::default(), Instant::now());
    for upstream in LABELS {
        health.note_failure(failure(upstream, Dial), start);
    }
    let all = order(&health, after(start, 31));
    assert_eq!((all.upstreams, all.probe), (vec![0, 1, 2], None));
}

#[test]
fn an_upstream_after_a_healthy_one_is_not_probed() {
    let (health, start) = (Health::default(), Instant::now());
    health.note_failure(failure("tunnel", Dial), start);
    assert_eq!(order(&health, after(start, 31)).probe, None);
}

#[test]
fn without_a_cooldown_there_are_no_circuits() {
    let (health, start) = (Health::default(), Instant::now());
    health.note_failure(failure("environment", Dial), start);
    let wanted = CircuitQuery {
        host: HOST,
        upstreams: &LABELS,
        cooldown: Duration::ZERO,
    };
    assert_eq!(health.order(wanted, start).upstreams, [0, 1, 2]);
}

#[test]
fn the_circuit_of_one_host_does_not_affect_another() {
    let (health, now) = (Health::default(), Instant::now());
    health.note_failure(failure("environment", Dial), now);
    let wanted = CircuitQuery {
        host: "huggingface.co:443",
        upstreams: &LABELS,
        cooldown: COOLDOWN,
    };
    assert_eq!(health.order(wanted, now).upstreams, [0, 1, 2]);
}

#[test]
fn a_probe_without_a_result_is_repeated_after_the_same_wait() {
    let (health, start) = (Health::default(), Instant::now());
    health.note_failure(failure("environment", Dial), start);
    assert_eq!(order(&health, after(start, 30)).probe, Some(0));
    health.end_attempt(HOST, "environment", after(start, 35));
    assert_eq!(order(&health, after(start, 64)).probe, None);
    assert_eq!(order(&health, after(start, 65)).probe, Some(0));
}

#[test]
fn the_table_has_a_size_limit_and_keeps_the_newest_circuit() {
    let (health, start) = (Health::default(), Instant::now());
    for number in 0..3 * LIMIT {
        let host = format!("h{number}.example:443");
        let failure = CircuitFailure {
            host: &host,
            ..failure("direct", Dial)
        };
        health.note_failure(failure, start + Duration::from_millis(number as u64));
    }
    let kept = health.snapshot();
    assert!(kept.len() <= LIMIT, "{}", kept.len());
    let newest = format!("h{}.example:443", 3 * LIMIT - 1);
    assert!(kept.iter().any(|condition| *condition.host == newest));
}

/// Upstreams that fail and recover at random, used by transfers, with probes that take random times.
#[test]
fn in_thousands_of_histories_a_recovered_first_upstream_is_used_again_in_time() {
    for seed in 0..2_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        history(&mut random, seed);
    }
}

fn history(random: &mut fastrand::Rng, seed: u64) {
    let (health, mut now) = (Health::default(), Instant::now());
    let mut healthy = [true; 3];
    let mut probing: Vec<(usize, Instant)> = Vec::new();
    // Since when an upstream is healthy, would be first, and another one is healthy too.
    let mut waited: Option<Instant> = None;
    for _ in 0..random.usize(10..80) {
        now += Duration::from_millis(random.u64(1..20_000));
        if random.u8(..) < 60 {
            let which = random.usize(..3);
            healthy[which] = !healthy[which];
        }
        probing.retain(|(which, ends)| {
            if now < *ends {
                return true;
            }
            if healthy[*which] {
                health.record_connected_probe(HOST, LABELS[*which], now);
            } else {
                health.note_failure(failure(LABELS[*which], Dial), now);
            }
            health.end_attempt(HOST, LABELS[*which], now);
            false
        });
        let order_now = order(&health, now);
        let mut all = order_now.upstreams.clone();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2], "seed {seed}: an upstream is never left out");
        if let Some(which) = order_now.probe {
            assert!(
                probing.iter().all(|(known, _)| *known != which),
                "seed {seed}: two probes at once"
            );
            probing.push((which, now + Duration::from_millis(random.u64(1..10_000))));
        }
        let first = order_now.upstreams[0];
        if first != 0 {
            let open = health.snapshot().iter().any(|c| *c.upstream == *LABELS[0]);
            assert!(open, "seed {seed}: passed over without a reason");
            assert!(
                order_now.avoided.is_some(),
                "seed {seed}: and without a message"
            );
        }
        if order_now.trial {
            health.end_attempt(HOST, LABELS[first], now);
        }
        // As in a transfer: the first healthy upstream carries it.
        for which in &order_now.upstreams {
            if healthy[*which] {
                health.record_success(HOST, LABELS[*which], Success::Complete, now);
                break;
            }
            health.note_failure(
                failure(LABELS[*which], [Dial, Request][random.usize(..2)]),
                now,
            );
        }
        let first_again = first_closed(&health);
        waited = match (first_again, healthy[0]) {
            (0, _) | (_, false) => None,
            (_, true) => waited.or(Some(now)),
        };
        if let Some(since) = waited {
            // The sum of the longest wait, one probe and the steps of this simulation.
            let limit = COOLDOWN * LONGEST + COOLDOWN + Duration::from_secs(120);
            assert!(
                now - since < limit,
                "seed {seed}: healthy again, and never used"
            );
        }
    }
}

fn first_closed(health: &Health) -> usize {
    let conditions = health.snapshot();
    let open = |which: &usize| conditions.iter().any(|c| *c.upstream == *LABELS[*which]);
    (0..3).find(|which| !open(which)).unwrap_or(0)
}

#[test]
fn one_doubtful_failure_opens_no_circuit_and_the_second_in_a_row_does() {
    let (health, start) = (Health::default(), Instant::now());
    assert_eq!(
        health.note_doubtful_failure(failure("office", Request), start),
        None
    );
    assert!(!health.all_closed());
    health.record_success(HOST, "office", Success::Head, start);
    assert!(health.all_closed());
    assert_eq!(
        health.note_doubtful_failure(failure("office", Request), start),
        None
    );
    let opened = health.note_doubtful_failure(failure("office", Request), start);
    assert_eq!(opened, Some(CircuitChange::Opened(COOLDOWN)));
}
