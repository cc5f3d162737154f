//! Finds the installed clients: every git on PATH with its TLS library, git-lfs, curl, Python's and the Hub's.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::process::Command;

use super::{ClientContext, ClientKind, InstalledClient, TIMEOUT, program};

/// The installed clients whose version can be read. They run concurrently, because each is slow.
pub(crate) async fn installed(context: &Arc<ClientContext>) -> Vec<InstalledClient> {
    let gits = all_on_path("git");
    let (git, lfs, curl, requests, httpx, hub) = tokio::join!(
        git(&gits),
        lfs(),
        curl(),
        python("requests", ClientKind::Requests),
        python("httpx", ClientKind::Httpx),
        hub(),
    );
    let ssh = first_on_path("ssh").filter(|_| context.local.ssh.is_some());
    let ssh = ssh.map(|ssh| ("ssh".to_owned(), ClientKind::Ssh, ssh));
    // git-lfs is run by git.
    let lfs = lfs.filter(|_| !gits.is_empty());
    let others = [lfs, curl, requests, httpx, ssh, hub].into_iter().flatten();
    git.into_iter()
        .chain(others)
        .map(|(name, kind, program)| InstalledClient {
            name,
            kind,
            program,
            context: Arc::clone(context),
        })
        .collect()
}

/// A client's name with its version, and its program.
type FoundClient = (String, ClientKind, PathBuf);

/// Each git with its TLS library, and its path where there are several.
async fn git(gits: &[PathBuf]) -> Vec<FoundClient> {
    let named = gits.iter().map(async |git| {
        let (version, library) = tokio::join!(version(git, &["--version"], 2), library(git));
        let place = match gits.len() {
            1 => String::new(),
            _ => format!(" {}", git.display()),
        };
        let name = format!("git {}{library}{place}", version?);
        Some((name, ClientKind::Git, git.clone()))
    });
    let mut found = Vec::new();
    for git in named {
        found.extend(git.await);
    }
    found
}

async fn lfs() -> Option<FoundClient> {
    let lfs = first_on_path("git-lfs")?;
    let version = version(&lfs, &["version"], 0).await?;
    let name = version.replace("git-lfs/", "git-lfs ");
    Some((name, ClientKind::GitLfs, lfs))
}

async fn curl() -> Option<FoundClient> {
    let curl = first_on_path("curl")?;
    let version = version(&curl, &["--version"], 1).await?;
    Some((format!("curl {version}"), ClientKind::Curl, curl))
}

async fn python(module: &str, kind: ClientKind) -> Option<FoundClient> {
    let python = first_on_path("python3")?;
    let script = format!("import {module}; print({module}.__version__)");
    let version = version(&python, &["-c", &script], 0).await?;
    Some((format!("python {module} {version}"), kind, python))
}

/// The Hugging Face client, under its new name or its old one.
async fn hub() -> Option<FoundClient> {
    for hub in ["hf", "huggingface-cli"] {
        let script = first_on_path(hub);
        if let Some(python) = script.and_then(|script| interpreter(&script)) {
            let script = "import huggingface_hub as h; print(h.__version__)";
            if let Some(version) = version(&python, &["-c", script], 0).await {
                return Some((format!("{hub} {version}"), ClientKind::Hub, python));
            }
        }
    }
    None
}

fn first_on_path(name: &str) -> Option<PathBuf> {
    all_on_path(name).into_iter().next()
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

/// The word number `place` of the first line that the program prints.
async fn version(file: &Path, arguments: &[&str], place: usize) -> Option<String> {
    let mut command = Command::new(file);
    command.args(arguments);
    let ended = program::run(command, "", TIMEOUT).await.ok()?;
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
    let Ok(path) = program::run(ask, "", TIMEOUT).await else {
        return String::new();
    };
    let helper = Path::new(path.stdout.trim()).join("git-remote-https");
    let mut ldd = Command::new("ldd");
    ldd.arg(helper);
    let Ok(libraries) = program::run(ldd, "", TIMEOUT).await else {
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
        return first_on_path(words.next()?);
    }
    Some(first.into())
}
