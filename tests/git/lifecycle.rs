//! SIGTERM and reload in mid-push: what was begun is finished, what is new follows the new rules.

use std::{io::Write as _, net::TcpStream, time::Duration};

use crate::support::{
    client::{PATIENCE, Work},
    ferry::{Ferry, SOON},
    process::{Running, clean_command, wait_until},
    relay::Relay,
    world::{MAIN, World},
};

/// How much of a push passes before it is held.
const HELD_AFTER: usize = 400_000;

/// A push that has begun and waits in the middle, until its path is released.
struct MidPush {
    path: Relay,
    ferry: Ferry,
    push: Running,
    work: Work,
    pushed: String,
}

impl MidPush {
    fn begin(world: &World, tls: &str) -> Self {
        world.host.repository("life");
        let path = Relay::holds_after(HELD_AFTER, world.host.https);
        let ferry = Ferry::start(&world.settings().route(MAIN, tls, &["direct"], path.address));
        let git = world.git_over(&ferry, tls);
        let work = git.work(world.path("work"), &format!("https://{MAIN}/life.git"));
        let pushed = work.commit("file", 4_000_000);
        let push = work.start(&["push", "-q", "origin", "main"]);
        assert!(
            wait_until(SOON, || path.held() == 1),
            "the push never began:\n{}",
            ferry.log()
        );
        Self {
            path,
            ferry,
            push,
            work,
            pushed,
        }
    }

    fn refuses_new_clients(&self) -> bool {
        TcpStream::connect_timeout(&self.ferry.address, SOON).is_err()
    }
}

fn finishes_after_sigterm(tls: &str) {
    let world = World::new();
    let mut mid = MidPush::begin(&world, tls);
    mid.ferry.terminate();
    assert!(
        wait_until(SOON, || mid.refuses_new_clients()),
        "it still accepts"
    );
    assert!(mid.push.runs(), "the push was cut");
    mid.path.release();
    mid.push.finish(PATIENCE).well();
    let status = mid.ferry.ended(Duration::from_secs(30));
    assert_eq!(status.code(), Some(0), "{status}");
    let repository = world.path("host/repos/life.git");
    let tip = world.git().run(&repository, &["rev-parse", "main"]).well();
    assert_eq!(tip.stdout.trim(), mid.pushed);
}

#[test]
fn sigterm_lets_a_terminated_push_finish_within_the_grace() {
    finishes_after_sigterm("terminate");
}

#[test]
fn sigterm_lets_a_tunnelled_push_finish_within_the_grace() {
    finishes_after_sigterm("tunnel");
}

#[test]
fn sigterm_ends_what_is_not_finished_when_the_grace_is_over() {
    let world = World::new();
    world.host.repository("life");
    let path = Relay::holds_after(HELD_AFTER, world.host.https);
    let settings = world
        .settings()
        .grace("1s")
        .route(MAIN, "terminate", &["direct"], path.address);
    let mut ferry = Ferry::start(&settings);
    let git = world.git_through(&ferry);
    let work = git.work(world.path("work"), &format!("https://{MAIN}/life.git"));
    work.commit("file", 4_000_000);
    let push = work.start(&["push", "-q", "origin", "main"]);
    assert!(wait_until(SOON, || path.held() == 1));
    ferry.terminate();
    let status = ferry.ended(Duration::from_secs(30));
    assert_eq!(status.code(), Some(0), "{status}");
    push.finish(PATIENCE).badly();
    assert!(
        ferry
            .fault_codes()
            .iter()
            .any(|code| code.ends_with("/shutdown")),
        "{:?}",
        ferry.fault_codes()
    );
}

#[test]
fn a_reload_in_mid_push_keeps_the_push_and_brings_the_new_routes() {
    let world = World::new();
    let mut mid = MidPush::begin(&world, "terminate");
    let before = mid.path.connections();
    // From now on the host is reached past the path that holds.
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], world.host.https);
    mid.ferry.reload(&settings);
    mid.ferry.wait_for_event("config reloaded");
    let remote = mid.work.git(&["ls-remote", "-q", "origin"]).well();
    assert_eq!(remote.stdout, "", "the push is not through yet");
    assert_eq!(
        mid.path.connections(),
        before,
        "the new request took the old route"
    );
    assert!(mid.push.runs());
    mid.path.release();
    mid.push.finish(PATIENCE).well();
    let remote = mid.work.git(&["ls-remote", "-q", "origin", "main"]).well();
    assert!(remote.stdout.starts_with(&mid.pushed), "{remote}");
    assert_eq!(mid.ferry.fault_codes(), Vec::<String>::new());
}

#[test]
fn a_bad_file_changes_nothing_and_says_so() {
    let world = World::new();
    world.host.repository("life");
    let settings = world.plain_settings();
    let mut ferry = Ferry::start(&settings);
    // Its only route denies the site, and two of its keys are wrong.
    let bad = world
        .settings()
        .route(MAIN, "deny", &[], world.host.https)
        .dial("attempts = \"many\"\nunknown_key = 1");
    ferry.reload(&bad);
    ferry.wait_for_event("config rejected, the previous one remains in force");
    let git = world.git_through(&ferry);
    git.run(
        world.root(),
        &["ls-remote", &format!("https://{MAIN}/life.git")],
    )
    .well();
}

/// Two requests on one connection; between them it says so and waits for a file.
const TWO_REQUESTS: &str = r#"
import http.client, os, ssl, sys, time
proxy, bundle, host, go = sys.argv[1:]
address, port = proxy.rsplit("/", 1)[1].split(":")
connection = http.client.HTTPSConnection(address, int(port), context=ssl.create_default_context(cafile=bundle))
connection.set_tunnel(host, 443)
def ask():
    connection.request("GET", "/life.git/HEAD")
    answer = connection.getresponse()
    answer.read()
    return answer.status
print(ask())
deadline = time.time() + 20
while not os.path.exists(go) and time.time() < deadline:
    time.sleep(0.02)
print(ask())
"#;

fn second_answer_after(
    reload: impl FnOnce(&World, &Relay) -> crate::support::settings::Settings,
) -> (String, Relay) {
    let world = World::new();
    world.host.repository("life");
    let elsewhere = Relay::faultless(world.host.https);
    let mut ferry = Ferry::start(&world.plain_settings());
    let go = world.path("go");
    let mut python = clean_command("/usr/bin/python3", &world.path("home"));
    python.args(["-c", TWO_REQUESTS, &ferry.proxy()]);
    python.arg(ferry.bundle()).arg(MAIN).arg(&go);
    let running = Running::start(&mut python);
    ferry.wait_for_transfer(MAIN, |_| true);
    ferry.reload(&reload(&world, &elsewhere));
    ferry.wait_for_event("config reloaded");
    std::fs::write(&go, "").unwrap();
    let said = running.finish(PATIENCE).well().stdout;
    (said, elsewhere)
}

#[test]
fn a_reload_reaches_a_client_that_keeps_its_connection_and_a_host_it_tunnels_wants_a_new_one() {
    for (tls, answers, connections) in [("terminate", "200\n200\n", 1), ("tunnel", "200\n421\n", 0)]
    {
        let (said, elsewhere) = second_answer_after(|world, elsewhere| {
            world
                .settings()
                .route(MAIN, tls, &["direct"], elsewhere.address)
        });
        assert_eq!(said, answers, "{tls}");
        assert_eq!(elsewhere.connections(), connections, "{tls}");
    }
}

/// As on a fresh machine, where the daemon is started first and the file written later.
#[test]
fn a_config_file_that_appears_is_loaded_without_a_signal() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    for directory in ["first/gitferry", "home/.config/gitferry"] {
        std::fs::create_dir_all(at(directory)).unwrap();
    }
    let text = "[listen]\naddress = \"127.0.0.1:0\"\n";
    let first = at("first/gitferry/gitferry.toml");
    std::fs::write(&first, text).unwrap();
    let log = std::fs::File::create(at("log")).unwrap();
    let mut daemon = clean_command(env!("CARGO_BIN_EXE_gitferry"), &at("home"))
        .arg("run")
        .env("CONFIGURATION_DIRECTORY", at("first/gitferry"))
        .stderr(log)
        .spawn()
        .unwrap();
    let says = |words: &str| {
        let said = || std::fs::read_to_string(at("log")).unwrap();
        assert!(
            wait_until(SOON, || said().contains(words)),
            "{words}:\n{}",
            said()
        );
    };
    says("listening");
    std::fs::remove_file(&first).unwrap();
    says("config reloaded config=\"embedded default\"");
    let route = "[[route]]\nname = \"own\"\nrole = \"other\"\nhosts = [\"own.test\"]\ntls = \"tunnel\"\nupstreams = [{ via = \"direct\" }]\n";
    let later = at("home/.config/gitferry/gitferry.toml");
    std::fs::write(&later, format!("{text}{route}")).unwrap();
    says(&format!("config reloaded config={}", later.display()));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

/// A service with a low `LimitNOFILE`.
#[test]
fn a_start_with_too_few_descriptors_says_so_and_the_status_answers_while_every_place_is_taken() {
    let world = World::new();
    let few = ["--nofile=200:200"];
    let ferry = Ferry::start_under("/usr/bin/prlimit", &few, &world.plain_settings());
    let warned = ferry.wait_for_events("too few file descriptors for max_connections", 1);
    assert_eq!(warned[0]["limit"], 200, "{}", warned[0]);
    let places = warned[0]["clients"].as_u64().unwrap();
    // More clients than it has places, in the middle of their heads.
    let clients: Vec<_> = (0..places + 10)
        .map(|_| {
            let mut client = TcpStream::connect(ferry.address).unwrap();
            client
                .write_all(b"GET http://main.test/ HTTP/1.1\r\n")
                .unwrap();
            client
        })
        .collect();
    assert!(ferry.get("/-/healthz").starts_with("HTTP/1.1 200 "));
    drop(clients);
}
