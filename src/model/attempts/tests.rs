use std::net::SocketAddr;

use super::*;
use crate::model::stall::Verdict;

const LIMIT: Duration = Duration::from_secs(5);

fn policy(attempts: u32) -> RetryPolicy {
    RetryPolicy::new(attempts, Duration::from_millis(250), LIMIT)
}

fn attempts(upstreams: usize) -> Attempts {
    Attempts::new(policy(4), Action::Failover, upstreams)
}

pub(super) fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 443))
}

pub(super) const GET: RequestState = RequestState {
    harmless: true,
    upgrade: false,
    body: BodyState::Empty,
    passed: 0,
    returned: false,
};

const POST: RequestState = RequestState {
    harmless: false,
    body: BodyState::Gone,
    passed: 300,
    ..GET
};

fn fault(stage: Stage, kind: FaultKind) -> Fault {
    Fault::new(Leg::Origin, stage, kind)
}

fn reset(request: RequestState) -> Event {
    Event::Failed {
        fault: fault(Stage::AwaitingHead, FaultKind::Reset),
        request,
    }
}

fn head(status: u16, retry_after: Option<u64>) -> Event {
    Event::Response(ResponseHead {
        status,
        retry_after: retry_after.map(Duration::from_secs),
        peer: peer(),
        by_hop: None,
        request: GET,
    })
}

pub(super) fn broke_off(got: u64) -> Event {
    Event::BrokeOff {
        fault: fault(Stage::ReceivingBody, FaultKind::Reset),
        got,
        resumable: true,
    }
}

/// Reports one event after the other to an exchange and collects the lessons.
struct Script {
    attempts: Attempts,
    now: Instant,
    lessons: Vec<(usize, Lesson)>,
}

impl Script {
    fn of(mut attempts: Attempts) -> Self {
        attempts.begin(ConnectionKind::Idle);
        Self {
            attempts,
            now: Instant::now(),
            lessons: Vec::new(),
        }
    }

    fn on(&mut self, event: Event) -> Command {
        let step = self.attempts.on(event, self.now, 1.0);
        self.lessons.extend(step.lesson);
        step.command
    }

    /// The wait that follows `event`. The clock then stands at the end of the wait.
    fn waits(&mut self, event: Event) -> Duration {
        let Command::Wait { until } = self.on(event) else {
            panic!("no wait")
        };
        let wait = until - self.now;
        self.now = until;
        assert!(matches!(self.on(Event::Waited), Command::Connect(_)));
        wait
    }

    fn sends(&mut self, event: Event) -> &mut Self {
        assert!(matches!(self.on(event), Command::Send));
        self
    }
}

#[test]
fn an_idle_connection_that_died_costs_no_attempt_and_a_new_one_follows_at_once() {
    let mut play = Script::of(attempts(1));
    let command = play.sends(Event::Reused).on(reset(GET));
    let Command::Connect(connect) = command else {
        panic!("{command:?}")
    };
    assert_eq!(connect.connection, ConnectionKind::New);
    assert_eq!(connect.attempt, 2);
    for _ in 0..3 {
        play.sends(Event::Dialled);
        play.waits(reset(GET));
    }
    let last = play.sends(Event::Dialled).on(reset(GET));
    assert!(matches!(last, Command::GiveUp(_)), "{last:?}");
}

#[test]
fn a_post_that_was_sent_is_not_sent_again_and_its_reset_opens_no_circuit() {
    for reused in [true, false] {
        let mut play = Script::of(attempts(2));
        let connected = if reused {
            Event::Reused
        } else {
            Event::Dialled
        };
        let last = play.sends(connected).on(reset(POST));
        assert!(
            matches!(&last, Command::GiveUp(fault) if !fault.unsent),
            "{last:?}"
        );
        assert!(
            matches!(play.lessons[..], [(0, Lesson::Doubtful(_))]),
            "{:?}",
            play.lessons
        );
    }
}

#[test]
fn a_request_to_a_busy_site_is_repeated_and_its_last_response_is_passed_on_without_a_lesson() {
    let mut play = Script::of(attempts(2));
    for upstream in 0..2 {
        for _ in 0..3 {
            play.sends(Event::Dialled);
            play.waits(head(503, None));
        }
        let command = play.sends(Event::Dialled).on(head(503, None));
        match command {
            Command::Connect(connect) => assert_eq!((upstream, connect.upstream), (0, 1)),
            Command::Deliver => assert_eq!(upstream, 1),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(play.lessons, []);
}

#[test]
fn retry_after_is_honoured_up_to_backoff_limit_and_with_a_longer_one_the_response_is_passed_on() {
    for status in [429, 503] {
        let mut play = Script::of(attempts(2));
        play.sends(Event::Dialled);
        assert_eq!(play.waits(head(status, Some(3))), Duration::from_secs(3));
        let last = play.sends(Event::Dialled).on(head(status, Some(6)));
        assert!(matches!(last, Command::Deliver), "{last:?}");
    }
    // Without `Retry-After`, the client decides when to try again.
    let mut play = Script::of(attempts(2));
    let last = play.sends(Event::Dialled).on(head(429, None));
    assert!(matches!(last, Command::Deliver), "{last:?}");
}

/// A push whose body is gone gets the 503 at once, and the log has the fault with its advice in addition to the closing line.
#[test]
fn a_busy_response_to_a_request_that_cannot_be_repeated_is_logged_as_a_fault() {
    for status in [502, 503, 504] {
        let mut play = Script::of(attempts(2));
        play.sends(Event::Dialled);
        let response = ResponseHead {
            status,
            retry_after: None,
            peer: peer(),
            by_hop: None,
            request: POST,
        };
        let step = play.attempts.on(Event::Response(response), play.now, 1.0);
        assert!(matches!(step.command, Command::Deliver), "{step:?}");
        assert!(matches!(step.note, Some(Note::Fault(_))), "{step:?}");
        assert_eq!(step.lesson, None);
    }
}

#[test]
fn a_request_over_the_sites_rate_limit_never_tries_another_upstream() {
    let mut play = Script::of(attempts(2));
    for _ in 0..3 {
        play.sends(Event::Dialled);
        play.waits(head(429, Some(1)));
    }
    let last = play.sends(Event::Dialled).on(head(429, Some(1)));
    assert!(matches!(last, Command::Deliver), "{last:?}");
}

#[test]
fn a_download_that_gets_one_byte_per_connection_ends_after_eight() {
    let mut play = Script::of(attempts(2));
    play.sends(Event::Dialled).on(head(200, None));
    let mut connections = 1;
    for got in 1.. {
        play.now += Duration::from_millis(5);
        match play.on(broke_off(got)) {
            Command::Wait { until } => {
                play.now = until;
                play.on(Event::Waited);
            }
            Command::Connect(_) => {}
            Command::GiveUp(_) => break,
            other => panic!("{other:?}"),
        }
        connections += 1;
        play.sends(Event::Dialled).on(head(206, None));
    }
    assert_eq!(connections, 8);
}

#[test]
fn a_download_that_makes_progress_goes_on_over_any_number_of_breaks() {
    for (step, lasts) in [(64 << 10, 0), (1 << 10, 1000), (40 << 10, 0)] {
        let mut play = Script::of(attempts(1));
        play.sends(Event::Dialled).on(head(200, None));
        for nth in 1..100 {
            play.now += Duration::from_millis(lasts);
            play.waits(broke_off(nth * step));
            play.sends(Event::Dialled).on(head(206, None));
        }
    }
}

#[test]
fn a_stall_goes_to_the_next_upstream_only_where_the_route_says_so() {
    let stalled = || Event::Stalled {
        fault: fault(Stage::AwaitingHead, FaultKind::Stalled(Verdict::PathDrops)),
        request: GET,
    };
    for (action, goes_on) in [(Action::Fail, false), (Action::Failover, true)] {
        let mut play = Script::of(Attempts::new(policy(4), action, 2));
        let command = play.sends(Event::Dialled).on(stalled());
        assert_eq!(
            matches!(command, Command::Connect(_)),
            goes_on,
            "{command:?}"
        );
        assert!(matches!(play.lessons[..], [(0, Lesson::Failed(_))]));
    }
}

#[test]
fn shutdown_in_any_state_is_named_shutdown() {
    let before: [fn(&mut Script); 5] = [
        |_| {},
        |play| {
            play.sends(Event::Dialled);
        },
        |play| {
            drop(play.on(Event::DialFailed(fault(
                Stage::Connecting,
                FaultKind::Reset,
            ))))
        },
        |play| drop(play.sends(Event::Dialled).on(head(503, None))),
        |play| drop(play.sends(Event::Dialled).on(head(200, None))),
    ];
    for before in before {
        let mut play = Script::of(attempts(2));
        before(&mut play);
        let learned = play.lessons.len();
        let last = play.on(Event::Shutdown(Stage::AwaitingHead));
        let Command::GiveUp(fault) = last else {
            panic!("{last:?}")
        };
        assert_eq!(fault.code(), "client/awaiting-head/shutdown");
        assert_eq!(play.lessons.len(), learned);
    }
}

#[test]
fn small_segments_helped_only_where_upstream_and_peer_are_the_same() {
    let peers = [peer().to_string(), "192.0.2.9:443".to_owned()];
    let lost = || {
        let fault = fault(Stage::SendingBody, FaultKind::Stalled(Verdict::PathMtu));
        Event::Stalled {
            fault: fault.peer(&peers[0]),
            request: GET,
        }
    };
    let now = Instant::now();
    let mut attempts = attempts(2);
    attempts.begin(ConnectionKind::New);
    attempts.on(Event::Dialled, now, 0.0);
    assert!(!attempts.small_segments_helped(Some(&peers[0])));
    attempts.on(lost(), now, 0.0);
    attempts.on(Event::Waited, now, 0.0);
    attempts.on(Event::Dialled, now, 0.0);
    assert!(attempts.small_segments_helped(Some(&peers[0])));
    assert!(
        !attempts.small_segments_helped(Some(&peers[1])),
        "another address"
    );
    // It fails in small segments too, and the next upstream works.
    attempts.on(lost(), now, 0.0);
    attempts.on(Event::Dialled, now, 0.0);
    assert_eq!(attempts.upstream(), 1);
    assert!(
        !attempts.small_segments_helped(Some(&peers[0])),
        "another upstream"
    );
}
