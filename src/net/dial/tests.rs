//! Dialling over loopback: every failure of a hop, and bytes that arrive early.

mod direct;
mod http;
mod socks;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{trail::EMPTY_TRAIL, *};
use crate::{
    config::{Environment, GrantedTargets, Hop, HopKind, Override, PeerTls, Route},
    model::{FaultKind, Host, Leg, Secret, Stage, secret::Credentials},
    tls::{Connector, testing::ExternalCa},
};

const DEADLINE: Duration = Duration::from_secs(10);
const BANNER: &str = "SSH-2.0-OpenSSH_9.2\r\n";

fn route() -> Route {
    let parsed = crate::config::parsed(
        "[dial]\nconnect_timeout = \"10s\"\ngreet_timeout = \"10s\"\nhandshake_timeout = \"10s\"\n\
         attempts = 1\nbackoff = \"0s\"\nbackoff_limit = \"0s\"\ncooldown = \"0s\"\n\
         [[route]]\nname = \"test\"\nhosts = [\"test.example\"]\ntls = \"tunnel\"\n\
         upstreams = [{ via = \"direct\" }]\n",
    );
    Arc::into_inner(parsed.routes.into_iter().next().unwrap()).unwrap()
}

fn overriding(host: &str, addresses: &[SocketAddr]) -> Route {
    let over = |address: &SocketAddr| Override {
        ip: address.ip(),
        port: Some(address.port()),
    };
    let mut route = route();
    let overrides = addresses.iter().map(over).collect();
    route.resolve.insert(host.parse().unwrap(), overrides);
    route
}

fn hop(kind: HopKind, address: SocketAddr, with_credentials: bool) -> Via {
    let mut hop = plain_hop(kind, address);
    hop.credentials = with_credentials.then(|| Credentials {
        username: "me".into(),
        password: Secret::new("hunter2"),
    });
    Via::Hop(Arc::new(hop))
}

fn plain_hop(kind: HopKind, address: SocketAddr) -> Hop {
    Hop {
        name: "office".into(),
        kind,
        target: Target::new(Host::Ip(address.ip()), address.port()),
        credentials: None,
        via: true,
        pipeline: false,
        peer: PeerTls::default(),
        granted: GrantedTargets::default(),
    }
}

/// Dials and returns the stages it went through.
async fn dial_as(
    via: &Via,
    target: &str,
    scheme: Scheme,
    route: &Route,
) -> (Result<DialledConnection, Fault>, Vec<Stage>) {
    dial_target(via, &Target::parse(target, None).unwrap(), scheme, route).await
}

async fn dial_target(
    via: &Via,
    target: &Target,
    scheme: Scheme,
    route: &Route,
) -> (Result<DialledConnection, Fault>, Vec<Stage>) {
    dial_trusting(&ExternalCa::new(), via, (target, scheme), route).await
}

/// The same, trusting the CA of `world`.
async fn dial_trusting(
    world: &ExternalCa,
    via: &Via,
    (target, scheme): (&Target, Scheme),
    route: &Route,
) -> (Result<DialledConnection, Fault>, Vec<Stage>) {
    let connector = Connector::new(&world.roots(), []).unwrap();
    dial_with(&connector, via, (target, scheme), route).await
}

async fn dial_with(
    connector: &Connector,
    via: &Via,
    (target, scheme): (&Target, Scheme),
    route: &Route,
) -> (Result<DialledConnection, Fault>, Vec<Stage>) {
    let stages = Mutex::new(Vec::new());
    let attempt = DialRequest {
        target,
        scheme,
        route,
        progress: &|stage| stages.lock().unwrap().push(stage),
        connector,
        public_only: None,
        trail: &EMPTY_TRAIL,
        max_segment: route.dial.max_segment,
    };
    let result = timeout(DEADLINE, dial(via, &attempt)).await.unwrap();
    (result, stages.into_inner().unwrap())
}

async fn tunnel(via: &Via, target: &str, route: &Route) -> Result<DialledConnection, Fault> {
    dial_as(via, target, Scheme::Https, route).await.0
}

/// A step of a test hop with its one client.
#[derive(Clone)]
enum HopBehaviour {
    /// Reads this many bytes.
    Read(usize),
    /// Reads up to the end of a head.
    ReadHead,
    /// Writes.
    Write(Vec<u8>),
    /// Makes the close a reset.
    Reset,
    /// Keeps the connection open until the test ends.
    Stay,
}

struct TestHop {
    address: SocketAddr,
    /// What it received.
    received: Arc<Mutex<String>>,
    _runtime: tokio::task::JoinSet<()>,
}

impl TestHop {
    fn received(&self) -> String {
        self.received.lock().unwrap().clone()
    }
}

/// A server that plays the script for each client, then closes.
async fn play(scripts: Vec<Vec<HopBehaviour>>) -> TestHop {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Arc::new(Mutex::new(String::new()));
    let mut runtime = tokio::task::JoinSet::new();
    let log = Arc::clone(&received);
    runtime.spawn(async move {
        for script in scripts {
            let (mut socket, _) = listener.accept().await.unwrap();
            for act in script {
                perform(act, &mut socket, &log).await;
            }
        }
    });
    TestHop {
        address,
        received,
        _runtime: runtime,
    }
}

async fn perform(act: HopBehaviour, socket: &mut TcpStream, received: &Mutex<String>) {
    match act {
        HopBehaviour::Read(count) => {
            let mut bytes = vec![0; count];
            socket.read_exact(&mut bytes).await.unwrap();
            let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
            received.lock().unwrap().push_str(&text);
        }
        HopBehaviour::ReadHead => {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            received
                .lock()
                .unwrap()
                .push_str(&String::from_utf8(head).unwrap());
        }
        HopBehaviour::Write(bytes) => socket.write_all(&bytes).await.unwrap(),
        HopBehaviour::Reset => socket2::SockRef::from(&*socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap(),
        HopBehaviour::Stay => std::future::pending().await,
    }
}

async fn hop_answering(text: &str) -> TestHop {
    let reply = HopBehaviour::Write(text.as_bytes().to_vec());
    play(vec![vec![
        HopBehaviour::ReadHead,
        reply,
        HopBehaviour::Stay,
    ]])
    .await
}

async fn read(connection: &mut DialledConnection, count: usize) -> String {
    let mut bytes = vec![0; count];
    let read = connection.io.read_exact(&mut bytes);
    timeout(DEADLINE, read).await.unwrap().unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A port without a listener, reserved as long as the socket lives.
fn closed_port() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 2], 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A name that is refused without a look-up, so that no test leaves the machine.
fn invalid_name() -> Target {
    Target::new(Host::Name("git\0ferry.invalid".into()), 443)
}

/// A hop that grants a host once, and then plays `breaks` and resets or closes: the fault is its own, and its protocol is not probed.
async fn grants_and_then_breaks(
    kind: HopKind,
    grants: impl Fn() -> Vec<HopBehaviour>,
    breaks: impl Fn() -> Vec<HopBehaviour>,
) {
    for (end, fault_kind) in [
        (Some(HopBehaviour::Reset), FaultKind::Reset),
        (None, FaultKind::ClosedEarly),
    ] {
        let breaks = breaks().into_iter().chain(end).collect();
        let peer = play(vec![grants(), breaks]).await;
        let (via, route) = (hop(kind, peer.address, false), route());
        tunnel(&via, "hf.co:443", &route).await.unwrap();
        let begun = tokio::time::Instant::now();
        let fault = err(tunnel(&via, "hf.co:443", &route).await);
        assert_eq!((fault.leg, fault.kind), (Leg::Hop, fault_kind));
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "its protocol was probed"
        );
    }
}

fn err(result: Result<DialledConnection, Fault>) -> Fault {
    match result {
        Ok(connection) => panic!("connected to {}", connection.peer),
        Err(fault) => fault,
    }
}
