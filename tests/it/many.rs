//! Thousands of idle tunnels: the daemon's own pages do not grow with them.
//!
//! `GITFERRY_TUNNELS=9500 cargo test --test it many -- --nocapture` prints the figures of `tests/bench/README.md`.

use std::{env, fmt, fs, time::Duration};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

use crate::world::{Client, Run, World, route};

/// Tunnels without which nothing is compared.
const FEW: usize = 200;
const MANY: usize = 1500;
/// Slots that one user must leave to others, and those of the pages.
const RESERVE: usize = 100;
/// Requests whose cost is measured together.
const ASKS: u32 = 20;

/// The pages that people and programs poll.
const PAGES: &[&str] = &[
    "/-/",
    "/-/metrics",
    "/-/api/overview",
    "/-/api/transfers",
    "/-/api/history",
    "/-/api/upstreams",
];

/// The cost of one response.
#[derive(Clone, Copy)]
struct Cost {
    bytes: usize,
    took: Duration,
    /// Time of the daemon on a processor.
    cpu: Duration,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, took, cpu } = self;
        write!(f, "{bytes} bytes in {took:?}, {cpu:?} of a processor")
    }
}

/// Raises the limit of descriptors to the hard one; how many tunnels that allows, here and in the daemon.
fn possible() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    usize::try_from(hard).unwrap().saturating_sub(1000) / 2
}

/// The time that the daemon's threads were on a processor.
fn cpu(world: &World) -> Duration {
    let threads = fs::read_dir(world.proc("task")).unwrap();
    let of_thread = |thread: std::io::Result<fs::DirEntry>| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.filter_map(of_thread).sum::<u64>())
}

/// Opens tunnels until there are `count`.
async fn fill(world: &World, tunnels: &mut Vec<Client>, count: usize) {
    while tunnels.len() < count {
        let mut opening = JoinSet::new();
        for _ in 0..(count - tunnels.len()).min(16) {
            let address = world.address;
            opening.spawn(async move {
                let mut client = Client::to(address).await;
                let request = "CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n";
                client.send(request).await;
                let head = client.head().await;
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                client
            });
        }
        while let Some(opened) = opening.join_next().await {
            tunnels.push(opened.unwrap());
        }
    }
}

async fn cost(world: &World, path: &str) -> Cost {
    world.page(path).await;
    let (begun, before) = (Instant::now(), cpu(world));
    let mut bytes = 0;
    for _ in 0..ASKS {
        bytes = world.page(path).await.len();
    }
    Cost {
        bytes,
        took: begun.elapsed() / ASKS,
        cpu: (cpu(world) - before) / ASKS,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_about_thousands_of_idle_tunnels_are_as_long_as_those_about_hundreds() {
    let wanted = env::var("GITFERRY_TUNNELS").ok();
    let many = wanted.as_ref().map_or(MANY, |count| count.parse().unwrap());
    let many = many.min(possible());
    assert!(many > FEW * 2, "the descriptor limit allows {many} tunnels");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let listen = format!("max_connections = {}", many + RESERVE);
    let routes = route("origin.test", origin, "tunnel", "");
    let mut world = World::run(Run::Binary, &listen, &routes).await;
    let mut tunnels = Vec::new();
    let mut costs = Vec::new();
    for count in [FEW, many] {
        soon_or_later(fill(&world, &mut tunnels, count)).await;
        let mut row = Vec::new();
        for path in PAGES {
            row.push(cost(&world, path).await);
        }
        costs.push(row);
        if wanted.is_some() {
            watch(&world, count).await;
        }
    }
    let (few, all) = (&costs[0], &costs[1]);
    // The grace is 30 s.
    let begun = Instant::now();
    let ended = world.terminate_within(Duration::from_secs(20));
    assert!(ended.success(), "{ended}");
    println!(
        "{many} tunnels, SIGTERM: the daemon ended after {:?}",
        begun.elapsed()
    );
    for (path, (few, all)) in PAGES.iter().zip(few.iter().zip(all)) {
        println!("{path}: {FEW} tunnels {few}; {many} tunnels {all}");
        assert!(all.bytes < few.bytes * 3 / 2, "{path} grows");
    }
}

/// Prints what an open status page and `gitferry status` cost.
async fn watch(world: &World, count: usize) {
    const SECONDS: u32 = 10;
    let busy = async || {
        let before = cpu(world);
        tokio::time::sleep(Duration::from_secs(SECONDS.into())).await;
        (cpu(world) - before) / SECONDS
    };
    let alone = busy().await;
    let mut page = world
        .sends("GET /-/api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    page.head().await;
    tokio::spawn(async move { page.rest().await });
    let watched = busy().await;
    println!("{count} tunnels, processor time a second: {alone:?}, with an open page {watched:?}");
    let begun = Instant::now();
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_gitferry"))
        .args(["status", "--address", &world.address.to_string()])
        .output()
        .unwrap();
    assert!(status.status.success());
    println!("{count} tunnels, `gitferry status`: {:?}", begun.elapsed());
}

/// Thousands of tunnels take longer than one step of a test.
async fn soon_or_later(filling: impl Future<Output = ()>) {
    let limit = Duration::from_secs(300);
    tokio::time::timeout(limit, filling).await.unwrap();
}
