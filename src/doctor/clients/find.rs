//! Which clients there are: every git on PATH with its TLS library, git-lfs, curl, Python's and the Hub's.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{ClientKind, InstalledClient, PATIENCE, program};
use crate::doctor::{RemoteUrl, daemon::DaemonAddress};

/// What every client is given.
#[derive(Clone)]
pub(crate) struct ClientDefaults {
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

/// The installed clients; those whose version cannot be read are left out.
pub(crate) async fn installed(common: &ClientDefaults) -> Vec<InstalledClient> {
    let gits = all_on_path("git");
    let mut found = git(&gits).await;
    if let Some(lfs) = all_on_path("git-lfs").into_iter().next()
        && !gits.is_empty()
        && let Some(version) = version(&lfs, &["version"], 0).await
    {
        let version = version.replace("git-lfs/", "git-lfs ");
        found.push((version, ClientKind::GitLfs, lfs));
    }
    if let Some(curl) = all_on_path("curl").into_iter().next()
        && let Some(version) = version(&curl, &["--version"], 1).await
    {
        found.push((format!("curl {version}"), ClientKind::Curl, curl));
    }
    found.extend(python().await);
    if common.ssh.is_some()
        && let Some(ssh) = all_on_path("ssh").into_iter().next()
    {
        found.push(("ssh".to_owned(), ClientKind::Ssh, ssh));
    }
    found.extend(hub().await);
    found
        .into_iter()
        .map(|found| common.client(found))
        .collect()
}

/// A client's name with its version, and its program.
type FoundClient = (String, ClientKind, PathBuf);

impl ClientDefaults {
    fn client(&self, (name, kind, program): FoundClient) -> InstalledClient {
        let (main, storage) = &self.hosts;
        let host = match kind {
            ClientKind::GitLfs => storage,
            _ => main,
        };
        InstalledClient {
            name,
            kind,
            program,
            host: host.clone(),
            ssh: self.ssh.clone(),
            nonce: self.nonce.clone(),
            directory: self.directory.clone(),
            daemon: self.daemon.clone(),
        }
    }
}

/// Each git with its TLS library, and its path where there are several.
async fn git(gits: &[PathBuf]) -> Vec<FoundClient> {
    let mut found = Vec::new();
    for git in gits {
        if let Some(version) = version(git, &["--version"], 2).await {
            let library = library(git).await;
            let place = match gits.len() {
                1 => String::new(),
                _ => format!(" {}", git.display()),
            };
            let name = format!("git {version}{library}{place}");
            found.push((name, ClientKind::Git, git.clone()));
        }
    }
    found
}

async fn python() -> Vec<FoundClient> {
    let mut found = Vec::new();
    let Some(python) = all_on_path("python3").into_iter().next() else {
        return found;
    };
    for (module, kind) in [
        ("requests", ClientKind::Requests),
        ("httpx", ClientKind::Httpx),
    ] {
        let script = format!("import {module}; print({module}.__version__)");
        if let Some(version) = version(&python, &["-c", &script], 0).await {
            found.push((format!("python {module} {version}"), kind, python.clone()));
        }
    }
    found
}

/// The Hugging Face client, under its new name or its old one.
async fn hub() -> Option<FoundClient> {
    for hub in ["hf", "huggingface-cli"] {
        if let Some(python) = all_on_path(hub)
            .first()
            .and_then(|script| interpreter(script))
        {
            let script = "import huggingface_hub as h; print(h.__version__)";
            if let Some(version) = version(&python, &["-c", script], 0).await {
                return Some((format!("{hub} {version}"), ClientKind::Hub, python));
            }
        }
    }
    None
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
