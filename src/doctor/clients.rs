//! The clients on this machine: whether each one uses the daemon and trusts its CA.

mod find;
mod judge;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::process::Command;

use super::{LocalFacts, Outcome, program};

pub(super) use find::installed;

/// A client that uses the daemon needs less, even on a busy machine where Python imports for seconds. One that bypasses the daemon
/// may wait for the network.
const TIMEOUT: Duration = Duration::from_secs(12);

/// One installed client.
#[derive(Clone, Debug)]
pub(crate) struct InstalledClient {
    /// `git 2.39.5 (GnuTLS)`.
    pub(super) name: String,
    /// How it is run.
    pub(super) kind: ClientKind,
    /// The program.
    pub(super) program: PathBuf,
    /// What every client is given.
    pub(super) context: Arc<ClientContext>,
}

/// What every client is given.
#[derive(Debug)]
pub(crate) struct ClientContext {
    /// Hosts whose TLS the daemon terminates: the main site, and its storage.
    pub(super) hosts: (String, String),
    /// The nonce that the daemon gave.
    pub(super) nonce: String,
    /// The daemon, whose log is a witness; the directory to run in, so that its settings count; the remote, for ssh.
    pub(super) local: LocalFacts,
}

impl InstalledClient {
    /// The host whose route it is run for.
    fn host(&self) -> &str {
        let (main, storage) = &self.context.hosts;
        match self.kind {
            ClientKind::GitLfs => storage,
            _ => main,
        }
    }
}

/// The kinds of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientKind {
    /// git itself.
    Git,
    /// git-lfs, which has TLS of its own.
    GitLfs,
    /// The curl command.
    Curl,
    /// Python's requests.
    Requests,
    /// Python's httpx.
    Httpx,
    /// huggingface_hub.
    Hub,
    /// OpenSSH, where the remote is one of ssh.
    Ssh,
}

impl ClientKind {
    /// The command that sets it up.
    pub(super) const fn setup(self) -> &'static str {
        match self {
            Self::Git => "gitferry setup git",
            Self::GitLfs => "gitferry setup lfs",
            Self::Ssh => "gitferry setup ssh",
            Self::Curl | Self::Requests | Self::Httpx | Self::Hub => "gitferry setup hf",
        }
    }

    /// True for the clients that the set-up is mainly for. The others may bypass the daemon on purpose.
    pub(super) const fn is_essential(self) -> bool {
        matches!(self, Self::Git | Self::GitLfs | Self::Ssh)
    }
}

/// Runs the client with a URL that contains the nonce.
pub(super) async fn run(client: &InstalledClient) -> Outcome {
    let scratch = match client.kind {
        // `git lfs` needs a repository, and must not use the user's.
        ClientKind::GitLfs => scratch_repository().await,
        _ => None,
    };
    let directory = scratch.as_ref().map_or(
        client.context.local.directory.as_path(),
        tempfile::TempDir::path,
    );
    let mut command = command(client);
    command.current_dir(directory);
    let before = last_broken_handshake(client).await;
    let ended = match program::run(command, "", TIMEOUT).await {
        Ok(ended) => ended,
        Err(error) => {
            return Outcome::unmeasured("no answer")
                .detail(format!("{} does not exit: {error}", client.name));
        }
    };
    let reported = judge::needs_public_address(&ended) && is_reported(client, before).await;
    judge::judge(client, &ended, reported)
}

/// The number of the daemon's last transfer with this host in which the client aborted the handshake.
async fn last_broken_handshake(client: &InstalledClient) -> Option<u64> {
    let faults = client.context.local.daemon.faults().await;
    let aborted = faults.iter().filter(|fault| {
        fault.host == client.host() && fault.code.starts_with("client/handshaking/")
    });
    aborted.map(|fault| fault.id).max()
}

/// True once the daemon reports a later one than `before`; it notices a closed connection a moment after the client exits.
async fn is_reported(client: &InstalledClient, before: Option<u64>) -> bool {
    for _ in 0..30 {
        if last_broken_handshake(client).await > before {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

async fn scratch_repository() -> Option<tempfile::TempDir> {
    let directory = tempfile::Builder::new()
        .prefix("gitferry-doctor-")
        .tempdir()
        .ok()?;
    let mut command = Command::new("git");
    command.args(["init", "-q"]).arg(directory.path());
    let ended = program::run(command, "", TIMEOUT).await.ok()?;
    ended.is_success().then_some(directory)
}

fn command(client: &InstalledClient) -> Command {
    let path = format!("/.well-known/gitferry/{}", client.context.nonce);
    let url = format!("https://{}{path}", client.host());
    let lfs_url = format!("lfs.url={url}");
    let program = match client.kind {
        ClientKind::GitLfs => Path::new("git"),
        _ => &client.program,
    };
    let no_helper = "credential.helper=";
    let mut command = Command::new(program);
    match client.kind {
        ClientKind::Git => command.args(["-c", no_helper, "ls-remote", &url]),
        ClientKind::GitLfs => {
            command
                .args(["-c", no_helper, "-c", &lfs_url])
                .args(["lfs", "locks", "--limit=1"])
        }
        ClientKind::Curl => command.args(["-sS", "--max-time", "7", &url]),
        ClientKind::Requests => command.args(["-c", REQUESTS, &url]),
        ClientKind::Httpx => command.args(["-c", HTTPX, &url]),
        ClientKind::Hub => command.args(["-c", HUB, &path]),
        // It offers no key and accepts no host key: reaching the server is enough.
        ClientKind::Ssh => command
            .args(["-v", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=6"])
            .args(["-o", "PreferredAuthentications=none"])
            .args(["-o", "StrictHostKeyChecking=yes"]),
    };
    if let (ClientKind::Ssh, Some(remote)) = (client.kind, &client.context.local.ssh) {
        let user = remote.username.as_deref().unwrap_or("git");
        command.arg("-p").arg(remote.target.port.to_string());
        command
            .arg("--")
            .arg(format!("{user}@{}", remote.target.host));
    }
    command
}

const REQUESTS: &str =
    "import requests, sys\nprint(requests.get(sys.argv[1], timeout=7).text[:500])";

const HTTPX: &str = "import httpx, sys\nprint(httpx.get(sys.argv[1], timeout=7).text[:500])";

/// Uses the session that the library uses for all requests.
const HUB: &str = "import sys
from huggingface_hub import constants
from huggingface_hub.utils import get_session
print(get_session().get(constants.ENDPOINT + sys.argv[1], timeout=7).text[:500])";
