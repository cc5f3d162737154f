//! `gitferry check`, `gitferry config` and the arguments of `gitferry run`, as a user runs them.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use gitferry::testing::DEFAULT;
use serde_json::Value;

use crate::support::{ferry::Ferry, process::free_address};

fn gitferry(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gitferry"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn check_shows_what_the_daemon_uses_and_not_what_the_shell_has() {
    let (home, address) = (tempfile::tempdir().unwrap(), free_address());
    let file = home.path().join("gitferry.toml");
    let config = format!(
        "[listen]\naddress = \"{address}\"\n[log]\nformat = \"json\"\n[trust]\nplatform_roots = false\n"
    );
    fs::write(&file, &config).unwrap();
    let check = |arguments: &[&str]| {
        let output = gitferry(home.path(), arguments)
            .env("https_proxy", "http://of-the-shell.test:3128")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        text(&output).0
    };
    let shown = check(&["check", "gitferry.toml"]);
    assert!(shown.contains("this shell; no daemon answers"), "{shown}");
    assert!(shown.contains("of-the-shell.test"), "{shown}");
    let mut command = gitferry(home.path(), &["run", "--config", "gitferry.toml"]);
    let state = home.path().join("of-the-daemon");
    command
        .env("https_proxy", "http://me:hunter2@of-the-daemon.test:3128")
        .env("STATE_DIRECTORY", &state);
    let daemon = Ferry::of(&mut command, home.path());
    let shown = check(&["check", "gitferry.toml"]);
    assert!(
        shown.contains(&format!("the daemon at {}", daemon.address)),
        "{shown}"
    );
    assert!(shown.contains("http://of-the-daemon.test:3128"), "{shown}");
    assert!(shown.contains(state.to_str().unwrap()), "{shown}");
    assert!(
        !shown.contains("of-the-shell") && !shown.contains("hunter2"),
        "{shown}"
    );
    let json: Value = serde_json::from_str(&check(&["check", "--json", "gitferry.toml"])).unwrap();
    assert_eq!(json["state"]["directory"], state.to_str().unwrap());
    assert_eq!(json["seen_by"], format!("the daemon at {}", daemon.address));
    // Another file is shown as this shell would take it.
    fs::write(home.path().join("other.toml"), &config).unwrap();
    let shown = check(&["check", "other.toml"]);
    assert!(shown.contains("this shell; the daemon at"), "{shown}");
    assert!(shown.contains("of-the-shell.test"), "{shown}");
}

/// The warning without a hint was a null in the daemon's answer, and `check` said that no daemon answers.
#[test]
fn check_finds_the_daemon_whose_config_has_a_warning() {
    let (home, address) = (tempfile::tempdir().unwrap(), free_address());
    let config = format!(
        "[listen]\naddress = \"{address}\"\n[log]\nformat = \"json\"\n[trust]\nplatform_roots = false\n\
         [hops]\nunused = {{ url = \"http://127.0.0.1:9\" }}\n"
    );
    fs::write(home.path().join("gitferry.toml"), config).unwrap();
    let mut run = gitferry(home.path(), &["run", "--config", "gitferry.toml"]);
    let daemon = Ferry::of(&mut run, home.path());
    let output = gitferry(home.path(), &["check", "gitferry.toml"]).output();
    let (shown, told) = text(&output.unwrap());
    assert!(told.contains("no route uses the hop `unused`"), "{told}");
    assert!(
        shown.contains(&format!("as seen by the daemon at {}", daemon.address)),
        "{shown}"
    );
}

/// The log had the lines of `gitferry check` in one field, with `\\n` between them.
#[test]
fn a_warning_of_the_config_is_one_line_in_the_log_with_its_hint_as_advice() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("secret"), "hunter2").unwrap();
    let everybody = fs::Permissions::from_mode(0o644);
    fs::set_permissions(home.path().join("secret"), everybody).unwrap();
    let config = "[log]\nformat = \"json\"\n[trust]\nplatform_roots = false\n\
         [hops]\nunused = { url = \"http://127.0.0.1:9\", username = \"me\", password_file = \"secret\" }\n";
    fs::write(home.path().join("gitferry.toml"), config).unwrap();
    let arguments = ["run", "--config", "gitferry.toml", "--listen"];
    let mut run = gitferry(home.path(), &arguments);
    run.arg("127.0.0.1:0").stderr(Stdio::piped());
    let mut child = run.spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let log: Vec<Value> = lines
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .take_while(|line: &Value| line["message"] != "listening")
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let of = |part: &str| {
        let has = |line: &&Value| {
            line["problem"]
                .as_str()
                .is_some_and(|text| text.contains(part))
        };
        log.iter().find(has).unwrap_or_else(|| panic!("{log:#?}"))
    };
    let readable = of("everybody can read");
    let advice = readable["advice"].as_str();
    assert!(
        advice.is_some_and(|text| text.starts_with("chmod 600 ")),
        "{log:#?}"
    );
    let unused = of("no route uses the hop `unused`");
    assert_eq!(unused.get("advice"), None);
    for line in [readable, unused] {
        assert!(
            !line["problem"].as_str().unwrap().contains('\n'),
            "{line:#}"
        );
    }
}

#[test]
fn run_takes_the_address_and_the_level_from_the_command_line() {
    let home = tempfile::tempdir().unwrap();
    let config = "[listen]\naddress = \"127.0.0.1:4\"\n[log]\nformat = \"json\"\n[trust]\nplatform_roots = false\n";
    fs::write(home.path().join("gitferry.toml"), config).unwrap();
    let run = |address: &str| {
        gitferry(
            home.path(),
            &[
                "run",
                "--config",
                "gitferry.toml",
                "--listen",
                address,
                "-v",
            ],
        )
    };
    let daemon = Ferry::of(&mut run("127.0.0.1:0"), home.path());
    assert_ne!(daemon.address.port(), 4);
    let address = daemon.address.to_string();
    let status = gitferry(home.path(), &["status", "--json", "--address", &address]);
    let shown = text(&{ status }.output().unwrap()).0;
    assert!(shown.contains(&address), "{shown}");
    let refused = run("0.0.0.0:0").output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused).1;
    assert!(told.contains("requires credentials"), "{told}");
}

#[test]
fn config_prints_the_default_which_is_a_good_config() {
    let home = tempfile::tempdir().unwrap();
    let output = gitferry(home.path(), &["config"]).output().unwrap();
    assert_eq!(text(&output).0, DEFAULT);
    fs::write(home.path().join("gitferry.toml"), DEFAULT).unwrap();
    let checked = gitferry(home.path(), &["check", "gitferry.toml"])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn check_tries_the_congestion_control_of_each_route() {
    let home = tempfile::tempdir().unwrap();
    let route = |name: &str, more: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\nhosts = [\"{name}.test\"]\ntls = \"tunnel\"\n\
             upstreams = [{{ via = \"direct\" }}]\n{more}"
        )
    };
    let config = format!(
        "[listen]\naddress = \"{}\"\n[built_in]\nroutes = false\n[trust]\nplatform_roots = false\n\
         [dial]\ncongestion = \"system\"\n{}{}",
        free_address(),
        route("near", ""),
        route("far", "dial = { congestion = \"no_such_one\" }\n"),
    );
    fs::write(home.path().join("gitferry.toml"), config).unwrap();
    let check = |arguments: &[&str]| {
        let output = gitferry(home.path(), arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        text(&output).0
    };
    let shown = check(&["check", "gitferry.toml"]);
    let told = "# the same of route `far`: the system default; `no_such_one` cannot be set: ";
    assert!(shown.contains(told), "{shown}");
    assert!(!shown.contains("`near`"), "{shown}");
    let json: Value = serde_json::from_str(&check(&["check", "gitferry.toml", "--json"])).unwrap();
    let of_routes = json["congestion_control_of_routes"].as_object().unwrap();
    assert_eq!(of_routes.keys().collect::<Vec<_>>(), ["far"]);
}
