//! The peers, how each is started, and the bench they stand in.

mod connect_proxies;
mod gitferry;
mod haproxy;
mod mitmproxy;
mod nginx;

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use connect_proxies::{PRIVOXY, SQUID, TINYPROXY};

use crate::{
    Result,
    load::{Done, Order, Way, Work},
    origin::Ports,
    pki, proc,
    role::Actor,
};

/// A way to start a peer.
type Start = fn(&Site) -> Result<Peer>;

/// Every peer, in the order of the table's columns.
pub(crate) const PEERS: &[(&str, Start)] = &[
    ("gitferry", gitferry::start),
    (BEFORE, gitferry::start_before),
    ("HAProxy", haproxy::start),
    ("nginx", nginx::start),
    (MITMPROXY, mitmproxy::start),
    (SQUID, connect_proxies::squid),
    (TINYPROXY, connect_proxies::tinyproxy),
    (PRIVOXY, connect_proxies::privoxy),
];

/// Those that keep their uploads for a second attempt.
const REPLAYING: &[(&str, Start)] = &[
    ("gitferry", gitferry::start_replaying),
    (BEFORE, gitferry::start_before_replaying),
];

/// Another build of gitferry.
const BEFORE: &str = "before";
/// The one peer that no package of the system has.
const MITMPROXY: &str = "mitmproxy";

/// What a peer may take until it listens, and to end.
const READY: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// Where everything is.
pub(crate) struct Site {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) ports: Ports,
}

/// The origin, the load generator, and the peers that are compared.
pub(crate) struct Bench {
    pub(crate) peers: Vec<Peer>,
    /// Each build of gitferry once more, which keeps its uploads.
    pub(crate) replaying: Vec<Peer>,
    load: Actor,
    pub(crate) site: Site,
    _origin: Actor,
}

/// A running peer.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    child: Child,
    /// Client TLS, and TLS to the origin; without it the peer takes part in `new tunnels` alone.
    pub(crate) terminated: Option<Way>,
    /// Bytes as they come.
    pub(crate) tunnel: Way,
    /// Bytes as they come, with splice(2), where the peer has that as a choice.
    pub(crate) spliced: Option<Way>,
    /// It gets one so-manieth of the others' work.
    pub(crate) part: u64,
}

impl Bench {
    /// Starts them all; `only` names the peers that are wanted.
    pub(crate) fn start(only: Option<&str>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        pki::make(directory.path())?;
        let origin = Actor::start("origin", directory.path())?;
        let site = Site {
            ports: origin.answer()?,
            directory,
        };
        let wanted = |name: &str| match name {
            BEFORE => gitferry::before().is_some(),
            _ => only.is_none_or(|only| only.contains(name)) && is_installed(name),
        };
        let start = |all: &[(&str, Start)]| -> Result<Vec<Peer>> {
            let wanted = all.iter().filter(|(name, _)| wanted(name));
            wanted.map(|(_, start)| start(&site)).collect()
        };
        let (peers, replaying) = (start(PEERS)?, start(REPLAYING)?);
        Ok(Self {
            peers,
            replaying,
            load: Actor::start("load", site.directory.path())?,
            site,
            _origin: origin,
        })
    }

    /// The origin without anyone between, with TLS or without.
    pub(crate) fn direct(&self, tls: bool) -> Way {
        let Site { directory, ports } = &self.site;
        let port = if tls { ports.tls } else { ports.plain };
        Way {
            address: loopback(port),
            connect: None,
            roots: tls.then(|| vec![pki::authority(directory.path())]),
        }
    }

    /// Does `work` by `way`.
    pub(crate) fn work(&mut self, way: &Way, work: Work) -> Result<Done> {
        self.work_while(way, work, Duration::from_secs(1), || Ok(()))
    }

    /// Does `work` by `way`; `meanwhile` runs every `period`.
    pub(crate) fn work_while(
        &mut self,
        way: &Way,
        work: Work,
        period: Duration,
        meanwhile: impl FnMut() -> Result<()>,
    ) -> Result<Done> {
        let way = way.clone();
        self.load.order(&Order { way, work })?;
        let done: Done = self.load.answer_while(period, meanwhile)?;
        match done.error {
            Some(error) => Err(format!("{work:?}: {error}").into()),
            None => Ok(done),
        }
    }
}

impl Peer {
    /// Its process; the workers are its children.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        proc::terminate(self.pid());
        let ended = wait_until(READY, || !matches!(self.child.try_wait(), Ok(None)));
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// True where the peer can be run; says why where it cannot.
fn is_installed(name: &str) -> bool {
    let missing = match (name, connect_proxies::program_and_package(name)) {
        (MITMPROXY, _) => mitmproxy::installed()
            .err()
            .map(|error| format!("pip cannot install it: {error}")),
        (_, Some((program, package))) if !Path::new(program).exists() => {
            Some(format!("it is not installed: `apt-get install {package}`"))
        }
        _ => None,
    };
    if let Some(why) = &missing {
        eprintln!("{name} is left out, {why}");
    }
    missing.is_none()
}

fn wait_until(within: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if ready() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(LOOK);
    }
}

/// Starts `command` with its output in `log`, and waits until `ready`.
fn spawn(mut command: Command, log: &Path, mut ready: impl FnMut() -> bool) -> Result<Child> {
    let output = File::create(log)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let mut ended = false;
    let up = wait_until(READY, || {
        ended = !matches!(child.try_wait(), Ok(None));
        ended || ready()
    });
    if up && !ended {
        return Ok(child);
    }
    let _ = child.kill();
    let _ = child.wait();
    let said = fs::read_to_string(log).unwrap_or_default();
    let program = command.get_args().last().unwrap_or_default().display();
    Err(format!("the peer with {program} did not come up:\n{said}").into())
}

/// An address of loopback.
fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A port that was free a moment ago, for peers that cannot be asked which one they took.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(loopback(0))?.local_addr()?.port())
}

fn listens(port: u16) -> bool {
    TcpStream::connect(loopback(port)).is_ok()
}

/// A way for clients that connect to a port of the peer's as if it were the origin.
fn straight(port: u16, roots: Option<PathBuf>) -> Way {
    Way {
        address: loopback(port),
        connect: None,
        roots: roots.map(|root| vec![root]),
    }
}
