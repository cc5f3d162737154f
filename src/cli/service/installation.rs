//! What both service managers share: the facts for a unit, writing and removing files, and running their commands.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use super::proxies;
use crate::{
    cli::{Failure, files, printed, setup::HostEnv},
    config::Config,
};

/// The hint where there is no service manager.
pub(super) const IN_A_TERMINAL: &str = "run the daemon in a terminal instead: `gitferry run`";

/// The service manager of this machine.
pub(super) trait Manager {
    /// Fails where no service manager runs: in most containers, and in a shell that `su` began.
    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Creates what the service needs before the config is read.
    fn prepare(&self, _binary: &Path) -> Result<(), Failure> {
        Ok(())
    }

    fn install(&self, installation: &Installation) -> Result<(), Failure>;

    fn uninstall(&self) -> Result<(), Failure>;

    /// Runs `start`, `stop` or `restart`.
    fn control(&self, verb: &str) -> Result<(), Failure>;

    fn status(&self) -> Result<(), Failure>;

    fn logs(&self, follow: bool, lines: u32) -> Result<(), Failure>;
}

/// The facts for a unit.
#[derive(Debug)]
pub(super) struct Installation {
    pub(super) binary: PathBuf,
    pub(super) config: Option<PathBuf>,
    pub(super) listen: Vec<String>,
    pub(super) proxies: proxies::Proxies,
}

impl Installation {
    /// The facts for `binary` with `config`.
    pub(super) fn new(binary: PathBuf, config: &Config) -> Result<Self, Failure> {
        let config_file = config.file.as_deref().map(std::path::absolute);
        Ok(Self {
            binary,
            config: config_file.transpose().map_err(Failure::new)?,
            listen: config
                .listen
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect(),
            proxies: proxies::Proxies::of(config, |name| std::env::var(name).ok()),
        })
    }

    /// The binary and its options.
    pub(super) fn command(&self) -> impl Iterator<Item = String> {
        let config = self.config.as_ref();
        let config = config.map(|file| ["--config".to_owned(), file.display().to_string()]);
        let binary = self.binary.display().to_string();
        std::iter::once(binary).chain(config.into_iter().flatten())
    }

    /// The variables of the daemon; its passwords are in files below `secrets`.
    pub(super) fn environment(&self, secrets: &Path) -> impl Iterator<Item = (String, String)> {
        let proxies = &self.proxies;
        let files = proxies.passwords.iter().map(|(name, _)| {
            let file = password_file(secrets, name).display().to_string();
            (format!("{name}_PASSWORD_FILE"), file)
        });
        proxies.variables.iter().cloned().chain(files)
    }
}

/// The variables that may contain a password.
const PROXIES: [&str; 5] = [
    "https_proxy",
    "HTTPS_PROXY",
    "http_proxy",
    "all_proxy",
    "ALL_PROXY",
];

fn password_file(secrets: &Path, variable: &str) -> PathBuf {
    secrets.join(format!("{variable}.password"))
}

/// Writes the passwords of proxies to files below `secrets`, and returns the files.
pub(super) fn write_passwords(
    installation: &Installation,
    secrets: &Path,
) -> Result<Vec<PathBuf>, Failure> {
    let passwords = installation.proxies.passwords.iter();
    let written = passwords.map(|(name, password)| {
        let file = password_file(secrets, name);
        write(&file, &format!("{}\n", password.expose()), 0o600)?;
        Ok(file)
    });
    written.collect()
}

/// Removes every such file.
pub(super) fn remove_passwords(secrets: &Path) -> Result<(), Failure> {
    let mut files = PROXIES.iter().map(|name| password_file(secrets, name));
    files.try_for_each(|file| remove(&file))
}

/// The installed binary. Fails where this one is in a build directory and no other is installed.
pub(super) fn installed_binary() -> Result<PathBuf, Failure> {
    let host = HostEnv::of_this_process()?;
    host.lasting_binary().ok_or_else(|| {
        Failure::new("this gitferry is in a build directory, and no other is installed")
            .hint("run `cargo install --path .`, then `gitferry service install`")
    })
}

/// Prints a line for the reader.
pub(super) fn say(line: &str) -> Result<(), Failure> {
    printed(writeln!(io::stdout(), "{line}"))
}

/// Writes a file of the service, and prints its name.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    files::write(path, text.as_bytes(), mode)?;
    say(&format!("written: {}", path.display()))
}

/// Removes a file of the service, where it exists, and prints its name.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    if !path.exists() {
        return Ok(());
    }
    files::remove(path)?;
    say(&format!("removed: {}", path.display()))
}

/// Runs a command of the service manager in this terminal; true where it succeeds.
pub(super) fn succeeds(command: &mut Command) -> Result<bool, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| {
        Failure::during(format!("cannot run {name}"), error).hint(IN_A_TERMINAL)
    })?;
    Ok(status.success())
}

/// The same. Fails where the command fails.
pub(super) fn run(command: &mut Command) -> Result<(), Failure> {
    if succeeds(command)? {
        return Ok(());
    }
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    Err(Failure::new(format!("`{}` failed", words.join(" "))))
}
