//! The state directory as a daemon finds and leaves it, and what a dead daemon leaves of its memory.

use std::{
    fs,
    io::{BufRead, BufReader, Read as _},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::{Child, Command, Stdio},
};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Waits until it listens.
fn started(mut command: Command) -> Running {
    let mut daemon = Running(command.spawn().unwrap());
    let log = BufReader::new(daemon.0.stderr.take().unwrap());
    let mut seen = Vec::new();
    for line in log.lines().map_while(Result::ok) {
        if line.contains("\"listening\"") {
            return daemon;
        }
        seen.push(line);
    }
    panic!("it does not listen: {seen:#?}");
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: only root can give files away");
    }
    root
}

#[test]
fn a_state_directory_of_somebody_else_is_refused_with_the_command_that_mends_it() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    fs::create_dir(&state).unwrap();
    chown(&state, Some(NOBODY), None).unwrap();
    let mut refused = Running(daemon(&state, "022").spawn().unwrap());
    let mut told = String::new();
    let mut stderr = refused.0.stderr.take().unwrap();
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!(refused.0.wait().unwrap().code(), Some(1), "{told}");
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
    drop(started(daemon(&state, "022")));
}

#[test]
fn the_umask_neither_opens_the_state_directory_nor_closes_the_bundle() {
    for umask in ["000", "077"] {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        drop(started(daemon(&state, umask)));
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
    if !is_root() {
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
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let daemon = started(command);
    let proc = Path::new("/proc").join(daemon.0.id().to_string());
    let limits = fs::read_to_string(proc.join("limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(words.get(4..6), Some(["0", "0"].as_slice()), "{limits}");
    // Files of a process that is not dumpable belong to root (proc(5)).
    assert_eq!(fs::metadata(proc.join("mem")).unwrap().uid(), 0);
}
