//! A reload never lowers the guard: a daemon that asks for credentials asks for them after every reload.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{support::ferry::Ferry, world::Client};

const REJECTED: &str = "config rejected, the previous one remains in force";

/// A daemon with credentials that found its file by itself.
struct Guarded {
    ferry: Ferry,
    /// By which loopback reaches it.
    address: SocketAddr,
    file: PathBuf,
    directory: tempfile::TempDir,
}

impl Guarded {
    /// Listens on every interface of this machine.
    async fn everywhere() -> Self {
        Self::start("0.0.0.0:0", None).await
    }

    /// Takes over a socket of the service manager's.
    async fn activated(socket: TcpListener) -> Self {
        Self::start("127.0.0.1:1", Some(socket)).await
    }

    async fn start(address: &str, socket: Option<TcpListener>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gitferry/gitferry.toml");
        fs::create_dir(file.parent().unwrap()).unwrap();
        fs::write(directory.path().join("gitferry/password"), "hunter2\n").unwrap();
        fs::write(&file, text(address, CREDENTIALS)).unwrap();
        let mut command = Command::new("sh");
        // The socket comes as stdin, and becomes descriptor 3 as in sd_listen_fds(3).
        let (script, stdin) = match socket {
            Some(socket) => (
                "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" run 3<&0 0</dev/null",
                Stdio::from(OwnedFd::from(socket)),
            ),
            None => ("exec \"$0\" run", Stdio::null()),
        };
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_gitferry")])
            .env("XDG_CONFIG_HOME", directory.path())
            .env("XDG_STATE_HOME", directory.path().join("state"))
            .stdin(stdin);
        let ferry = Ferry::of(&mut command, directory.path());
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], ferry.address.port())),
            ferry,
            file,
            directory,
        }
    }

    /// Asks for a reload, which must be refused as a whole.
    async fn refuses(&self, part: &str) {
        self.ferry.hang_up();
        // The file is checked every two seconds too: a refusal may still be about its previous content.
        loop {
            let rejected = self.ferry.says(REJECTED).await;
            assert!(rejected["advice"].as_str().is_some(), "{rejected:#}");
            if rejected["problem"].as_str().unwrap().contains(part) {
                break;
            }
        }
        self.still_asks().await;
    }

    /// Without credentials there is a 407, and with them the old routes.
    async fn still_asks(&self) {
        let head = asks(self.address, ANONYMOUS).await;
        assert!(head.starts_with("HTTP/1.1 407"), "{head}");
        // The route of the first file denies the host.
        let head = asks(self.address, AUTHORIZED).await;
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    }
}

const CREDENTIALS: &str = "username = \"me\"\npassword_file = \"password\"\n";

fn text(address: &str, credentials: &str) -> String {
    format!(
        "[listen]\naddress = \"{address}\"\n{credentials}[log]\nformat = \"json\"\n[trust]\nplatform_roots = false\n\
         [[route]]\nname = \"refused\"\nhosts = [\"refused.test\"]\ntls = \"deny\"\n"
    )
}

const ANONYMOUS: &str = "CONNECT refused.test:443 HTTP/1.1\r\nHost: refused.test:443\r\n\r\n";
/// "me:hunter2".
const AUTHORIZED: &str = "CONNECT refused.test:443 HTTP/1.1\r\nHost: refused.test:443\r\n\
                          Proxy-Authorization: Basic bWU6aHVudGVyMg==\r\n\r\n";

async fn asks(address: SocketAddr, request: &str) -> String {
    let mut client = Client::to(address).await;
    client.send(request).await;
    client.head().await
}

const UNGUARDED: &str = "anybody could use this daemon";

#[tokio::test]
async fn an_address_edited_to_loopback_with_the_credentials_removed_is_refused() {
    let daemon = Guarded::everywhere().await;
    fs::write(&daemon.file, text("127.0.0.1:4483", "")).unwrap();
    daemon.refuses(UNGUARDED).await;
}

#[tokio::test]
async fn a_file_that_is_emptied_is_refused() {
    let daemon = Guarded::everywhere().await;
    fs::write(&daemon.file, "").unwrap();
    daemon.refuses(UNGUARDED).await;
}

#[tokio::test]
async fn a_file_that_is_half_written_is_refused() {
    let daemon = Guarded::everywhere().await;
    let whole = text("0.0.0.0:4483", CREDENTIALS);
    for (end, part) in [
        ("[listen]", UNGUARDED),
        ("4483\"\n", "requires credentials"),
        ("\"me\"\n", "requires credentials"),
        ("username =", ""),
    ] {
        let at = whole.find(end).unwrap() + end.len();
        fs::write(&daemon.file, &whole[..at]).unwrap();
        daemon.refuses(part).await;
    }
    fs::write(daemon.directory.path().join("gitferry/password"), "").unwrap();
    fs::write(&daemon.file, whole).unwrap();
    daemon.refuses("is empty").await;
}

#[tokio::test]
async fn a_file_that_is_removed_does_not_open_the_daemon() {
    let daemon = Guarded::everywhere().await;
    fs::remove_file(&daemon.file).unwrap();
    daemon.refuses(UNGUARDED).await;
}

#[tokio::test]
async fn a_handed_over_socket_keeps_its_guard_when_the_credentials_are_taken_out() {
    let socket = TcpListener::bind("0.0.0.0:0").unwrap();
    let daemon = Guarded::activated(socket).await;
    fs::write(&daemon.file, text("127.0.0.1:1", "")).unwrap();
    daemon.refuses(UNGUARDED).await;
}

#[tokio::test]
async fn credentials_on_loopback_are_not_removed_by_a_reload_either() {
    let daemon = Guarded::start("127.0.0.1:0", None).await;
    fs::write(&daemon.file, text("127.0.0.1:0", "")).unwrap();
    daemon.refuses(UNGUARDED).await;
    // Other credentials are taken; the file is looked at every two seconds.
    fs::write(daemon.directory.path().join("gitferry/password"), "changed").unwrap();
    fs::write(&daemon.file, text("127.0.0.1:0", CREDENTIALS)).unwrap();
    daemon.ferry.says("config reloaded").await;
    let head = asks(daemon.address, AUTHORIZED).await;
    assert!(head.starts_with("HTTP/1.1 407"), "{head}");
}

#[tokio::test]
async fn a_password_file_that_comes_after_the_config_is_taken_when_it_is_there() {
    let daemon = Guarded::start("127.0.0.1:0", None).await;
    let late = CREDENTIALS.replace("\"password\"", "\"late\"");
    fs::write(&daemon.file, text("127.0.0.1:0", &late)).unwrap();
    daemon.refuses("cannot read").await;
    fs::write(daemon.directory.path().join("gitferry/late"), "hunter2").unwrap();
    daemon.ferry.says("config reloaded").await;
    daemon.still_asks().await;
}
