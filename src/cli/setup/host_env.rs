//! The environment of a command: variables, directory and programs. It is a value, so that tests can replace it.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    net::SocketAddr,
    path::PathBuf,
    process::Command,
};

use super::daemon::{self, TrustedDaemon};
use crate::cli::Failure;

/// What `setup` uses of its process.
#[derive(Clone, Debug)]
pub(crate) struct HostEnv {
    /// The environment, for us and for git.
    pub(super) variables: BTreeMap<OsString, OsString>,
    /// The current directory.
    pub(super) directory: PathBuf,
    /// This program.
    pub(super) binary: PathBuf,
    /// The git to run.
    pub(super) git: PathBuf,
    /// Finds the running daemon, if it can be trusted.
    pub(super) daemon: fn(&Self, SocketAddr) -> Result<TrustedDaemon, Failure>,
}

impl HostEnv {
    /// That of this process.
    pub(crate) fn of_this_process() -> Result<Self, Failure> {
        Ok(Self {
            variables: env::vars_os().collect(),
            directory: env::current_dir()
                .map_err(|error| Failure::during("there is no current directory", error))?,
            binary: env::current_exe()
                .map_err(|error| Failure::during("cannot find the path of gitferry", error))?,
            git: "git".into(),
            daemon: |_, address| daemon::find(address),
        })
    }

    /// A variable that is not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// A variable in lower or upper case; like curl and git, the lower-case one first.
    pub(super) fn either_case(&self, name: &str) -> Option<(String, String)> {
        [name.to_ascii_lowercase(), name.to_owned()]
            .into_iter()
            .find_map(|name| {
                let value = self.variable(&name)?.to_string_lossy().into_owned();
                Some((name, value))
            })
    }

    /// The home directory.
    pub(crate) fn home(&self) -> Result<PathBuf, Failure> {
        self.variable("HOME")
            .map(PathBuf::from)
            .ok_or_else(|| Failure::new("HOME is not set"))
    }

    /// The user's state directory of gitferry.
    pub(super) fn user_state(&self) -> Result<PathBuf, Failure> {
        self.user_directory("XDG_STATE_HOME", ".local/state")
    }

    /// The user's config directory of gitferry.
    pub(crate) fn user_config(&self) -> Result<PathBuf, Failure> {
        self.user_directory("XDG_CONFIG_HOME", ".config")
    }

    fn user_directory(&self, name: &str, below_home: &str) -> Result<PathBuf, Failure> {
        let named = self.variable(name).map(PathBuf::from);
        let base = match named.filter(|path| path.is_absolute()) {
            Some(path) => path,
            None => self.home()?.join(below_home),
        };
        Ok(base.join("gitferry"))
    }

    /// The path of gitferry for files that outlive this run: the installed one, where this binary is in a build directory.
    /// `None` where none is installed.
    pub(crate) fn lasting_binary(&self) -> Option<PathBuf> {
        let names: Vec<&OsStr> = self.binary.iter().collect();
        let built = names.windows(2).any(
            |pair| matches!(pair, [a, b] if *a == "target" && (*b == "debug" || *b == "release")),
        );
        if !built {
            return Some(self.binary.clone());
        }
        let path = self.variable("PATH")?;
        env::split_paths(path)
            .map(|directory| directory.join("gitferry"))
            .find(|candidate| candidate.is_absolute() && candidate.is_file())
    }

    /// A git command in this directory, with this environment.
    pub(super) fn git(&self) -> Command {
        let mut command = Command::new(&self.git);
        command
            .env_clear()
            .envs(&self.variables)
            // The output of git must not depend on the user's language.
            .env("LC_ALL", "C")
            .current_dir(&self.directory);
        command
    }
}
