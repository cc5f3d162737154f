//! `gitferry service`: the daemon as a service of the user, or as root of the system, under systemd or launchd.
//!
//! The units are those of `deploy/`, with the installed path and the proxy environment of the installing user ([`proxies`]). The
//! command of the service manager does the work, and its output reaches the terminal.

mod installation;
mod launchd;
mod proxies;
mod systemd;

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use super::{Failure, daemon};
use crate::config::Config;
use installation::{Installation, Manager, installed_binary, say};

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

/// The subcommands.
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

/// How long the daemon may take to answer after its start.
const STARTED_WITHIN: Duration = Duration::from_secs(15);

/// Runs the subcommand. `load` is called only where the config is needed.
///
/// Fails where there is no service manager, or its command fails.
pub(super) fn run(
    args: &ServiceArgs,
    load: impl Fn() -> Result<Config, Failure>,
) -> Result<(), Failure> {
    let manager = manager(args.user)?;
    manager.check()?;
    match args.command {
        ServiceCommand::Install => {
            let binary = installed_binary()?;
            manager.prepare(&binary)?;
            let config = load()?;
            manager.install(&Installation::new(binary, &config)?)?;
            wait_until_it_answers(&config, &*manager)
        }
        ServiceCommand::Uninstall => manager.uninstall(),
        ServiceCommand::Start => manager.control("start"),
        ServiceCommand::Stop => manager.control("stop"),
        ServiceCommand::Restart => manager.control("restart"),
        ServiceCommand::Status => manager.status(),
        ServiceCommand::Logs { follow, lines } => manager.logs(follow, lines),
    }
}

fn manager(user: bool) -> Result<Box<dyn Manager>, Failure> {
    Ok(match cfg!(target_os = "macos") {
        true => Box::new(launchd::Launchd::new()?),
        false => Box::new(systemd::Systemd::new(user)?),
    })
}

fn wait_until_it_answers(config: &Config, manager: &dyn Manager) -> Result<(), Failure> {
    let Some(address) = daemon::address(config) else {
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
                // If this fails too, the error below says enough.
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
