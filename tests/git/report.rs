//! `gitferry report` on the log of a daemon whose hop reaches the main site only.

use std::{fs, process::Command, time::Duration};

use serde_json::Value;

use crate::support::{
    client::write_noise,
    ferry::{Ferry, SOON},
    hop::Hop,
    process::{Finished, Running, clean_command, wait_until},
    relay::Relay,
    world::{MAIN, STORAGE, World},
};

const CODE: &str = "hop/greeting/hop-refused-403";

/// Pushes an LFS object, the main site through the hop `office` and the storage through `ways`; the world and the daemon after it.
fn pushed(ways: &[&str]) -> (World, Hop, Ferry, Finished) {
    let world = World::new();
    let hop = Hop::http_to_the_port_of(world.path("office"), world.host.https);
    let settings = world
        .settings()
        .hop("office", &hop.url)
        .dial("attempts = 1")
        .route(MAIN, "terminate", &["office"], world.host.https)
        .route(STORAGE, "terminate", ways, world.lfs.storage);
    let ferry = Ferry::start(&settings);
    world.host.repository("lfs");
    let git = world
        .git_through(&ferry)
        .with("lfs.transfer.maxretries", "1");
    let work = git.work(world.path("work"), &format!("https://{MAIN}/lfs.git"));
    work.track_lfs();
    write_noise(&work.path().join("0.bin"), 20_000);
    work.commit_all();
    let pushed = work.git(&["push", "-q", "origin", "main"]);
    (world, hop, ferry, pushed)
}

/// What `gitferry report` says of the log so far, for people and for programs.
fn reported(world: &World, ferry: &Ferry) -> (Finished, Value) {
    let log = world.path("gitferry.log");
    fs::write(&log, ferry.log()).unwrap();
    let report = |arguments: &[&str]| -> Finished {
        let mut command: Command = clean_command(env!("CARGO_BIN_EXE_gitferry"), world.root());
        command.arg("--config").arg(ferry.config());
        command.arg("report").arg(&log).args(arguments);
        Running::start(&mut command).finish(Duration::from_secs(20))
    };
    let data = serde_json::from_str(&report(&["--json"]).stdout).unwrap();
    (report(&[]), data)
}

#[test]
fn a_push_that_one_hop_stops_is_explained_by_the_report() {
    let (world, _hop, ferry, pushed) = pushed(&["office"]);
    pushed.badly();
    ferry.wait_for_transfer(STORAGE, |event| event["result"] == CODE);
    let (page, data) = reported(&world, &ferry);
    assert_eq!(page.status.code(), Some(1), "{page}");
    let verdict = &data["verdicts"][0];
    assert_eq!(verdict["code"], CODE, "{data:#}");
    assert_eq!(verdict["leg"], "hop");
    assert_eq!(verdict["upstream"], "office");
    assert_eq!(verdict["role"], "lfs-storage");
    assert_eq!(verdict["times"], verdict["attempts"]);
    let sentence = verdict["sentence"].as_str().unwrap();
    for part in [
        format!("storage host {STORAGE}"),
        format!("fails over upstream office at {CODE}"),
        format!("main site {MAIN}"),
        "works through the same upstream".into(),
    ] {
        assert!(sentence.contains(&part), "{part} is not in: {sentence}");
    }
    assert!(
        verdict["advice"].as_str().unwrap().contains("`upstreams`"),
        "{verdict}"
    );
    assert!(page.stdout.contains(CODE), "{page}");
    assert!(page.stdout.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn a_push_that_the_next_upstream_rescued_is_reported_as_rescued() {
    let (world, _hop, ferry, pushed) = pushed(&["office", "direct"]);
    pushed.well();
    ferry.wait_for_transfer(STORAGE, |event| event["upstream"] == "direct");
    let (page, data) = reported(&world, &ferry);
    assert_eq!(page.status.code(), Some(1), "{page}");
    assert_eq!(data["transfers"]["failed"], 0, "{data:#}");
    assert_eq!(data["transfers"]["rescued"], 1, "{data:#}");
    assert_eq!(data["transfers"]["rescued_by"]["next-upstream"], 1);
    let advice = data["verdicts"][0]["advice"].as_str().unwrap();
    assert_eq!(
        advice,
        "put `direct` before `office` in `upstreams` of route `storage`"
    );
}

/// An upload that breaks in the middle is sent again, and the report says by what it was rescued.
#[test]
fn an_upload_that_was_replayed_is_reported_as_rescued_by_replay() {
    let world = World::new();
    let path = Relay::resets_uploads(1, 500_000, world.lfs.storage);
    let settings = world.settings_to_storage(&["direct"], path.address);
    let ferry = Ferry::start(&settings);
    world.host.repository("lfs");
    let git = world.git_through(&ferry);
    let work = git.work(world.path("work"), &format!("https://{MAIN}/lfs.git"));
    work.track_lfs();
    write_noise(&work.path().join("0.bin"), 2_000_000);
    work.commit_all();
    work.git(&["push", "-q", "origin", "main"]).well();
    ferry.wait_for_transfer(STORAGE, |event| event["attempts"] == 2);
    let (page, data) = reported(&world, &ferry);
    assert_eq!(
        data["transfers"]["rescued_by"]["replay"], 1,
        "{data:#}\n{page}"
    );
    assert!(page.stdout.contains("1 by replay"), "{page}");
}

/// A wrong token is a result: the log, the report, the status and the metrics sum it up, and nobody suspects the network.
#[test]
fn a_wrong_token_is_summed_up_wherever_one_looks() {
    let world = World::with_account(Some(("me", "planted-password")));
    world.host.repository("lfs");
    let ferry = Ferry::start(&world.plain_settings());
    let pushes = |password: &str| {
        let helper = format!("!f() {{ echo username=me; echo password={password}; }}; f");
        let git = world.git_through(&ferry).with("credential.helper", helper);
        git.run(world.root(), &["ls-remote", "https://main.test/lfs.git"])
    };
    // The first request of every command gets a 401 here, too.
    for _ in 0..4 {
        pushes("planted-password").well();
    }
    assert_eq!(
        ferry.events("the site refuses requests"),
        Vec::<Value>::new()
    );
    for _ in 0..5 {
        pushes("a-wrong-one").badly();
    }
    let summary = |count| format!("{count} × 401 from main.test: the token is wrong or missing");
    let told = ferry.wait_for_events("the site refuses requests", 1);
    assert_eq!(told[0]["level"], "info", "{told:#?}");
    assert!(
        told[0]["summary"]
            .as_str()
            .unwrap()
            .contains(" × 401 from main.test: ")
    );
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
    let (page, data) = reported(&world, &ferry);
    assert!(
        page.stdout
            .contains("× 401 from main.test: the token is wrong"),
        "{page}"
    );
    assert_eq!(data["refusals"][0]["status"], 401, "{data:#}");
    // A transfer is counted when it has ended, which its client may not wait for.
    let counted = "gitferry_refusals_total{route=\"main\",status=\"401\"} 5";
    let all = wait_until(SOON, || ferry.get("/-/metrics").contains(counted));
    assert!(all, "{}", ferry.get("/-/metrics"));
    let mut status = clean_command(env!("CARGO_BIN_EXE_gitferry"), world.root());
    status.arg("--config").arg(ferry.config());
    status.args(["status", "--address", &ferry.address.to_string()]);
    let status = Running::start(&mut status)
        .finish(Duration::from_secs(20))
        .well();
    assert!(status.stdout.contains(&summary(10)), "{status}");
    pushes("planted-password").well();
    let none = || {
        let status = ferry.get("/-/status");
        let (_, refusals) = status.split_once("\"refusals\"").unwrap_or_default();
        refusals.trim_start_matches([':', ' ']).starts_with("[]")
    };
    assert!(wait_until(SOON, none), "{}", ferry.get("/-/status"));
}
