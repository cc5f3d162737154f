//! `gitferry report` as a command: where it reads from, and its exit codes.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

fn report(arguments: &[&str], stdin: &[u8]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/report");
    let mut child = Command::new(env!("CARGO_BIN_EXE_gitferry"))
        .current_dir(root)
        .arg("report")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that does not read its stdin closes it.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn a_log_is_read_from_files_and_from_stdin() {
    let log = include_bytes!("../fixtures/report/text.log");
    let file = report(&["text.log"], b"");
    assert_eq!(file.status.code(), Some(1));
    assert!(!file.stdout.is_empty());
    assert_eq!(report(&[], log).stdout, file.stdout);
    assert_eq!(report(&["-"], log).stdout, file.stdout);
    let both = report(&["json.log", "-", "--json"], log);
    let data: serde_json::Value = serde_json::from_slice(&both.stdout).unwrap();
    assert_eq!(data["transfers"]["ended"], 22);
}

#[test]
fn the_exit_code_tells_faults_from_none() {
    let well = "2026-11-23T16:00:00.000Z  INFO transfer ended id=1 host=a port=443 result=closed up=1 down=2 total_ms=3\n";
    let answered = |path: &str, status: u16| {
        let status = format!("result=answered method=GET path={path} status={status}");
        well.replace("result=closed", &status)
    };
    let (refused, optional) = (answered("/x", 500), answered("/x.json", 404));
    let (refused, optional) = (refused.as_str(), optional.as_str());
    for (arguments, stdin, code, said) in [
        (&[][..], well, 0, "no faults and no stalls"),
        (
            &[],
            refused,
            0,
            "1, 0 failed, 0 rescued, 1 refused by the site itself",
        ),
        (&[], optional, 0, "1, 0 failed, 0 rescued\n"),
        (&[], "", 0, "no log lines"),
        (&[], "something else\n", 1, "no line of gitferry's log"),
        (&["missing.log"], "", 1, "cannot read missing.log"),
        (&["--yaml"], "", 2, "--yaml"),
    ] {
        let output = report(arguments, stdin.as_bytes());
        let said_all = [&output.stdout[..], &output.stderr].concat();
        let text = String::from_utf8_lossy(&said_all);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
}
