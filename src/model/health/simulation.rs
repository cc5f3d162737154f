//! Thousands of seeded runs in which upstreams fail and recover during transfers and slow probes. Every step checks the invariants.

use std::time::Duration;

use super::*;

const HOST: &str = "cdn-lfs.hf.co:443";
const LABELS: [&str; 3] = ["environment", "office", "tunnel"];
const COOLDOWN: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq)]
enum UpstreamBehaviour {
    Works,
    NoDial,
    NoUpload,
    NoDownload,
}

#[derive(Debug)]
struct SimulatedTransfer {
    order: Vec<usize>,
    trial: bool,
}

#[derive(Default)]
struct CircuitSimulation {
    health: Health,
    behaviour: [Option<UpstreamBehaviour>; 3],
    transfers: Vec<SimulatedTransfer>,
    probes: Vec<(usize, Instant)>,
    seen: Tally,
}

/// Counts what happened in the simulation.
#[derive(Debug, Default)]
struct Tally {
    probes: u64,
    closed_by_probe: u64,
    trials: u64,
    closed_by_trial: u64,
    abandoned_trials: u64,
    all_open: u64,
}

impl CircuitSimulation {
    fn behaviour(&self, at: usize) -> UpstreamBehaviour {
        self.behaviour[at].unwrap_or(UpstreamBehaviour::Works)
    }

    fn open(&self, at: usize) -> bool {
        let open = self.health.snapshot();
        open.iter().any(|known| *known.upstream == *LABELS[at])
    }

    fn begin(&mut self, now: Instant) {
        let open = [0, 1, 2].map(|at| self.open(at));
        let first_healthy = open.iter().position(|open| !open);
        let due = |at: &usize| {
            let table = self.health.table();
            let circuit = table.circuits.get(&key(HOST, LABELS[*at]));
            let running = table.running.contains_key(&key(HOST, LABELS[*at]));
            !running && circuit.is_some_and(|circuit| circuit.due(now) == ProbeDue::Probe)
        };
        let overdue = first_healthy.and_then(|first| (0..first).find(due));
        let wanted = CircuitQuery {
            host: HOST,
            upstreams: &LABELS,
            cooldown: COOLDOWN,
        };
        let order = self.health.order(wanted, now);
        let mut sorted = order.upstreams.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2], "no upstream is ever refused");
        let first = order.upstreams[0];
        if order.trial {
            self.seen.trials += 1;
            assert!(open[first], "only an open circuit is on trial");
            let others = self.transfers.iter().filter(|other| other.trial);
            let twice = others.filter(|other| other.order[0] == first).count();
            assert_eq!(twice, 0, "two trials of one circuit");
        } else {
            self.seen.all_open += u64::from(open[first]);
            assert!(
                !open[first] || first_healthy.is_none(),
                "a healthy upstream was there"
            );
        }
        let passed_over = (0..first).any(|at| open[at]);
        assert_eq!(
            order.avoided.is_some(),
            passed_over,
            "an avoided upstream is reported"
        );
        match order.probe {
            Some(at) => {
                self.seen.probes += 1;
                assert!(
                    self.probes.iter().all(|(other, _)| *other != at),
                    "two probes of one circuit"
                );
                self.probes.push((at, now));
            }
            None => assert!(
                overdue.is_none() || order.trial,
                "its wait is over, a transfer wanted it, and no probe runs"
            ),
        }
        self.transfers.push(SimulatedTransfer {
            order: order.upstreams,
            trial: order.trial,
        });
    }

    fn end(&mut self, which: usize, client_left: bool, now: Instant) {
        let SimulatedTransfer { order, trial } = self.transfers.swap_remove(which);
        if client_left {
            self.seen.abandoned_trials += u64::from(trial);
        } else {
            for (number, at) in order.iter().enumerate() {
                if self.attempt(*at, trial && number == 0, now) {
                    break;
                }
            }
        }
        if trial {
            self.health.end_attempt(HOST, LABELS[order[0]], now);
        }
    }

    fn attempt(&mut self, at: usize, trial: bool, now: Instant) -> bool {
        match self.behaviour(at) {
            UpstreamBehaviour::Works => {
                let open = self.open(at);
                let closed = self
                    .health
                    .record_success(HOST, LABELS[at], Success::Complete, now);
                assert_eq!(closed.is_some(), open);
                assert!(!self.open(at), "a success closes");
                self.seen.closed_by_trial += u64::from(trial && open);
                return true;
            }
            UpstreamBehaviour::NoDial => self.fail(at, FailureDepth::Dial, now),
            UpstreamBehaviour::NoUpload => self.fail(at, FailureDepth::Request, now),
            UpstreamBehaviour::NoDownload => {
                // The head arrives, the body does not.
                let before = self.health.circuit(HOST, LABELS[at], now);
                self.health
                    .record_success(HOST, LABELS[at], Success::Head, now);
                self.fail(at, FailureDepth::Response, now);
                assert!(self.open(at), "{before:?}");
            }
        }
        false
    }

    fn fail(&self, at: usize, depth: FailureDepth, now: Instant) {
        let failure = CircuitFailure {
            host: HOST,
            route: "r",
            upstream: LABELS[at],
            code: "c",
            depth,
            cooldown: COOLDOWN,
        };
        self.health.note_failure(failure, now);
        assert!(self.open(at), "a failure opens");
    }

    fn end_probe(&mut self, now: Instant) {
        let (at, _) = self.probes.remove(0);
        if self.behaviour(at) == UpstreamBehaviour::NoDial {
            self.fail(at, FailureDepth::Dial, now);
        } else if let Some(CircuitChange::Closed(_)) =
            self.health.record_connected_probe(HOST, LABELS[at], now)
        {
            self.seen.closed_by_probe += 1;
        }
        self.health.end_attempt(HOST, LABELS[at], now);
    }
}

#[test]
fn no_circuit_ever_has_two_trials_or_an_overdue_probe_and_no_upstream_is_refused() {
    let mut all = Tally::default();
    for seed in 0..3000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut run, mut now) = (CircuitSimulation::default(), Instant::now());
        for _ in 0..200 {
            now += Duration::from_millis(random.u64(0..4000));
            // A dial has deadlines of its own, which may be longer than the cooldown.
            while run
                .probes
                .first()
                .is_some_and(|(_, begun)| now - *begun > 3 * COOLDOWN)
            {
                run.end_probe(now);
            }
            match random.u32(0..12) {
                0 => {
                    let behaviours = [
                        UpstreamBehaviour::Works,
                        UpstreamBehaviour::Works,
                        UpstreamBehaviour::NoDial,
                        UpstreamBehaviour::NoUpload,
                        UpstreamBehaviour::NoDownload,
                    ];
                    run.behaviour[random.usize(..3)] = random.choice(behaviours);
                }
                1..=5 => run.begin(now),
                6..=9 if !run.transfers.is_empty() => {
                    let which = random.usize(..run.transfers.len());
                    run.end(which, random.u32(0..8) == 0, now);
                }
                _ if !run.probes.is_empty() => run.end_probe(now),
                _ => {}
            }
        }
        let Tally {
            probes,
            closed_by_probe,
            trials,
            closed_by_trial,
            abandoned_trials,
            all_open,
        } = run.seen;
        all.probes += probes;
        all.closed_by_probe += closed_by_probe;
        all.trials += trials;
        all.closed_by_trial += closed_by_trial;
        all.abandoned_trials += abandoned_trials;
        all.all_open += all_open;
    }
    let counts = [
        all.probes,
        all.closed_by_probe,
        all.trials,
        all.closed_by_trial,
        all.abandoned_trials,
        all.all_open,
    ];
    assert!(counts.iter().all(|count| *count > 100), "{all:?}");
}
