//! Socket activation with systemd's own activator, and the notifications to the service manager.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::port::free_address;

const SOON: Duration = Duration::from_secs(20);

/// Killed on drop.
struct Activator(Child);

impl Activator {
    /// Holds `address` until the first client, then becomes the daemon; `None`, with a message, where there is no activator.
    fn start(address: SocketAddr, directory: &Path) -> Option<Self> {
        let config = directory.join("gitferry.toml");
        // Port 1 is for root, and not what the socket unit says: whoever binds it has not taken the socket.
        let text = format!(
            "[listen]\naddress = \"127.0.0.1:1\"\n[state]\ndirectory = \"{}\"\n",
            directory.join("state").display()
        );
        fs::write(&config, text).unwrap();
        let notify = directory.join("notify");
        let started = Command::new("systemd-socket-activate")
            .arg(format!("--listen={address}"))
            .arg(format!("--setenv=NOTIFY_SOCKET={}", notify.display()))
            .arg(env!("CARGO_BIN_EXE_gitferry"))
            .arg("--config")
            .arg(&config)
            .arg("run")
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(child) => Some(Self(child)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                crate::skipped(
                    crate::Need::Program,
                    "no systemd-socket-activate (Debian: systemd)",
                );
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for Activator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The manager's end of `NOTIFY_SOCKET`.
fn hears(socket: &UnixDatagram, word: &str) {
    let mut buffer = [0; 4096];
    let mut heard = String::new();
    loop {
        let count = socket
            .recv(&mut buffer)
            .unwrap_or_else(|error| panic!("no {word} ({error}), but {heard}"));
        heard += &String::from_utf8_lossy(buffer.get(..count).unwrap_or_default());
        if heard.lines().any(|line| line == word) {
            return;
        }
    }
}

/// Connects as soon as the activator listens.
fn connect(address: SocketAddr) -> TcpStream {
    let until = std::time::SystemTime::now() + SOON;
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(error) if std::time::SystemTime::now() > until => panic!("{address}: {error}"),
            Err(_) => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_socket_of_the_service_manager_is_used_and_readiness_and_stop_are_notified() {
    let directory = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(directory.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(SOON)).unwrap();
    let address = free_address();
    let Some(mut daemon) = Activator::start(address, directory.path()) else {
        return;
    };

    // The first client comes before the daemon does, and waits instead of being refused.
    let mut client = connect(address);
    client.set_read_timeout(Some(SOON)).unwrap();
    client
        .write_all(b"GET /-/status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    hears(&manager, "READY=1");

    let pid = Pid::from_raw(i32::try_from(daemon.0.id()).unwrap());
    kill(pid, Signal::SIGHUP).unwrap();
    hears(&manager, "RELOADING=1");
    hears(&manager, "READY=1");
    kill(pid, Signal::SIGTERM).unwrap();
    hears(&manager, "STOPPING=1");
    assert!(daemon.0.wait().unwrap().success());
}
