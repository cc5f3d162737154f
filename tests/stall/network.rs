//! Two network namespaces behind this machine: a router, and a far host behind it.
//!
//! ```text
//! here (the daemon) ── 1500 ── router ── 1500 ── far
//! ```

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU8, Ordering},
    thread,
};

use crate::support::{
    path::ip,
    relay::Relay,
    skip::{Need, skipped},
};

use nix::sched::{CloneFlags, setns};

/// A far host, for as long as it lives.
pub(crate) struct Network {
    router: String,
    far: String,
    near_link: String,
    subnet: u8,
}

impl Network {
    /// Makes one; `None`, with a message, where this machine does not permit it.
    pub(crate) fn new() -> Option<Self> {
        static NUMBER: AtomicU8 = AtomicU8::new(1);
        let process = std::process::id();
        let mut reason = String::new();
        // Another run, or what is left of one that was killed, may have the first ones.
        for _ in 0..20 {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let network = Self {
                router: format!("gfr-{process}-{number}"),
                far: format!("gff-{process}-{number}"),
                near_link: format!("gf{process}n{number}"),
                subnet: number,
            };
            match network.is_free().and_then(|()| network.build()) {
                Ok(()) => return Some(network),
                Err(error) => reason = error,
            }
        }
        skipped(
            Need::Namespaces,
            &format!("network namespaces, as root with iproute2: {reason}"),
        );
        None
    }

    /// Fails where somebody else has these addresses.
    fn is_free(&self) -> Result<(), String> {
        let routes = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
        let taken = [18, 19].map(|half| format!("198.{half}.{}.", self.subnet));
        match taken.iter().any(|subnet| routes.contains(subnet)) {
            true => Err(format!("{} is taken", taken.join(" or "))),
            false => Ok(()),
        }
    }

    fn build(&self) -> Result<(), String> {
        let Self {
            router,
            far,
            near_link: near,
            subnet,
        } = self;
        let lines = [
            format!("netns add {router}"),
            format!("netns add {far}"),
            format!("link add {near} type veth peer name near netns {router}"),
            format!("-n {router} link add far type veth peer name eth0 netns {far}"),
            // Packets of the size that the wire would see: large ones would pass a small MTU as one (see veth's forwarding check).
            format!("link set {near} gso_max_segs 1 mtu 1500 up"),
            format!("-n {router} link set near up"),
            format!("-n {router} link set far up"),
            format!("-n {far} link set eth0 up"),
            format!("-n {far} link set lo up"),
            format!("addr add 198.18.{subnet}.1/30 dev {near}"),
            format!("-n {router} addr add 198.18.{subnet}.2/30 dev near"),
            format!("-n {router} addr add 198.19.{subnet}.1/30 dev far"),
            format!("-n {far} addr add 198.19.{subnet}.2/30 dev eth0"),
            format!("route add 198.19.{subnet}.0/30 via 198.18.{subnet}.2"),
            format!("-n {far} route add default via 198.19.{subnet}.1 advmss 1460"),
            // Forwarding is set per namespace, by the file that is its own there.
            format!("netns exec {router} sh -c echo\u{a0}1\u{a0}>/proc/sys/net/ipv4/ip_forward"),
        ];
        lines.iter().try_for_each(|line| ip(line))
    }

    /// A path to `origin` over a far host that loses packets of more than 1300 bytes without a message; `None`, with a message, where this
    /// machine does not permit it.
    pub(crate) fn losing_large_packets(origin: SocketAddr) -> Option<(Self, Relay, SocketAddr)> {
        let network = Self::new()?;
        let (listener, far) = network.listen();
        let relay = Relay::holds_after_on(listener, usize::MAX, origin);
        network.far_mtu(1300);
        Some((network, relay, far))
    }

    /// A listening socket of the far host.
    pub(crate) fn listen(&self) -> (TcpListener, SocketAddr) {
        let namespace = File::open(format!("/run/netns/{}", self.far)).unwrap();
        let address = Ipv4Addr::new(198, 19, self.subnet, 2);
        // Only the thread that asks is moved, and it ends here.
        let listening = thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            TcpListener::bind((address, 0)).unwrap()
        });
        let listener = listening.join().unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// The router's link to the far host goes down: what is sent there vanishes.
    pub(crate) fn cut(&self) {
        // A black hole beside the link, so that no router reports it.
        let (router, subnet) = (&self.router, self.subnet);
        ip(&format!("-n {router} link set far down")).unwrap();
        ip(&format!(
            "-n {router} route replace blackhole 198.19.{subnet}.0/30"
        ))
        .unwrap();
    }

    /// The link comes back.
    pub(crate) fn mend(&self) {
        let (router, subnet) = (&self.router, self.subnet);
        ip(&format!(
            "-n {router} route del blackhole 198.19.{subnet}.0/30"
        ))
        .unwrap();
        ip(&format!("-n {router} link set far up")).unwrap();
    }

    /// The far host takes frames up to `mtu` bytes; larger ones vanish without a message.
    pub(crate) fn far_mtu(&self, mtu: u32) {
        ip(&format!("-n {} link set eth0 mtu {mtu}", self.far)).unwrap();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.far, &self.router] {
            let _ = ip(&format!("netns del {namespace}"));
        }
        let _ = ip(&format!("link del {}", self.near_link));
    }
}
