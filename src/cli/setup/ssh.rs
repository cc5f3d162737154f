//! A marked block in `~/.ssh/config` that connects to the main sites through `gitferry connect`; everything else stays byte for byte.

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
    host_env::HostEnv,
    output::{Output, shell_quoted},
    record::SetupRecord,
};
use crate::{
    cli::{Failure, files},
    config::{Config, Route},
    model::{Role, TlsMode},
};

const BEGIN: &str = "# >>> gitferry";
const END: &str = "# <<< gitferry";

/// What an undo removes beside the block.
#[derive(Debug, Serialize, Deserialize)]
struct CreatedPaths {
    file: bool,
    directory: bool,
    /// True after `setup off`.
    #[serde(default)]
    off: bool,
}

/// The block in the user's config, and its record.
pub(super) struct SshBlock<'a> {
    path: PathBuf,
    record: SetupRecord<CreatedPaths>,
    host: &'a HostEnv,
}

impl<'a> SshBlock<'a> {
    /// That of the user of `host`.
    pub(super) fn new(host: &'a HostEnv) -> Result<Self, Failure> {
        let path = host.home()?.join(".ssh/config");
        let record = SetupRecord::of("ssh", &path, host)?;
        Ok(Self { path, record, host })
    }

    /// Adds the block at the top (ssh takes the first value it finds), or updates the existing one.
    pub(super) fn apply(&self, config: &Config, output: &mut Output<'_>) -> Result<(), Failure> {
        let path = self.path.display();
        let Some(block) = block(config, self.host, output)? else {
            output.note("no route covers port 22 of a main site: nothing to set up for ssh");
            return Ok(());
        };
        let old = files::read(&self.path)?;
        let mut new = old.clone().unwrap_or_default();
        let place = find(&new, &self.path)?.unwrap_or(0..0);
        let mut theirs = new.clone();
        theirs.drain(place.clone());
        warn_of_other_proxies(&theirs, config, self.host, output);
        new.splice(place, block.bytes());
        if old.as_ref() == Some(&new) {
            output.note(&format!("{path}: the block is up to date"));
            return Ok(());
        }
        output.note(&format!("{path}: this block is added at the top:"));
        output.text(block.trim_end());
        output.make(|| self.write(&new, old.is_none()))
    }

    fn write(&self, bytes: &[u8], is_new: bool) -> Result<(), Failure> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let mut created = self.record.load()?.unwrap_or_else(|| CreatedPaths {
            file: is_new,
            directory: !directory.exists(),
            off: false,
        });
        created.off = false;
        self.record.save(&created)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(Failure::cannot("create", directory))?;
        files::replace(&self.path, bytes, 0o600)
    }

    /// Removes the block, and the file and directory that were created for it, where nothing else is in them.
    pub(super) fn undo(&self, output: &mut Output<'_>) -> Result<(), Failure> {
        if !self.remove_block(output)? {
            let path = self.path.display();
            output.note(&format!("{path}: nothing to undo for ssh"));
        }
        output.make(|| self.record.forget())
    }

    /// `setup off`: removes the block and keeps the record. False where there was none.
    pub(super) fn switch_off(&self, output: &mut Output<'_>) -> Result<bool, Failure> {
        let known = self.record.load()?;
        let Some(mut created) = known.filter(|created| !created.off) else {
            return Ok(false);
        };
        let removed = self.remove_block(output)?;
        if removed {
            created.off = true;
            output.make(|| self.record.save(&created))?;
        }
        Ok(removed)
    }

    /// True where the block is switched off.
    pub(super) fn is_off(&self) -> Result<bool, Failure> {
        Ok(self.record.load()?.is_some_and(|created| created.off))
    }

    /// False where there is no block.
    fn remove_block(&self, output: &mut Output<'_>) -> Result<bool, Failure> {
        let mut bytes = files::read(&self.path)?.unwrap_or_default();
        let Some(place) = find(&bytes, &self.path)? else {
            return Ok(false);
        };
        let path = self.path.display();
        output.note(&format!("{path}: this block is removed:"));
        let block: Vec<u8> = bytes.drain(place).collect();
        output.text(String::from_utf8_lossy(&block).trim_end());
        output.make(|| match self.record.load()? {
            Some(created) if created.file && bytes.is_empty() => {
                files::remove(&self.path)?;
                if created.directory {
                    // It stays where keys were added since.
                    files::remove_empty_directory_of(&self.path);
                }
                Ok(())
            }
            _ => files::replace(&self.path, &bytes, 0o600),
        })?;
        Ok(true)
    }
}

/// Warns of the proxies in the user's own config that the block overrides: ssh takes the first it finds.
fn warn_of_other_proxies(theirs: &[u8], config: &Config, host: &HostEnv, output: &mut Output<'_>) {
    for site in hosts(config) {
        let Some(proxy) = proxy_of(theirs, &site, host) else {
            continue;
        };
        output.warn(&format!(
            "ssh to {site} used `{proxy}` before and now uses gitferry: if that proxy is needed, add it to `[hops]`"
        ));
    }
}

/// The proxy of `site`, as ssh itself reads `config`; `None` where ssh cannot be run.
fn proxy_of(config: &[u8], site: &str, host: &HostEnv) -> Option<String> {
    if config.trim_ascii().is_empty() {
        return None;
    }
    let file = tempfile::NamedTempFile::new().ok()?;
    fs::write(file.path(), config).ok()?;
    let output = Command::new("ssh")
        .envs(&host.variables)
        .args(["-G", "-F"])
        .arg(file.path())
        .args(["--", site])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let options = String::from_utf8_lossy(&output.stdout).into_owned();
    let set = options.lines().find(|line| {
        let value = ["proxycommand ", "proxyjump "]
            .iter()
            .find_map(|key| line.strip_prefix(key));
        value.is_some_and(|value| value != "none")
    });
    set.map(ToOwned::to_owned)
}

/// The main sites that ssh should reach through the daemon.
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

/// The block ends with `Host *`: the user's options before the first `Host` must still apply to all hosts.
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

/// One word of a `ProxyCommand`: ssh replaces tokens with `%`, then a shell parses the line.
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

/// Where the block is, its last line break included. Fails where it has no end: what to remove would be a guess.
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
