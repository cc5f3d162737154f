//! What is measured of the peers while they work: every peer in turn, round after round, so that a busy moment of the
//! machine falls on all of them; then the median.

use serde::Serialize;

use crate::{
    Result,
    load::{Done, Way, Work},
    peers::{Bench, Peer},
    proc,
};

/// How much of everything.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Scale {
    /// LoopDetector that count; one more goes before them.
    pub(crate) rounds: usize,
    /// Bytes of a bulk measurement, all its streams together.
    pub(crate) bulk: u64,
    /// Small requests of a measurement, all its streams together.
    pub(crate) requests: usize,
    /// Idle connections: tunnels, and terminated ones.
    pub(crate) idle_tunnels: usize,
    pub(crate) idle_terminated: usize,
    /// Seconds that the slow uploads take.
    pub(crate) slow_seconds: u64,
}

impl Scale {
    /// For the table of README.md beside this file.
    pub(crate) const FULL: Self = Self {
        rounds: 7,
        bulk: 1 << 30,
        requests: 8_000,
        idle_tunnels: 1000,
        idle_terminated: 200,
        slow_seconds: 10,
    };
    /// For a look.
    pub(crate) const QUICK: Self = Self {
        rounds: 3,
        bulk: 256 << 20,
        requests: 2_000,
        idle_tunnels: 200,
        idle_terminated: 50,
        slow_seconds: 3,
    };
}

/// What the peers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Kind {
    Upload,
    /// An upload that gitferry keeps for a second attempt; the others only pass it on.
    Replay,
    Download,
    Small,
    /// Small requests, each on a new connection or in a new tunnel.
    Fresh,
    /// Small uploads, each with its verify.
    Objects,
}

impl Kind {
    /// True where requests are counted and not bytes.
    pub(crate) fn is_small(self) -> bool {
        match self {
            Self::Upload | Self::Replay | Self::Download => false,
            Self::Small | Self::Fresh | Self::Objects => true,
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Scenario {
    pub(crate) terminated: bool,
    pub(crate) kind: Kind,
    pub(crate) streams: usize,
}

/// Every scenario, in the order of the table.
pub(crate) fn all() -> impl Iterator<Item = Scenario> {
    const KINDS: [(bool, Kind, &[usize]); 9] = [
        (true, Kind::Upload, &[1, 8]),
        (true, Kind::Replay, &[1, 8]),
        (true, Kind::Download, &[1, 8]),
        (false, Kind::Upload, &[1, 8]),
        (false, Kind::Download, &[1, 8]),
        (true, Kind::Small, &[1, 8, 64]),
        (true, Kind::Fresh, &[8]),
        (false, Kind::Fresh, &[8]),
        (true, Kind::Objects, &[8]),
    ];
    KINDS.into_iter().flat_map(|(terminated, kind, streams)| {
        streams.iter().map(move |&streams| Scenario {
            terminated,
            kind,
            streams,
        })
    })
}

/// What a scenario came to.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: Scenario,
    /// In the order of the columns; the first is the origin without anyone between.
    pub(crate) results: Vec<Measured>,
}

/// Medians of one peer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) peer: &'static str,
    /// MiB a second, or requests a second.
    pub(crate) rate: f64,
    /// CPU seconds per GiB, or CPU microseconds per request; none for the origin without a peer.
    pub(crate) cpu: Option<f64>,
    /// Microseconds of a small request.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Who takes part: a column's name, how it is reached, whose CPU is counted.
struct Entrant {
    name: &'static str,
    way: Way,
    pid: Option<u32>,
    /// One so-manieth of the work is its.
    part: u64,
    rounds: Vec<Measured>,
}

impl Scenario {
    /// For the table and for `--only`.
    pub(crate) fn name(&self) -> String {
        let kind = match (self.terminated, self.kind) {
            (true, Kind::Upload) => "terminated upload",
            (true, Kind::Download) => "terminated download",
            (false, Kind::Upload) => "tunnel upload",
            (false, Kind::Download) => "tunnel download",
            (_, Kind::Replay) => "replay",
            (_, Kind::Small) => "small requests",
            (true, Kind::Fresh) => "new connections",
            (false, Kind::Fresh) => "new tunnels",
            (_, Kind::Objects) => "many objects",
        };
        match self.streams {
            1 => format!("{kind}, 1 stream"),
            streams => format!("{kind}, {streams} streams"),
        }
    }

    /// Runs a warm-up round and the rounds that count.
    pub(crate) fn run(self, bench: &mut Bench, scale: &Scale) -> Result<Row> {
        let mut entrants = self.entrants(bench);
        for round in 0..=scale.rounds {
            eprintln!("{}: round {round} of {}", self.name(), scale.rounds);
            for entrant in &mut entrants {
                let measured = self.measure(bench, entrant, scale)?;
                if round > 0 {
                    entrant.rounds.push(measured);
                }
            }
        }
        Ok(Row {
            scenario: self,
            results: entrants.iter().map(Entrant::medians).collect(),
        })
    }

    fn entrants(self, bench: &Bench) -> Vec<Entrant> {
        let entrant = |name, way: &Way, peer: Option<&Peer>| Entrant {
            name,
            way: way.clone(),
            pid: peer.map(Peer::pid),
            part: peer.map_or(1, |peer| peer.part),
            rounds: Vec::new(),
        };
        let mut entrants = vec![entrant("direct", &bench.direct(self.terminated), None)];
        for peer in &bench.peers {
            let mut replaying = bench.replaying.iter();
            let peer = match self.kind {
                Kind::Replay => replaying
                    .find(|other| other.name == peer.name)
                    .unwrap_or(peer),
                _ => peer,
            };
            let terminated = peer.terminated.as_ref();
            if self.terminated {
                entrants.extend(terminated.map(|way| entrant(peer.name, way, Some(peer))));
                continue;
            }
            if terminated.is_none() && self.kind != Kind::Fresh {
                continue;
            }
            entrants.push(entrant(peer.name, &peer.tunnel, Some(peer)));
            if let Some(way) = &peer.spliced {
                entrants.push(entrant("HAProxy splice-auto", way, Some(peer)));
            }
        }
        entrants
    }

    fn measure(self, bench: &mut Bench, entrant: &Entrant, scale: &Scale) -> Result<Measured> {
        let streams = self.streams;
        let bytes = scale.bulk / entrant.part / streams as u64;
        let part = usize::try_from(entrant.part)?;
        let requests = (scale.requests / part / streams).max(1);
        let work = match self.kind {
            Kind::Upload | Kind::Replay => Work::Put {
                streams,
                bytes,
                pace: None,
            },
            Kind::Download => Work::Get { streams, bytes },
            Kind::Small => Work::Small { streams, requests },
            Kind::Fresh => Work::Fresh { streams, requests },
            Kind::Objects => Work::Objects { streams, requests },
        };
        let before = entrant.pid.map(proc::cpu_seconds);
        let Done {
            seconds, p50, p99, ..
        } = bench.work(&entrant.way, work)?;
        let used = entrant
            .pid
            .zip(before)
            .map(|(pid, before)| proc::cpu_seconds(pid) - before);
        let (amount, per) = match self.kind {
            kind if kind.is_small() => {
                let all = (requests * streams) as f64;
                (all, all / 1e6)
            }
            _ => {
                let all = (bytes * streams as u64) as f64;
                (all / f64::from(1 << 20), all / f64::from(1 << 30))
            }
        };
        Ok(Measured {
            peer: entrant.name,
            rate: amount / seconds,
            cpu: used.map(|used| used / per),
            p50,
            p99,
        })
    }
}

impl Entrant {
    fn medians(&self) -> Measured {
        let of = |value: fn(&Measured) -> f64| median(self.rounds.iter().map(value).collect());
        Measured {
            peer: self.name,
            rate: of(|round| round.rate),
            cpu: self.pid.map(|_| of(|round| round.cpu.unwrap_or(f64::NAN))),
            p50: of(|round| round.p50),
            p99: of(|round| round.p99),
        }
    }
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    match values.len() % 2 {
        1 => at(middle),
        _ => f64::midpoint(at(middle.wrapping_sub(1)), at(middle)),
    }
}
