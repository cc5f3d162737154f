//! The real Hugging Face clients, pinned, from PyPI: huggingface_hub with its `hf` command, and hf_xet.
//!
//! They lie in a virtual environment below `target/`, which the first test that needs them makes; the others wait for it at a
//! lock, in this test binary and in any other.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use super::{
    client::PATIENCE,
    hub::TOKEN,
    process::{Finished, Running, clean_command},
};

/// What is installed, each at one version.
const REQUIREMENTS: &str = include_str!("hf-requirements.txt");

/// How long pip may take.
const INSTALLED: Duration = Duration::from_secs(600);

/// The clients with a home of their own and an environment for one test.
#[derive(Clone)]
pub(crate) struct Hf {
    home: PathBuf,
    environment: Vec<(String, String)>,
    sourced: Option<PathBuf>,
}

impl Hf {
    /// The clients, with the token of the Hub's user, and nothing but what a test gives them beside.
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

    /// With what a shell knows that has read `file`.
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

    /// What a program finds in its environment, started from the shell that has read the file; with the clients in its `PATH`.
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

/// Where the commands are; made first where they are not there yet.
pub(crate) fn binaries() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hf");
        fs::create_dir_all(&place).unwrap();
        // The lock goes with the file, also where a test binary is killed.
        let lock = File::create(place.join("lock")).unwrap();
        lock.lock().unwrap();
        let made = place.join("made-from");
        if fs::read_to_string(&made).ok().as_deref() != Some(REQUIREMENTS) {
            install(&place);
            fs::write(&made, REQUIREMENTS).unwrap();
        }
        place.join("venv/bin")
    })
}

fn install(place: &Path) {
    let venv = place.join("venv");
    let list = place.join("requirements.txt");
    fs::write(&list, REQUIREMENTS).unwrap();
    // Debian's, with the machine's own settings for pip: an index, a way out.
    let mut make = Command::new("/usr/bin/python3");
    make.args(["-m", "venv", "--clear"]).arg(&venv);
    Running::start(&mut make).finish(INSTALLED).well();
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary", ":all:", "--requirement"])
        .arg(&list);
    Running::start(&mut pip).finish(INSTALLED).well();
}
