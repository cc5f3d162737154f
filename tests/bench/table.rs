//! The numbers as Markdown, and what they say about the promises.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::{
    memory,
    proc::Memory,
    scenario::{Kind, Measured, Row, Scale, Scenario},
};

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) scale: Scale,
    pub(crate) rows: Vec<Row>,
    pub(crate) memory: Vec<memory::Row>,
}

const GITFERRY: &str = "gitferry";
const DIRECT: &str = "direct";

/// What is counted, each in a table of its own: tunnels have more peers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Requests,
    Tunnels,
}

impl Unit {
    fn of(scenario: Scenario) -> Self {
        match (scenario.kind, scenario.terminated) {
            (Kind::Fresh, false) => Self::Tunnels,
            (kind, _) if kind.is_small() => Self::Requests,
            _ => Self::Bytes,
        }
    }
}

impl Report {
    /// An empty one.
    pub(crate) fn new(machine: String, scale: Scale) -> Self {
        Self {
            machine,
            scale,
            rows: Vec::new(),
            memory: Vec::new(),
        }
    }

    fn rates(&self, f: &mut Formatter<'_>, unit: Unit) -> fmt::Result {
        let rows: Vec<&Row> = self
            .rows
            .iter()
            .filter(|row| Unit::of(row.scenario) == unit)
            .collect();
        let Some(first) = rows.iter().max_by_key(|row| row.results.len()) else {
            return Ok(());
        };
        let peers: Vec<&str> = first.results.iter().map(|result| result.peer).collect();
        let (rate, cpu, digits) = match unit {
            Unit::Bytes => ("MiB/s", "CPU s/GiB", 3),
            Unit::Requests => ("requests/s", "CPU µs/request", 0),
            Unit::Tunnels => ("tunnels/s", "CPU µs/tunnel", 0),
        };
        write!(f, "| |")?;
        for peer in &peers {
            write!(f, " {peer} {rate} |")?;
        }
        for peer in peers.iter().filter(|peer| **peer != DIRECT) {
            write!(f, " {peer} {cpu} |")?;
        }
        writeln!(f, "\n|---|{}", "--:|".repeat(peers.len() * 2 - 1))?;
        for row in rows {
            write!(f, "| {} |", row.scenario.name())?;
            for peer in &peers {
                let cell = row.of(peer).map(|result| format!("{:.0}", result.rate));
                write!(f, " {} |", cell.unwrap_or_default())?;
            }
            for peer in peers.iter().filter(|peer| **peer != DIRECT) {
                let cpu = row.of(peer).and_then(|result| result.cpu);
                let cell = cpu.map(|cpu| format!("{cpu:.digits$}"));
                write!(f, " {} |", cell.unwrap_or_default())?;
            }
            writeln!(f)?;
        }
        writeln!(f)
    }

    /// gitferry's part of each peer's number: a rate above 1 and CPU below 1 are in its favour.
    fn ratios(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| gitferry, of a peer's | peer | rate | CPU |\n|---|---|--:|--:|"
        )?;
        for row in &self.rows {
            let Some(ours) = row.of(GITFERRY) else {
                continue;
            };
            for theirs in &row.results {
                if let (Some(mine), Some(cpu)) = (ours.cpu, theirs.cpu)
                    && theirs.peer != GITFERRY
                {
                    let (name, peer) = (row.scenario.name(), theirs.peer);
                    let (rate, cpu) = (ours.rate / theirs.rate, mine / cpu);
                    writeln!(f, "| {name} | {peer} | {rate:.2} | {cpu:.2} |")?;
                }
            }
        }
        writeln!(f)
    }

    fn latency(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| 1 KiB | | p50 µs | p99 µs | added p50 µs | added p99 µs |\n|---|---|--:|--:|--:|--:|"
        )?;
        for row in self.rows.iter().filter(|row| row.scenario.kind.is_small()) {
            let Some(direct) = row.of(DIRECT) else {
                continue;
            };
            for Measured { peer, p50, p99, .. } in &row.results {
                let (name, more50, more99) =
                    (row.scenario.name(), p50 - direct.p50, p99 - direct.p99);
                writeln!(
                    f,
                    "| {name} | {peer} | {p50:.0} | {p99:.0} | {more50:.0} | {more99:.0} |"
                )?;
            }
        }
        writeln!(f)
    }

    fn memory(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Scale {
            idle_tunnels,
            idle_terminated,
            ..
        } = self.scale;
        writeln!(
            f,
            "| memory, resident (proportional) | idle MiB | KiB for each of {idle_tunnels} idle tunnels | CPU of each, ns a second | KiB for each of {idle_terminated} idle terminated connections | eight slow uploads, MiB above idle | after the scenarios, MiB |"
        )?;
        writeln!(f, "|---|--:|--:|--:|--:|--:|--:|")?;
        for row in &self.memory {
            let memory::Row {
                peer,
                idle,
                per_tunnel,
                tunnel_cpu,
                per_terminated,
                uploads,
                worked,
            } = row;
            let mib = |Memory { rss, pss }: &Memory| {
                format!("{:.1} ({:.1})", *rss as f64 / 1024.0, *pss as f64 / 1024.0)
            };
            let kib = |Memory { rss, pss }: &Memory| format!("{rss} ({pss})");
            writeln!(
                f,
                "| {peer} | {} | {} | {tunnel_cpu:.0} | {} | {} | {} |",
                mib(idle),
                kib(per_tunnel),
                kib(per_terminated),
                mib(uploads),
                mib(worked)
            )?;
        }
        writeln!(f)
    }
}

impl Row {
    fn of(&self, peer: &str) -> Option<&Measured> {
        self.results.iter().find(|result| result.peer == peer)
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        if !self.rows.is_empty() {
            self.rates(f, Unit::Bytes)?;
            self.rates(f, Unit::Requests)?;
            self.rates(f, Unit::Tunnels)?;
            self.ratios(f)?;
            self.latency(f)?;
        }
        if !self.memory.is_empty() {
            self.memory(f)?;
        }
        Ok(())
    }
}
