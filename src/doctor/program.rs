//! Runs other programs, with a time limit and without prompts; all their children end with them.

use std::{io, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use crate::model::columns::cut;

/// How a program ended.
#[derive(Debug)]
pub(super) struct ProgramEnd {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl ProgramEnd {
    /// True for exit code 0.
    pub(super) fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// The line of its standard error that counts: the last one, but for curl, which adds explanations below its message.
    pub(super) fn complaint(&self) -> String {
        let mut lines = self.stderr.lines();
        let of_curl = lines.clone().find(|line| line.starts_with("curl: ("));
        let line = of_curl.or_else(|| lines.rfind(|line| !line.trim().is_empty()));
        let text = crate::track::redact::text(line.unwrap_or_default().trim());
        cut(&text, 240)
    }
}

/// Variables that keep git, its helpers and ssh from prompting.
pub(super) const SILENT: &[(&str, &str)] = &[
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GCM_INTERACTIVE", "never"),
    ("GIT_ASKPASS", ""),
    ("SSH_ASKPASS", ""),
    ("SSH_ASKPASS_REQUIRE", "never"),
    ("LC_ALL", "C"),
];

/// Runs `command` in a process group of its own, gives it `input`, and waits no longer than `limit`.
///
/// Fails where it cannot be run, and with `TimedOut` at the limit.
pub(super) async fn run(
    mut command: Command,
    input: &str,
    limit: Duration,
) -> io::Result<ProgramEnd> {
    let mut child = command
        .envs(SILENT.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let group = ProcessGroup(child.id());
    if let Some(mut stdin) = child.stdin.take() {
        // A program may ignore its input.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = timeout(limit, child.wait_with_output()).await;
    drop(group);
    let output = output.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(ProgramEnd {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A process group that is killed when dropped: git's helpers may outlive git.
struct ProcessGroup(Option<u32>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let id = self.0.and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            // It may have ended already.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[tokio::test]
    async fn a_program_that_exceeds_its_limit_is_killed_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let mut command = Command::new("sh");
        let script = "exec 3>\"$0\"; echo started >&3; sleep 600 & sleep 600";
        command.args(["-c", script]).arg(&fifo);
        let read = tokio::task::spawn_blocking(|| std::fs::read_to_string(fifo));
        let ended = run(command, "", Duration::from_secs(3)).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // The FIFO ends once no process has it open.
        let read = timeout(Duration::from_secs(30), read).await;
        let text = read.expect("a child still runs").unwrap().unwrap();
        assert_eq!(text, "started\n");
    }

    #[tokio::test]
    async fn a_program_gets_its_input_and_its_output_and_exit_code_are_returned() {
        let mut command = Command::new("sh");
        command.args(["-c", "cat; echo oops >&2; exit 3"]);
        let ended = run(command, "hello", Duration::from_secs(20))
            .await
            .unwrap();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), "hello"));
        assert_eq!(ended.complaint(), "oops");
    }
}
