//! One file per command; argv in, exit code out.
//!
//! This module parses, finds and loads the config for the commands that need it, and turns a [`Failure`] into an exit code:
//! 0 done, 1 it worked and found a fault (or could not do its work), 2 wrong usage.

pub(crate) mod ca;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod connect;
mod daemon;
pub(crate) mod doctor;
mod failure;
mod files;
pub(crate) mod help;
pub(crate) mod history;
pub(crate) mod man;
mod manual;
pub(crate) mod report;
mod run;
mod service;
pub(crate) mod setup;
pub(crate) mod status;

use std::{
    env,
    ffi::OsString,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand, ValueHint, error::ErrorKind};

pub(crate) use failure::{Failure, printed};

use crate::config::{self, Config};

/// A local forwarding proxy that gets git, git-lfs and the Hugging Face tools through networks that break them.
#[derive(Debug, Parser)]
#[command(
    name = "gitferry",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 80,
    after_help = "Examples:\n  gitferry run\n  gitferry setup all\n  gitferry help faults",
    subcommand_required = true
)]
pub(crate) struct Cli {
    /// Use this config file in place of the usual one, see `gitferry help files`.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// One variant per file of this module.
#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    /// Run the daemon in the foreground. It needs no config file.
    Run(run::RunArgs),
    /// Check the config: report every mistake, or print the config in force.
    Check(check::CheckArgs),
    /// Print the embedded default config: every key, with comments.
    #[command(after_help = "Examples:\n  gitferry config\n  gitferry config > gitferry.toml")]
    Config,
    /// Point git, git-lfs, the Hugging Face clients or ssh at the running daemon; --undo reverts all of it.
    Setup(setup::SetupArgs),
    /// Test every leg before you push: what works, what does not, and the one change to make.
    Doctor(doctor::DoctorArgs),
    /// Show running transfers, the health of upstreams and recent faults.
    Status(status::StatusArgs),
    /// List finished transfers, also of earlier runs, or show all details of one.
    History(history::HistoryArgs),
    /// Summarise a log: failures and stalls by host and leg, with verdict and advice.
    Report(report::ReportArgs),
    /// Run the daemon as a service of systemd or launchd.
    Service(service::ServiceArgs),
    /// Show, export or replace the local CA.
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// Connect stdin and stdout to HOST:PORT through the daemon, as ProxyCommand of ssh.
    Connect(connect::ConnectArgs),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
    /// Print a man page: gitferry(1) or gitferry.toml(5).
    Man(man::ManArgs),
    /// Explain a topic, a command, a fault code, a key or a metric.
    Help(help::HelpArgs),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(&cli).unwrap_or_else(|failure| failure.report()),
        Err(error) if is_help(&error) => {
            // A closed pipe does not change the exit code.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
        Err(error) => {
            let called = env::args().nth(1);
            let command = called.filter(|name| root().find_subcommand(name).is_some());
            Failure::arguments(&error, command.as_deref()).report()
        }
    }
}

/// The definition of all commands, each with the global options.
pub(crate) fn root() -> clap::Command {
    let mut root = Cli::command();
    root.build();
    root
}

/// True for the help and the version, which clap prints itself.
fn is_help(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayVersion
    )
}

fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    run::forbid_core_dumps();
    let done = |()| ExitCode::SUCCESS;
    let load = || load(cli.config.as_deref());
    match &cli.command {
        CliCommand::Run(args) => {
            let source = run::ConfigSource {
                arguments: args.arguments(),
                given: cli.config.clone(),
                places: places(|name| env::var_os(name)),
            };
            run::run(&source).map(done)
        }
        CliCommand::Config => printed(io::stdout().write_all(config::DEFAULT.as_bytes())).map(done),
        CliCommand::Check(args) => {
            let file = find(args.file.as_deref().or(cli.config.as_deref()));
            check::run(args, config::load(file.as_deref(), &variable))
        }
        CliCommand::Doctor(args) => {
            let place = places(|name| env::var_os(name)).into_iter().next();
            let place = cli.config.clone().or(place);
            doctor::run(args, load, place.as_deref())
        }
        CliCommand::Status(args) => {
            status::run(args, daemon_address(args.address, load)?).map(done)
        }
        CliCommand::History(args) => {
            history::run(args, daemon_address(args.address, load)?).map(done)
        }
        CliCommand::Report(args) => {
            // The log may come from another machine: a broken config here does not matter.
            let config = load().or_else(|_| load_default());
            report::run(
                args,
                &config
                    .map(|config| report::roles(&config))
                    .unwrap_or_default(),
            )
        }
        CliCommand::Ca(command) => ca::run(command, &load()?).map(done),
        CliCommand::Setup(args) => {
            let source = setup::ConfigLoader {
                given: cli.config.is_some(),
                load: &load,
            };
            setup::run(args, &source).map(done)
        }
        CliCommand::Service(args) => service::run(args, load).map(done),
        CliCommand::Connect(args) => connect::run(args, &load_for_asking(load)?).map(done),
        CliCommand::Completions(args) => completions::run(args, &mut Cli::command()).map(done),
        CliCommand::Man(args) => man::run(args, &root()).map(done),
        CliCommand::Help(args) => help::run(args, root()).map(done),
    }
}

/// The config of `given`, else of the first of [`places`] that has one, else the embedded default.
fn load(given: Option<&Path>) -> Result<Config, Failure> {
    let file = find(given);
    config::load(file.as_deref(), &variable).map_err(|problems| Failure::config(&problems))
}

/// The daemon's address: `given`, else that of the config.
fn daemon_address(
    given: Option<SocketAddr>,
    load: impl FnOnce() -> Result<Config, Failure>,
) -> Result<SocketAddr, Failure> {
    let config = match given {
        // With an address, a broken config does not matter.
        Some(address) => {
            if let Ok(config) = load() {
                daemon::authenticate(config.listen.credentials.as_ref());
            }
            return Ok(address);
        }
        None => load_for_asking(load)?,
    };
    daemon::authenticate(config.listen.credentials.as_ref());
    daemon::address(&config).ok_or_else(|| {
        Failure::new("the config has no address of the daemon").hint("set `address` of `[listen]`")
    })
}

/// The config for commands that only ask the daemon, which may still run on an earlier version of a file with mistakes.
fn load_for_asking(load: impl FnOnce() -> Result<Config, Failure>) -> Result<Config, Failure> {
    load().or_else(|_| {
        let default = load_default()?;
        failure::warn("the config has errors: asking the daemon at its default address\nhint: `gitferry check` shows them");
        Ok(default)
    })
}

fn load_default() -> Result<Config, Failure> {
    config::load(None, &variable).map_err(|problems| Failure::config(&problems))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn find(given: Option<&Path>) -> Option<PathBuf> {
    match given {
        Some(file) => Some(file.to_owned()),
        None => places(|name| env::var_os(name))
            .into_iter()
            .find(|place| place.is_file()),
    }
}

/// Where a config is searched without `--config`: systemd's directory, the user's, the machine's.
fn places(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let variable = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let user = variable("XDG_CONFIG_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".config")))
        .map(|directory| directory.join("gitferry"));
    [
        variable("CONFIGURATION_DIRECTORY"),
        user,
        Some(PathBuf::from("/etc/gitferry")),
    ]
    .into_iter()
    .flatten()
    .map(|directory| directory.join("gitferry.toml"))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_commands_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_usage_ends_with_two_and_help_with_zero() {
        for (arguments, kind, code) in [
            (
                &["gitferry"][..],
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                2,
            ),
            (&["gitferry", "sail"], ErrorKind::InvalidSubcommand, 2),
            (&["gitferry", "setup", "svn"], ErrorKind::InvalidValue, 2),
            (
                &["gitferry", "setup", "git", "--undo", "--no-ca"],
                ErrorKind::ArgumentConflict,
                2,
            ),
            (
                &["gitferry", "connect", "no-port"],
                ErrorKind::ValueValidation,
                2,
            ),
            (&["gitferry", "--help"], ErrorKind::DisplayHelp, 0),
            (&["gitferry", "--version"], ErrorKind::DisplayVersion, 0),
        ] {
            let error = Cli::try_parse_from(arguments).unwrap_err();
            assert_eq!(error.kind(), kind, "{arguments:?}");
            assert_eq!(error.exit_code(), code, "{arguments:?}");
        }
    }

    #[test]
    fn config_may_stand_before_and_after_the_command() {
        for arguments in [
            ["gitferry", "--config", "x.toml", "man"],
            ["gitferry", "man", "--config", "x.toml"],
        ] {
            let cli = Cli::try_parse_from(arguments).unwrap();
            assert_eq!(cli.config.as_deref(), Some(Path::new("x.toml")));
        }
    }

    #[test]
    fn the_config_is_searched_in_the_directories_of_systemd_the_user_and_the_machine() {
        let variables = |set: &'static [(&str, &str)]| {
            let places = places(|name| {
                let (_, value) = set.iter().find(|(known, _)| *known == name)?;
                Some(value.into())
            });
            let texts: Vec<String> = places.iter().map(|p| p.display().to_string()).collect();
            texts.join(" ")
        };
        assert_eq!(
            variables(&[("CONFIGURATION_DIRECTORY", "/c"), ("HOME", "/h")]),
            "/c/gitferry.toml /h/.config/gitferry/gitferry.toml /etc/gitferry/gitferry.toml"
        );
        assert_eq!(
            variables(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]),
            "/x/gitferry/gitferry.toml /etc/gitferry/gitferry.toml"
        );
        assert_eq!(
            variables(&[("HOME", "not/full")]),
            "/etc/gitferry/gitferry.toml"
        );
    }
}
