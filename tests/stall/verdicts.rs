//! Each of the seven verdicts, by the condition that it names. The route only reports stalls.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    network::Network,
    support::{
        client::{Git, PATIENCE, Work, write_noise},
        ferry::{Ferry, SOON},
        hop::Hop,
        process::{Running, wait_until},
        relay::Relay,
        settings::Settings,
        world::{MAIN, STORAGE, World},
    },
};

/// Limits that a test can wait for.
const QUICK: &str = "[stall]\naction = \"report\"\nafter = \"2s\"\nconnect_after = \"1s\"\nanswer_after = \"2s\"\nclient_after = \"2s\"\nfloor = \"0 B\"";

/// A work tree with one LFS object of `size` bytes, committed.
fn work(world: &World, git: &Git, size: u64) -> Work {
    world.host.repository("lfs");
    let work = git.work(world.path("work"), "https://main.test/lfs.git");
    work.track_lfs();
    write_noise(&work.path().join("object.bin"), size);
    work.commit_all();
    work
}

/// A route to the storage at `storage`, beside the main site.
fn settings(world: &World, storage: std::net::SocketAddr) -> Settings {
    world
        .settings()
        .section(QUICK)
        .route(MAIN, "terminate", &["direct"], world.host.https)
        .route(STORAGE, "terminate", &["direct"], storage)
}

struct Push {
    ferry: Ferry,
    client: Running,
    // The client works in it.
    _work: Work,
    // The path, where it is of this push alone.
    _relay: Option<Relay>,
}

/// git-lfs begins to push an object of `size` bytes.
fn push(world: &World, settings: &Settings, size: u64) -> Push {
    let ferry = Ferry::start(settings);
    let work = work(world, &world.git_through(&ferry), size);
    let client = work.start(&["push", "-q", "origin", "main"]);
    Push {
        ferry,
        client,
        _work: work,
        _relay: None,
    }
}

/// The first stall, which must have `verdict` and be reported at its limit or soon after it.
#[track_caller]
fn told(ferry: &mut Ferry, verdict: &str) -> Value {
    let stall = ferry.wait_for_event("stall");
    assert_eq!(stall["verdict"], verdict, "{stall:#}");
    let (idle, limit) = (stall["idle_ms"].as_u64(), stall["limit_ms"].as_u64());
    let (idle, limit) = (idle.unwrap(), limit.unwrap());
    // Two checks later on a machine that is idle, and by seconds on one that is not.
    assert!(limit <= idle && idle < limit + 5000, "{stall:#}");
    assert!(stall["advice"].as_str().unwrap().contains('`'), "{stall:#}");
    stall
}

#[test]
fn packets_that_get_lost_are_path_drops_and_the_main_site_is_said_to_work() {
    let world = World::new();
    let Some(network) = Network::new() else {
        return;
    };
    let (listener, far) = network.listen();
    let relay = Relay::holds_after_on(listener, 1 << 20, world.lfs.storage);
    let mut push = push(&world, &settings(&world, far), 50_000_000);
    assert!(wait_until(PATIENCE, || relay.held() == 1));
    network.cut();
    relay.release();
    let stall = told(&mut push.ferry, "path-drops");
    assert_eq!(
        (&stall["leg"], &stall["stage"]),
        (&"origin".into(), &"sending-body".into())
    );
    assert!(stall["retransmits"].as_u64() > Some(0), "{stall:#}");
    assert!(
        stall["acknowledged"].as_u64() < stall["written"].as_u64(),
        "{stall:#}"
    );
    assert!(
        stall["sibling"]
            .as_str()
            .unwrap()
            .starts_with("main works through direct"),
        "{stall:#}"
    );
    // It comes back, and the transfer with it: nobody ended it.
    network.mend();
    let over = push.ferry.wait_for_event("stall over");
    assert_eq!(over["id"], stall["id"]);
    push.client.finish(PATIENCE).well();
    assert_eq!(world.lfs.seen("PUT"), 1);
}

#[test]
fn a_path_that_drops_large_packets_is_path_mtu() {
    let world = World::new();
    let Some((_network, _relay, far)) = Network::losing_large_packets(world.lfs.storage) else {
        return;
    };
    let settings = settings(&world, far).dial("attempts = 1\nhandshake_timeout = \"4s\"");
    let mut push = push(&world, &settings, 1_000_000);
    let stall = told(&mut push.ferry, "path-mtu");
    assert!(
        stall["advice"].as_str().unwrap().contains("`max_segment`"),
        "{stall:#}"
    );
    push.client.vanish();
}

#[test]
fn a_server_that_stops_reading_is_peer_not_reading() {
    let world = World::new();
    let relay = Relay::holds_after(1 << 20, world.lfs.storage);
    let mut push = push(&world, &settings(&world, relay.address), 50_000_000);
    let stall = told(&mut push.ferry, "peer-not-reading");
    assert!(
        stall["window"].as_u64() < stall["mss"].as_u64(),
        "{stall:#}"
    );
    assert_eq!(stall["retransmits"], 0, "{stall:#}");
    let status = push.ferry.get("/-/status");
    assert!(
        status.contains("\"stall\": \"peer-not-reading\""),
        "{status}"
    );
    relay.release();
    push.ferry.wait_for_event("stall over");
    push.client.finish(PATIENCE).well();
    let metrics = push.ferry.get("/-/metrics");
    assert!(
        metrics.contains("gitferry_stalls_total{route=\"storage\",verdict=\"peer-not-reading\"} 1"),
        "{metrics}"
    );
}

#[test]
fn a_server_that_has_everything_and_says_nothing_is_no_answer() {
    let world = World::new();
    let relay = Relay::holds_answers_after(100_000, world.lfs.storage);
    let mut push = push(&world, &settings(&world, relay.address), 1_000_000);
    let stall = told(&mut push.ferry, "no-answer");
    assert_eq!(stall["stage"], "awaiting-head", "{stall:#}");
    assert_eq!(stall["acknowledged"], stall["written"], "{stall:#}");
    let goes_on = push.ferry.wait_for_event("stall goes on");
    assert!(goes_on["idle_ms"].as_u64() >= Some(4000), "{goes_on:#}");
    relay.release();
    push.client.finish(PATIENCE).well();
}

/// Ctrl-Z and `fg`, or a container that is paused: what did not move meanwhile was nobody's fault.
#[test]
fn a_daemon_that_was_stopped_calls_nobody_stalled() {
    let world = World::new();
    let relay = Relay::holds_answers_after(100_000, world.lfs.storage);
    let limit = Duration::from_secs(8);
    let line = "stall = { action = \"fail\", after = \"8s\", answer_after = \"8s\", client_after = \"8s\" }";
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], world.host.https)
        .route(STORAGE, "terminate", &["direct"], relay.address)
        .route_line(line);
    let push = push(&world, &settings, 1_000_000);
    let idle = || {
        let transfers = push.ferry.transfers().into_iter();
        let mut awaiting = transfers.filter(|transfer| transfer["stage"] == "awaiting-head");
        awaiting.find_map(|transfer| Some(Duration::from_millis(transfer["idle_ms"].as_u64()?)))
    };
    // A check a second has seen that it stands still.
    let seen = || idle().is_some_and(|idle| idle > Duration::from_millis(1200));
    assert!(wait_until(PATIENCE, seen));
    push.ferry.pause();
    let stopped = Instant::now();
    assert!(wait_until(PATIENCE, || stopped.elapsed() > limit));
    push.ferry.resume();
    // The first check after that leaves the lost time out.
    let leaves_it_out = || idle().is_some_and(|idle| idle < limit);
    assert!(wait_until(SOON, leaves_it_out), "{}", push.ferry.log());
    relay.release();
    push.client.finish(PATIENCE).well();
    push.ferry.wait_for_transfer(STORAGE, |_| true);
    assert_eq!(push.ferry.events("stall"), Vec::<Value>::new());
    assert_eq!(push.ferry.fault_codes(), Vec::<String>::new());
}

#[test]
fn a_client_that_stops_sending_is_client_idle() {
    let world = World::new();
    let relay = Relay::trickles(2_000_000, world.lfs.storage);
    let mut push = push(&world, &settings(&world, relay.address), 20_000_000);
    let uploads = || {
        let transfers = push.ferry.transfers();
        transfers
            .iter()
            .any(|transfer| transfer["up"].as_u64() > Some(1_000_000))
    };
    assert!(wait_until(PATIENCE, uploads));
    push.client.pause();
    let stall = told(&mut push.ferry, "client-idle");
    assert_eq!(stall["leg"], "client", "{stall:#}");
    // Nothing is done about it, whatever the route's action is.
    assert_eq!(stall["action"], "report", "{stall:#}");
    push.client.resume();
    push.ferry.wait_for_event("stall over");
    push.client.finish(PATIENCE).well();
}

#[test]
fn a_hop_that_takes_the_request_and_never_connects_is_never_connected() {
    let world = World::new();
    let hop = Hop::silent();
    let settings = world
        .settings()
        .section(QUICK)
        .dial("attempts = 1\ngreet_timeout = \"4s\"")
        .hop_without_credentials("office", &hop.url)
        .route(MAIN, "terminate", &["direct"], world.host.https)
        .route(STORAGE, "terminate", &["office"], world.lfs.storage);
    let mut push = push(&world, &settings, 1000);
    let stall = told(&mut push.ferry, "never-connected");
    assert_eq!(
        (&stall["leg"], &stall["stage"]),
        (&"hop".into(), &"greeting".into())
    );
    assert_eq!(stall["upstream"], "office");
    push.client.vanish();
}

/// A push of `size` bytes over a path of 40 kB/s.
fn slow_push(world: &World, floor: &str, size: u64) -> Push {
    let relay = Relay::trickles(40_000, world.lfs.storage);
    let line = format!("stall = {{ after = \"30s\", floor = \"{floor}\", floor_over = \"4s\" }}");
    let settings = settings(world, relay.address).route_line(&line);
    Push {
        _relay: Some(relay),
        ..push(world, &settings, size)
    }
}

#[test]
fn what_moves_below_the_floor_is_throttled_and_a_lower_floor_ends_the_warning() {
    let world = World::new();
    let mut push = slow_push(&world, "100 KiB", 20_000_000);
    let stall = push.ferry.wait_for_event("stall");
    assert_eq!(stall["verdict"], "throttled", "{stall:#}");
    let rate = stall["rate"].as_u64().unwrap();
    assert!((10_000..100_000).contains(&rate), "{stall:#}");
    let advice = stall["advice"].as_str().unwrap();
    assert!(advice.contains("lower `floor` of `stall`"), "{advice}");
    push.client.vanish();
    let world = World::new();
    let push = slow_push(&world, "1 KiB", 250_000);
    push.client.finish(PATIENCE).well();
    let ends = push.ferry.wait_for_transfer(STORAGE, |_| true);
    assert!(push.ferry.events("stall").is_empty(), "{ends:?}");
}

/// The same through an opaque tunnel, where nothing but the two sockets is known.
#[test]
fn an_opaque_tunnel_that_stands_still_is_reported_too() {
    let world = World::new();
    let relay = Relay::holds_after(1 << 20, world.lfs.storage);
    let settings = world
        .settings()
        .section(QUICK)
        .route(MAIN, "tunnel", &["direct"], world.host.https)
        .route(STORAGE, "tunnel", &["direct"], relay.address);
    let mut ferry = Ferry::start(&settings);
    let git = world.git_in_tunnels(&ferry);
    let work = work(&world, &git, 50_000_000);
    let client = work.start(&["push", "-q", "origin", "main"]);
    let stall = told(&mut ferry, "peer-not-reading");
    assert_eq!(
        (&stall["host"], &stall["stage"]),
        (&STORAGE.into(), &"receiving-body".into())
    );
    relay.release();
    client.finish(PATIENCE + Duration::from_secs(30)).well();
}
