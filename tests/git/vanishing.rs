//! Clients that vanish, at every stage: nothing hangs, no transfer and no descriptor is left.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::support::{
    ferry::{Ferry, SOON},
    process::wait_until,
    relay::Relay,
    world::{MAIN, World},
};

/// The head of a ClientHello that promises more than follows.
const HALF_A_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 7, 7, 7];

/// Says `words` in turn, each after an answer to the one before, and vanishes.
fn says_and_vanishes(ferry: &Ferry, words: &[&[u8]]) {
    let mut stream = TcpStream::connect(ferry.address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            let mut answer = [0; 1024];
            let read = stream.read(&mut answer).unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
        }
        stream.write_all(word).unwrap();
    }
}

/// No transfer is listed, and not more descriptors are open than before.
fn settles(ferry: &Ferry, idle: usize) {
    let settled = wait_until(SOON, || {
        ferry.transfers().is_empty() && ferry.descriptors() <= idle
    });
    let left = ferry.transfers();
    assert!(
        settled,
        "{} descriptors, {idle} before; {left:?}",
        ferry.descriptors()
    );
}

fn connect(host: &str) -> Vec<u8> {
    format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").into_bytes()
}

#[test]
fn a_client_that_vanishes_before_its_request_is_whole_leaves_nothing() {
    let world = World::new();
    let ferry = Ferry::start(&world.plain_settings());
    let idle = ferry.descriptors();
    says_and_vanishes(&ferry, &[b""]);
    says_and_vanishes(&ferry, &[b"CONNECT main.te"]);
    says_and_vanishes(
        &ferry,
        &[b"POST http://main.test/x HTTP/1.1\r\nHost: main.test\r\nContent-Length: 10\r\n\r\n12"],
    );
    says_and_vanishes(&ferry, &[&connect(MAIN), b""]);
    says_and_vanishes(&ferry, &[&connect(MAIN), HALF_A_HELLO]);
    settles(&ferry, idle);
}

#[test]
fn a_client_of_a_tunnel_that_vanishes_leaves_nothing() {
    let world = World::new();
    let path = Relay::silent_handshakes(1, world.host.https);
    let settings = world
        .settings()
        .route(MAIN, "tunnel", &["direct"], path.address);
    let ferry = Ferry::start(&settings);
    let idle = ferry.descriptors();
    says_and_vanishes(&ferry, &[&connect(MAIN), b""]);
    says_and_vanishes(&ferry, &[&connect(MAIN), HALF_A_HELLO]);
    settles(&ferry, idle);
}

/// git is killed when `reached` says so, and then `after` is done.
fn git_is_killed(
    tls: &str,
    path: &Relay,
    world: &World,
    reached: impl Fn() -> bool,
    after: impl Fn(),
) {
    world.host.repository("vanish");
    let settings = world.settings().route(MAIN, tls, &["direct"], path.address);
    let ferry = Ferry::start(&settings);
    let idle = ferry.descriptors();
    let git = world.git_over(&ferry, tls);
    let work = git.work(world.path("work"), &format!("https://{MAIN}/vanish.git"));
    work.commit("file", 20_000_000);
    let push = work.start(&["push", "-q", "origin", "main"]);
    assert!(
        wait_until(SOON, reached),
        "the push never came so far:\n{}",
        ferry.log()
    );
    assert_eq!(ferry.transfers().len(), 1);
    push.vanish();
    after();
    settles(&ferry, idle);
    ferry.wait_for_transfer(MAIN, |event| {
        event["result"]
            .as_str()
            .is_some_and(|result| result.contains("gone") || tls == "tunnel")
    });
}

/// Behind a path that stands still the end of a killed client comes after its last bytes, and these are taken only when the path moves
/// again: TCP has no other way to tell. In a tunnel, it is a half-close like any other.
fn git_is_killed_in_mid_push(tls: &str) {
    let world = World::new();
    let path = Relay::holds_after(1_000_000, world.host.https);
    git_is_killed(tls, &path, &world, || path.held() == 1, || path.release());
}

#[test]
fn a_git_killed_in_mid_push_leaves_nothing() {
    git_is_killed_in_mid_push("terminate");
}

#[test]
fn a_git_killed_in_a_tunnelled_push_leaves_nothing() {
    git_is_killed_in_mid_push("tunnel");
}

#[test]
fn a_git_killed_while_the_origin_is_shaken_hands_with_leaves_nothing() {
    let world = World::new();
    let path = Relay::silent_handshakes(9, world.host.https);
    let reached = || !path.received().concat().is_empty();
    git_is_killed("terminate", &path, &world, reached, || {});
}

#[test]
fn a_git_killed_while_it_waits_for_the_answer_leaves_nothing() {
    let world = World::new();
    // The handshake passes, the first request does not.
    let path = Relay::holds_requests(world.host.https);
    git_is_killed("terminate", &path, &world, || path.held() == 1, || {});
}

#[test]
fn a_client_that_says_nothing_is_given_up_at_its_limit() {
    let world = World::new();
    let settings = world.plain_settings().head_timeout("1s");
    let ferry = Ferry::start(&settings);
    let idle = ferry.descriptors();
    // Nothing at all, and a request that does not go on.
    for said in ["", "GET /"] {
        let begun = tokio::time::Instant::now();
        let mut silent = TcpStream::connect(ferry.address).unwrap();
        silent.set_read_timeout(Some(SOON)).unwrap();
        silent.write_all(said.as_bytes()).unwrap();
        let mut answer = Vec::new();
        silent.read_to_end(&mut answer).unwrap();
        let took = begun.elapsed();
        assert_eq!(String::from_utf8_lossy(&answer), "");
        let limit = Duration::from_secs(1);
        assert!(took >= limit, "{said:?}: closed after {took:?}");
    }
    settles(&ferry, idle);
    assert_eq!(ferry.fault_codes(), [""; 0], "nobody is warned");
}
