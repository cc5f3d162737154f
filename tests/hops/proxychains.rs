//! proxychains around the daemon, and around git-lfs.

use std::{fs, path::PathBuf, time::Duration};

use crate::support::{
    ferry::Ferry,
    hop::{Hop, PASSWORD, USER},
    process::{Running, clean_command},
    world::World,
};

const PROXYCHAINS: &str = "/usr/bin/proxychains4";

/// The config of proxychains whose only proxy is `hop`.
fn config(world: &World, hop: &Hop) -> PathBuf {
    let authority = hop.authority().replace(':', " ");
    let file = world.path("proxychains.conf");
    let text = format!("strict_chain\n[ProxyList]\nhttp {authority} {USER} {PASSWORD}\n");
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_daemon_that_runs_under_proxychains_says_so_and_goes_its_way() {
    let world = World::new();
    world.host.repository("hops");
    let hop = world.hop("http");
    let config = config(&world, &hop);
    let arguments = ["-q", "-f", config.to_str().unwrap()];
    let mut ferry = Ferry::start_under(PROXYCHAINS, &arguments, &world.plain_settings());
    let warned = ferry.wait_for_event("the daemon runs under proxychains");
    assert_eq!(warned["level"], "warn");
    let advice = warned["advice"].as_str().unwrap();
    assert!(advice.contains("without proxychains"), "{advice}");
    assert!(advice.contains("`[hops]`"), "{advice}");
    let git = world.git_through(&ferry);
    git.run(world.root(), &["ls-remote", "https://main.test/hops.git"])
        .well();
    // What the route calls direct went through its proxy.
    assert!(
        hop.log().contains(&world.host.https.port().to_string()),
        "{}",
        hop.log()
    );
}

#[test]
fn proxychains_carries_git_and_does_not_carry_git_lfs() {
    let world = World::new();
    world.host.repository("chained");
    let hop = world.hop("http");
    let config = config(&world, &hop);
    let run = |arguments: &[&str]| {
        let mut command = clean_command(PROXYCHAINS, world.root());
        command
            .args(["-q", "-f"])
            .arg(&config)
            .args(arguments)
            .current_dir(world.root());
        Running::start(&mut command).finish(Duration::from_secs(60))
    };
    let asked = |port: u16| hop.log().matches(&format!(":{port}")).count();
    let port = world.host.http.port();
    run(&[
        "git",
        "ls-remote",
        &format!("http://127.0.0.1:{port}/chained.git"),
    ])
    .well();
    assert!(asked(port) > 0, "{}", hop.log());
    let before = asked(port);
    let lfs = format!("lfs.url=http://127.0.0.1:{port}/chained.git/info/lfs");
    run(&["git", "init", "-q", "repo"]).well();
    let ended = run(&["git", "-C", "repo", "-c", &lfs, "lfs", "locks"]);
    assert_eq!(asked(port), before, "{ended}\n{}", hop.log());
}
