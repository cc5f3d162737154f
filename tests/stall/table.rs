//! The table of tests/bench/README.md: how long git-lfs alone takes to give up on the paths that bring users here, and what becomes of the same push
//! through gitferry on its default limits.
//!
//! A measurement, not a promise: `cargo test --test stall -- --ignored --nocapture --test-threads 8 table`.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{
    client::{Git, write_noise},
    ferry::Ferry,
    hop::Hop,
    relay::Relay,
    world::{MAIN, STORAGE, World},
};

/// Longer than git-lfs ever tried here.
const VERY_LONG: Duration = Duration::from_secs(1200);
/// CONNECT and the handshake are let through, the request is not.
const AT_ZERO: usize = 1_500;

/// One push. The storage is reached through a hop whose own path has a fault; with gitferry there is another upstream.
fn push(name: &str, size: u64, holds_after: usize, alone: bool) {
    let world = World::new();
    let office = world.hop("http");
    let path = Relay::holds_after(holds_after, office.address());
    let broken = format!("http://{}", path.address);
    let settings = world.settings().hop("office", &broken).route(
        MAIN,
        "terminate",
        &["direct"],
        world.host.https,
    );
    // In a tunnel that nobody watches git-lfs meets the path as it is.
    let (tls, ways): (_, &[&str]) = if alone {
        ("tunnel", &["office"])
    } else {
        ("terminate", &["office", "direct"])
    };
    let action = if alone { "report" } else { "failover" };
    let ferry = Ferry::start(
        &settings
            .route(STORAGE, tls, ways, world.lfs.storage)
            .route_line(&format!("stall = {{ action = \"{action}\" }}")),
    );
    let git = through(&world, &ferry, alone);
    measured(name, &world, &git, &[size], alone);
    println!("|  | faults {:?}", ferry.fault_codes());
}

/// git, on its way through gitferry, or through a tunnel of it, in which the origin itself shows its certificate.
fn through(world: &World, ferry: &Ferry, tunnelled: bool) -> Git {
    match tunnelled {
        true => world
            .git_through(ferry)
            .with("http.sslCAInfo", world.ca.pem_file()),
        false => world.git_through(ferry),
    }
}

/// Pushes objects of these sizes, and prints how long it took and what git's last word was; alone it must not arrive whole.
fn measured(name: &str, world: &World, git: &Git, sizes: &[u64], alone: bool) {
    world.host.repository("lfs");
    let work = git.work(world.path("work"), "https://main.test/lfs.git");
    work.track_lfs();
    for (index, size) in sizes.iter().enumerate() {
        write_noise(&work.path().join(format!("{index}.bin")), *size);
    }
    work.commit_all();
    let begun = Instant::now();
    let ended = work.start(&["push", "origin", "main"]).finish(VERY_LONG);
    let last = ended
        .stderr
        .lines()
        .rfind(|line| !line.starts_with("error: failed to push"))
        .unwrap_or_default();
    println!(
        "| {name} | {} | {:.0} s | {} | {} of {} objects | {last}",
        if alone { "git-lfs alone" } else { "gitferry" },
        begun.elapsed().as_secs_f64(),
        ended.status,
        world.lfs.objects().len(),
        sizes.len(),
    );
    assert_eq!(ended.status.success(), !alone, "{ended}");
    assert_eq!(world.lfs.objects().len() == sizes.len(), !alone);
}

/// The main site is reached through the hop, the storage is not: the hop takes the request and never connects.
fn main_site_only(alone: bool) {
    let world = World::new();
    let hop = Hop::reaches_only(MAIN, world.host.https);
    let name = "a hop that reaches the main site only";
    if alone {
        let git = world.git().with("http.proxy", &hop.url);
        let git = git.with("http.sslCAInfo", world.ca.pem_file());
        return measured(name, &world, &git, &[100_000], alone);
    }
    let ways = ["office", "direct"];
    let settings = world.settings();
    let ferry = Ferry::start(
        &settings
            .hop_without_credentials("office", &hop.url)
            .route(MAIN, "terminate", &["office"], world.host.https)
            .route(STORAGE, "terminate", &ways, world.lfs.storage)
            .route_line("stall = { action = \"failover\" }"),
    );
    let git = through(&world, &ferry, false);
    measured(name, &world, &git, &[100_000], alone);
    println!("|  | faults {:?}", ferry.fault_codes());
}

/// The origin reads two uploads at a time, a megabyte a second each, and lets the others wait; git-lfs sends eight at once.
fn two_at_a_time(alone: bool) {
    let world = World::new();
    world.lfs.starves_beyond(2, 1_000_000);
    let tls = if alone { "tunnel" } else { "terminate" };
    let settings = world
        .settings()
        .route(MAIN, tls, &["direct"], world.host.https)
        .route(STORAGE, tls, &["direct"], world.lfs.storage);
    let ferry = Ferry::start(&match alone {
        true => settings,
        false => settings.route_line("uploads = { at_once = 2 }"),
    });
    let git = through(&world, &ferry, alone).with("lfs.concurrenttransfers", "8");
    let name = "an origin that serves two uploads at a time";
    measured(name, &world, &git, &[40_000_000; 40], alone);
    println!("|  | faults {:?}", ferry.fault_codes());
}

macro_rules! rows {
    ($($alone:ident, $through:ident: $push:expr;)*) => {
        $(#[test]
        #[ignore = "a measurement for tests/bench/README.md: git-lfs alone takes minutes to give up"]
        fn $alone() {
            $push(true);
        }

        #[test]
        #[ignore = "a measurement for tests/bench/README.md"]
        fn $through() {
            $push(false);
        }
        )*
    };
}

rows! {
    frozen_at_zero_alone, frozen_at_zero:
        (|alone| push("upload frozen at 0", 20_000_000, AT_ZERO, alone));
    never_answered_alone, never_answered:
        (|alone| push("request whole, never answered", 150_000, 70_000, alone));
    frozen_in_the_middle_alone, frozen_in_the_middle:
        (|alone| push("upload frozen at byte 9,000,000", 40_000_000, 9_000_000, alone));
    two_at_a_time_alone, two_at_a_time_through: two_at_a_time;
    main_site_only_alone, main_site_only_through: main_site_only;
}
