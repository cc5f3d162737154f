//! The real Hugging Face clients, pinned, from PyPI: huggingface_hub with its `hf` command, and hf_xet.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{
    client::PATIENCE,
    hub::TOKEN,
    process::{Finished, Running, clean_command},
    venv,
};

/// The pinned packages.
const REQUIREMENTS: &str = include_str!("hf-requirements.txt");

/// The clients with a home of their own and an environment for one test.
#[derive(Clone)]
pub(crate) struct Hf {
    home: PathBuf,
    environment: Vec<(String, String)>,
    sourced: Option<PathBuf>,
}

impl Hf {
    /// The clients with the token of the Hub's user, and no other settings than the test's.
    pub(crate) fn new(home: &Path) -> Self {
        fs::create_dir_all(home).unwrap();
        let hf = Self {
            home: home.to_owned(),
            environment: Vec::new(),
            sourced: None,
        };
        hf.with("HF_TOKEN", TOKEN)
            .with("HF_HUB_DISABLE_PROGRESS_BARS", "1")
            // PyPI and the Hub's statistics are no part of any test's world.
            .with("HF_HUB_DISABLE_UPDATE_CHECK", "1")
            .with("HF_HUB_DISABLE_TELEMETRY", "1")
    }

    /// With a variable.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        let value = value.as_ref().to_str().unwrap().to_owned();
        self.environment.push((name.to_owned(), value));
        self
    }

    /// Sets the variables of a shell that has sourced `file`.
    #[must_use]
    pub(crate) fn with_sourced(mut self, file: PathBuf) -> Self {
        self.sourced = Some(file);
        self
    }

    /// Without Xet: LFS uploads, and downloads over HTTP.
    #[must_use]
    pub(crate) fn without_xet(self) -> Self {
        self.with("HF_HUB_DISABLE_XET", "1")
    }

    /// Runs `hf` in `dir`.
    pub(crate) fn hf(&self, dir: &Path, arguments: &[&str]) -> Finished {
        self.run("hf", dir, arguments)
    }

    /// Runs a Python script in `dir`.
    pub(crate) fn python(&self, dir: &Path, script: &str, arguments: &[&str]) -> Finished {
        let arguments: Vec<&str> = ["-c", script].iter().chain(arguments).copied().collect();
        self.run("python", dir, &arguments)
    }

    /// The environment of a program started from a shell that has sourced the file, with the clients in its `PATH`.
    pub(crate) fn shell(&self) -> Vec<(String, String)> {
        let told = self
            .run_at(Path::new("/usr/bin/env"), &self.home, &["-0"])
            .well();
        let variables = told
            .stdout
            .split('\0')
            .filter_map(|line| line.split_once('='));
        let path = format!("{}:/usr/bin:/bin", binaries().display());
        variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .filter(|(name, _)| name != "PATH")
            .chain([("PATH".to_owned(), path)])
            .collect()
    }

    fn run(&self, program: &str, dir: &Path, arguments: &[&str]) -> Finished {
        self.run_at(&binaries().join(program), dir, arguments)
    }

    fn run_at(&self, program: &Path, dir: &Path, arguments: &[&str]) -> Finished {
        self.start_at(program, dir, arguments).finish(PATIENCE)
    }

    /// Starts a Python script in `dir`.
    pub(crate) fn start_python(&self, dir: &Path, script: &str, arguments: &[&str]) -> Running {
        let arguments: Vec<&str> = ["-c", script].iter().chain(arguments).copied().collect();
        self.start_at(&binaries().join("python"), dir, &arguments)
    }

    fn start_at(&self, program: &Path, dir: &Path, arguments: &[&str]) -> Running {
        let mut command = match &self.sourced {
            None => clean_command(program, &self.home),
            Some(file) => {
                let mut shell = clean_command("/bin/sh", &self.home);
                shell
                    .args(["-euc", ". \"$0\"; exec \"$@\""])
                    .arg(file)
                    .arg(program);
                shell
            }
        };
        let variables = self.environment.iter().map(|(name, value)| (name, value));
        command.envs(variables).current_dir(dir).args(arguments);
        Running::start(&mut command)
    }
}

/// The directory of the commands.
pub(crate) fn binaries() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| venv::binaries("hf", REQUIREMENTS))
}
