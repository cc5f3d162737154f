//! The forwarder between the two devices: each direction has a queue, a line rate, a delay, and losses from a seed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tokio::time::Instant;

use super::{Quality, tun::Tun};

/// The counts of one direction.
#[derive(Clone, Default)]
pub(crate) struct Carried(Arc<Counts>);

#[derive(Default)]
struct Counts {
    packets: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    overflowed: AtomicU64,
}

impl Carried {
    /// Packets that arrived.
    pub(crate) fn packets(&self) -> u64 {
        self.0.packets.load(Ordering::Relaxed)
    }

    /// Bytes that arrived, including headers and retransmissions.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Packets that the path lost.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Packets for which the queue had no room.
    pub(crate) fn overflowed(&self) -> u64 {
        self.0.overflowed.load(Ordering::Relaxed)
    }
}

/// The state of one direction: pure, `now` is an argument.
pub(super) struct Direction {
    quality: Quality,
    random: fastrand::Rng,
    /// When the line is free again.
    free: Option<Instant>,
}

/// The fate of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrives(Instant),
    Lost,
    Overflows,
}

impl Direction {
    pub(super) fn new(quality: Quality, seed: u64) -> Self {
        Self {
            quality,
            random: fastrand::Rng::with_seed(seed),
            free: None,
        }
    }

    fn fate(&mut self, length: usize, now: Instant) -> Fate {
        let free = self.free.filter(|free| *free > now).unwrap_or(now);
        let waiting = free.duration_since(now).as_secs_f64() * self.quality.rate as f64 / 8.0;
        if waiting > self.quality.queue as f64 {
            return Fate::Overflows;
        }
        let takes = length as f64 * 8.0 / self.quality.rate as f64;
        let sent = free + Duration::from_secs_f64(takes);
        self.free = Some(sent);
        // A lost packet uses the line's time too: it is lost after the line.
        if self.random.u32(0..1000) < self.quality.loss_per_mille {
            return Fate::Lost;
        }
        Fate::Arrives(sent + self.quality.round_trip / 2)
    }
}

/// Carries packets between the devices until one of them is closed.
pub(super) fn carry(near: Tun, far: Tun, [up, down]: [Direction; 2]) -> [Carried; 2] {
    let (near_back, far_back) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    [one_way(near, far, up), one_way(far_back, near_back, down)]
}

fn one_way(mut from: Tun, mut to: Tun, mut direction: Direction) -> Carried {
    let carried = Carried::default();
    let (queue, waiting) = mpsc::channel::<(Instant, Vec<u8>)>();
    let counts = carried.clone();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok(length) = from.receive(&mut buffer) {
            let packet = &buffer[..length];
            let count = match direction.fate(length, Instant::now()) {
                Fate::Lost => &counts.0.lost,
                Fate::Overflows => &counts.0.overflowed,
                Fate::Arrives(at) => {
                    if queue.send((at, packet.to_vec())).is_err() {
                        return;
                    }
                    continue;
                }
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let counts = carried.clone();
    thread::spawn(move || {
        while let Ok((at, packet)) = waiting.recv() {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if to.send(&packet).is_err() {
                return;
            }
            counts.0.packets.fetch_add(1, Ordering::Relaxed);
            counts
                .0
                .bytes
                .fetch_add(packet.len() as u64, Ordering::Relaxed);
        }
    });
    carried
}
