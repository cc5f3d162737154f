//! A long and lossy path: this machine on one side, a far host on the other, and between them a forwarder in user space.
//!
//! ```text
//! here (git, gitferry) ── TUN ── forwarder: rate, queue, delay, loss ── TUN ── far host
//! ```
//!
//! Both ends are the kernel's own TCP, with `cubic` by their routes whatever the machine's default is. The forwarder's losses come
//! from a seed. Needs root and iproute2.

mod forwarder;
mod tun;

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Command,
    sync::atomic::{AtomicU8, Ordering},
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};

use crate::support::skip::{Need, skipped};
pub(crate) use forwarder::Carried;
use forwarder::{Direction, carry};
use tun::Tun;

/// What a path does to packets, in each direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quality {
    /// The round-trip time.
    pub(crate) round_trip: Duration,
    /// How many of a thousand packets are lost.
    pub(crate) loss_per_mille: u32,
    /// Bits a second.
    pub(crate) rate: u64,
    /// The size of the queue in bytes; packets beyond it are lost.
    pub(crate) queue: u64,
    /// The seed of the losses.
    pub(crate) seed: u64,
}

impl Quality {
    /// 100 Mbit/s and a queue of a megabyte.
    pub(crate) const fn new(round_trip: Duration, loss_per_mille: u32, seed: u64) -> Self {
        Self {
            round_trip,
            loss_per_mille,
            rate: 100_000_000,
            queue: 1 << 20,
            seed,
        }
    }
}

/// The path; ends when dropped.
pub(crate) struct Path {
    namespace: String,
    near_link: String,
    number: u8,
    /// The counts of both directions.
    pub(crate) carried: [Carried; 2],
}

impl Path {
    /// Builds one; `None`, with a message, where this machine does not permit it.
    pub(crate) fn new(quality: Quality) -> Option<Self> {
        static NUMBER: AtomicU8 = AtomicU8::new(100);
        let mut reason = String::new();
        // Another run, or a killed one, may use the first ones.
        for _ in 0..20 {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            match Self::build(number, quality) {
                Ok(path) => return Some(path),
                Err(error) => reason = error,
            }
        }
        skipped(
            Need::Kernel,
            &format!("TUN devices and network namespaces, as root with iproute2: {reason}"),
        );
        None
    }

    fn build(number: u8, quality: Quality) -> Result<Self, String> {
        let routes = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
        if routes.contains(&format!("198.18.{number}.")) {
            return Err(format!("198.18.{number}.0 is taken"));
        }
        let process = std::process::id();
        let (namespace, near_link) = (
            format!("gfp-{process}-{number}"),
            format!("gfp{process}n{number}"),
        );
        ip(&format!("netns add {namespace}"))?;
        let mut path = Self {
            namespace,
            near_link,
            number,
            carried: Default::default(),
        };
        let name = path.near_link.clone();
        let near = Tun::open(&name).map_err(|error| format!("TUN: {error}"))?;
        let far = path.inside(|| Tun::open("far"));
        let far = far.map_err(|error| format!("TUN: {error}"))?;
        let (here, there) = (path.here(), path.there());
        let namespace = &path.namespace;
        [
            format!("addr add {here}/32 dev {name}"),
            format!("link set {name} mtu 1500 up"),
            format!("route add {there}/32 dev {name} src {here} congctl cubic"),
            format!("-n {namespace} link set lo up"),
            format!("-n {namespace} addr add {there}/32 dev far"),
            format!("-n {namespace} link set far mtu 1500 up"),
            format!("-n {namespace} route add {here}/32 dev far src {there} congctl cubic"),
            // The path metrics of an earlier connection must not help the next one.
            format!("netns exec {namespace} sh -c echo\u{a0}1\u{a0}>/proc/sys/net/ipv4/tcp_no_metrics_save"),
        ]
        .iter()
        .try_for_each(|line| ip(line))?;
        let directions = [
            Direction::new(quality, quality.seed),
            Direction::new(quality, !quality.seed),
        ];
        path.carried = carry(near, far, directions);
        Ok(path)
    }

    fn here(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, 1)
    }

    /// The far host's address.
    pub(crate) fn there(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, 2)
    }

    /// A listening socket of the far host.
    pub(crate) fn listen(&self) -> (TcpListener, SocketAddr) {
        let address = self.there();
        let listener = self.inside(|| TcpListener::bind((address, 0)));
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Runs `act` on the far host, in a thread that is moved there.
    fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.namespace)).unwrap();
        thread::scope(|scope| {
            let there = scope.spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                act()
            });
            there.join().unwrap()
        })
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        // The devices end the forwarder's threads.
        let _ = ip(&format!("link del {}", self.near_link));
        let _ = ip(&format!("-n {} link del far", self.namespace));
        let _ = ip(&format!("netns del {}", self.namespace));
    }
}

/// Runs `ip` with these arguments, separated by blanks; a non-breaking space is part of an argument.
pub(crate) fn ip(line: &str) -> Result<(), String> {
    let words = line.split(' ').map(|word| word.replace('\u{a0}', " "));
    let output = Command::new("ip")
        .args(words)
        .output()
        .map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {line}: {}", said.trim()))
}
