//! git-lfs: the API on the main site, the objects on a storage host with a route of its own.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use crate::support::{
    client::{Git, Work, write_noise},
    ferry::Ferry,
    hop::Hop,
    lfs_storage::hex,
    process::{ClosedPort, wait_until},
    relay::Relay,
    world::{MAIN, STORAGE, World},
};

/// The LFS repository of these tests.
const URL: &str = "https://main.test/lfs.git";

/// A work tree with `count` tracked objects, committed.
fn work_with_objects(world: &World, git: &Git, count: usize) -> Work {
    world.host.repository("lfs");
    let work = git.work(world.path("work"), URL);
    work.track_lfs();
    for number in 0..count {
        write_noise(
            &work.path().join(format!("{number}.bin")),
            20_000 + number as u64,
        );
    }
    work.commit_all();
    work
}

/// The hashes of the objects in a work tree.
fn hashes(tree: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(tree)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let objects = files.filter(|path| path.extension().is_some_and(|end| end == "bin"));
    let hash =
        |path| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &fs::read(path).unwrap());
    objects.map(|path| hex(hash(path).as_ref())).collect()
}

/// Push, clone, and the same objects at every place.
fn pushes_and_pulls(world: &World, git: &Git, count: usize) {
    let work = work_with_objects(world, git, count);
    work.git(&["push", "-q", "origin", "main"]).well();
    let here = hashes(work.path());
    assert_eq!(here.len(), count);
    assert_eq!(
        world.lfs.objects().into_iter().collect::<BTreeSet<_>>(),
        here
    );
    assert_eq!(world.lfs.seen("PUT"), count, "no object was sent twice");
    assert_eq!(world.lfs.seen("verify"), count);
    let copy = git.clone_to(world.path("copy"), URL);
    assert_eq!(hashes(copy.path()), here);
    assert_eq!(world.lfs.seen("GET"), count);
}

#[test]
fn a_hundred_small_objects_are_pushed_and_pulled() {
    let world = World::new();
    let ferry = Ferry::start(&world.plain_settings());
    pushes_and_pulls(&world, &world.git_through(&ferry), 100);
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}

#[test]
fn objects_travel_through_tunnels_too() {
    let world = World::new();
    let settings = world.tunnel_settings();
    let ferry = Ferry::start(&settings);
    let git = world.git_in_tunnels(&ferry);
    pushes_and_pulls(&world, &git, 5);
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}

/// git-lfs reads only the head of a verify response, and closes its connection while the body is on its way (`tq/verify.go`).
#[test]
fn a_verify_response_in_two_packets_is_no_failure() {
    for tunnels in [false, true] {
        let world = World::new();
        world.lfs.verifies_in_two_packets();
        let (ferry, git);
        if tunnels {
            ferry = Ferry::start(&world.tunnel_settings());
            git = world.git_in_tunnels(&ferry);
        } else {
            ferry = Ferry::start(&world.plain_settings());
            git = world.git_through(&ferry);
        }
        let work = work_with_objects(&world, &git, 3);
        work.git(&["push", "-q", "origin", "main"]).well();
        assert_eq!(world.lfs.seen("verify"), 3);
        let ended = wait_until(Duration::from_secs(20), || ferry.transfers().is_empty());
        assert!(ended, "{:?}", ferry.transfers());
        for end in ferry.events("transfer ended") {
            let result = end["result"].as_str().unwrap();
            assert!(["answered", "closed"].contains(&result), "{end:#}");
        }
    }
}

#[test]
fn objects_take_the_http_hop_and_everything_else_the_direct_way() {
    let world = World::new();
    let hop = world.hop("http");
    let settings = world
        .settings()
        .hop("office", &hop.url)
        .route(MAIN, "terminate", &["direct"], world.host.https)
        .route(STORAGE, "terminate", &["office"], world.lfs.storage);
    let ferry = Ferry::start(&settings);
    pushes_and_pulls(&world, &world.git_through(&ferry), 5);
    ferry.wait_for_transfer(STORAGE, |event| event["upstream"] == "office");
    ferry.wait_for_transfer(MAIN, |event| event["upstream"] == "direct");
}

/// The first upstream of the storage is a hop at `first`; the log must tell `code` about it.
fn reaches_the_storage_by_the_second_upstream(tls: &str, first: &str, code: &str) {
    let world = World::new();
    let settings = world
        .settings()
        .hop("broken", first)
        .route(MAIN, "terminate", &["direct"], world.host.https)
        .route(STORAGE, tls, &["broken", "direct"], world.lfs.storage);
    let ferry = Ferry::start(&settings);
    let trusted = world.path("both.pem");
    let both = [ferry.bundle(), world.ca.pem_file()].map(|file| fs::read_to_string(file).unwrap());
    fs::write(&trusted, both.concat()).unwrap();
    let git = world.git_through(&ferry).with("http.sslCAInfo", &trusted);
    pushes_and_pulls(&world, &git, 3);
    let fault = ferry.wait_for_fault(code);
    assert_eq!(fault["leg"], "hop", "{fault}");
    assert_eq!(fault["upstream"], "broken", "{fault}");
    assert_eq!(fault["route"], "storage", "{fault}");
    ferry.wait_for_transfer(STORAGE, |event| event["upstream"] == "direct");
    assert!(
        ferry.fault_codes().iter().all(|fault| fault == code),
        "{:?}",
        ferry.fault_codes()
    );
}

#[test]
fn a_storage_that_the_first_hop_refuses_is_reached_by_the_second_upstream() {
    let hop = Hop::answers_502();
    reaches_the_storage_by_the_second_upstream(
        "terminate",
        &hop.url,
        "hop/greeting/hop-refused-502",
    );
    assert!(hop.asked().iter().all(|head| head.starts_with("CONNECT ")));
}

#[test]
fn a_tunnelled_storage_that_the_first_hop_refuses_is_reached_by_the_second_upstream() {
    let hop = Hop::answers_403();
    reaches_the_storage_by_the_second_upstream("tunnel", &hop.url, "hop/greeting/hop-refused-403");
}

#[test]
fn a_storage_whose_first_hop_is_down_is_reached_by_the_second_upstream() {
    let port = ClosedPort::new();
    let closed = format!("http://{}", port.address);
    reaches_the_storage_by_the_second_upstream("terminate", &closed, "hop/connecting/refused");
}

#[test]
fn a_storage_that_no_upstream_reaches_is_named_in_the_terminal_of_git_lfs() {
    let world = World::new();
    let hop = Hop::answers_403();
    let settings = world
        .settings()
        .hop("broken", &hop.url)
        .dial("attempts = 1")
        .route(MAIN, "terminate", &["direct"], world.host.https)
        .route(STORAGE, "terminate", &["broken"], world.lfs.storage);
    let ferry = Ferry::start(&settings);
    let git = world
        .git_through(&ferry)
        .with("lfs.transfer.maxretries", "1");
    let work = work_with_objects(&world, &git, 1);
    let failed = work.git(&["push", "-q", "origin", "main"]).badly();
    assert!(
        failed.stderr.contains("hop/greeting/hop-refused-403"),
        "{failed}"
    );
    assert!(failed.stderr.contains(STORAGE), "{failed}");
    assert!(world.lfs.objects().is_empty());
}

/// One object of 20 MB, and a path to the storage that breaks twice in the middle of it.
const LARGE: u64 = 20_000_000;
const MIDDLE: usize = 9_000_000;

/// Pushes it; how often git-lfs asked where to put it is how often it began.
fn pushes_a_large_object(world: &World, git: &Git, ferry: &Ferry) -> usize {
    let work = work_with_objects(world, git, 0);
    write_noise(&work.path().join("large.bin"), LARGE);
    work.commit_all();
    work.git(&["push", "-q", "origin", "main"]).well();
    assert_eq!(
        world.lfs.objects().into_iter().collect::<BTreeSet<_>>(),
        hashes(work.path())
    );
    let asked = |event: &serde_json::Value| event["path"] == "/lfs.git/info/lfs/objects/batch";
    ferry.wait_for_transfer(MAIN, asked);
    ferry
        .events("transfer ended")
        .iter()
        .filter(|event| asked(event))
        .count()
}

#[test]
fn an_upload_that_breaks_twice_in_the_middle_arrives_and_git_lfs_sees_one() {
    let world = World::new();
    let path = Relay::resets_uploads(2, MIDDLE, world.lfs.storage);
    let ferry = Ferry::start(&world.settings_to_storage(&["direct"], path.address));
    let git = world.git_through(&ferry);
    assert_eq!(pushes_a_large_object(&world, &git, &ferry), 1);
    let ended = ferry.wait_for_transfer(STORAGE, |event| event["method"] == "PUT");
    assert_eq!(ended["attempts"], 3, "{ended}");
    assert_eq!(ended["up"], LARGE, "{ended}");
    let faults = ferry.events("fault");
    assert_eq!(faults.len(), 2, "{faults:?}");
    for fault in faults {
        assert_eq!(fault["leg"], "origin", "{fault}");
        assert_eq!(fault["stage"], "sending-body", "{fault}");
    }
}

/// In a tunnel what git-lfs meets is the path itself.
#[test]
fn without_a_replay_buffer_git_lfs_begins_three_times_on_the_same_path() {
    let world = World::new();
    let path = Relay::resets_uploads(2, MIDDLE, world.lfs.storage);
    let ferry = Ferry::start(
        &world
            .settings()
            .route(MAIN, "terminate", &["direct"], world.host.https)
            .route(STORAGE, "tunnel", &["direct"], path.address),
    );
    let trusted = world.path("both.pem");
    let both = [ferry.bundle(), world.ca.pem_file()].map(|file| fs::read_to_string(file).unwrap());
    fs::write(&trusted, both.concat()).unwrap();
    let git = world.git_through(&ferry).with("http.sslCAInfo", &trusted);
    assert_eq!(pushes_a_large_object(&world, &git, &ferry), 3);
}
