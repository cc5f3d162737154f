//! Thousands of simulated exchanges with random events of the upstream, the client and the daemon.

use super::{
    policy::tests::every_kind,
    tests::{GET, broke_off, peer},
    *,
};

/// Answers each command with a random event and checks the invariants of [`Attempts`].
struct ExchangeSimulation {
    random: fastrand::Rng,
    kinds: Vec<FaultKind>,
    policy: RetryPolicy,
    upstreams: usize,
    request: RequestState,
    now: Instant,
    connects: u64,
    /// The request was sent, and may have acted.
    acted: bool,
    delivered: bool,
    got: u64,
}

impl ExchangeSimulation {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let bodies = [
            BodyState::Empty,
            BodyState::Held,
            BodyState::Kept,
            BodyState::Gone,
        ];
        let body = bodies[random.usize(..4)];
        Self {
            kinds: every_kind(),
            policy: RetryPolicy::new(
                random.u32(1..6),
                Duration::from_millis(random.u64(0..500)),
                Duration::from_secs(random.u64(1..10)),
            ),
            upstreams: random.usize(1..4),
            request: RequestState {
                harmless: random.bool(),
                upgrade: random.u8(..10) == 0,
                body,
                passed: 0,
                returned: false,
            },
            now: Instant::now(),
            connects: 1,
            acted: false,
            delivered: false,
            got: 0,
            random,
        }
    }

    fn fault(&mut self, stage: Stage) -> Fault {
        let kind = self.kinds[self.random.usize(..self.kinds.len())].clone();
        let hang_up = self.random.bool();
        let kind = if hang_up { FaultKind::Reset } else { kind };
        let legs = [Leg::Hop, Leg::Origin, Leg::Origin, Leg::Origin, Leg::Client];
        Fault::new(legs[self.random.usize(..5)], stage, kind)
    }

    fn connected(&mut self) -> Event {
        match self.random.u8(..6) {
            0 => Event::Shutdown(Stage::Connecting),
            1 | 2 => Event::DialFailed(self.fault(Stage::Connecting)),
            3 if self.connects == 1 => Event::Reused,
            _ => Event::Dialled,
        }
    }

    /// The outcome of sending the request.
    fn sent(&mut self) -> Event {
        assert!(!self.acted, "sent again after it may have acted");
        let returned = self.random.u8(..8) == 0;
        let mut request = RequestState {
            returned,
            ..self.request
        };
        if request.body == BodyState::Kept && self.random.u8(..4) == 0 {
            // The spool is full.
            (request.body, self.request.body) = (BodyState::Gone, BodyState::Gone);
        }
        request.passed = self.random.u64(..1 << 20);
        self.acted = !request.may_repeat();
        match self.random.u8(..8) {
            0 => Event::Shutdown(Stage::AwaitingHead),
            1 => Event::Stalled {
                fault: self.fault(Stage::AwaitingHead),
                request,
            },
            2 if self.random.bool() => Event::Refused(self.fault(Stage::AwaitingHead)),
            2 => Event::Unusable {
                fault: self.fault(Stage::AwaitingHead),
                request,
            },
            3 | 4 => Event::Failed {
                fault: self.fault(Stage::SendingBody),
                request,
            },
            _ => Event::Response(ResponseHead {
                status: [200, 206, 429, 502, 503, 504][self.random.usize(..6)],
                retry_after: self
                    .random
                    .bool()
                    .then(|| Duration::from_secs(self.random.u64(..20))),
                peer: peer(),
                by_hop: None,
                request,
            }),
        }
    }

    fn delivers(&mut self) -> Event {
        self.delivered = true;
        // The request for the rest is a GET.
        self.request = GET;
        self.acted = false;
        self.got += self.random.u64(..3000);
        self.now += Duration::from_millis(self.random.u64(..1500));
        Event::BrokeOff {
            fault: self.fault(Stage::ReceivingBody),
            got: self.got,
            resumable: self.random.u8(..20) != 0,
        }
    }

    /// Plays the exchange to its end. Returns the number of connections.
    fn play(&mut self) -> u64 {
        let on_stall = [Action::Report, Action::Fail, Action::Failover][self.random.usize(..3)];
        let mut attempts = Attempts::new(self.policy, on_stall, self.upstreams);
        let first = [ConnectionKind::Idle, ConnectionKind::New][self.random.usize(..2)];
        let mut step = Reaction::of(Command::Connect(attempts.begin(first)));
        loop {
            let event = match step.command {
                Command::Connect(connect) => {
                    assert!(connect.upstream < self.upstreams);
                    assert!(connect.connection == ConnectionKind::New || self.connects == 1);
                    self.connected()
                }
                Command::Wait { until } => {
                    assert!(until <= self.now + self.policy.backoff_limit);
                    self.now = until;
                    Event::Waited
                }
                Command::Send => self.sent(),
                Command::Deliver => self.delivers(),
                Command::GiveUp(_) => {
                    self.ends(&mut attempts);
                    return self.connects;
                }
            };
            let is_response = matches!(event, Event::Response(_));
            let ours = matches!(event, Event::Shutdown(_));
            step = attempts.on(event, self.now, self.random.f64());
            let blames = matches!(
                step.lesson,
                Some((_, Lesson::Failed(_) | Lesson::Doubtful(_)))
            );
            assert!(
                !(blames && (is_response || ours)),
                "a circuit opens on {step:?}"
            );
            if let Command::GiveUp(fault) = &step.command {
                assert!(!(blames && fault.leg == Leg::Client));
            }
            self.connects += u64::from(matches!(step.command, Command::Connect(_)));
            self.stays_bounded();
        }
    }

    fn stays_bounded(&self) {
        let once = u64::from(self.policy.attempts) * self.upstreams as u64 + 1;
        let renewals = self.got / response::SLOW_PROGRESS.0 + 1;
        let most = once + u64::from(self.delivered) * once * renewals;
        assert!(self.connects <= most, "{} connections", self.connects);
    }

    fn ends(&mut self, attempts: &mut Attempts) {
        assert_eq!(attempts.complete(), None);
        for event in [Event::Waited, Event::Dialled, broke_off(1 << 30)] {
            let step = attempts.on(event, self.now, 0.5);
            assert!(matches!(step.command, Command::GiveUp(_)) && step.lesson.is_none());
        }
    }
}

#[test]
fn over_thousands_of_scripts_the_invariants_hold() {
    let (mut connections, mut resumed) = (0, 0);
    for seed in 0..20_000 {
        let mut world = ExchangeSimulation::new(seed);
        connections += world.play();
        resumed += u64::from(world.delivered && world.connects > 2);
    }
    assert!(
        connections > 30_000 && resumed > 1000,
        "{connections} {resumed}"
    );
}
