//! Local users: whose socket a client's is decides who is served.
#![cfg(target_os = "linux")]

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, process::CommandExt as _},
    process::{Command, Stdio},
};

use crate::{
    support::skip::{Need, is_root, skipped},
    world::{World, soon},
};

/// A user of every Debian, and in the group of the same name.
const DAEMON: u32 = 1;
/// Nobody's number on a usual machine.
const STRANGER: u32 = 12_345;

/// What user `uid` gets for a request; waits for the daemon's end of it.
async fn answer(to: SocketAddr, uid: u32, request: &'static str) -> String {
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{}; printf '%b' '{request}' >&3; cat <&3",
        to.port()
    );
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).uid(uid).stderr(Stdio::inherit());
    let output = tokio::task::spawn_blocking(move || bash.output().unwrap());
    let output = soon("the other user's answer", output).await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const PAGE: &str = r"GET /-/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
const CONNECT: &str = r"CONNECT hf.co:443 HTTP/1.1\r\nHost: hf.co:443\r\nConnection: close\r\n\r\n";
const ABSOLUTE: &str = r"GET http://hf.co/ HTTP/1.1\r\nHost: hf.co\r\nConnection: close\r\n\r\n";

fn can_be_somebody_else() -> bool {
    is_root("only root can be somebody else")
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_of_the_machine_gets_403_on_every_front_and_a_line_in_the_log() {
    if !can_be_somebody_else() {
        return;
    }
    let world = World::with("").await;
    for request in [PAGE, CONNECT, ABSOLUTE] {
        let answer = answer(world.address, STRANGER, request).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{request}: {answer}");
    }
    assert!(
        answer(world.address, 0, PAGE)
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    let faults = world.faults();
    let told: Vec<_> = faults
        .iter()
        .map(|fault| (&*fault.code, &*fault.cause))
        .collect();
    assert_eq!(told.len(), 3, "{told:?}");
    for (code, cause) in told {
        assert_eq!(code, "client/accepted/denied");
        assert!(cause.contains("12345"), "{cause}");
    }
}

/// A command of gitferry, run by another user: what it says on stderr.
async fn refused(arguments: String) -> String {
    let place = tempfile::tempdir().unwrap();
    let binary = place.path().join("gitferry");
    // By another process: a file that this one writes is busy for as long as a child of another test has it open (ETXTBSY).
    let mut copy = Command::new("cp");
    copy.arg(env!("CARGO_BIN_EXE_gitferry")).arg(&binary);
    assert!(copy.status().unwrap().success());
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(binary);
    command.args(arguments.split(' ')).uid(STRANGER).env_clear();
    let home = place.path().to_owned();
    let output = tokio::task::spawn_blocking(move || command.env("HOME", home).output().unwrap());
    let output = soon("the command", output).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_another_user_does_not_say_that_no_daemon_answers() {
    if !can_be_somebody_else() {
        return;
    }
    let world = World::with("").await;
    for command in ["status", "history"] {
        let said = refused(format!("{command} --address {}", world.address)).await;
        let begin = format!("error: the daemon at {} denies access: ", world.address);
        assert!(said.starts_with(&begin), "{said}");
        assert!(
            said.contains("\nhint: add the user to `users` of `[listen]`"),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_members_of_groups_that_the_config_names_are_served_from_the_next_reload_on() {
    if !can_be_somebody_else() {
        return;
    }
    let world = World::with("").await;
    let status = async |uid| answer(world.address, uid, PAGE).await[9..12].to_owned();
    assert_eq!(status(DAEMON).await, "403");
    world.reload_listening("users = [\"daemon\"]", "");
    assert_eq!(status(DAEMON).await, "200");
    assert_eq!(status(STRANGER).await, "403");
    world.reload_listening("groups = [\"daemon\"]", "");
    assert_eq!(status(DAEMON).await, "200");
    assert_eq!(status(STRANGER).await, "403");
    world.reload_listening("users = [\"12345\"]", "");
    assert_eq!(status(STRANGER).await, "200");
    world.reload("");
    assert_eq!(status(STRANGER).await, "403");
}

/// What the daemon logs below `unshare`, in a user namespace where no user has a number; `None`, with a message, where there is none.
fn in_a_user_namespace(listen: &str) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("gitferry.toml");
    let state = directory.path().join("state");
    let text = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\n{listen}\n[built_in]\nroutes = false\n[trust]\nplatform_roots = false\n[state]\ndirectory = \"{}\"\n",
        state.display()
    );
    std::fs::write(&config, text).unwrap();
    let daemon = env!("CARGO_BIN_EXE_gitferry");
    let mut unshare = Command::new("unshare");
    let can = unshare.args(["--user", "true"]).status();
    if !can.is_ok_and(|status| status.success()) {
        skipped(Need::Namespaces, "user namespaces");
        return None;
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", daemon, "run", "--config"]);
    let mut running = unshare.arg(&config).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines();
    let mut said = String::new();
    // It ends by itself where it does not start.
    while !said.contains("listening")
        && let Some(line) = lines.next()
    {
        said += &(line.unwrap() + "\n");
    }
    running.kill().unwrap();
    running.wait().unwrap();
    Some(said)
}

#[test]
fn where_users_cannot_be_identified_named_users_refuse_to_start_and_otherwise_one_line_says_so() {
    let Some(said) = in_a_user_namespace("users = [\"root\"]") else {
        return;
    };
    assert!(said.contains("local users cannot be identified"), "{said}");
    assert!(!said.contains("listening"), "{said}");
    let said = in_a_user_namespace("").unwrap_or_default();
    let told = said
        .matches("local users cannot be identified, and all are served")
        .count();
    assert_eq!(told, 1, "{said}");
    assert!(said.contains("listening"), "{said}");
}
