//! Which clients there are: every git on PATH with its TLS library, git-lfs, curl, Python's and the Hub's.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{Client, ClientKind, PATIENCE, program};
use crate::doctor::{RemoteUrl, daemon::DaemonAddress};

/// What every client is given.
#[derive(Clone)]
pub(crate) struct Common {
    /// A host whose TLS the daemon terminates: the main site's, and that of its storage.
    pub(crate) hosts: (String, String),
    /// The remote, where it is one of ssh.
    pub(crate) ssh: Option<RemoteUrl>,
    /// The nonce.
    pub(crate) nonce: String,
    /// The repository, or where the user is.
    pub(crate) directory: PathBuf,
    /// The daemon.
    pub(crate) daemon: DaemonAddress,
}

/// The installed clients; those whose version cannot be told are left out.
pub(crate) async fn installed(common: &Common) -> Vec<Client> {
    let mut clients = Vec::new();
    let mut add = |name: String, kind, program: PathBuf| {
        let (main, storage) = &common.hosts;
        let host = if kind == ClientKind::GitLfs {
            storage
        } else {
            main
        };
        clients.push(Client {
            name,
            kind,
            program,
            host: host.clone(),
            ssh: common.ssh.clone(),
            nonce: common.nonce.clone(),
            directory: common.directory.clone(),
            daemon: common.daemon.clone(),
        });
    };
    let gits = all_on_path("git");
    for git in &gits {
        if let Some(version) = version(git, &["--version"], 2).await {
            let library = library(git).await;
            let place = if gits.len() > 1 {
                format!(" {}", git.display())
            } else {
                String::new()
            };
            add(
                format!("git {version}{library}{place}"),
                ClientKind::Git,
                git.clone(),
            );
        }
    }
    if let Some(lfs) = all_on_path("git-lfs").into_iter().next()
        && !gits.is_empty()
        && let Some(version) = version(&lfs, &["version"], 0).await
    {
        let version = version.replace("git-lfs/", "git-lfs ");
        add(version, ClientKind::GitLfs, lfs);
    }
    if let Some(curl) = all_on_path("curl").into_iter().next()
        && let Some(version) = version(&curl, &["--version"], 1).await
    {
        add(format!("curl {version}"), ClientKind::Curl, curl);
    }
    if let Some(python) = all_on_path("python3").into_iter().next() {
        for (module, kind) in [
            ("requests", ClientKind::Requests),
            ("httpx", ClientKind::Httpx),
        ] {
            let script = format!("import {module}; print({module}.__version__)");
            if let Some(version) = version(&python, &["-c", &script], 0).await {
                add(format!("python {module} {version}"), kind, python.clone());
            }
        }
    }
    if common.ssh.is_some()
        && let Some(ssh) = all_on_path("ssh").into_iter().next()
    {
        add("ssh".to_owned(), ClientKind::Ssh, ssh);
    }
    for hub in ["hf", "huggingface-cli"] {
        if let Some(python) = all_on_path(hub)
            .first()
            .and_then(|script| interpreter(script))
        {
            let script = "import huggingface_hub as h; print(h.__version__)";
            if let Some(version) = version(&python, &["-c", script], 0).await {
                add(format!("{hub} {version}"), ClientKind::Hub, python);
                break;
            }
        }
    }
    clients
}

/// Every executable of that name on PATH, links followed, each once.
fn all_on_path(name: &str) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .filter(|file| is_executable(file))
        .filter(|file| seen.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone())))
        .collect()
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The word of its first line at `place`.
async fn version(file: &Path, arguments: &[&str], place: usize) -> Option<String> {
    let mut command = Command::new(file);
    command.args(arguments);
    let ended = program::run(command, "", PATIENCE).await.ok()?;
    if !ended.is_success() {
        return None;
    }
    let word = ended.stdout.lines().next()?.split_whitespace().nth(place)?;
    Some(word.to_owned())
}

/// ` (GnuTLS)`: the library that its https helper is linked with.
async fn library(git: &Path) -> String {
    let mut ask = Command::new(git);
    ask.arg("--exec-path");
    let Ok(path) = program::run(ask, "", PATIENCE).await else {
        return String::new();
    };
    let helper = Path::new(path.stdout.trim()).join("git-remote-https");
    let mut ldd = Command::new("ldd");
    ldd.arg(helper);
    let Ok(libraries) = program::run(ldd, "", PATIENCE).await else {
        return String::new();
    };
    let linked = |name: &str| libraries.stdout.contains(name);
    let library = if linked("libcurl-gnutls") || linked("libgnutls") && !linked("libssl") {
        "GnuTLS"
    } else if linked("libssl") || linked("libcurl.so") {
        "OpenSSL"
    } else {
        return String::new();
    };
    format!(" ({library})")
}

/// The Python of a script, by its first line.
fn interpreter(script: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(script).ok()?;
    let line = text.lines().next()?.strip_prefix("#!")?.trim();
    let mut words = line.split_whitespace();
    let first = words.next()?;
    if first.ends_with("/env") {
        return all_on_path(words.next()?).into_iter().next();
    }
    Some(first.into())
}
