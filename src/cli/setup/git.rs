//! One of git's config files, read and changed by git itself.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::host_env::HostEnv;
use crate::cli::Failure;

/// Which of git's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// This user's.
    Global,
    /// The current repository's.
    Local,
}

impl Scope {
    /// The option of `git config`.
    pub(super) const fn option(self) -> &'static str {
        match self {
            Self::Global => "--global",
            Self::Local => "--local",
        }
    }

    /// The name in a record's file name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Local => "local",
        }
    }
}

/// A config file that `git config` changes for us.
pub(super) struct GitFile<'a> {
    /// Which one.
    pub(super) scope: Scope,
    /// Where git keeps it; only its bytes are remembered from here, git finds it by itself.
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
                let asked = run_git(host, &["rev-parse", "--git-path", "config"]);
                let told = asked.map_err(|failure| {
                    failure.hint(
                        "`--local` applies to the current repository, and there is none: change into one, or omit `--local`",
                    )
                })?;
                let told = String::from_utf8_lossy(&told);
                host.directory.join(told.trim_end_matches('\n'))
            }
        };
        Ok(Self { scope, path, host })
    }

    /// Every key of the file (section and name in lower case) and its values, in order; files that it includes are left out.
    pub(super) fn values(&self) -> Result<BTreeMap<String, Vec<String>>, Failure> {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        // git calls a file that is not there an error.
        if !self.path.exists() {
            return Ok(values);
        }
        let listed = run_git(
            self.host,
            &["config", self.scope.option(), "--null", "--list"],
        )?;
        for entry in listed
            .split(|byte| *byte == 0)
            .filter(|entry| !entry.is_empty())
        {
            let entry = String::from_utf8_lossy(entry);
            let (key, value) = entry.split_once('\n').unwrap_or((&entry, ""));
            values
                .entry(key.to_owned())
                .or_default()
                .push(value.to_owned());
        }
        Ok(values)
    }

    /// The file as it is; `None` where there is none.
    pub(super) fn bytes(&self) -> Result<Option<Vec<u8>>, Failure> {
        bytes(&self.path)
    }

    /// Runs `git config` on the file.
    pub(super) fn change(&self, arguments: &[String]) -> Result<(), Failure> {
        let mut all = vec!["config", self.scope.option()];
        all.extend(arguments.iter().map(String::as_str));
        run_git(self.host, &all).map(drop)
    }
}

/// What git writes to stdout. Fails where it cannot be run or says no.
pub(super) fn run_git(host: &HostEnv, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
    found(host, arguments)?
        .ok_or_else(|| Failure::new(format!("`git {}` found nothing", arguments.join(" "))))
}

/// As [`run_git`]; `None` where git ends with 1 and without a message, its way to say that there is no such key.
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

/// A file's bytes; `None` where there is none.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::during(
            format!("cannot read {}", path.display()),
            error,
        )),
    }
}

/// git-config(1), FILES: the second place is used only where it is there and the first is not.
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
