//! The causes, each as an address for the victim's name, or as a hop before it.

use std::{any::Any, net::SocketAddr};

use crate::{
    scene::{Scene, Victim},
    servers::{self, Behaviour},
    support::{
        ca::{Flaw, TestCa},
        hop::Hop,
        process::ClosedPort,
        relay::Relay,
        small_disk::SmallDisk,
    },
};

/// A broken path to the victim.
pub(crate) struct BrokenPath {
    /// The address of its name; `None` where the name is looked up.
    pub(crate) at: Option<SocketAddr>,
    /// The hop before it.
    pub(crate) hop: Option<String>,
    /// Lines of its route.
    pub(crate) lines: String,
    /// Further sections of the config.
    pub(crate) sections: String,
    /// What must live as long as the cell.
    _keep: Box<dyn Any>,
}

impl BrokenPath {
    fn at(address: SocketAddr, keep: impl Any) -> Self {
        Self {
            at: Some(address),
            hop: None,
            lines: String::new(),
            sections: String::new(),
            _keep: Box::new(keep),
        }
    }

    fn by_hop(victim: Victim, url: String, keep: impl Any) -> Self {
        Self {
            hop: Some(url),
            ..Self::at(victim.origin, keep)
        }
    }
}

/// How a cause is made.
pub(crate) type Inject = fn(&Scene, &str, Victim) -> BrokenPath;

pub(crate) fn nothing(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    BrokenPath::at(victim.origin, ())
}

pub(crate) fn no_name(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    // RFC 6761: names below `test` never resolve.
    BrokenPath {
        at: None,
        ..BrokenPath::at(victim.origin, ())
    }
}

pub(crate) fn refused(_: &Scene, _: &str, _: Victim) -> BrokenPath {
    let port = ClosedPort::new();
    BrokenPath::at(port.address, port)
}

pub(crate) fn unreachable(_: &Scene, _: &str, _: Victim) -> BrokenPath {
    // A multicast group: the kernel itself reports it as unreachable, and no packet leaves.
    BrokenPath::at(SocketAddr::from(([224, 0, 0, 1], 443)), ())
}

pub(crate) fn black_hole(_: &Scene, _: &str, _: Victim) -> BrokenPath {
    let (address, kept) = servers::black_hole();
    BrokenPath::at(address, kept)
}

fn relayed(relay: Relay) -> BrokenPath {
    BrokenPath::at(relay.address, relay)
}

pub(crate) fn handshake_reset(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    relayed(Relay::resets_handshakes(usize::MAX, victim.origin))
}

pub(crate) fn handshake_closed(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    relayed(Relay::closes_handshakes(usize::MAX, victim.origin))
}

pub(crate) fn handshake_silent(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    relayed(Relay::silent_handshakes(usize::MAX, victim.origin))
}

pub(crate) fn name_filter(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    let (address, kept) = servers::name_filter(victim.name, victim.origin);
    BrokenPath::at(address, kept)
}

fn certificate(scene: &Scene, victim: Victim, flaw: Flaw) -> BrokenPath {
    let leaf = scene.world.ca.leaf(&[victim.name], flaw);
    let (address, kept) = servers::origin(leaf.server_config(), Behaviour::Silent);
    BrokenPath::at(address, kept)
}

pub(crate) fn expired(scene: &Scene, _: &str, victim: Victim) -> BrokenPath {
    certificate(scene, victim, Flaw::Expired)
}

pub(crate) fn not_yet_valid(scene: &Scene, _: &str, victim: Victim) -> BrokenPath {
    certificate(scene, victim, Flaw::NotYetValid)
}

pub(crate) fn wrong_name(scene: &Scene, _: &str, victim: Victim) -> BrokenPath {
    certificate(scene, victim, Flaw::WrongName)
}

pub(crate) fn self_signed(scene: &Scene, _: &str, victim: Victim) -> BrokenPath {
    certificate(scene, victim, Flaw::SelfSigned)
}

pub(crate) fn middlebox(scene: &Scene, cell: &str, victim: Victim) -> BrokenPath {
    let ca = TestCa::named(scene.place(cell).join("middlebox"), "Office Inspection CA");
    let leaf = ca.leaf(&[victim.name], Flaw::None);
    let (address, kept) = servers::origin(leaf.server_config(), Behaviour::Silent);
    BrokenPath::at(address, kept)
}

pub(crate) fn legacy(scene: &Scene, cell: &str, victim: Victim) -> BrokenPath {
    let leaf = scene.world.ca.leaf(&[victim.name], Flaw::None);
    let files = scene.world.ca.files(cell, &leaf);
    let (address, kept) = servers::legacy(&scene.place(cell), &files.both);
    BrokenPath::at(address, kept)
}

pub(crate) fn client_certificate(scene: &Scene, _: &str, victim: Victim) -> BrokenPath {
    let leaf = scene.world.ca.leaf(&[victim.name], Flaw::None);
    let config = scene.world.ca.verifies_clients(&leaf);
    let (address, kept) = servers::origin(config, Behaviour::Silent);
    BrokenPath::at(address, kept)
}

pub(crate) fn hop_dead(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    let port = ClosedPort::new();
    BrokenPath::by_hop(victim, format!("http://{}", port.address), port)
}

pub(crate) fn hop_unknown(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    BrokenPath::by_hop(victim, "http://proxy.nowhere.invalid:3128".into(), ())
}

fn scripted(victim: Victim, hop: Hop) -> BrokenPath {
    BrokenPath::by_hop(victim, hop.url.clone(), hop)
}

pub(crate) fn hop_silent(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    scripted(victim, Hop::silent())
}

pub(crate) fn hop_407(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    scripted(victim, Hop::answers_407())
}

pub(crate) fn hop_403(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    scripted(victim, Hop::answers_403())
}

pub(crate) fn hop_502(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    scripted(victim, Hop::answers_502())
}

/// The relay takes the handshake and nothing of the request, and its window closes.
pub(crate) fn frozen_at_zero(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    relayed(Relay::holds_after_on(
        servers::narrow(),
        1_500,
        victim.origin,
    ))
}

pub(crate) fn frozen_midway(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    relayed(Relay::holds_after_on(
        servers::narrow(),
        300_000,
        victim.origin,
    ))
}

pub(crate) fn reset_midway(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    // Narrow: else all of hf's small file is in the sockets' buffers by then, and the answer is awaited.
    relayed(Relay::resets_after_on(
        servers::narrow(),
        300_000,
        victim.origin,
    ))
}

/// Slow enough that the client can be ended in its middle.
pub(crate) fn slow(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    relayed(Relay::trickles_on(
        servers::narrow(),
        2_000_000,
        victim.origin,
    ))
}

/// The spool is on a file system of a megabyte.
pub(crate) fn full_disk(scene: &Scene, cell: &str, victim: Victim) -> BrokenPath {
    let disk = SmallDisk::at(&scene.place(cell).join("ferry/state/spool"));
    BrokenPath {
        sections: "[replay]\nmemory = \"0 B\"\nspool = \"1 GiB\"".into(),
        ..BrokenPath::at(victim.origin, disk)
    }
}

/// The upload is passed on and the answer is not.
pub(crate) fn answer_held(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    relayed(Relay::holds_answers_after(100_000, victim.origin))
}

fn origin_that(scene: &Scene, victim: Victim, part: Behaviour) -> BrokenPath {
    let leaf = scene.world.ca.leaf(&[victim.name], Flaw::None);
    let (address, kept) = servers::origin(leaf.server_config(), part);
    BrokenPath::at(address, kept)
}

pub(crate) fn never_answers(scene: &Scene, _: &str, victim: Victim) -> BrokenPath {
    origin_that(scene, victim, Behaviour::Silent)
}

/// No `ETag`: nobody can go on where it broke off.
const LONG: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 900000\r\n\r\n";

pub(crate) fn answer_stops(scene: &Scene, _: &str, victim: Victim) -> BrokenPath {
    origin_that(scene, victim, Behaviour::Stops(LONG))
}

pub(crate) fn answer_cut(scene: &Scene, _: &str, victim: Victim) -> BrokenPath {
    origin_that(scene, victim, Behaviour::Cuts(LONG))
}

pub(crate) fn answer_reset(scene: &Scene, _: &str, victim: Victim) -> BrokenPath {
    origin_that(scene, victim, Behaviour::Resets(LONG))
}

macro_rules! answers {
    ($($name:ident: $line:literal;)*) => {
        $(pub(crate) fn $name(scene: &Scene, _: &str, victim: Victim) -> BrokenPath {
            origin_that(scene, victim, Behaviour::Answers(concat!(
                "HTTP/1.1 ", $line, "\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n"
            )))
        })*
    };
}

answers! {
    says_401: "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"truth\"";
    says_403: "403 Forbidden";
    says_404: "404 Not Found";
    says_413: "413 Content Too Large";
    says_429: "429 Too Many Requests\r\nRetry-After: 1";
    says_500: "500 Internal Server Error";
    says_503: "503 Service Unavailable";
}

pub(crate) fn garbage(_: &Scene, _: &str, victim: Victim) -> BrokenPath {
    relayed(Relay::garbage(victim.origin))
}

pub(crate) fn portal(_: &Scene, _: &str, _: Victim) -> BrokenPath {
    let (address, kept) = servers::plain(Behaviour::Answers(
        "HTTP/1.1 302 Found\r\nLocation: http://login.portal.test/\r\nContent-Length: 0\r\n\r\n",
    ));
    BrokenPath::at(address, kept)
}
