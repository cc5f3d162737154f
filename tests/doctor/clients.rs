//! Real clients before a running daemon: do they go through it, and trust its CA?

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    run::{Said, command, doctor_by},
    support::{
        ferry::Ferry,
        relay::Relay,
        world::{MAIN, World},
    },
};

/// What doctor says of clients whose settings are `gitconfig`.
fn said_of(ferry: &Ferry, config: &Path, gitconfig: &str) -> Said {
    let home = config.parent().unwrap();
    let gitconfig = gitconfig
        .replace("PROXY", &ferry.proxy())
        .replace("BUNDLE", &ferry.bundle().display().to_string());
    fs::write(home.join(".gitconfig"), gitconfig).unwrap();
    doctor_by(&mut command(config, &[MAIN]))
}

#[track_caller]
fn client<'s>(said: &'s Said, name: &str) -> &'s Value {
    let checks = said.json["checks"].as_array().unwrap();
    let mut found = checks.iter().filter(|check| {
        check["client"]
            .as_str()
            .is_some_and(|it| it.starts_with(name))
    });
    let found = found.next();
    found.unwrap_or_else(|| panic!("no client {name}: {:#}", said.json))
}

fn world() -> (World, Ferry, std::path::PathBuf) {
    let world = World::new();
    let settings = world.plain_settings();
    let ferry = Ferry::start(&settings);
    // The file says where it listens, as a user's file does.
    let config = settings.write(&ferry.address.to_string());
    (world, ferry, config)
}

#[test]
fn git_and_git_lfs_that_go_through_the_daemon_are_healthy() {
    let (_world, ferry, config) = world();
    let said = said_of(
        &ferry,
        &config,
        "[http]\n\tproxy = PROXY\n\tsslCAInfo = BUNDLE\n",
    );
    assert_eq!(said.finished.status.code(), Some(0), "{:#}", said.json);
    let git = client(&said, "git 2");
    assert_eq!(git["state"], "ok", "{git}");
    assert!(
        git["client"].as_str().unwrap().contains("(GnuTLS)"),
        "{git}"
    );
    assert_eq!(client(&said, "git-lfs")["state"], "ok", "{:#}", said.json);
    assert!(
        said.verdict("works").contains("use gitferry"),
        "{:#}",
        said.json
    );
    // What the daemon answered itself is no transfer, and no fault.
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}

#[test]
fn a_client_that_does_not_trust_the_ca_is_named_with_its_set_up() {
    let (_world, ferry, config) = world();
    let said = said_of(&ferry, &config, "[http]\n\tproxy = PROXY\n");
    let broken = said.broken();
    assert!(broken.contains("does not trust gitferry's CA"), "{broken}");
    assert!(
        said.change("command").starts_with("gitferry setup"),
        "{:#}",
        said.json
    );
    assert_eq!(client(&said, "git 2")["state"], "failed");
}

#[test]
fn a_client_that_goes_around_the_daemon_is_told_its_set_up() {
    let (_world, ferry, config) = world();
    let said = said_of(&ferry, &config, "");
    assert_eq!(
        client(&said, "git 2")["state"],
        "warning",
        "{:#}",
        said.json
    );
    assert_eq!(said.change("command"), "gitferry setup git");
}

#[test]
fn a_path_with_a_nonce_that_nobody_gave_goes_to_the_origin() {
    let (world, ferry, _) = world();
    let bundle = ferry.bundle().display().to_string();
    let url = format!("https://{MAIN}/.well-known/gitferry/0123456789abcdef0123456789abcdef");
    let proxy = ferry.proxy();
    world
        .git()
        .curl(&["--proxy", &proxy, "--cacert", &bundle, &url]);
    ferry.wait_for_transfer(MAIN, |_| true);
    assert!(
        world
            .host
            .https_requests()
            .contains("/.well-known/gitferry/")
    );
}

#[test]
fn contradictions_of_this_machine_are_told() {
    let (_world, ferry, config) = world();
    let gitconfig = "[http]\n\tproxy = http://other.test:1\n\tproxy = PROXY\n\tsslVerify = false\n";
    let home = config.parent().unwrap();
    let gitconfig = gitconfig.replace("PROXY", &ferry.proxy());
    fs::write(home.join(".gitconfig"), gitconfig).unwrap();
    let said = doctor_by(
        command(&config, &[MAIN])
            .env("GIT_SSL_CAINFO", "/nowhere.pem")
            .env("NO_PROXY", MAIN)
            .env("LD_PRELOAD", ""),
    );
    let machine = |check: &str| {
        let checks = said.json["checks"].as_array().unwrap();
        let mut found = checks
            .iter()
            .filter(|found| found["check"] == check && found["host"].is_null());
        found.next().unwrap()["detail"].to_string()
    };
    let git = machine("git-settings");
    assert!(
        git.contains("sslverify") && git.contains("has 2 values"),
        "{git}"
    );
    let variables = machine("environment");
    assert!(variables.contains("GIT_SSL_CAINFO"), "{variables}");
    assert!(
        variables.contains("NO_PROXY makes clients bypass gitferry"),
        "{variables}"
    );
}

#[test]
fn a_fault_that_the_daemon_had_is_told_although_every_check_passes_now() {
    let world = World::new();
    world.host.repository("once");
    let path = Relay::resets_handshakes(1, world.host.https);
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], path.address);
    let ferry = Ferry::start(&settings);
    let config = settings.write(&ferry.address.to_string());
    let git = world.git_through(&ferry);
    let work = git.work(world.path("work"), &format!("https://{MAIN}/once.git"));
    work.git(&["ls-remote", "origin"]).well();
    ferry.wait_for_fault("origin/handshaking/reset");
    let said = said_of(
        &ferry,
        &config,
        "[http]\n\tproxy = PROXY\n\tsslCAInfo = BUNDLE\n",
    );
    assert_eq!(said.finished.status.code(), Some(0), "{:#}", said.json);
    let recent = said.verdict("recent");
    assert!(
        recent.contains("a fault with main.test through direct (origin/handshaking/reset)"),
        "{recent}"
    );
    let advice = said.change("sentence");
    assert!(
        advice.contains("if a transfer with main.test fails again"),
        "{:#}",
        said.json
    );
}
