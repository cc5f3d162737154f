//! The README's table: how long git-lfs alone takes to give up on the paths that bring users here, and what becomes of the same push
//! through gitferry on its default limits.
//!
//! A measurement, not a promise: `cargo test --test stall -- --ignored --nocapture --test-threads 8 table`.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{
    client::write_noise,
    ferry::Ferry,
    relay::Relay,
    world::{MAIN, STORAGE, World},
};

/// Longer than git-lfs ever tried here.
const VERY_LONG: Duration = Duration::from_secs(580);
/// CONNECT and the handshake are let through, the request is not.
const AT_ZERO: usize = 1_500;

/// One push; the way to the storage leads through a hop whose own path has a fault, and, with gitferry, another way stands behind it.
fn push(name: &str, size: u64, holds_after: usize, alone: bool) {
    let world = World::new();
    let office = world.hop("http");
    let hop = office.url.trim_start_matches("http://").parse().unwrap();
    let path = Relay::holds_after(holds_after, hop);
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
    let trusted = world.path("both.pem");
    let both =
        [ferry.bundle(), world.ca.pem_file()].map(|file| std::fs::read_to_string(file).unwrap());
    std::fs::write(&trusted, both.concat()).unwrap();
    let git = world.git_through(&ferry).with("http.sslCAInfo", &trusted);
    world.host.repository("lfs");
    let work = git.work(world.path("work"), "https://main.test/lfs.git");
    work.track_lfs();
    write_noise(&work.path().join("0.bin"), size);
    work.commit_all();
    let begun = Instant::now();
    let ended = work.start(&["push", "origin", "main"]).finish(VERY_LONG);
    let last = ended
        .stderr
        .lines()
        .rfind(|line| !line.starts_with("error: failed to push"))
        .unwrap_or_default();
    println!(
        "| {name} | {} | {:.0} s | {} | {last} | faults {:?}",
        if alone { "git-lfs alone" } else { "gitferry" },
        begun.elapsed().as_secs_f64(),
        ended.status,
        ferry.faults(),
    );
    assert_eq!(ended.status.success(), !alone, "{ended}");
    assert_eq!(world.lfs.objects().len(), usize::from(!alone));
}

macro_rules! rows {
    ($($alone:ident, $through:ident: $name:literal, $size:expr, $after:expr;)*) => {
        $(#[test]
        #[ignore = "a measurement for the README: git-lfs alone takes minutes to give up"]
        fn $alone() {
            push($name, $size, $after, true);
        }

        #[test]
        #[ignore = "a measurement for the README"]
        fn $through() {
            push($name, $size, $after, false);
        }
        )*
    };
}

rows! {
    frozen_at_zero_alone, frozen_at_zero: "upload frozen at 0", 20_000_000, AT_ZERO;
    never_answered_alone, never_answered: "request whole, never answered", 150_000, 70_000;
    frozen_in_the_middle_alone, frozen_in_the_middle: "upload frozen at byte 9,000,000", 40_000_000, 9_000_000;
}
