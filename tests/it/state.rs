//! The state directory as a daemon finds and leaves it, and what a dead daemon leaves of its memory.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{ferry::Ferry, skip::is_root, world::World};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

fn daemon(state: &Path, umask: &str) -> Command {
    let file = state.with_extension("toml");
    let text = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\n[state]\ndirectory = \"{}\"\n[log]\nformat = \"json\"\n",
        state.display()
    );
    fs::write(&file, text).unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask \"$1\"; exec \"$0\" run --config \"$2\""])
        .args([env!("CARGO_BIN_EXE_gitferry"), umask])
        .arg(file)
        .stdin(Stdio::null());
    command
}

fn starts(state: &Path, umask: &str) {
    drop(Ferry::of(&mut daemon(state, umask), state));
}

#[test]
fn a_state_directory_of_somebody_else_is_refused_with_the_command_that_mends_it() {
    if !is_root("only root can give files away") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    fs::create_dir(&state).unwrap();
    chown(&state, Some(NOBODY), None).unwrap();
    let refused = daemon(&state, "022").output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    let mend = format!("chown -R 0 {}", state.display());
    assert!(told.contains(&mend), "{told}");
    assert_eq!(
        fs::read_dir(&state).unwrap().count(),
        0,
        "it was written to"
    );
    // The command mends it.
    let mended = Command::new("sh").args(["-c", &mend]).status().unwrap();
    assert!(mended.success());
    starts(&state, "022");
}

#[test]
fn the_umask_neither_opens_the_state_directory_nor_closes_the_bundle() {
    for umask in ["000", "077"] {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        starts(&state, umask);
        let mode = |name: &str| fs::metadata(state.join(name)).unwrap().mode() & 0o777;
        assert_eq!(
            [
                mode("."),
                mode("ca-key.pem"),
                mode("ca.pem"),
                mode("bundle.pem")
            ],
            [0o755, 0o600, 0o644, 0o644],
            "umask {umask}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_daemon_that_crashes_leaves_no_core_and_nobody_reads_its_memory() {
    if !is_root("only root can give files away") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The build may be below a directory that only root enters.
    let program = directory.path().join("gitferry");
    fs::copy(env!("CARGO_BIN_EXE_gitferry"), &program).unwrap();
    let home = directory.path().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::write(
        home.join("gitferry.toml"),
        "[listen]\naddress = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n",
    )
    .unwrap();
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -c unlimited; exec \"$0\" run --config gitferry.toml",
        ])
        .arg(&program)
        .current_dir(&home)
        .env("XDG_STATE_HOME", &home)
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::null());
    let ferry = Ferry::of(&mut command, &home);
    let limits = fs::read_to_string(ferry.proc("limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(words.get(4..6), Some(["0", "0"].as_slice()), "{limits}");
    // Files of a process that is not dumpable belong to root (proc(5)).
    assert_eq!(fs::metadata(ferry.proc("mem")).unwrap().uid(), 0);
}

#[test]
fn a_second_daemon_on_a_state_directory_says_whose_it_is_and_takes_it_over_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let first = Ferry::of(&mut daemon(&state, "022"), &state);
    let second = Ferry::of(&mut daemon(&state, "022"), &state);
    let message =
        "another daemon uses the state directory, the history is not saved until it stops";
    let said = second.wait_for_events(message, 1);
    assert_eq!(said[0]["process"], first.id(), "{said:?}");
    assert_eq!(said[0]["directory"], state.display().to_string());
    // The kernel ends the lock of a process that was killed.
    drop(first);
    let message = "the other daemon has stopped, the history is saved";
    assert_eq!(second.wait_for_events(message, 1).len(), 1);
}

#[test]
fn a_start_with_too_few_descriptors_for_its_connections_says_so() {
    let world = World::new();
    // `max_connections` is 1024.
    let limit = ["--nofile=300:300"];
    let ferry = Ferry::start_under("/usr/bin/prlimit", &limit, &world.settings());
    let told = ferry.wait_for_events("too few file descriptors for max_connections", 1);
    assert_eq!(told[0]["level"].as_str().unwrap().to_lowercase(), "warn");
    assert_eq!(told[0]["max_connections"], 1024);
    assert!(told[0]["clients"].as_u64().unwrap() < 150, "{told:?}");
    assert!(told[0]["advice"].is_string(), "{told:?}");
    assert!(ferry.get("/-/status").starts_with("HTTP/1.1 200"));
}
