//! The log of the real binary, and what happens when nobody reads it.

use std::{
    fs,
    io::{Read, Write, pipe},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::process::free_address;

const SOON: Duration = Duration::from_secs(20);

/// The real daemon, killed on drop.
struct Daemon {
    child: Child,
    address: SocketAddr,
    _state: tempfile::TempDir,
}

impl Daemon {
    fn start(stderr: impl Into<Stdio>, arguments: &[&str]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let address = free_address();
        let config = state.path().join("gitferry.toml");
        let text = format!(
            "[listen]\naddress = \"{address}\"\n[state]\ndirectory = \"{}\"\n[log]\nlevel = \"debug\"\n",
            state.path().join("state").display()
        );
        fs::write(&config, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_gitferry"))
            .env_clear()
            .env("HOME", state.path())
            .arg("--config")
            .arg(&config)
            .arg("run")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self {
            child,
            address,
            _state: state,
        }
    }

    /// Asks for an own page, again until the daemon listens.
    fn get(&self, path: &str) -> String {
        let deadline = Instant::now() + SOON;
        loop {
            if let Ok(mut stream) = TcpStream::connect(self.address) {
                stream.set_read_timeout(Some(SOON)).unwrap();
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                    self.address
                );
                stream.write_all(request.as_bytes()).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                return answer;
            }
            assert!(Instant::now() < deadline, "the daemon does not listen");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends SIGTERM and waits for the end.
    fn stop(mut self) -> std::process::ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "SIGTERM does not end the daemon");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pipe whose reader stopped, like a terminal after Ctrl-S or a stuck journal.
#[test]
fn a_log_that_nobody_reads_blocks_no_request_and_no_sigterm() {
    let (reader, mut writer) = pipe().unwrap();
    // A pipe holds 64 KiB; from here on every write to it waits.
    writer.write_all(&vec![b'\n'; 65_536]).unwrap();
    let daemon = Daemon::start(writer, &[]);
    assert!(daemon.get("/-/healthz").contains("ok"));
    // Refused by the reverse front, with a fault in the log.
    for _ in 0..50 {
        assert!(daemon.get("/unknown.test/").contains("403 "), "no answer");
    }
    assert!(
        daemon
            .get("/-/metrics")
            .contains("gitferry_log_lines_dropped_total")
    );
    assert!(daemon.stop().success());
    drop(reader);
}

#[test]
fn the_form_of_the_log_is_an_argument() {
    for (form, expected) in [
        ("logfmt", "fault id="),
        ("json", "\"message\":\"fault\""),
        ("people", " ! unknown.test"),
    ] {
        let (mut reader, writer) = pipe().unwrap();
        let daemon = Daemon::start(writer, &["--log-format", form]);
        assert!(daemon.get("/unknown.test/").contains("403 "));
        assert!(daemon.stop().success());
        let mut log = String::new();
        reader.read_to_string(&mut log).unwrap();
        assert!(log.contains(expected), "{form}: {log}");
        assert!(!log.contains('\u{1b}'), "colours in a pipe: {log}");
    }
}
