//! `gitferry setup`: points git, git-lfs, the Hugging Face clients and ssh at the running daemon, prints each change, and takes all of it back.
//!
//! [`plan`] says which settings a config asks for; [`apply`] brings a git config file there and remembers what stood in it
//! ([`record`]); [`hf`] keeps one file of exports, [`ssh`] one marked block; [`warn`] names what would still overrule us. `sslVerify` is never touched.

mod apply;
mod files;
mod git;
mod hf;
mod host_env;
mod output;
mod plan;
mod record;
mod ssh;
mod warn;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum, builder::PossibleValue};

use self::{
    git::{GitFile, Scope},
    host_env::HostEnv,
    output::Output,
    plan::{Client, Plan},
};
use super::Failure;
use crate::{
    config::Config,
    model::HostPattern,
    tls::{
        ca::{Authority, KEY_FILE},
        trust::Roots,
    },
};

/// `gitferry setup`.
#[derive(Args, Debug)]
pub(crate) struct SetupArgs {
    /// What to set up: git for the main sites, lfs for the storage hosts, hf for the Hugging Face clients, ssh for the main sites over ssh.
    #[arg(value_enum)]
    what: What,
    /// Take it back: what stood there before comes back.
    #[arg(long, conflicts_with = "no_ca")]
    undo: bool,
    /// Print each change and make none.
    #[arg(long)]
    dry_run: bool,
    /// Without a local CA: git is sent to the daemon by url.*.insteadOf, hf by HF_ENDPOINT, in plain HTTP on this machine.
    #[arg(long)]
    no_ca: bool,
    /// Only for the repository here, not for every one of this user.
    #[arg(long)]
    local: bool,
}

/// What can be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Git,
    Lfs,
    Hf,
    Ssh,
    All,
}

impl What {
    fn clients(self) -> &'static [Client] {
        match self {
            Self::Git => &[Client::Git],
            Self::Lfs => &[Client::Lfs],
            Self::Hf | Self::Ssh => &[],
            Self::All => &[Client::Git, Client::Lfs],
        }
    }

    fn hf(self) -> bool {
        matches!(self, Self::Hf | Self::All)
    }

    fn ssh(self) -> bool {
        matches!(self, Self::Ssh | Self::All)
    }
}

/// Sets up, or takes back. The config is loaded only where it is needed: a broken one must not keep anybody from `--undo`.
///
/// Fails where git, its config file, ssh's or our own record of them cannot be read or written.
pub(crate) fn run(
    args: &SetupArgs,
    load: impl FnOnce() -> Result<Config, Failure>,
) -> Result<(), Failure> {
    let surroundings = HostEnv::of_this_process()?;
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut voice = Output::new(&mut out, &mut err, args.dry_run);
    perform(args, load, &surroundings, &mut voice)
}

fn perform(
    args: &SetupArgs,
    load: impl FnOnce() -> Result<Config, Failure>,
    surroundings: &HostEnv,
    voice: &mut Output<'_>,
) -> Result<(), Failure> {
    if args.local && args.what.clients().is_empty() {
        return Err(Failure::usage(
            "hf and ssh have no settings of one repository: leave `--local` out",
        ));
    }
    if args.undo {
        undo(args, surroundings, voice)?;
    } else {
        set_up(args, &load()?, surroundings, voice)?;
    }
    if voice.dry() {
        voice.note("a dry run: nothing was changed");
    } else if !args.undo {
        let what = args.what.to_possible_value();
        let what = what.as_ref().map_or("all", PossibleValue::get_name);
        let scope = if args.local { " --local" } else { "" };
        voice.note(&format!(
            "done; `gitferry setup {what}{scope} --undo` takes it back"
        ));
    }
    voice.close()
}

fn set_up(
    args: &SetupArgs,
    config: &Config,
    surroundings: &HostEnv,
    voice: &mut Output<'_>,
) -> Result<(), Failure> {
    let clients = args.what.clients();
    let fronted = args.no_ca && args.what != What::Ssh;
    if fronted && config.listen.credentials.is_some() {
        return Err(Failure::new(
            "the daemon asks for credentials, which clients send to a proxy only, and without the CA it is none to them",
        )
        .hint("leave `--no-ca` out, or `username` of [listen]"));
    }
    if !clients.is_empty() {
        // Before anything is said or made.
        let file = git_file(args, surroundings)?;
        let bundle = bundle_path(config)?;
        let plan = Plan::new(config, clients, args.no_ca, &bundle)?;
        if plan.needs_bundle {
            ensure_bundle(config, &bundle, voice)?;
        }
        for note in &plan.notes {
            voice.note(note);
        }
        apply::apply(&file, clients, &plan.settings, surroundings, voice)?;
        warn::environment(&plan, &bundle, surroundings, voice);
        warn::settings(&plan, surroundings, voice)?;
    }
    if args.what.hf() && !args.local {
        match args.no_ca.then(|| hf::unfit_without_ca(config)).flatten() {
            Some(why) if args.what == What::Hf => {
                return Err(Failure::new(why).hint("leave `--no-ca` out"));
            }
            Some(why) => voice.note(&format!("{why}: nothing to set up for hf")),
            None => hf::apply(config, args.no_ca, surroundings, voice)?,
        }
    }
    if args.what.ssh() && !args.local {
        ssh::apply(config, surroundings, voice)?;
    }
    warn::absence(config, surroundings, voice);
    Ok(())
}

fn undo(args: &SetupArgs, surroundings: &HostEnv, voice: &mut Output<'_>) -> Result<(), Failure> {
    if !args.what.clients().is_empty() {
        let file = git_file(args, surroundings)?;
        apply::undo(&file, args.what.clients(), surroundings, voice)?;
    }
    if args.what.hf() && !args.local {
        hf::undo(surroundings, voice)?;
    }
    if args.what.ssh() && !args.local {
        ssh::undo(surroundings, voice)?;
    }
    Ok(())
}

fn git_file<'a>(args: &SetupArgs, surroundings: &'a HostEnv) -> Result<GitFile<'a>, Failure> {
    let scope = if args.local {
        Scope::Local
    } else {
        Scope::Global
    };
    GitFile::new(scope, surroundings)
}

/// Where a client of this machine reaches a listening address: loopback where it is "every address".
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn bundle_path(config: &Config) -> Result<PathBuf, Failure> {
    std::path::absolute(config.state_directory.join("bundle.pem"))
        .map_err(|error| Failure::during("the state directory has no full path", error))
}

/// The daemon writes the bundle when it starts. A set-up before its first start makes the CA and the bundle itself: git refuses
/// every host whose `sslCAInfo` names a file that is not there.
fn ensure_bundle(config: &Config, bundle: &Path, voice: &mut Output<'_>) -> Result<(), Failure> {
    if bundle.exists() {
        return Ok(());
    }
    let shown = bundle.display();
    voice.note(&match config.state_directory.join(KEY_FILE).exists() {
        true => format!("{shown} is written, because it is not there"),
        false => format!("the local CA and {shown} are made, because they are not there yet"),
    });
    if voice.dry() {
        return Ok(());
    }
    let hint = "start the daemon first (`gitferry run`), or name its state directory: \
                `STATE_DIRECTORY=/var/lib/gitferry gitferry setup …` for a system service";
    let hosts: Vec<HostPattern> = config.terminated_hosts().cloned().collect();
    let (authority, _) = Authority::open(&config.state_directory, &hosts)
        .map_err(|error| Failure::new(error).hint(hint))?;
    Roots::load(&config.trust)
        .write_bundle(&config.state_directory, &authority)
        .map_err(|error| {
            Failure::during(format!("cannot write {}", bundle.display()), error).hint(hint)
        })
}

#[cfg(test)]
mod tests;
