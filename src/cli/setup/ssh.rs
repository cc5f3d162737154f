//! One marked block in `~/.ssh/config` that sends the main sites through `gitferry connect`; everything else stays byte for byte.

use std::{
    fs::{self, DirBuilder},
    ops::Range,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    files, git,
    host_env::HostEnv,
    output::{Output, shell_quoted},
    record,
};
use crate::{
    cli::Failure,
    config::{Config, Route},
    model::{Role, TlsMode},
};

const BEGIN: &str = "# >>> gitferry";
const END: &str = "# <<< gitferry";

/// What an undo has to take away beside the block.
#[derive(Debug, Serialize, Deserialize)]
struct Created {
    file: bool,
    directory: bool,
    /// True after `setup off`.
    #[serde(default)]
    off: bool,
}

/// Puts the block at the top (ssh takes the first value it finds), or brings the one that is there up to date.
pub(super) fn apply(
    config: &Config,
    host: &HostEnv,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let path = path(host)?;
    let Some(block) = block(config, host, output)? else {
        output.note("no route covers port 22 of a main site: nothing to set up for ssh");
        return Ok(());
    };
    let old = git::bytes(&path)?;
    let mut new = old.clone().unwrap_or_default();
    let place = find(&new, &path)?.unwrap_or(0..0);
    let mut theirs = new.clone();
    theirs.drain(place.clone());
    warn_of_other_ways(&theirs, config, host, output);
    new.splice(place, block.bytes());
    if old.as_ref() == Some(&new) {
        output.note(&format!("{}: the block is up to date", path.display()));
        return Ok(());
    }
    output.note(&format!(
        "{}: this block is added at the top:",
        path.display()
    ));
    output.text(block.trim_end());
    if output.dry() {
        return Ok(());
    }
    let record_path = record::path(host, "ssh", &path)?;
    let directory = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty());
    let known = record::load::<Created>(&record_path)?;
    let mut created = known.unwrap_or_else(|| Created {
        file: old.is_none(),
        directory: directory.is_some_and(|directory| !directory.exists()),
        off: false,
    });
    created.off = false;
    record::save(&record_path, &created)?;
    if let Some(directory) = directory {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| {
                Failure::during(format!("cannot create {}", directory.display()), error)
            })?;
    }
    files::replace(&path, &new, 0o600)
}

/// Takes the block out, and the file and directory away that were made for it, where nothing else is in them.
pub(super) fn undo(host: &HostEnv, output: &mut Output<'_>) -> Result<(), Failure> {
    let path = path(host)?;
    if !remove_block(&path, host, output)? {
        output.note(&format!("{}: nothing to undo for ssh", path.display()));
    }
    if output.dry() {
        return Ok(());
    }
    record::forget(&record::path(host, "ssh", &path)?)
}

/// `setup off`: the block goes, what is known of it stays. False where none was there.
pub(super) fn switch_off(host: &HostEnv, output: &mut Output<'_>) -> Result<bool, Failure> {
    let path = path(host)?;
    let record_path = record::path(host, "ssh", &path)?;
    let known = record::load::<Created>(&record_path)?;
    let Some(mut created) = known.filter(|created| !created.off) else {
        return Ok(false);
    };
    let removed = remove_block(&path, host, output)?;
    if removed && !output.dry() {
        created.off = true;
        record::save(&record_path, &created)?;
    }
    Ok(removed)
}

/// True where the block is switched off.
pub(super) fn is_off(host: &HostEnv) -> Result<bool, Failure> {
    let record_path = record::path(host, "ssh", &path(host)?)?;
    Ok(record::load::<Created>(&record_path)?.is_some_and(|created| created.off))
}

/// False where there is no block.
fn remove_block(path: &Path, host: &HostEnv, output: &mut Output<'_>) -> Result<bool, Failure> {
    let mut bytes = git::bytes(path)?.unwrap_or_default();
    let Some(place) = find(&bytes, path)? else {
        return Ok(false);
    };
    output.note(&format!("{}: this block is removed:", path.display()));
    let block: Vec<u8> = bytes.drain(place).collect();
    output.text(String::from_utf8_lossy(&block).trim_end());
    if output.dry() {
        return Ok(true);
    }
    let created = record::load::<Created>(&record::path(host, "ssh", path)?)?;
    match created {
        Some(created) if created.file && bytes.is_empty() => {
            files::remove(path)?;
            if let Some(directory) = path.parent().filter(|_| created.directory) {
                // Keys made since keep it.
                let _ = fs::remove_dir(directory);
            }
        }
        _ => files::replace(path, &bytes, 0o600)?,
    }
    Ok(true)
}

fn path(host: &HostEnv) -> Result<PathBuf, Failure> {
    Ok(host.home()?.join(".ssh/config"))
}

/// Says which proxies of the user's own `config` the block stands before: ssh takes the first it finds.
fn warn_of_other_ways(theirs: &[u8], config: &Config, host: &HostEnv, output: &mut Output<'_>) {
    for site in hosts(config) {
        let Some(way) = way_of(theirs, &site, host) else {
            continue;
        };
        output.warn(&format!(
            "ssh to {site} used `{way}` before and now uses gitferry: if that proxy is needed, add it to `[hops]`"
        ));
    }
}

/// How ssh itself reads a config: the proxy for `host`, if there is one. Where ssh cannot be asked there is nothing to say.
fn way_of(config: &[u8], site: &str, host: &HostEnv) -> Option<String> {
    if config.trim_ascii().is_empty() {
        return None;
    }
    let file = tempfile::NamedTempFile::new().ok()?;
    fs::write(file.path(), config).ok()?;
    let asked = Command::new("ssh")
        .envs(&host.variables)
        .args(["-G", "-F"])
        .arg(file.path())
        .args(["--", site])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let told = String::from_utf8_lossy(&asked.stdout).into_owned();
    let set = told.lines().find(|line| {
        let value = ["proxycommand ", "proxyjump "]
            .iter()
            .find_map(|key| line.strip_prefix(key));
        value.is_some_and(|value| value != "none")
    });
    set.map(ToOwned::to_owned)
}

/// The main sites that ssh is to reach through the daemon.
fn hosts(config: &Config) -> Vec<String> {
    let over_ssh = |route: &&Arc<Route>| {
        route.role == Role::MainSite
            && route.tls != TlsMode::Deny
            && route.ports.as_ref().is_none_or(|ports| ports.contains(&22))
    };
    let routes = config.routes.iter().filter(over_ssh);
    let hosts = routes.flat_map(|route| &route.hosts);
    hosts.map(ToString::to_string).collect()
}

/// `Host *` ends the block: options before the file's own first `Host` are for every host, and must stay so.
fn block(
    config: &Config,
    host: &HostEnv,
    output: &mut Output<'_>,
) -> Result<Option<String>, Failure> {
    let hosts = hosts(config);
    if hosts.is_empty() {
        return Ok(None);
    }
    let lasting = host.lasting_binary();
    if lasting.is_none() {
        output.warn(&format!(
            "{} is in a build directory: ssh stops working when it is removed. Install gitferry (`cargo install --path .`), then run this again",
            host.binary.display()
        ));
    }
    let mut command = word(lasting.as_ref().unwrap_or(&host.binary))?;
    if let Some(file) = &config.file {
        let file = std::path::absolute(file).map_err(Failure::new)?;
        command.push_str(" --config ");
        command.push_str(&word(&file)?);
    }
    Ok(Some(format!(
        "{BEGIN}\n\
         # Written by `gitferry setup ssh`; `gitferry setup ssh --undo` removes it.\n\
         Host {}\n    ProxyCommand {command} connect %h:%p\n\
         Host *\n\
         {END}\n",
        hosts.join(" ")
    )))
}

/// One word of a `ProxyCommand`: ssh puts tokens in place of `%`, then a shell reads the line.
fn word(path: &Path) -> Result<String, Failure> {
    match path.to_str() {
        Some(text) if !text.contains(['\n', '\r', '\0']) => {
            Ok(shell_quoted(text).replace('%', "%%"))
        }
        _ => Err(Failure::new(format!(
            "{} cannot be written in ssh's config",
            path.display()
        ))
        .hint("install it at a path without control characters")),
    }
}

/// Where the block stands, its last line break included. Fails where it has no end: what to take out would be a guess.
fn find(bytes: &[u8], path: &Path) -> Result<Option<Range<usize>>, Failure> {
    let mut begin = None;
    let mut at = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let next = at + line.len();
        let text = line.trim_ascii();
        match begin {
            None if text == BEGIN.as_bytes() => begin = Some(at),
            Some(begin) if text == END.as_bytes() => return Ok(Some(begin..next)),
            _ => {}
        }
        at = next;
    }
    match begin {
        None => Ok(None),
        Some(_) => Err(Failure::new(format!(
            "{}: `{BEGIN}` has no `{END}` after it",
            path.display()
        ))
        .hint("remove that block by hand")),
    }
}
