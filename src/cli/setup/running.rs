//! What `setup` and `setup on` share: they find the running daemon and its config, and set up git.

use std::path::Path;

use super::{
    daemon::TrustedDaemon,
    host_env::HostEnv,
    include::Include,
    output::Output,
    plan::{ClientSelection, Plan},
    warn,
};
use crate::{
    cli::{Failure, daemon},
    config::{self, Config},
};

/// Where the config comes from.
pub(crate) struct ConfigLoader<'a> {
    /// True where the command line names the file: then the daemon's own file is not used.
    pub(crate) given: bool,
    /// Loads it, only where it is needed: `--undo` must work with a broken config.
    pub(crate) load: &'a dyn Fn() -> Result<Config, Failure>,
}

/// The running daemon and its config: that of its own file, unless the command line names one.
pub(super) fn running(
    source: &ConfigLoader<'_>,
    host: &HostEnv,
) -> Result<(Config, TrustedDaemon), Failure> {
    let config = (source.load)()?;
    let address =
        daemon::address(&config).ok_or_else(|| Failure::new("`address` of `[listen]` is empty"))?;
    let daemon = (host.daemon)(host, address)?;
    let theirs = daemon
        .config
        .as_deref()
        .filter(|file| !source.given && config.file.as_deref() != Some(file));
    let Some(file) = theirs else {
        return Ok((config, daemon));
    };
    let variable = |name: &str| {
        host.variable(name)
            .map(|value| value.to_string_lossy().into_owned())
    };
    // If only root may read the file, the config found here usually has the same hosts.
    let config = config::load(Some(file), &variable).unwrap_or(config);
    Ok((config, daemon))
}

pub(super) fn set_up_git(
    include: &Include<'_>,
    clients: ClientSelection<'_>,
    (config, daemon): (&Config, &TrustedDaemon),
    host: &HostEnv,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let plan = Plan::new(config, clients.names, clients.no_ca, &daemon.bundle)?;
    if plan.needs_bundle {
        readable(&daemon.bundle)?;
    }
    for note in &plan.notes {
        output.note(note);
    }
    include.apply(clients, &plan.settings, output)?;
    warn::environment(&plan, &daemon.bundle, host, output);
    warn::unverified(host, output)?;
    if output.dry() {
        return Ok(());
    }
    warn::overriding(&plan, host, output)
}

/// Fails where the bundle cannot be read: git refuses every host with such a `sslCAInfo`.
pub(super) fn readable(bundle: &Path) -> Result<(), Failure> {
    let opened = std::fs::File::open(bundle).map(drop);
    opened
        .map_err(Failure::cannot("read", bundle))
        .map_err(|failure| {
            failure.hint("the daemon writes it when it starts: restart it and read its log")
        })
}
