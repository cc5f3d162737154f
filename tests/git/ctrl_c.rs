//! Ctrl-C in mid-push: the log says that the client ended it, and blames nobody else.

use std::{fs, net::SocketAddr, time::Duration};

use serde_json::Value;

use crate::support::{
    client::{Git, write_noise},
    ferry::{Ferry, SOON},
    process::{Running, wait_until},
    relay::Relay,
    world::{MAIN, STORAGE, World},
};

/// Bytes a second of a path that moves, and does not carry the push before it is interrupted.
///
/// gitferry sees the end of the client behind what the sockets hold, which a slower path would carry for many seconds.
const RATE: usize = 2 << 20;

/// No request but the upload has so many bytes.
const UNDER_WAY: u64 = 100_000;

/// git pushes a large file to the main site.
fn push_of_git(world: &World, git: &Git) -> Running {
    world.host.repository("ctrl");
    let work = git.work(world.path("work"), &format!("https://{MAIN}/ctrl.git"));
    work.commit("file", 20_000_000);
    work.start(&["push", "-q", "origin", "main"])
}

/// git-lfs pushes a large object to the storage.
fn push_of_git_lfs(world: &World, git: &Git) -> Running {
    world.host.repository("lfs");
    let work = git.work(world.path("work"), &format!("https://{MAIN}/lfs.git"));
    work.track_lfs();
    write_noise(&work.path().join("0.bin"), 20_000_000);
    work.commit_all();
    work.start(&["lfs", "push", "origin", "main"])
}

/// The upload whose host is `host`, as the status has it.
fn upload(ferry: &Ferry, host: &str) -> Option<Value> {
    let mut running = ferry.transfers().into_iter();
    running.find(|transfer| {
        let up = transfer["up"].as_u64().unwrap_or_default();
        transfer["host"] == host && up > UNDER_WAY
    })
}

/// `client` is interrupted when its upload to `host` is under way; then `after` is done.
fn is_interrupted(ferry: &Ferry, host: &str, client: Running, reached: impl Fn() -> bool) {
    let under_way = wait_until(SOON, || reached() && upload(ferry, host).is_some());
    assert!(under_way, "no upload:\n{}", ferry.log());
    client.interrupt();
    client.finish(Duration::from_secs(20)).badly();
}

/// The upload has ended, and no line is a warning.
fn nobody_else_is_blamed(ferry: &Ferry, host: &str) -> Value {
    let sent = |event: &Value| event["up"].as_u64().is_some_and(|up| up > UNDER_WAY);
    let ended = ferry.wait_for_transfer(host, sent);
    no_warning(ferry);
    ended
}

#[track_caller]
fn no_warning(ferry: &Ferry) {
    assert_eq!(ferry.warnings(), Vec::<Value>::new());
}

/// The upload ended by its client, and no line says anything else.
fn the_client_ended_it(ferry: &Ferry, host: &str) {
    let ended = nobody_else_is_blamed(ferry, host);
    let result = ended["result"].as_str().unwrap_or_default();
    assert!(
        result.starts_with("client/") && result.ends_with("/gone"),
        "{ended}"
    );
}

#[test]
fn a_git_that_ctrl_c_ends_in_mid_push_is_the_clients_end() {
    let world = World::new();
    let path = Relay::trickles(RATE, world.host.https);
    let ferry = Ferry::start(&world.settings_to_main(path.address));
    let client = push_of_git(&world, &world.git_through(&ferry));
    is_interrupted(&ferry, MAIN, client, || true);
    the_client_ended_it(&ferry, MAIN);
}

#[test]
fn a_git_that_ctrl_c_ends_on_a_path_that_stands_still_is_the_clients_end() {
    let world = World::new();
    let path = Relay::holds_after(1_000_000, world.host.https);
    let ferry = Ferry::start(&world.settings_to_main(path.address));
    let client = push_of_git(&world, &world.git_through(&ferry));
    is_interrupted(&ferry, MAIN, client, || path.held() == 1);
    path.release();
    the_client_ended_it(&ferry, MAIN);
}

#[test]
fn a_git_lfs_that_ctrl_c_ends_in_mid_push_is_the_clients_end() {
    let world = World::new();
    let path = Relay::trickles(RATE, world.lfs.storage);
    let ferry = Ferry::start(&world.settings_to_storage(&["direct"], path.address));
    let client = push_of_git_lfs(&world, &world.git_through(&ferry));
    is_interrupted(&ferry, STORAGE, client, || true);
    the_client_ended_it(&ferry, STORAGE);
}

#[test]
fn a_git_lfs_that_ctrl_c_ends_while_it_waits_for_the_answer_is_the_clients_end() {
    let world = World::new();
    let path = Relay::holds_answers_after(1_000_000, world.lfs.storage);
    let ferry = Ferry::start(&world.settings_to_storage(&["direct"], path.address));
    let client = push_of_git_lfs(&world, &world.git_through(&ferry));
    let sent = || {
        let up = upload(&ferry, STORAGE).and_then(|upload| upload["up"].as_u64());
        up.is_some_and(|up| up >= 20_000_000)
    };
    is_interrupted(&ferry, STORAGE, client, sent);
    the_client_ended_it(&ferry, STORAGE);
}

#[test]
fn a_git_that_ctrl_c_ends_in_a_tunnelled_push_blames_nobody_else() {
    let world = World::new();
    let path = Relay::trickles(RATE, world.host.https);
    let ferry = Ferry::start(
        &world
            .settings()
            .route(MAIN, "tunnel", &["direct"], path.address),
    );
    let git = world
        .git_through(&ferry)
        .with("http.sslCAInfo", world.ca.pem_file());
    let client = push_of_git(&world, &git);
    is_interrupted(&ferry, MAIN, client, || true);
    nobody_else_is_blamed(&ferry, MAIN);
}

/// A clone that is interrupted while the pack comes in.
fn is_interrupted_in_mid_clone(tls: &str) {
    let world = World::new();
    world.host.repository("ctrl");
    let direct = world.git().with("http.sslCAInfo", world.ca.pem_file());
    let url = format!("https://{MAIN}/ctrl.git");
    let near = Ferry::start(&world.tunnel_settings());
    let work = direct
        .with("http.proxy", near.proxy())
        .work(world.path("work"), &url);
    work.commit("file", 30_000_000);
    work.git(&["push", "-q", "origin", "main"]).well();
    let path = Relay::holds_answers_after(2_000_000, world.host.https);
    let settings = world
        .settings_beside()
        .route(MAIN, tls, &["direct"], path.address);
    let ferry = Ferry::start(&settings);
    let copy = world.path("copy");
    let clone = ["clone", "-q", &url, copy.to_str().unwrap()];
    let client = world.git_over(&ferry, tls).start(world.root(), &clone);
    let pack = || {
        let mut running = ferry.transfers().into_iter();
        running.find(|transfer| {
            transfer["down"]
                .as_u64()
                .is_some_and(|down| down > UNDER_WAY)
        })
    };
    assert!(wait_until(SOON, || pack().is_some()), "{}", ferry.log());
    // A client that has read all that came ends a tunnel in order: of this one, bytes are on their way.
    client.pause();
    let unread = || pack().is_some_and(|pack| has_unread_bytes(pack["client"].as_str().unwrap()));
    assert!(wait_until(SOON, unread), "{}", ferry.log());
    client.interrupt();
    client.resume();
    client.finish(Duration::from_secs(20)).badly();
    let ended = ferry.wait_for_transfer(MAIN, |event| {
        event["down"].as_u64().is_some_and(|down| down > UNDER_WAY)
    });
    no_warning(&ferry);
    assert_eq!(ended["result"], "client/receiving-body/gone", "{ended}");
}

/// True where the kernel holds bytes that this client has not read (proc(5), /proc/net/tcp).
fn has_unread_bytes(client: &str) -> bool {
    let address: SocketAddr = client.parse().unwrap();
    let local = format!(":{:04X}", address.port());
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    sockets.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[1].ends_with(&local) && !fields[4].ends_with(":00000000")
    })
}

#[test]
fn a_git_that_ctrl_c_ends_in_mid_clone_is_the_clients_end() {
    is_interrupted_in_mid_clone("terminate");
}

#[test]
fn a_git_that_ctrl_c_ends_in_a_tunnelled_clone_is_the_clients_end() {
    is_interrupted_in_mid_clone("tunnel");
}
