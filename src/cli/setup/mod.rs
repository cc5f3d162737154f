//! `gitferry setup`: points git, git-lfs, the Hugging Face clients and ssh at the running daemon, prints each change, and undoes all of it.
//!
//! [`plan`] computes the settings for a config; [`mod@include`] writes them to gitferry's own file, and includes it by one line;
//! [`hf`] writes a file of exports, [`ssh`] a marked block; [`daemon`] verifies that the CA is the running daemon's;
//! [`warn`] names settings that override ours. Nothing changes `sslVerify`.

mod daemon;
mod git;
mod git_includes;
mod hf;
mod host_env;
mod include;
mod output;
mod plan;
mod record;
mod running;
mod ssh;
mod switch;
mod warn;

use std::io;

use clap::{Args, ValueEnum, builder::PossibleValue};

use self::{
    daemon::TrustedDaemon,
    git::Scope,
    hf::Exports,
    include::Include,
    output::Output,
    plan::{ClientSelection, GitClient},
    running::{readable, running, set_up_git},
    ssh::SshBlock,
};
pub(crate) use self::{host_env::HostEnv, running::ConfigLoader};
use super::Failure;
use crate::{config::Config, rt};

/// `gitferry setup`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gitferry setup all --dry-run\n  gitferry setup all\n  gitferry setup ssh\n  gitferry setup all --undo"
)]
pub(crate) struct SetupArgs {
    /// What to set up.
    #[arg(value_enum)]
    what: SetupTarget,
    /// Revert what `setup` changed.
    #[arg(long, conflicts_with = "no_ca")]
    undo: bool,
    /// Print each change and make none.
    #[arg(long)]
    dry_run: bool,
    /// Use no local CA: git reaches the daemon by url.*.insteadOf and hf by HF_ENDPOINT, over plain HTTP on this machine.
    #[arg(long)]
    no_ca: bool,
    /// Change only the repository in this directory, not all repositories of this user.
    #[arg(long)]
    local: bool,
}

impl SetupArgs {
    fn scope(&self) -> Scope {
        match self.local {
            true => Scope::Local,
            false => Scope::Global,
        }
    }
}

/// What can be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SetupTarget {
    /// git, for the main sites.
    Git,
    /// git-lfs, for the storage hosts.
    Lfs,
    /// The Hugging Face clients, Python and curl: a file of exports.
    Hf,
    /// ssh to the main sites: a block in ~/.ssh/config.
    Ssh,
    /// git, lfs and hf, but not ssh.
    All,
    /// Switch off what is set up, and keep it for `on`.
    Off,
    /// Switch on again what `off` switched off.
    On,
}

impl SetupTarget {
    fn clients(self) -> &'static [GitClient] {
        match self {
            Self::Git => &[GitClient::Git],
            Self::Lfs => &[GitClient::Lfs],
            Self::Hf | Self::Ssh | Self::Off | Self::On => &[],
            Self::All => &[GitClient::Git, GitClient::Lfs],
        }
    }

    fn hf(self) -> bool {
        matches!(self, Self::Hf | Self::All)
    }

    fn is_switch(self) -> bool {
        matches!(self, Self::Off | Self::On)
    }
}

/// Runs the set-up or the undo.
///
/// Fails where no trustworthy daemon runs, or where a config file or its record cannot be read or written.
pub(crate) fn run(args: &SetupArgs, source: &ConfigLoader<'_>) -> Result<(), Failure> {
    let host = HostEnv::of_this_process()?;
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let columns = rt::terminal_size(io::stdout()).map(|(columns, _)| columns);
    let mut output = Output::new(&mut out, &mut err, args.dry_run).within(columns);
    perform(args, source, &host, &mut output)
}

fn perform(
    args: &SetupArgs,
    source: &ConfigLoader<'_>,
    host: &HostEnv,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    if args.local && args.what.clients().is_empty() {
        return Err(Failure::usage(
            "only git and lfs have per-repository settings: omit `--local`",
        ));
    }
    if args.what.is_switch() && (args.undo || args.no_ca) {
        return Err(Failure::usage(
            "`setup off` and `setup on` accept no option but `--dry-run`",
        ));
    }
    match args.what {
        SetupTarget::Off => switch::off(host, output)?,
        SetupTarget::On => switch::on(source, host, output)?,
        _ if args.undo => undo(args, host, output)?,
        _ => set_up(args, source, host, output)?,
    }
    let what = args.what.to_possible_value();
    let what = what.as_ref().map_or("all", PossibleValue::get_name);
    if output.dry() {
        output.note("dry run: nothing was changed");
    } else if !args.undo && !args.what.is_switch() {
        let scope = if args.local { " --local" } else { "" };
        output.note(&format!(
            "done; `gitferry setup {what}{scope} --undo` reverts it"
        ));
    }
    output.close()
}

fn set_up(
    args: &SetupArgs,
    source: &ConfigLoader<'_>,
    host: &HostEnv,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    if args.what == SetupTarget::Ssh {
        let config = (source.load)()?;
        SshBlock::new(host)?.apply(&config, output)?;
        warn::daemon_unreachable(&config, host, output);
        return Ok(());
    }
    let (config, daemon) = running(source, host)?;
    if args.no_ca && config.listen.credentials.is_some() {
        return Err(Failure::new(
            "the daemon requires credentials, and without the CA the clients do not use it as a proxy and cannot send them",
        )
        .hint("omit `--no-ca`, or remove `username` from `[listen]`"));
    }
    if !args.what.clients().is_empty() {
        let clients = ClientSelection {
            names: args.what.clients(),
            no_ca: args.no_ca,
        };
        let include = Include::new(args.scope(), host)?;
        set_up_git(&include, clients, (&config, &daemon), host, output)?;
    }
    if args.what.hf() && !args.local {
        set_up_hf(args, (&config, &daemon), host, output)?;
    }
    Ok(())
}

fn set_up_hf(
    args: &SetupArgs,
    (config, daemon): (&Config, &TrustedDaemon),
    host: &HostEnv,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    match args
        .no_ca
        .then(|| hf::reverse_front_problem(config))
        .flatten()
    {
        Some(why) if args.what == SetupTarget::Hf => Err(Failure::new(why).hint("omit `--no-ca`")),
        Some(why) => {
            output.note(&format!("{why}: nothing to set up for hf"));
            Ok(())
        }
        None => {
            if !args.no_ca && config.terminated_hosts().next().is_some() {
                readable(&daemon.bundle)?;
            }
            let bundle = (!args.no_ca).then_some(&*daemon.bundle);
            Exports::new(host)?.apply(config, bundle, output)
        }
    }
}

fn undo(args: &SetupArgs, host: &HostEnv, output: &mut Output<'_>) -> Result<(), Failure> {
    if !args.what.clients().is_empty() {
        Include::new(args.scope(), host)?.undo(args.what.clients(), output)?;
    }
    if args.what.hf() && !args.local {
        Exports::new(host)?.undo(output)?;
    }
    if matches!(args.what, SetupTarget::Ssh | SetupTarget::All) && !args.local {
        SshBlock::new(host)?.undo(output)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
