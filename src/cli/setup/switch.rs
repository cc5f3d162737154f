//! `setup off` and `setup on`.

use super::{
    git::Scope,
    hf::Exports,
    host_env::HostEnv,
    include::Include,
    output::Output,
    plan::{ClientSelection, GitClient},
    running::{ConfigLoader, running, set_up_git},
    ssh::SshBlock,
};
use crate::cli::Failure;

/// Removes what makes clients use gitferry; the records stay.
pub(super) fn off(host: &HostEnv, output: &mut Output<'_>) -> Result<(), Failure> {
    let mut found = false;
    for include in includes(host)? {
        found |= include.switch_off(output)?;
    }
    found |= Exports::new(host)?.switch_off(output)?;
    found |= SshBlock::new(host)?.switch_off(output)?;
    output.note(if found {
        "off: clients no longer use gitferry; `gitferry setup on` switches it on"
    } else {
        "nothing is set up"
    });
    Ok(())
}

/// Sets up again what is switched off, with the config and the CA of the running daemon.
pub(super) fn on(
    source: &ConfigLoader<'_>,
    host: &HostEnv,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let (config, daemon) = running(source, host)?;
    let mut found = false;
    for include in includes(host)? {
        let all = include.switched_off()?;
        for no_ca in [false, true] {
            let alike = all.iter().filter(|(_, without)| *without == no_ca);
            let names: Vec<GitClient> = alike.map(|(client, _)| *client).collect();
            let clients = ClientSelection {
                names: &names,
                no_ca,
            };
            if !names.is_empty() {
                found = true;
                set_up_git(&include, clients, (&config, &daemon), host, output)?;
            }
        }
    }
    let exports = Exports::new(host)?;
    if let Some(no_ca) = exports.switched_off()? {
        found = true;
        exports.apply(&config, (!no_ca).then_some(&*daemon.bundle), output)?;
    }
    let block = SshBlock::new(host)?;
    if block.is_off()? {
        found = true;
        block.apply(&config, output)?;
    }
    output.note(if found {
        "on: clients use gitferry"
    } else {
        "nothing is switched off"
    });
    Ok(())
}

/// The user's git config, and that of the current repository, if there is one.
fn includes(host: &HostEnv) -> Result<Vec<Include<'_>>, Failure> {
    let global = Include::new(Scope::Global, host)?;
    let local = Include::new(Scope::Local, host).ok();
    Ok(std::iter::once(global).chain(local).collect())
}
