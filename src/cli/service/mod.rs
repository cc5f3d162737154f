//! `gitferry service`: the daemon as a service of the user, or as root of the system, under systemd or launchd.
//!
//! The units are those of `deploy/`, with the installed path and the proxy environment of whoever installs them ([`proxies`]). What the
//! service manager does is left to its own command, whose words reach the terminal.

mod launchd;
mod proxies;
mod systemd;

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};

use super::{Failure, daemon, printed, setup};
use crate::config::Config;

/// `gitferry service`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gitferry service install\n  gitferry service logs --follow\n  gitferry service uninstall"
)]
pub(crate) struct ServiceArgs {
    /// As root: use the service of the user root, not of the system.
    #[arg(long, global = true)]
    user: bool,
    /// What to do.
    #[command(subcommand)]
    command: ServiceCommand,
}

/// What is done with the service.
#[derive(Clone, Debug, Subcommand)]
enum ServiceCommand {
    /// Write the unit, start the daemon now and at each login (as root: at each boot), and wait until it answers.
    #[command(after_help = "Examples:\n  gitferry service install")]
    Install,
    /// Stop the daemon and remove what `install` wrote.
    #[command(after_help = "Examples:\n  gitferry service uninstall")]
    Uninstall,
    /// Start the daemon.
    #[command(after_help = "Examples:\n  gitferry service start")]
    Start,
    /// Stop the daemon; running transfers may end first.
    #[command(after_help = "Examples:\n  gitferry service stop")]
    Stop,
    /// Stop the daemon, then start it.
    #[command(after_help = "Examples:\n  gitferry service restart")]
    Restart,
    /// Show the state of the service.
    #[command(after_help = "Examples:\n  gitferry service status")]
    Status,
    /// Show the daemon's log.
    #[command(
        after_help = "Examples:\n  gitferry service logs --follow\n  gitferry service logs --lines 1000 | gitferry report"
    )]
    Logs {
        /// Keep printing new lines.
        #[arg(long, short)]
        follow: bool,
        /// How many of the last lines.
        #[arg(long, short = 'n', default_value_t = 100)]
        lines: u32,
    },
}

/// What to do where there is no service manager.
const IN_A_TERMINAL: &str = "run the daemon in a terminal instead: `gitferry run`";

/// How long the daemon may take to answer after its start.
const STARTED_WITHIN: Duration = Duration::from_secs(15);

/// Does what was asked. `load` is called only where the config matters.
///
/// Fails where there is no service manager, or it refuses.
pub(super) fn run(
    args: &ServiceArgs,
    load: impl Fn() -> Result<Config, Failure>,
) -> Result<(), Failure> {
    let manager = Manager::of_this_machine(args.user)?;
    manager.answers()?;
    match args.command {
        ServiceCommand::Install => {
            let config = load()?;
            manager.install(&Installation::new(&config)?)?;
            wait_until_it_answers(&config, &manager)
        }
        ServiceCommand::Uninstall => manager.uninstall(),
        ServiceCommand::Start => manager.control("start"),
        ServiceCommand::Stop => manager.control("stop"),
        ServiceCommand::Restart => manager.control("restart"),
        ServiceCommand::Status => manager.status(),
        ServiceCommand::Logs { follow, lines } => manager.logs(follow, lines),
    }
}

/// Who runs services here.
enum Manager {
    Systemd(systemd::Systemd),
    Launchd(launchd::Launchd),
}

impl Manager {
    fn of_this_machine(user: bool) -> Result<Self, Failure> {
        if cfg!(target_os = "macos") {
            launchd::Launchd::new().map(Self::Launchd)
        } else {
            systemd::Systemd::new(user).map(Self::Systemd)
        }
    }

    /// Fails where no service manager runs: in most containers, and in a shell that `su` began.
    fn answers(&self) -> Result<(), Failure> {
        match self {
            Self::Systemd(systemd) => systemd.answers(),
            Self::Launchd(_) => Ok(()),
        }
    }

    fn install(&self, installation: &Installation) -> Result<(), Failure> {
        match self {
            Self::Systemd(systemd) => systemd.install(installation),
            Self::Launchd(launchd) => launchd.install(installation),
        }
    }

    fn uninstall(&self) -> Result<(), Failure> {
        match self {
            Self::Systemd(systemd) => systemd.uninstall(),
            Self::Launchd(launchd) => launchd.uninstall(),
        }
    }

    fn control(&self, verb: &str) -> Result<(), Failure> {
        match self {
            Self::Systemd(systemd) => systemd.control(verb),
            Self::Launchd(launchd) => launchd.control(verb),
        }
    }

    fn status(&self) -> Result<(), Failure> {
        match self {
            Self::Systemd(systemd) => systemd.status(),
            Self::Launchd(launchd) => launchd.status(),
        }
    }

    fn logs(&self, follow: bool, lines: u32) -> Result<(), Failure> {
        match self {
            Self::Systemd(systemd) => systemd.logs(follow, lines),
            Self::Launchd(launchd) => launchd.logs(follow, lines),
        }
    }
}

/// What a unit needs to know.
#[derive(Debug)]
struct Installation {
    binary: PathBuf,
    config: Option<PathBuf>,
    listen: Vec<String>,
    proxies: proxies::Proxies,
}

impl Installation {
    /// Fails where the binary lies in a build directory and none is installed.
    fn new(config: &Config) -> Result<Self, Failure> {
        let host = setup::HostEnv::of_this_process()?;
        let binary = host.lasting_binary().ok_or_else(|| {
            Failure::new("this gitferry is in a build directory, and no other is installed")
                .hint("run `cargo install --path .`, then `gitferry service install`")
        })?;
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
}

fn wait_until_it_answers(config: &Config, manager: &Manager) -> Result<(), Failure> {
    let Some(address) = config
        .listen
        .addresses
        .first()
        .copied()
        .map(setup::reachable)
    else {
        return Ok(());
    };
    let deadline = started() + STARTED_WITHIN;
    loop {
        match daemon::about(address) {
            Ok(_) => {
                return say(&format!(
                    "gitferry is running at {address}; now run `gitferry setup all`"
                ));
            }
            Err(_) if started() < deadline => std::thread::sleep(Duration::from_millis(50)),
            Err(error) => {
                // Where this fails too, the reason below stands.
                let _ = manager.status();
                return Err(Failure::during(
                    format!("the service does not answer at {address}"),
                    error,
                )
                .hint("`gitferry service logs` shows why"));
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command without a runtime waits for a process"
)]
fn started() -> Instant {
    Instant::now()
}

/// A line for the reader.
fn say(line: &str) -> Result<(), Failure> {
    printed(writeln!(io::stdout(), "{line}"))
}

/// Writes a file of the service and says so.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let shown = path.display();
    let during = |error| Failure::during(format!("cannot write {shown}"), error);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(during)?;
    }
    // Another mode must never hold a password, not for a moment.
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(path.parent().unwrap_or(Path::new(".")))
        .map_err(during)?;
    file.write_all(text.as_bytes()).map_err(during)?;
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(mode))
        .map_err(during)?;
    file.persist(path).map_err(|error| during(error.error))?;
    say(&format!("written: {shown}"))
}

/// Removes a file of the service; one that is missing is as good.
fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Ok(()) => say(&format!("removed: {}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::during(
            format!("cannot remove {}", path.display()),
            error,
        )),
    }
}

/// Runs a command of the service manager in this terminal.
fn ask(command: &mut Command) -> Result<bool, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| {
        Failure::during(format!("cannot run {name}"), error).hint(IN_A_TERMINAL)
    })?;
    Ok(status.success())
}

/// The same, and it must succeed.
fn tell(command: &mut Command) -> Result<(), Failure> {
    if ask(command)? {
        return Ok(());
    }
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    Err(Failure::new(format!("`{}` failed", words.join(" "))))
}
