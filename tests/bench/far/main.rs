//! Real git and git-lfs over a long and lossy path: alone, and through gitferry.
//!
//! `cargo bench --bench far` prints a table. Options after `--`: `--quick` takes one path and one seed, `--seeds 5` or `--seeds 2-2` other
//! seeds than 1 to 3, `--path 200,10` one path (milliseconds, losses of a thousand), `--only NAME` the scenarios with NAME in their name,
//! `--ways gitferry,aria2c` only these columns. The path is simulated (`support::path`): it needs root and iproute2, but little of the
//! processor, so that several runs may go on beside each other. Both ends use cubic, as most servers do; what gitferry sets on its own
//! connections is the default of `dial.congestion`. Nothing here judges: the table is for people.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench whose preparation fails has failed"
)]

#[path = "../../support/mod.rs"]
mod support;

mod scenario;

use std::{env, ops::RangeInclusive, time::Duration};

use scenario::{SCENARIOS, Scenario, Way};
use support::path::{Path, Quality};

/// What the command line asks for.
struct Options {
    paths: Vec<(u64, u32)>,
    seeds: RangeInclusive<u64>,
    only: Option<String>,
    ways: Option<String>,
}

impl Options {
    fn of(arguments: &[String]) -> Self {
        let after = |flag: &str| {
            let at = arguments.iter().position(|argument| argument == flag)?;
            arguments.get(at + 1).cloned()
        };
        let quick = arguments.iter().any(|argument| argument == "--quick");
        let seeds = after("--seeds").unwrap_or_else(|| if quick { "1" } else { "3" }.into());
        let (first, last) = seeds.split_once('-').unwrap_or(("1", &seeds));
        let paths = match after("--path") {
            Some(path) => {
                let (round_trip, loss) = path.split_once(',').expect("--path MS,PER_MILLE");
                vec![(round_trip.parse().unwrap(), loss.parse().unwrap())]
            }
            None if quick => vec![(200, 10)],
            None => [80, 200]
                .iter()
                .flat_map(|round_trip| [0, 10, 30].map(|loss| (*round_trip, loss)))
                .collect(),
        };
        Self {
            paths,
            seeds: first.parse().unwrap()..=last.parse().unwrap(),
            only: after("--only"),
            ways: after("--ways"),
        }
    }

    fn takes(&self, way: Way) -> bool {
        let way = format!("{way:?}").to_lowercase();
        let ways = self.ways.as_deref();
        ways.is_none_or(|ways| ways.split(',').any(|one| one == way))
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // `cargo bench` says so; `cargo test --all-targets` and nextest start this program without it.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let options = Options::of(&arguments);
    let mut table = String::from(
        "| path | | alone s | through gitferry s | alone ÷ gitferry | aria2c s |\n|---|---|--:|--:|--:|--:|\n",
    );
    for path in &options.paths {
        for scenario in SCENARIOS {
            let wanted = options.only.as_deref();
            if !wanted.map_or(!scenario.on_demand, |only| scenario.name.contains(only)) {
                continue;
            }
            let Some(row) = measure(scenario, *path, &options) else {
                return;
            };
            print!("{row}");
            table += &row;
        }
    }
    println!("\n{table}");
}

/// A row: the medians over the seeds.
fn measure(
    scenario: &Scenario,
    (round_trip, loss): (u64, u32),
    options: &Options,
) -> Option<String> {
    let mut seconds = [Vec::new(), Vec::new(), Vec::new()];
    for seed in options.seeds.clone() {
        for (way, taken) in scenario.ways().iter().copied().zip(&mut seconds) {
            if !options.takes(way) {
                continue;
            }
            let quality = Quality::new(Duration::from_millis(round_trip), loss, seed);
            let path = Path::new(quality)?;
            let took = scenario.run(way, &path).as_secs_f64();
            let [up, down] = &path.carried;
            eprintln!(
                "{} {way:?}, {round_trip} ms, {loss} per mille, seed {seed}: {took:.2} s; up {} packets, {} lost, {} overflowed; \
                 down {}, {}, {}",
                scenario.name,
                up.packets(),
                up.lost(),
                up.overflowed(),
                down.packets(),
                down.lost(),
                down.overflowed(),
            );
            taken.push(took);
        }
    }
    let [alone, gitferry, aria2c] = seconds.map(median);
    let cell = |seconds: Option<f64>| seconds.map(|it| format!("{it:.1}")).unwrap_or_default();
    let ratio = alone
        .zip(gitferry)
        .map(|(alone, gitferry)| alone / gitferry);
    Some(format!(
        "| {round_trip} ms, {} % | {} | {} | {} | {} | {} |\n",
        f64::from(loss) / 10.0,
        scenario.name,
        cell(alone),
        cell(gitferry),
        cell(ratio),
        cell(aria2c),
    ))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
