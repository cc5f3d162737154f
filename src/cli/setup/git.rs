//! Git's config files, which git itself reads and changes.

use std::path::PathBuf;

use super::host_env::HostEnv;
use crate::{cli::Failure, model::named::named};

named! {
/// One of git's config files.
pub(super) enum Scope {
    /// This user's.
    Global = "global",
    /// The current repository's.
    Local = "local",
}
}

/// A config file that `git config` changes for us.
pub(super) struct GitFile<'a> {
    /// Which one.
    scope: Scope,
    /// Where git keeps it, for reading and restoring its bytes; git itself finds it by the scope.
    pub(super) path: PathBuf,
    host: &'a HostEnv,
}

impl<'a> GitFile<'a> {
    /// The file of `scope`. Fails where git does not run, and for `Local` outside a repository.
    pub(super) fn new(scope: Scope, host: &'a HostEnv) -> Result<Self, Failure> {
        let path = match scope {
            Scope::Global => {
                run_git(host, &["--version"])?;
                global_path(host)?
            }
            Scope::Local => {
                let answer = run_git(host, &["rev-parse", "--git-path", "config"]);
                let path = answer.map_err(|failure| {
                    failure.hint(
                        "`--local` applies to the current repository, and there is none: change into one, or omit `--local`",
                    )
                })?;
                let path = String::from_utf8_lossy(&path);
                host.directory.join(path.trim_end_matches('\n'))
            }
        };
        Ok(Self { scope, path, host })
    }

    /// The values of `key` in the file itself, in order; files that it includes are left out.
    pub(super) fn values(&self, key: &str) -> Result<Vec<String>, Failure> {
        let option = self.option();
        let listed = found(self.host, &["config", &option, "--null", "--get-all", key])?;
        let listed = String::from_utf8_lossy(&listed.unwrap_or_default()).into_owned();
        let values = listed.split_terminator('\0').map(ToOwned::to_owned);
        Ok(values.collect())
    }

    /// Runs `git config` on the file.
    pub(super) fn change(&self, arguments: &[&str]) -> Result<(), Failure> {
        let option = self.option();
        let mut all = vec!["config", &option];
        all.extend(arguments);
        run_git(self.host, &all).map(drop)
    }

    /// The option of `git config` that names the file.
    fn option(&self) -> String {
        format!("--{}", self.scope.as_str())
    }
}

/// The standard output of git. Fails where git cannot be run or fails.
pub(super) fn run_git(host: &HostEnv, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
    found(host, arguments)?
        .ok_or_else(|| Failure::new(format!("`git {}` found nothing", arguments.join(" "))))
}

/// Like [`run_git`]; `None` for exit code 1 without a message, which means that the key does not exist.
pub(super) fn found(host: &HostEnv, arguments: &[&str]) -> Result<Option<Vec<u8>>, Failure> {
    let output = host.git().args(arguments).output().map_err(|error| {
        Failure::during("cannot run git", error).hint("install git, or put it on your PATH")
    })?;
    if output.status.success() {
        return Ok(Some(output.stdout));
    }
    if output.status.code() == Some(1) && output.stderr.is_empty() {
        return Ok(None);
    }
    Err(Failure::during(
        format!("`git {}` failed", arguments.join(" ")),
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}

/// git-config(1), FILES: the second file is used only where it exists and the first does not.
fn global_path(host: &HostEnv) -> Result<PathBuf, Failure> {
    if let Some(path) = host.variable("GIT_CONFIG_GLOBAL") {
        return Ok(host.directory.join(path));
    }
    let home = host.home()?;
    let first = home.join(".gitconfig");
    let second = match host.variable("XDG_CONFIG_HOME") {
        Some(path) => PathBuf::from(path).join("git/config"),
        None => home.join(".config/git/config"),
    };
    Ok(if !first.exists() && second.exists() {
        second
    } else {
        first
    })
}
