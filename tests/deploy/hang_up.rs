//! SIGHUP as it really comes: from `nohup`, from a terminal that closes, from whoever wants a reload.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use super::port::free_address;

/// How long anything here may take.
const DEADLINE: Duration = Duration::from_secs(20);

struct Home {
    directory: TempDir,
    address: SocketAddr,
}

impl Home {
    fn new() -> Self {
        let address = free_address();
        let directory = tempfile::tempdir().unwrap();
        let home = Self { directory, address };
        home.write_config("info");
        home
    }

    fn write_config(&self, level: &str) {
        let text = format!(
            "[listen]\naddress = \"{}\"\n[log]\nlevel = \"{level}\"\n",
            self.address
        );
        fs::write(self.directory.path().join("gitferry.toml"), text).unwrap();
    }

    /// The command line of the daemon.
    fn daemon(&self) -> String {
        let config = self.directory.path().join("gitferry.toml");
        format!(
            "exec {} --config {} run",
            env!("CARGO_BIN_EXE_gitferry"),
            config.display()
        )
    }

    fn spawn(&self, program: &str, arguments: &[&str]) -> Child {
        Command::new(program)
            .args(arguments)
            .env_clear()
            .env("HOME", self.directory.path())
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn pid(&self) -> Option<u32> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        write!(
            stream,
            "GET /-/api/daemon HTTP/1.0\r\nHost: {}\r\n\r\n",
            self.address
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let body: serde_json::Value = serde_json::from_str(body).ok()?;
        body.get("pid")?.as_u64()?.try_into().ok()
    }

    /// Waits until the daemon answers, or answers no more.
    fn wait(&self, up: bool) -> Option<u32> {
        for _ in 0..DEADLINE.as_millis() / 20 {
            let pid = self.pid();
            if pid.is_some() == up {
                return pid;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!(
            "the daemon is {} after {DEADLINE:?}",
            if up { "not up" } else { "still up" }
        );
    }
}

fn kill(signal: &str, pid: u32) {
    let done = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(done.unwrap().success());
}

/// True once the process has taken every signal that was sent to it.
fn has_taken_its_signals(pid: u32) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    status
        .unwrap()
        .lines()
        .any(|line| line.starts_with("ShdPnd:") && line.ends_with('0'))
}

#[test]
fn a_daemon_under_nohup_outlives_its_terminal() {
    let home = Home::new();
    let mut shell = home.spawn("sh", &["-c", &format!("trap '' HUP; {}", home.daemon())]);
    let pid = home.wait(true).unwrap();
    kill("-HUP", pid);
    while !has_taken_its_signals(pid) {
        std::thread::yield_now();
    }
    assert_eq!(home.pid(), Some(pid));
    kill("-TERM", pid);
    assert!(shell.wait().unwrap().success());
}

#[test]
fn a_daemon_in_a_terminal_that_closes_ends() {
    let home = Home::new();
    // util-linux script(1) runs it in a terminal of its own, which closes when script is killed.
    let mut terminal = home.spawn("script", &["-qc", &home.daemon(), "/dev/null"]);
    home.wait(true);
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    home.wait(false);
}
