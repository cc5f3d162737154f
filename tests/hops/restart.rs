//! The only hop restarts while git waits for it.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    ferry::{Ferry, SOON},
    hop::Hop,
    process::{free_address, wait_until},
    world::{MAIN, World},
};

/// The faults of this level.
fn faults(ferry: &Ferry, level: &str) -> Vec<Value> {
    let faults = ferry.events("fault").into_iter();
    faults.filter(|fault| fault["level"] == level).collect()
}

#[test]
fn a_hop_that_restarts_is_waited_for_with_few_warnings_and_one_line_when_it_is_back() {
    let world = World::new();
    world.host.repository("hops");
    let (dir, address) = (world.path("hop"), free_address());
    let settings = world
        .settings()
        .hop_without_credentials("far", &format!("http://{address}"))
        .route(MAIN, "terminate", &["far"], world.host.https);
    let hop = Hop::open(&dir, address);
    let mut ferry = Ferry::start(&settings);
    let git = world.git_through(&ferry);
    let asked = ["ls-remote", "https://main.test/hops.git"];
    git.run(world.root(), &asked).well();
    // Its connections end with it.
    drop(hop);
    let waiting = git.start(world.root(), &asked);
    let repeated = || faults(&ferry, "debug").len();
    assert!(wait_until(SOON, || repeated() >= 3), "{}", ferry.log());
    let back = Hop::open(&dir, address);
    waiting.finish(Duration::from_secs(60)).well();
    let event = ferry.wait_for_event("upstream reachable again");
    assert_eq!(event["level"], "info", "{event}");
    assert_eq!(event["upstream"], "far", "{event}");
    assert!(event["away_ms"].as_u64() > Some(500), "{event}");
    assert_eq!(
        ferry.wait_for_events("upstream reachable again", 1).len(),
        1
    );
    let warned = faults(&ferry, "warn").len();
    assert!(
        (1..=4).contains(&warned),
        "{warned} warnings:\n{}",
        ferry.log()
    );
    drop(back);
}

#[test]
fn a_hop_that_does_not_come_back_is_given_up_with_the_reason() {
    let world = World::new();
    world.host.repository("hops");
    let (dir, address) = (world.path("hop"), free_address());
    let settings = world
        .settings()
        .dial("patience = \"3s\"")
        .hop_without_credentials("far", &format!("http://{address}"))
        .route(MAIN, "terminate", &["far"], world.host.https);
    let hop = Hop::open(&dir, address);
    let ferry = Ferry::start(&settings);
    let git = world.git_through(&ferry);
    let asked = ["ls-remote", "https://main.test/hops.git"];
    git.run(world.root(), &asked).well();
    drop(hop);
    git.run(world.root(), &asked).badly();
    let warned = faults(&ferry, "warn");
    let last = warned.last().unwrap();
    assert_eq!(last["next"], "give-up", "{last}");
    assert_eq!(last["code"], "hop/connecting/refused", "{last}");
    assert!(warned.len() <= 5, "{warned:#?}");
    assert!(!faults(&ferry, "debug").is_empty());
}
