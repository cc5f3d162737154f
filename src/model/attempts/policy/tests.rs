use super::*;
use crate::model::{
    Denial, Stage, fault::HopLogin, fault::table::FAULT_KINDS, stall::rules::STALL_RULES,
};

const POLICY: RetryPolicy = RetryPolicy {
    attempts: 4,
    backoff: Duration::from_millis(250),
    backoff_limit: Duration::from_secs(5),
};

fn fault(kind: FaultKind) -> Fault {
    Fault::new(Leg::Origin, Stage::Handshaking, kind)
}

/// The number of attempts on one upstream that fails with `kind`, and the decision after the last of them.
fn tries(kind: &FaultKind, upstreams_left: usize) -> (u32, RetryDecision) {
    for on_this_upstream in 1..100 {
        let tried = AttemptCounts {
            on_this_upstream,
            upstreams_left,
        };
        match POLICY.decide(&fault(kind.clone()), tried, 0.5) {
            RetryDecision::Again { .. } => {}
            last => return (on_this_upstream, last),
        }
    }
    panic!("{kind} is retried without end");
}

/// The number of attempts for a kind where another upstream is left, and where none is; 0 where the exchange ends at once.
fn expected(kind: &FaultKind) -> (u32, u32) {
    match kind {
        FaultKind::Reset
        | FaultKind::ClosedEarly
        | FaultKind::Http2(_)
        | FaultKind::StaleConnection
        | FaultKind::Unreachable => (4, 4),
        FaultKind::TimedOut => (2, 4),
        FaultKind::Stalled(Verdict::PathMtu) => (2, 2),
        FaultKind::Stalled(_) => (1, 2),
        FaultKind::Refused | FaultKind::NameUnknown | FaultKind::TargetRefused => (2, 2),
        FaultKind::HopRefused(status) => match status {
            502..=504 => (4, 4),
            _ => (1, 1),
        },
        FaultKind::Answered(_) => (4, 4),
        FaultKind::SocksRefused(code) => match code {
            1 | 3 | 4 | 5 => (2, 2),
            6 => (4, 4),
            _ => (1, 1),
        },
        FaultKind::Alert(_)
        | FaultKind::Expired
        | FaultKind::NotYetValid
        | FaultKind::UnknownIssuer
        | FaultKind::NameMismatch
        | FaultKind::BadCertificate
        | FaultKind::NoCommonTls
        | FaultKind::HopAuthentication(_)
        | FaultKind::CredentialsWithheld
        | FaultKind::BadAnswer => (1, 1),
        FaultKind::BadRequest
        | FaultKind::Unauthorized
        | FaultKind::TooManyGuesses
        | FaultKind::Denied(_)
        | FaultKind::Misdirected
        | FaultKind::MethodNotAllowed
        | FaultKind::NotHttp
        | FaultKind::Loop
        | FaultKind::Full
        | FaultKind::TooLarge
        | FaultKind::Gone
        | FaultKind::Shutdown
        | FaultKind::Local => (0, 0),
    }
}

/// A second attempt through a hop that never connected would cost its deadline again. Silence after a ClientHello may mean that the path
/// loses large segments, so a second attempt with small ones is worth its deadline.
#[test]
fn a_timeout_before_the_handshake_tries_the_next_upstream_at_once() {
    let tried = |upstreams_left| AttemptCounts {
        on_this_upstream: 1,
        upstreams_left,
    };
    for stage in [Stage::Resolving, Stage::Connecting, Stage::Greeting] {
        let fault = Fault::new(Leg::Hop, stage, FaultKind::TimedOut);
        assert_eq!(
            POLICY.decide(&fault, tried(1), 0.5),
            RetryDecision::OtherUpstream
        );
        let alone = POLICY.decide(&fault, tried(0), 0.5);
        assert!(matches!(alone, RetryDecision::Again { .. }), "{alone:?}");
    }
    let fault = fault(FaultKind::TimedOut);
    let again = POLICY.decide(&fault, tried(1), 0.5);
    assert!(matches!(again, RetryDecision::Again { .. }), "{again:?}");
}

pub(in crate::model::attempts) fn every_kind() -> Vec<FaultKind> {
    let mut kinds = vec![
        FaultKind::Reset,
        FaultKind::ClosedEarly,
        FaultKind::Http2("refused-stream".into()),
        FaultKind::StaleConnection,
        FaultKind::TimedOut,
        FaultKind::Alert("handshake-failure".into()),
        FaultKind::Expired,
        FaultKind::NotYetValid,
        FaultKind::UnknownIssuer,
        FaultKind::NameMismatch,
        FaultKind::BadCertificate,
        FaultKind::CredentialsWithheld,
        FaultKind::NoCommonTls,
        FaultKind::Refused,
        FaultKind::Unreachable,
        FaultKind::NameUnknown,
        FaultKind::TargetRefused,
        FaultKind::HopAuthentication(HopLogin::Missing),
        FaultKind::BadAnswer,
        FaultKind::Answered(503),
        FaultKind::BadRequest,
        FaultKind::Unauthorized,
        FaultKind::TooManyGuesses,
        FaultKind::Denied(Denial::Route),
        FaultKind::Misdirected,
        FaultKind::MethodNotAllowed,
        FaultKind::NotHttp,
        FaultKind::Loop,
        FaultKind::Full,
        FaultKind::TooLarge,
        FaultKind::Gone,
        FaultKind::Shutdown,
        FaultKind::Local,
    ];
    kinds.extend(
        STALL_RULES
            .iter()
            .map(|rule| FaultKind::Stalled(rule.verdict)),
    );
    kinds.extend((0..=20).map(FaultKind::SocksRefused));
    kinds.extend((100..=599).map(FaultKind::HopRefused));
    kinds
}

#[test]
fn every_kind_of_fault_has_its_number_of_attempts() {
    let kinds = every_kind();
    // A stall, a SOCKS refusal and a hop's refusal are one row each, and many kinds.
    let rows = FAULT_KINDS.len() - 3;
    assert_eq!(kinds.len(), rows + STALL_RULES.len() + 21 + 500);
    for kind in &kinds {
        let (with_others, alone) = expected(kind);
        let then = if with_others == 0 {
            RetryDecision::GiveUp
        } else {
            RetryDecision::OtherUpstream
        };
        assert_eq!(tries(kind, 1), (with_others.max(1), then), "{kind}");
        assert_eq!(
            tries(kind, 0),
            (alone.max(1), RetryDecision::GiveUp),
            "{kind}"
        );
    }
}

#[test]
fn nothing_is_tried_again_once_a_byte_of_the_request_has_left() {
    let tried = AttemptCounts {
        on_this_upstream: 1,
        upstreams_left: 3,
    };
    for kind in every_kind() {
        let sent = fault(kind).with_unsent(false);
        let decision = POLICY.decide(&sent, tried, 0.5);
        assert_eq!(decision, RetryDecision::GiveUp, "{sent}");
    }
}

#[test]
fn a_fault_on_the_clients_leg_is_never_retried() {
    let tried = AttemptCounts {
        on_this_upstream: 1,
        upstreams_left: 3,
    };
    for kind in every_kind() {
        let mut fault = fault(kind);
        fault.leg = Leg::Client;
        assert_eq!(POLICY.decide(&fault, tried, 0.5), RetryDecision::GiveUp);
    }
}

#[test]
fn three_reset_handshakes_are_survived_with_growing_waits() {
    let waits: Vec<u128> = (1..=3)
        .map(|on_this_upstream| {
            let tried = AttemptCounts {
                on_this_upstream,
                upstreams_left: 0,
            };
            match POLICY.decide(&fault(FaultKind::Reset), tried, 1.0) {
                RetryDecision::Again { after } => after.as_millis(),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(waits, [250, 500, 1000]);
}

#[test]
fn waits_stay_between_half_and_all_of_the_doubled_back_off_and_below_the_limit() {
    let policy = RetryPolicy::new(u32::MAX, POLICY.backoff, POLICY.backoff_limit);
    for (tried, jitter, millis) in [
        (1, 0.0, 125),
        (1, 1.0, 250),
        (2, 0.5, 375),
        (5, 1.0, 4000),
        (6, 1.0, 5000),
        (6, 0.0, 2500),
        (33, 1.0, 5000),
        (u32::MAX - 1, 1.0, 5000),
        (1, -3.0, 125),
        (1, 7.0, 250),
        (1, f64::NAN, 250),
        (1, f64::INFINITY, 250),
    ] {
        let wait = policy.wait(tried, jitter);
        assert_eq!(wait, Duration::from_millis(millis), "{tried} {jitter}");
    }
}

#[test]
fn a_policy_of_no_attempts_makes_one_and_no_retry() {
    let policy = RetryPolicy::new(0, POLICY.backoff, POLICY.backoff_limit);
    let tried = AttemptCounts {
        on_this_upstream: 1,
        upstreams_left: 0,
    };
    let decision = policy.decide(&fault(FaultKind::Reset), tried, 0.5);
    assert_eq!(decision, RetryDecision::GiveUp);
}

/// The attempt that sent a byte of a request is its last one, whatever the faults.
#[test]
fn over_thousands_of_requests_nothing_is_attempted_again_after_a_byte_of_it_was_taken() {
    let kinds = every_kind();
    let mut random = fastrand::Rng::with_seed(4483);
    let mut repeated = 0;
    for _ in 0..20_000 {
        let policy = RetryPolicy::new(
            random.u32(1..6),
            Duration::from_millis(random.u64(0..500)),
            Duration::from_secs(random.u64(1..10)),
        );
        let mut upstreams_left = random.usize(..4);
        let (mut on_this_upstream, mut attempts) = (0, 0);
        loop {
            on_this_upstream += 1;
            attempts += 1;
            assert!(attempts <= 6 * 4, "attempts without end");
            let kind = random.choice(&kinds).unwrap();
            let sent = random.u8(..3) == 0;
            let fault =
                Fault::new(Leg::Origin, Stage::SendingBody, kind.clone()).with_unsent(!sent);
            let tried = AttemptCounts {
                on_this_upstream,
                upstreams_left,
            };
            match policy.decide(&fault, tried, random.f64()) {
                RetryDecision::GiveUp => break,
                RetryDecision::Again { after } => {
                    assert!(!sent && after <= policy.backoff_limit);
                }
                RetryDecision::OtherUpstream => {
                    assert!(!sent);
                    (on_this_upstream, upstreams_left) = (0, upstreams_left - 1);
                }
            }
            repeated += 1;
        }
    }
    assert!(repeated > 5000, "{repeated}");
}
