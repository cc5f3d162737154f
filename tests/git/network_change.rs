//! The network changes (suspend, VPN, Wi-Fi): connections that were idle are dead in silence, new ones work.

use std::time::Duration;

use crate::support::{
    client::Git,
    ferry::{Ferry, SOON},
    process::wait_until,
    relay::Relay,
    world::{MAIN, World},
};

/// The kernel would retransmit for a quarter of an hour.
const SECONDS: Duration = Duration::from_secs(60);

/// Gets an idle connection, lets the network change, and does `work`, which must not take longer than seconds.
fn after_a_change(path: &Relay, ferry: &Ferry, idle: impl Fn(), work: impl Fn()) {
    let (held, died) = (path.held(), ferry.events("idle connection died").len());
    idle();
    path.changes_network();
    assert!(wait_until(SOON, || path.held() > held), "{}", ferry.log());
    let began = tokio::time::Instant::now();
    work();
    let took = began.elapsed();
    assert!(took < SECONDS, "{took:?}\n{}", ferry.log());
    let events = ferry.events("idle connection died");
    assert!(events.len() > died, "{}", ferry.log());
    for event in &events {
        assert_eq!(event["reused"], true, "{event}");
        let code = event["code"].as_str().unwrap();
        assert!(code.ends_with("/stale-connection"), "{event}");
    }
    // Nothing is advised that would not help.
    assert_eq!(ferry.fault_codes(), [""; 0]);
}

fn git_goes_on(world: &World, path: &Relay, ferry: &Ferry, git: &Git, work: &str) {
    let work = git.work(world.path(work), &format!("https://{MAIN}/change.git"));
    work.commit("first", 100_000);
    work.git(&["push", "-q", "-f", "origin", "main"]).well();
    let list = || drop(work.git(&["ls-remote", "-q", "origin"]).well());
    after_a_change(path, ferry, list, list);
    work.commit("second", 100_000);
    let push = || drop(work.git(&["push", "-q", "origin", "main"]).well());
    after_a_change(path, ferry, list, push);
}

#[test]
fn ls_remote_and_push_take_seconds_after_the_network_changed() {
    let world = World::new();
    world.host.repository("change");
    let path = Relay::forgets(world.host.https);
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], path.address);
    let ferry = Ferry::start(&settings);
    let git = world.git_through(&ferry);
    git_goes_on(&world, &path, &ferry, &git, "work");
}

#[test]
fn ls_remote_and_push_take_seconds_after_the_network_before_a_hop_changed() {
    let world = World::new();
    world.host.repository("change");
    let hop = world.hop("http");
    let path = Relay::forgets(hop.address());
    let settings = world
        .settings()
        .hop("office", &format!("http://{}", path.address))
        .route(MAIN, "terminate", &["office"], world.host.https);
    let ferry = Ferry::start(&settings);
    let git = world.git_through(&ferry);
    git_goes_on(&world, &path, &ferry, &git, "work");
}
