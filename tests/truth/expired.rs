//! A local CA that has expired: the error of the start is taken as it stands.

use std::{fs, time::Duration};

use crate::{
    advice_cases::FAKETIME,
    support::{
        client::Git,
        ferry::Ferry,
        process::{Running, clean_command},
        world::World,
    },
};

/// A day on which the CA has expired, for programs under faketime.
const LATER: [(&str, &str); 3] = [
    ("LD_PRELOAD", FAKETIME),
    ("FAKETIME", "@2090-06-01 00:00:00"),
    ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
];

#[test]
fn an_expired_local_ca_is_rotated_as_the_error_says_and_git_gets_through() {
    let world = World::new();
    world.host.repository("late");
    let settings = world.plain_settings();
    drop(Ferry::start(&settings));
    let config = settings.write("127.0.0.1:0");
    let run = |arguments: &[&str]| {
        let home = config.parent().unwrap();
        let mut command = clean_command(env!("CARGO_BIN_EXE_gitferry"), home);
        command
            .envs(LATER)
            .arg("--config")
            .arg(&config)
            .args(arguments);
        Running::start(&mut command).finish(Duration::from_secs(30))
    };
    let refused = run(&["run"]).badly();
    assert!(refused.stderr.contains("has expired"), "{refused}");
    assert!(refused.stderr.contains("`gitferry ca rotate`"), "{refused}");
    run(&["ca", "rotate"]).well();
    let ferry = Ferry::start_with(&settings, &LATER);
    let home = world.path("home");
    fs::create_dir_all(&home).unwrap();
    let git = LATER.iter().fold(Git::debian(&home), |git, (name, value)| {
        git.with_variable(name, value)
    });
    git.with("http.proxy", ferry.proxy())
        .with("http.sslCAInfo", ferry.bundle())
        .run(world.root(), &["ls-remote", "https://main.test/late.git"])
        .well();
}
