//! What `/proc` says of a process and all its children: CPU seconds and memory.

use std::{fs, process::Command, time::Duration};

use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use serde::Serialize;

use crate::Result;

/// proc(5) counts in units of 1/USER_HZ, which is 100 wherever Linux runs.
const USER_HZ: f64 = 100.0;

/// Memory of a peer, all its processes together, in KiB.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Memory {
    /// Resident; pages that two processes share count twice.
    pub(crate) rss: u64,
    /// Proportional; shared pages are divided among those who share them.
    pub(crate) pss: u64,
}

/// The process and its descendants.
fn family(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, fields(pid)?.get(1)?.parse().ok()?)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| pid),
        );
        next += 1;
    }
    found
}

/// The fields of `/proc/PID/stat` from the third (state) on: the second, the name, may contain anything.
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// Seconds of CPU, user and system, that the process and its descendants have used, all threads together.
pub(crate) fn cpu_seconds(root: u32) -> f64 {
    let ticks: u64 = family(root)
        .into_iter()
        .filter_map(fields)
        .flat_map(|fields| [fields.get(11).cloned(), fields.get(12).cloned()])
        .filter_map(|ticks| ticks?.parse::<u64>().ok())
        .sum();
    ticks as f64 / USER_HZ
}

/// The same of the threads that still live, to the nanosecond (the first number of `schedstat`): for states in which little happens.
pub(crate) fn cpu_of_living(root: u32) -> Duration {
    let threads = family(root).into_iter().flat_map(|pid| {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        tasks.into_iter().flatten().flatten()
    });
    let nanos = threads.filter_map(|task| {
        let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// The memory of the process and its descendants.
pub(crate) fn memory(root: u32) -> Memory {
    let mut sum = Memory::default();
    for pid in family(root) {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let value = |name: &str| {
            let line = rollup.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
            number.unwrap_or_default()
        };
        sum.rss += value("Rss:");
        sum.pss += value("Pss:");
    }
    sum
}

/// A command that is told to end (SIGTERM) when the bench dies, however it dies.
pub(crate) fn mortal(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--", program]);
    command
}

/// Tells a process to end.
pub(crate) fn terminate(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// A thousand tunnels are two thousand descriptors in a peer, and as many in the children.
pub(crate) fn raise_descriptor_limit() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(8192);
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(())
}
