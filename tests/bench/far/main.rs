//! Real git and git-lfs over a long and lossy path: alone, and through gitferry.
//!
//! `cargo bench --bench far` prints a table; `-- --quick` takes one path and one seed, `-- --seeds N` other numbers of seeds than 3,
//! `-- --only NAME` the scenarios with NAME in their name. The path is simulated (`support::path`): it needs root and iproute2. Both ends use cubic, as most servers do; what
//! gitferry sets on its own connections is the default of `dial.congestion`. Nothing here judges: the table is for people.
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

use std::{env, fmt::Write as _, ops::RangeInclusive, time::Duration};

use scenario::{SCENARIOS, Scenario};
use support::path::{Path, Quality};

/// What the command line asks for.
struct Options {
    quick: bool,
    seeds: Option<u64>,
    only: Option<String>,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // `cargo bench` says so; `cargo test --all-targets` and nextest start this program without it.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let after = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).cloned()
    };
    let options = Options {
        quick: arguments.iter().any(|argument| argument == "--quick"),
        seeds: after("--seeds").and_then(|count| count.parse().ok()),
        only: after("--only"),
    };
    let mut table = String::from(
        "| path | | alone s | through gitferry s | alone ÷ gitferry | aria2c s |\n|---|---|--:|--:|--:|--:|\n",
    );
    for quality in qualities(options.quick) {
        for scenario in SCENARIOS {
            let wanted = options.only.as_deref();
            if wanted.is_some_and(|only| !scenario.name.contains(only)) {
                continue;
            }
            let Some(row) = measure(scenario, quality, seeds(&options)) else {
                return;
            };
            print!("{row}");
            table += &row;
        }
    }
    println!("\n{table}");
}

/// Round trip in milliseconds and losses of a thousand packets, each way.
fn qualities(quick: bool) -> Vec<(u64, u32)> {
    if quick {
        return vec![(200, 10)];
    }
    let losses = [0, 10, 30];
    [80, 200]
        .iter()
        .flat_map(|round_trip| losses.map(|loss| (*round_trip, loss)))
        .collect()
}

fn seeds(options: &Options) -> RangeInclusive<u64> {
    1..=options.seeds.unwrap_or(if options.quick { 1 } else { 3 })
}

/// A row: the medians over the seeds.
fn measure(
    scenario: &Scenario,
    (round_trip, loss): (u64, u32),
    seeds: RangeInclusive<u64>,
) -> Option<String> {
    let mut seconds = [Vec::new(), Vec::new(), Vec::new()];
    for seed in seeds {
        for (way, taken) in scenario.ways().iter().copied().zip(&mut seconds) {
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
    let (alone, gitferry) = (alone.unwrap_or(0.0), gitferry.unwrap_or(f64::NAN));
    let aria2c = aria2c
        .map(|seconds| format!("{seconds:.1}"))
        .unwrap_or_default();
    let loss = f64::from(loss) / 10.0;
    let mut row = String::new();
    let _ = writeln!(
        row,
        "| {round_trip} ms, {loss} % | {} | {alone:.1} | {gitferry:.1} | {:.1} | {aria2c} |",
        scenario.name,
        alone / gitferry
    );
    Some(row)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
