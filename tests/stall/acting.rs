//! What is done about a stall, and what keeps a client waiting that has no reason to go: git-lfs with its own settings.

use std::{net::SocketAddr, time::Duration};

use tokio::time::Instant;

use crate::{
    network::Network,
    support::{
        client::{Git, PATIENCE, Work, write_noise},
        ferry::Ferry,
        process::wait_until,
        relay::Relay,
        settings::Settings,
        world::{STORAGE, World},
    },
};

pub(crate) const QUICK: &str = "[stall]\nafter = \"2s\"\nanswer_after = \"2s\"\nfloor = \"0 B\"";

pub(crate) fn work(world: &World, git: &Git, sizes: &[u64]) -> Work {
    world.host.repository("lfs");
    let work = git.work(world.path("work"), "https://main.test/lfs.git");
    work.track_lfs();
    for (number, size) in sizes.iter().enumerate() {
        write_noise(&work.path().join(format!("{number}.bin")), *size);
    }
    work.commit_all();
    work
}

pub(crate) fn settings(
    world: &World,
    upstreams: &[&str],
    storage: std::net::SocketAddr,
) -> Settings {
    world.settings_to_storage(upstreams, storage)
}

/// A daemon that ends a stalled upload to `storage` at its limit, and a git-lfs that does not try again.
pub(crate) fn ends_stalls(world: &World, storage: SocketAddr) -> (Ferry, Git) {
    let settings = settings(world, &["direct"], storage)
        .section(QUICK)
        .dial("attempts = 1")
        .route_line("stall = { action = \"fail\" }");
    let ferry = Ferry::start(&settings);
    let git = world
        .git_through(&ferry)
        .with("lfs.transfer.maxretries", "1");
    (ferry, git)
}

/// Situation: POST to the storage never answered; here the PUT, which is what git-lfs sends there.
#[test]
fn a_storage_that_never_answers_fails_the_push_with_its_leg_and_reason_in_the_terminal() {
    let world = World::new();
    // The kernel of its machine takes all of it; the server never reads the rest.
    let relay = Relay::holds_after(70_000, world.lfs.storage);
    let (_ferry, git) = ends_stalls(&world, relay.address);
    let work = work(&world, &git, &[150_000]);
    let push = work.git(&["push", "origin", "main"]).badly();
    assert!(
        push.stderr
            .contains("origin/awaiting-head/stalled-no-answer"),
        "{}",
        push.stderr
    );
    assert!(push.stderr.contains("answer_after"), "{}", push.stderr);
    // git-lfs gives up by itself after 30 s, and says this.
    assert!(!push.stderr.contains("i/o timeout"), "{}", push.stderr);
}

/// Situation: upload frozen in the middle; answered while git-lfs still has most of the body to send.
#[test]
fn an_upload_that_freezes_fails_in_words_although_most_of_it_was_not_read() {
    let world = World::new();
    let relay = Relay::holds_after(1 << 20, world.lfs.storage);
    let settings = settings(&world, &["direct"], relay.address)
        .section(QUICK)
        .dial("attempts = 1")
        .route_line("replay = false")
        .route_line("stall = { action = \"fail\" }");
    let ferry = Ferry::start(&settings);
    let git = world
        .git_through(&ferry)
        .with("lfs.transfer.maxretries", "1");
    let work = work(&world, &git, &[60_000_000]);
    let push = work.git(&["push", "origin", "main"]).badly();
    assert!(
        push.stderr
            .contains("origin/sending-body/stalled-peer-not-reading"),
        "{}",
        push.stderr
    );
}

/// Situation: upload frozen at byte B on one way, and another way is configured: the client sees one healthy upload.
#[test]
fn an_upload_that_freezes_goes_on_over_the_next_upstream_and_the_client_sees_nothing() {
    let world = World::new();
    let Some(network) = Network::new() else {
        return;
    };
    let (listener, far) = network.listen();
    let relay = Relay::holds_after_on(listener, 1 << 20, world.lfs.storage);
    let hop = world.hop("http");
    let settings = settings(&world, &["direct", "office"], far)
        .section(QUICK)
        .hop("office", &hop.url)
        .route_line("stall = { action = \"failover\" }");
    let ferry = Ferry::start(&settings);
    let git = world.git_through(&ferry);
    let work = work(&world, &git, &[20_000_000]);
    let client = work.start(&["push", "-q", "origin", "main"]);
    assert!(wait_until(PATIENCE, || relay.held() == 1));
    // From here on the relay's first connection stands still; the hop's is let through.
    assert!(wait_until(PATIENCE, || !ferry.faults().is_empty()));
    relay.release();
    client.finish(PATIENCE).well();
    assert_eq!(world.lfs.objects().len(), 1);
    assert_eq!(
        ferry.fault_codes(),
        ["origin/sending-body/stalled-peer-not-reading"]
    );
    assert_eq!(world.lfs.seen("batch"), 1, "git-lfs tried again by itself");
    let put = ferry.wait_for_transfer(STORAGE, |event| event["method"] == "PUT");
    assert_eq!(
        (&put["attempts"], &put["upstream"]),
        (&2.into(), &"office".into()),
        "{put:#}"
    );
}

/// git-lfs gives up after 30 s without a byte.
#[test]
fn an_origin_that_takes_ninety_seconds_to_answer_is_waited_for_by_git_lfs() {
    let world = World::new();
    let relay = Relay::holds_answers_after(100_000, world.lfs.storage);
    let ferry = Ferry::start(&settings(&world, &["direct"], relay.address));
    let work = work(&world, &world.git_through(&ferry), &[1_000_000]);
    let client = work.start(&["push", "-q", "origin", "main"]);
    let begun = Instant::now();
    assert!(wait_until(PATIENCE, || begun.elapsed() >= Duration::from_secs(90)));
    relay.release();
    client.finish(PATIENCE).well();
    assert_eq!(world.lfs.seen("PUT"), 1);
    assert!(
        ferry
            .wait_for_events("interim response sent to the client", 3)
            .len()
            >= 3
    );
}

/// 7 MB at 80 kB/s: much of it waits in buffers, long written by git-lfs.
#[test]
fn a_healthy_upload_at_eighty_kilobytes_a_second_succeeds() {
    let world = World::new();
    let relay = Relay::trickles(80_000, world.lfs.storage);
    let ferry = Ferry::start(&settings(&world, &["direct"], relay.address));
    let work = work(&world, &world.git_through(&ferry), &[7_000_000]);
    let begun = Instant::now();
    work.git(&["push", "-q", "origin", "main"]).well();
    println!("took {:?}", begun.elapsed());
    assert_eq!(world.lfs.seen("PUT"), 1);
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}

/// Situation: many objects through an origin that serves two uploads at a time.
#[test]
fn uploads_at_once_are_limited_and_those_that_wait_are_queued() {
    let world = World::new();
    let relay = Relay::trickles(400_000, world.lfs.storage);
    let settings =
        settings(&world, &["direct"], relay.address).route_line("uploads = { at_once = 2 }");
    let ferry = Ferry::start(&settings);
    let git = world
        .git_through(&ferry)
        .with("lfs.concurrenttransfers", "8");
    let work = work(&world, &git, &[300_000; 8]);
    let mut client = work.start(&["push", "-q", "origin", "main"]);
    let (mut most, mut queued) = (0, 0);
    assert!(wait_until(PATIENCE, || {
        let transfers = ferry.transfers();
        let uploads = transfers
            .iter()
            .filter(|transfer| transfer["method"] == "PUT");
        let (waiting, moving): (Vec<_>, Vec<_>) = uploads
            .partition(|transfer| transfer["stage"] == "queued" || transfer["stage"] == "accepted");
        most = most.max(moving.len());
        queued = queued.max(waiting.len());
        !client.runs()
    }));
    client.finish(PATIENCE).well();
    assert_eq!(world.lfs.objects().len(), 8);
    assert!(most == 2 && queued >= 2, "{most} at once, {queued} queued");
}

/// The handshake is small and gets through, the body does not; sent again in small segments, it does.
#[test]
fn a_path_that_drops_large_packets_is_cured_by_small_segments_and_the_log_says_how_to_keep_it() {
    let world = World::new();
    let Some((_network, _relay, far)) = Network::losing_large_packets(world.lfs.storage) else {
        return;
    };
    let settings = settings(&world, &["direct"], far)
        .section(QUICK)
        .route_line("stall = { action = \"failover\" }");
    let mut ferry = Ferry::start(&settings);
    let work = work(&world, &world.git_through(&ferry), &[3_000_000]);
    work.git(&["push", "-q", "origin", "main"]).well();
    assert_eq!(
        ferry.fault_codes(),
        ["origin/sending-body/stalled-path-mtu"]
    );
    // The head of the first attempt may be small enough to arrive.
    assert_eq!(world.lfs.objects().len(), 1);
    ferry.wait_for_transfer(STORAGE, |event| event["attempts"] == 2);
    let helped = ferry.wait_for_event("small segments helped");
    assert_eq!(
        (&helped["host"], &helped["max_segment"]),
        (&STORAGE.into(), &1200.into())
    );
    assert!(
        helped["advice"]
            .as_str()
            .unwrap()
            .contains("`dial = { max_segment"),
        "{helped:#}"
    );
}
