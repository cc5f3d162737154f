//! What the peers hold, and use, while little happens: each state in a process of its own, started for it.

use std::{thread, time::Duration};

use serde::Serialize;

use crate::{
    Result,
    load::{Way, Work},
    peers::{Bench, PEERS, Peer},
    proc::{self, Memory},
    scenario::Scale,
};

/// What an origin of the slow uploads takes, in bytes a second.
const PACE: u64 = 5 << 20;
/// How many slow uploads there are.
const UPLOADS: usize = 8;
/// Until a peer's memory has come to rest.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the CPU of idle tunnels is counted: every peer's rarest timer fires in it.
const QUIET: Duration = Duration::from_secs(60);
/// Between two looks during the uploads.
const LOOK: Duration = Duration::from_millis(200);

/// One peer's memory.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) peer: &'static str,
    /// After start, with nothing done yet.
    pub(crate) idle: Memory,
    /// With idle tunnels, what each adds.
    pub(crate) per_tunnel: Memory,
    /// CPU of each idle tunnel, in nanoseconds a second.
    pub(crate) tunnel_cpu: f64,
    /// With idle terminated connections, what each adds.
    pub(crate) per_terminated: Memory,
    /// The most that the slow uploads added.
    pub(crate) uploads: Memory,
    /// After all the scenarios before; only where they were run.
    pub(crate) worked: Memory,
}

/// Measures them all.
pub(crate) fn measure(bench: &mut Bench, scale: &Scale) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for index in 0..bench.peers.len() {
        let Some(worked) = bench.peers.get(index) else {
            break;
        };
        if worked.terminated.is_none() {
            continue;
        }
        let (name, worked) = (worked.name, proc::memory(worked.pid()));
        let Some((_, start)) = PEERS.iter().find(|(peer, _)| *peer == name) else {
            break;
        };
        eprintln!("memory: {name}");
        let peer = start(&bench.site)?;
        thread::sleep(SETTLE);
        let idle = proc::memory(peer.pid());
        drop(peer);
        let peer = start(&bench.site)?;
        let (per_tunnel, tunnel_cpu) = tunnels(bench, &peer, scale.idle_tunnels)?;
        drop(peer);
        let peer = start(&bench.site)?;
        let per_terminated = held(
            bench,
            &peer,
            terminated(&peer)?,
            scale.idle_terminated,
            || (),
        )?
        .0;
        drop(peer);
        let peer = start(&bench.site)?;
        let uploads = slow(bench, &peer, scale)?;
        rows.push(Row {
            peer: name,
            idle,
            per_tunnel,
            tunnel_cpu,
            per_terminated,
            uploads,
            worked,
        });
    }
    Ok(rows)
}

fn terminated(peer: &Peer) -> Result<&Way> {
    Ok(peer
        .terminated
        .as_ref()
        .ok_or("it does not terminate TLS")?)
}

/// What each of so many idle tunnels adds, and the CPU that each uses, in nanoseconds a second.
fn tunnels(bench: &mut Bench, peer: &Peer, streams: usize) -> Result<(Memory, f64)> {
    let quiet = || {
        let before = proc::cpu_of_living(peer.pid());
        thread::sleep(QUIET);
        let used = proc::cpu_of_living(peer.pid()).saturating_sub(before);
        used.as_nanos() as f64 / QUIET.as_secs_f64() / streams as f64
    };
    held(bench, peer, &peer.tunnel, streams, quiet)
}

/// What each of so many idle connections adds, and what `meanwhile` returns once they have come to rest.
fn held<T>(
    bench: &mut Bench,
    peer: &Peer,
    way: &Way,
    streams: usize,
    meanwhile: impl FnOnce() -> T,
) -> Result<(Memory, T)> {
    thread::sleep(SETTLE);
    let before = proc::memory(peer.pid());
    bench.work(way, Work::Hold { streams })?;
    thread::sleep(SETTLE);
    let during = proc::memory(peer.pid());
    let seen = meanwhile();
    bench.work(way, Work::Release)?;
    let each = |during: u64, before: u64| during.saturating_sub(before) / streams as u64;
    let memory = Memory {
        rss: each(during.rss, before.rss),
        pss: each(during.pss, before.pss),
    };
    Ok((memory, seen))
}

/// The most that uploads to an origin which reads slowly add.
fn slow(bench: &mut Bench, peer: &Peer, scale: &Scale) -> Result<Memory> {
    thread::sleep(SETTLE);
    let before = proc::memory(peer.pid());
    let mut most = before;
    let work = Work::Put {
        streams: UPLOADS,
        bytes: PACE * scale.slow_seconds,
        pace: Some(PACE),
    };
    bench.work_while(terminated(peer)?, work, LOOK, || {
        let now = proc::memory(peer.pid());
        most.rss = most.rss.max(now.rss);
        most.pss = most.pss.max(now.pss);
        Ok(())
    })?;
    Ok(Memory {
        rss: most.rss - before.rss,
        pss: most.pss - before.pss,
    })
}
