//! What a user reads when a command fails: `error:` with what and where, then `hint:` with what to do.

use std::{fs, process::Command};

/// The exit code and stderr of `gitferry ARGUMENTS` with a home directory of its own.
fn fails(arguments: &str, home: &std::path::Path) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gitferry"))
        .args(arguments.split_whitespace())
        .env_clear()
        .env("HOME", home)
        .current_dir(home)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), stderr)
}

#[test]
fn every_error_says_what_failed_and_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let bad = home.path().join("bad.toml");
    fs::write(&bad, "[listen]\nadress = \"x\"\n[logs]\nlevel = 1\n").unwrap();
    for (arguments, code, cause) in [
        (
            "check bad.toml",
            1,
            "bad.toml:2:1: unknown key `listen.adress`",
        ),
        (
            "run --config bad.toml",
            1,
            "bad.toml:2:1: unknown key `listen.adress`",
        ),
        ("check none.toml", 1, "none.toml"),
        (
            "status --address 127.0.0.1:1",
            1,
            "no daemon answers at 127.0.0.1:1",
        ),
        (
            "history 5 --address 127.0.0.1:1",
            1,
            "no daemon answers at 127.0.0.1:1",
        ),
        (
            "connect x.test:22 --address 127.0.0.1:1",
            1,
            "no daemon answers at 127.0.0.1:1",
        ),
        ("report none.log", 1, "cannot read none.log"),
        ("ca path", 1, "no local CA in"),
        (
            "ca export --output no/such/directory/x",
            1,
            "no local CA in",
        ),
        (
            "man --directory /proc/none",
            1,
            "cannot write the man pages to /proc/none",
        ),
        (
            "help nothing",
            2,
            "no topic, command, code, key or metric is named nothing",
        ),
        ("history x", 2, "invalid value 'x'"),
        // A bad argument is reported before any request to the daemon.
        ("history --since yesterday", 2, "invalid value 'yesterday'"),
        // No line of the embedded default is at fault.
        (
            "run --listen 192.0.2.1:1",
            1,
            "error: `--listen 192.0.2.1:1`: an address other than loopback",
        ),
        ("setup", 2, "required arguments were not provided: <WHAT>"),
        ("setup svn", 2, "invalid value 'svn'"),
        ("sail", 2, "unrecognized subcommand 'sail'"),
        ("run --verbos", 2, "unexpected argument '--verbos' found"),
    ] {
        let (exit, stderr) = fails(arguments, home.path());
        let mut lines = stderr.lines();
        let first = lines.next().unwrap_or_default();
        let error = first.strip_prefix("error: ");
        assert!(
            error.is_some() && first.contains(cause),
            "{arguments}: {stderr}"
        );
        assert!(
            lines.any(|line| line.starts_with("hint: ")),
            "{arguments}: {stderr}"
        );
        assert_eq!(exit, code, "{arguments}: {stderr}");
    }
    let (_, stderr) = fails("check bad.toml", home.path());
    let count = |label: &str| {
        stderr
            .lines()
            .filter(|line| line.starts_with(label))
            .count()
    };
    assert_eq!((count("error: "), count("hint: ")), (2, 2), "{stderr}");
}
