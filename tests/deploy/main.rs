//! The files of `deploy/`, read by those who will read them: systemd's own checks, and a plist parser.
//!
//! Skips, aloud, what is not here: `systemd-analyze` (Debian: systemd) and `python3`.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test whose preparation fails has failed, and waits for real processes by the clock"
)]

#[path = "../support/port.rs"]
mod port;
#[path = "../support/skip.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod skip;

mod activation;
mod hang_up;
mod prometheus;
mod service;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use skip::{Need, skipped};
use tempfile::TempDir;

/// systemd's own measure, 0 to 10. What is left: it needs the network, and no address list fits every origin.
const EXPOSURE_AT_MOST: f64 = 1.5;

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(path)
}

/// Runs a program; `None`, with a message, where it is not installed.
fn run(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let program = command.get_program().display();
            skipped(Need::Program, &format!("{program} is not installed"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Copies of the units that start the program built here: systemd looks whether it is there.
fn units(folder: &str, installed: &str) -> (TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for name in ["gitferry.service", "gitferry.socket"] {
        let text = fs::read_to_string(deploy(folder).join(name)).unwrap();
        let built = text.replace(installed, env!("CARGO_BIN_EXE_gitferry"));
        assert_eq!(text == built, name.ends_with("socket"), "{name}");
        let path = directory.path().join(name);
        fs::write(&path, built).unwrap();
        units.push(path);
    }
    (directory, units)
}

/// `systemd-analyze` for the system's manager or for a user's, which need not run.
fn analyze(user: bool, runtime: &Path) -> Command {
    let mut command = Command::new("systemd-analyze");
    command
        .env("XDG_RUNTIME_DIR", runtime)
        .env("SYSTEMD_COLORS", "0");
    if user {
        command.arg("--user");
    }
    command
}

const INSTALLED: [(bool, &str, &str); 2] = [
    (false, "systemd", "/usr/local/bin/gitferry"),
    (true, "systemd/user", "%h/.cargo/bin/gitferry"),
];

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    for (user, folder, installed) in INSTALLED {
        let (directory, units) = units(folder, installed);
        let mut verify = analyze(user, directory.path());
        let Some(output) = run(verify.arg("verify").args(&units)) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{folder}: {said}");
        assert_eq!(said, "", "{folder}");
    }
}

#[test]
fn a_mistake_in_a_unit_would_be_found() {
    let (directory, units) = units("systemd", "/usr/local/bin/gitferry");
    let text = fs::read_to_string(&units[0]).unwrap();
    fs::write(&units[0], text.replace("PrivateTmp=", "PrivatTmp=")).unwrap();
    let mut verify = analyze(false, directory.path());
    let Some(output) = run(verify.arg("verify").args(&units)) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("PrivatTmp"), "{said}");
}

#[test]
fn the_system_service_is_little_exposed() {
    let (directory, units) = units("systemd", "/usr/local/bin/gitferry");
    let mut security = analyze(false, directory.path());
    let Some(output) = run(security.args(["security", "--offline=yes"]).arg(&units[0])) else {
        return;
    };
    let table = String::from_utf8_lossy(&output.stdout);
    let score: f64 = table
        .lines()
        .find_map(|line| line.split_once("Overall exposure level for"))
        .and_then(|(_, rest)| rest.split_once(": "))
        .and_then(|(_, score)| score.split_whitespace().next())
        .and_then(|score| score.parse().ok())
        .unwrap_or_else(|| panic!("no score: {table}"));
    println!("exposure {score}");
    assert!(score <= EXPOSURE_AT_MOST, "{score}: {table}");
}

#[test]
fn the_sockets_of_both_managers_are_the_embedded_defaults_address() {
    let address = "ListenStream=127.0.0.1:4483\n";
    assert!(gitferry::testing::DEFAULT.contains("address = \"127.0.0.1:4483\""));
    for folder in ["systemd", "systemd/user"] {
        let text = fs::read_to_string(deploy(folder).join("gitferry.socket")).unwrap();
        assert!(text.contains(address), "{folder}: {text}");
    }
}

#[test]
fn the_plist_is_read_as_it_is_meant() {
    let program =
        "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let mut python = Command::new("python3");
    let path = deploy("launchd/org.gitferry.daemon.plist");
    let Some(output) = run(python.args(["-c", program]).arg(&path)) else {
        return;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let plist: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        plist["ProgramArguments"],
        serde_json::json!(["/usr/local/bin/gitferry", "run"])
    );
    let label = path.file_stem().unwrap().to_str().unwrap();
    assert_eq!(plist["Label"], label);
    assert_eq!(plist["Umask"], 0o077);
}
