//! Thousands of simulated transfers. The simulation knows when each party acts, so it can check every report of the watchdog.

use tokio::time::Instant;

use super::{tests::LIMITS, *};

/// A transfer whose parties act at random, on a clock of milliseconds.
struct StallSimulation {
    random: fastrand::Rng,
    sample: Sample,
    now: u64,
    /// When the due party acted last.
    moved: u64,
}

impl StallSimulation {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let tunnel = random.u8(..8) == 0;
        let stage = if tunnel {
            Stage::ReceivingBody
        } else {
            Stage::Accepted
        };
        Self {
            sample: Sample {
                stage,
                attempt: 1,
                tunnel,
                whole: false,
                early: false,
                refused: false,
                hop: random.bool(),
                prompt: false,
                awaits_client: true,
                awaits_origin: true,
                client: Flow::default(),
                origin: tunnel.then(Flow::default),
            },
            random,
            now: 0,
            moved: 0,
        }
    }

    /// A random pause: mostly short, sometimes longer than any limit.
    fn pause(&mut self) -> u64 {
        match self.random.u8(..20) {
            0 => self.random.u64(1..400_000),
            1..4 => self.random.u64(1..30_000),
            _ => self.random.u64(1..3000),
        }
    }

    /// The due party, determined without the watchdog.
    fn turn(&self) -> &'static str {
        let origin = self.sample.origin.unwrap_or_default();
        match self.sample.stage {
            Stage::Accepted => "client",
            Stage::Queued => "nobody",
            Stage::Resolving | Stage::Connecting | Stage::Greeting => "connect",
            _ if origin.queued > 0
                && (self.sample.tunnel || self.sample.stage < Stage::ReceivingBody) =>
            {
                "reads"
            }
            _ if self.sample.client.queued > 0 => "client-reads",
            Stage::SendingHead | Stage::SendingBody => "client",
            _ => "answers",
        }
    }

    /// The due party acts once.
    fn act(&mut self) {
        self.moved = self.now;
        let bytes = self.random.u64(1..200_000);
        let goes_on = self.random.u8(..6) > 0;
        let mut origin = self.sample.origin.unwrap_or_default();
        match self.turn() {
            "client" if self.sample.stage == Stage::Accepted => self.next_stage(),
            "nobody" | "connect" => self.next_stage(),
            "client" => {
                self.sample.client.read += bytes;
                origin.written += bytes;
                origin.queued += bytes;
                self.sample.origin = Some(origin);
                if !goes_on {
                    self.sample.whole = self.sample.stage == Stage::SendingBody;
                    self.next_stage();
                }
            }
            "reads" => {
                origin.queued -= bytes.min(origin.queued);
                self.sample.origin = Some(origin);
            }
            "client-reads" => {
                self.sample.client.queued -= bytes.min(self.sample.client.queued);
            }
            _ => {
                origin.read += bytes;
                self.sample.origin = Some(origin);
                if self.sample.stage > Stage::Handshaking {
                    self.sample.client.written += bytes;
                    self.sample.client.queued += bytes;
                }
                if self.sample.stage < Stage::ReceivingBody {
                    self.next_stage();
                }
            }
        }
    }

    /// The client fills a buffer that the origin does not empty: bytes that are no progress.
    fn fill(&mut self) {
        if self.turn() == "reads"
            && self.sample.stage == Stage::SendingBody
            && let Some(origin) = &mut self.sample.origin
        {
            let bytes = self.random.u64(1..50_000);
            self.sample.client.read += bytes;
            origin.written += bytes;
            origin.queued += bytes;
        }
    }

    fn next_stage(&mut self) {
        let at = Stage::ALL
            .iter()
            .position(|stage| *stage == self.sample.stage)
            .unwrap();
        // An attempt may fail, and another one begins.
        if matches!(self.sample.stage, Stage::Connecting | Stage::Greeting)
            && self.random.u8(..4) == 0
        {
            self.sample.attempt += 1;
            self.sample.stage = Stage::Resolving;
            return;
        }
        self.sample.stage = Stage::ALL[(at + 1).min(Stage::ALL.len() - 1)];
        if self.sample.stage == Stage::Handshaking {
            let hello = Flow {
                written: 517,
                queued: 517,
                ..Flow::default()
            };
            self.sample.origin = Some(hello);
        }
    }

    fn limit(&self) -> Option<u64> {
        let limits = LIMITS;
        let limit = match (self.turn(), self.sample.stage) {
            ("nobody", _) => return None,
            ("connect", _) | ("reads" | "answers", Stage::Handshaking) => limits.connect_after,
            ("client" | "client-reads", _) => limits.client_after,
            ("reads", _) => limits.after,
            (_, Stage::ReceivingBody) if !self.sample.tunnel => limits.after,
            // Whether a response is due in a tunnel depends on who spoke last.
            (_, Stage::ReceivingBody) => return None,
            _ => limits.answer_after,
        };
        Some(u64::try_from(limit.as_millis()).unwrap())
    }
}

/// Simulates a transfer with its watchdog. Returns the number of stalls.
fn run(seed: u64) -> usize {
    let tick = 200 + seed % 1300;
    let mut world = StallSimulation::new(seed);
    let start = Instant::now();
    let at = |millis: u64| start + Duration::from_millis(millis);
    let mut watch = Watchdog::new(&world.sample, &LIMITS, start);
    let (mut stalls, mut open, mut reported_at, mut gap) = (0, false, 0, 0);
    let mut next_act = world.pause();
    let mut next_look = tick;
    let mut acts = 0;
    while acts < 60 {
        if next_act <= next_look {
            world.now = next_act;
            world.act();
            next_act = world.now + world.pause();
            acts += 1;
            continue;
        }
        world.now = next_look;
        if world.random.u8(..3) == 0 {
            world.fill();
        }
        let idle = world.now - world.moved;
        match watch.observe(&world.sample, &LIMITS, at(world.now)) {
            Observed::Stalled(stall) => {
                assert!(!open, "seed {seed}: reported twice");
                let limit = u64::try_from(stall.limit.as_millis()).unwrap();
                assert!(
                    idle >= limit,
                    "seed {seed}: {idle} ms idle, limit {limit} ms"
                );
                if stall.due == Due::ClientSends || stall.due == Due::ClientReads {
                    assert!(!stall.verdict.ending_helps(), "seed {seed}");
                }
                (open, reported_at, gap) = (true, world.now, 0);
                stalls += 1;
            }
            Observed::GoesOn(_) => {
                assert!(open, "seed {seed}: goes on without a beginning");
                assert!(
                    world.now - reported_at > gap,
                    "seed {seed}: reported too often"
                );
                (gap, reported_at) = (world.now - reported_at, world.now);
            }
            Observed::Over { .. } => {
                assert!(open && idle <= tick, "seed {seed}: over without a movement");
                open = false;
            }
            Observed::Quiet | Observed::Waiting(_) | Observed::Late(_) => {}
        }
        if let Some(limit) = world.limit() {
            assert!(
                open || idle < limit + tick,
                "seed {seed}: {idle} ms, and no report"
            );
        }
        let deadline = watch.deadline(&world.sample, &LIMITS, at(world.now));
        let wait = deadline.map_or(tick, |due| {
            let due = due.saturating_duration_since(at(world.now));
            u64::try_from(due.as_millis()).unwrap().clamp(1, tick)
        });
        next_look = world.now + wait;
    }
    stalls
}

#[test]
fn every_stall_is_reported_within_its_limit_plus_one_tick_and_none_before() {
    let stalls: usize = (0..5000).map(run).sum();
    // A simulation in which nothing happens proves nothing.
    assert!(stalls > 3000, "{stalls}");
}

/// A random pause of a healthy party: shorter than its limit, and up to three hours where no party is due.
fn healthy_pause(world: &mut StallSimulation) -> u64 {
    let most = world.limit().map_or(3 * 3_600_000, |limit| limit - 1500);
    match world.random.u8(..8) {
        0 => most,
        1 => world.random.u64(1..most),
        _ => world.random.u64(1..3000),
    }
}

/// Simulates a healthy transfer on a random route. Returns its duration in milliseconds.
fn run_healthy(seed: u64) -> u64 {
    let mut world = StallSimulation::new(seed);
    world.sample.prompt = world.random.bool();
    let start = Instant::now();
    let at = |millis: u64| start + Duration::from_millis(millis);
    let mut watch = Watchdog::new(&world.sample, &LIMITS, start);
    for _ in 0..60 {
        let next_act = world.now + healthy_pause(&mut world);
        while world.now < next_act {
            world.now = next_act.min(world.now + 1000);
            let observed = watch.observe(&world.sample, &LIMITS, at(world.now));
            let accused = match observed {
                Observed::Stalled(_) | Observed::GoesOn(_) | Observed::Over { .. } => true,
                Observed::Quiet | Observed::Waiting(_) | Observed::Late(_) => false,
            };
            assert!(!accused, "seed {seed}: {observed:?} {:?}", world.sample);
        }
        world.act();
        watch.observe(&world.sample, &LIMITS, at(world.now));
    }
    world.now
}

/// The transfers are slow, late, back-pressured or idle, but every party acts within its limit.
#[test]
fn in_24_simulated_days_no_healthy_transfer_is_called_a_stall() {
    let (mut seed, mut simulated) = (0, 0);
    while simulated < 24 * 24 * 3_600_000 {
        simulated += run_healthy(seed);
        seed += 1;
    }
    assert!(seed > 200, "{seed} transfers");
}
