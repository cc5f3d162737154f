//! Paths that break TLS handshakes: the reason why gitferry exists.

use crate::support::{
    ferry::Ferry,
    process::Finished,
    relay::Relay,
    world::{MAIN, World},
};

/// Pushes over `path` and says which faults the log has; the push must arrive.
fn pushes_over(world: &World, path: &Relay, tls: &str) -> Vec<String> {
    let (ferry, finished, arrived) = push(world, path, tls);
    finished.well();
    assert!(
        arrived,
        "the push ended well, but the host does not have it"
    );
    ferry.fault_codes()
}

fn push(world: &World, path: &Relay, tls: &str) -> (Ferry, Finished, bool) {
    let repository = world.host.repository("handshakes");
    let settings = world
        .settings()
        .dial("handshake_timeout = \"5s\"\nbackoff = \"50ms\"")
        .route(MAIN, tls, &["direct"], path.address);
    let ferry = Ferry::start(&settings);
    let git = world.git_over(&ferry, tls);
    let work = git.work(
        world.path("work"),
        &format!("https://{MAIN}/handshakes.git"),
    );
    let pushed = work.commit("file", 900_000);
    let finished = work.git(&["push", "-q", "origin", "main"]);
    let tip = git.run(&repository, &["rev-parse", "main"]);
    (ferry, finished, tip.stdout.trim() == pushed)
}

#[test]
fn a_terminated_push_survives_three_resets_in_the_handshake() {
    let world = World::new();
    let path = Relay::resets_handshakes(3, world.host.https);
    let faults = pushes_over(&world, &path, "terminate");
    assert_eq!(faults, ["origin/handshaking/reset"; 3]);
}

#[test]
fn a_tunnelled_push_survives_three_resets_in_the_handshake() {
    let world = World::new();
    let path = Relay::resets_handshakes(3, world.host.https);
    let faults = pushes_over(&world, &path, "tunnel");
    assert_eq!(faults, ["origin/handshaking/reset"; 3]);
    // The client's own first flight was replayed, byte for byte.
    let first_flights = path.received();
    assert!(
        first_flights[1..4]
            .iter()
            .all(|flight| flight.starts_with(&first_flights[0]))
    );
}

#[test]
fn a_terminated_push_survives_handshakes_that_are_closed() {
    let world = World::new();
    let path = Relay::closes_handshakes(2, world.host.https);
    let faults = pushes_over(&world, &path, "terminate");
    assert_eq!(faults, ["origin/handshaking/closed-early"; 2]);
}

#[test]
fn a_tunnelled_push_survives_handshakes_that_are_closed() {
    let world = World::new();
    let path = Relay::closes_handshakes(2, world.host.https);
    let faults = pushes_over(&world, &path, "tunnel");
    assert_eq!(faults, ["origin/handshaking/closed-early"; 2]);
}

#[test]
fn a_terminated_push_survives_a_handshake_without_an_answer() {
    let world = World::new();
    let path = Relay::silent_handshakes(1, world.host.https);
    let faults = pushes_over(&world, &path, "terminate");
    assert_eq!(faults, ["origin/handshaking/timed-out"]);
}

#[test]
fn a_tunnelled_push_survives_a_handshake_without_an_answer() {
    let world = World::new();
    let path = Relay::silent_handshakes(1, world.host.https);
    let faults = pushes_over(&world, &path, "tunnel");
    assert_eq!(faults, ["origin/handshaking/timed-out"]);
}

#[test]
fn an_origin_that_never_shakes_hands_is_named_in_the_terminal_of_git() {
    let world = World::new();
    let path = Relay::resets_handshakes(usize::MAX, world.host.https);
    let (ferry, finished, arrived) = push(&world, &path, "terminate");
    let failed = finished.badly();
    assert!(!arrived);
    assert!(
        failed.stderr.contains("origin/handshaking/reset"),
        "{failed}"
    );
    assert!(failed.stderr.contains(MAIN), "{failed}");
    let fault = ferry.wait_for_fault("origin/handshaking/reset");
    assert_eq!(fault["upstream"], "direct", "{fault}");
}

#[test]
fn an_origin_that_speaks_no_tls_is_a_bad_answer() {
    let world = World::new();
    let path = Relay::garbage(world.host.https);
    let (ferry, finished, _) = push(&world, &path, "terminate");
    finished.badly();
    ferry.wait_for_fault("origin/handshaking/bad-answer");
}

#[test]
fn a_reset_in_mid_push_is_no_success_and_not_sent_twice() {
    let world = World::new();
    let path = Relay::resets_after(300_000, world.host.https);
    let (ferry, finished, arrived) = push(&world, &path, "terminate");
    finished.badly();
    assert!(!arrived);
    ferry.wait_for_transfer(MAIN, |event| {
        event["method"] == "POST"
            && event["result"]
                .as_str()
                .is_some_and(|result| result.contains("origin/"))
    });
    let posts = world
        .host
        .https_requests()
        .matches("POST /handshakes.git/git-receive-pack")
        .count();
    assert!(posts <= 1, "a half-sent push was repeated: {posts}");
}
