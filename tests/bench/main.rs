//! gitferry beside HAProxy, nginx and mitmproxy, doing the same work in the same run: throughput, CPU, latency, memory. New tunnels are
//! also opened through squid, tinyproxy and Privoxy, where they are installed.
//!
//! `cargo bench --bench peers` takes some minutes; `-- --quick` takes less and says less. The origin and the load generator are
//! this same program started again ([`role`]), so that the CPU seconds and the memory which are read from `/proc` are the peer's
//! alone. All of it is on loopback, on free ports, with its files in a temporary directory. Nothing here judges by exit code:
//! the table is for people, and its promises are those of tests/bench/README.md.

mod load;
mod machine;
mod memory;
mod origin;
mod peers;
mod pki;
mod proc;
mod role;
mod scenario;
mod table;
mod wire;

use std::{env, error::Error, fs, path::PathBuf};

use peers::Bench;
use scenario::Scale;

/// Whatever goes wrong ends the bench with its reason.
pub(crate) type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// What the command line asks for.
struct Options {
    scale: Scale,
    json: Option<PathBuf>,
    /// Only scenarios whose name has this in it; `memory` stands for the memory table.
    only: Option<String>,
    /// Only these peers, in one word.
    peers: Option<String>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [flag, role, rest @ ..] = arguments.as_slice()
        && flag == role::FLAG
    {
        return role::play(role, rest);
    }
    // `cargo bench` says so; `cargo test --all-targets` and nextest start this program without it.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let options = Options::parse(&arguments)?;
    proc::raise_descriptor_limit()?;
    let mut bench = Bench::start(options.peers.as_deref())?;
    let wanted = |name: &str| {
        options
            .only
            .as_deref()
            .is_none_or(|only| name.contains(only))
    };
    let mut report = table::Report::new(machine::describe(), options.scale);
    for scenario in scenario::all() {
        if wanted(&scenario.name()) {
            report.rows.push(scenario.run(&mut bench, &options.scale)?);
        }
    }
    if wanted("memory") {
        report.memory = memory::measure(&mut bench, &options.scale)?;
    }
    println!("{report}");
    if let Some(path) = options.json {
        fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            scale: Scale::FULL,
            json: None,
            only: None,
            peers: None,
        };
        let mut rest = arguments.iter().filter(|argument| *argument != "--bench");
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => options.scale = Scale::QUICK,
                "--json" => options.json = Some(value()?.into()),
                "--only" => options.only = Some(value()?.clone()),
                "--rounds" => options.scale.rounds = value()?.parse()?,
                // The peer itself reads it.
                "--before" => drop(value()?),
                "--peers" => options.peers = Some(value()?.clone()),
                other => return Err(format!("{other}: not one of --quick, --json FILE, --only WORD, --peers NAMES, --rounds N, --before PROGRAM").into()),
            }
        }
        Ok(options)
    }
}
