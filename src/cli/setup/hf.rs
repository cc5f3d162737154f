//! One file of exports for the Hugging Face clients, which read nothing but their environment; a shell reads it by `. FILE`.
//!
//! What they honour was read in huggingface_hub 2.4.0 (httpx2: `SSL_CERT_FILE`, `*_PROXY` in either case, the lower one first) and
//! hf_xet 1.8.0 (reqwest with rustls' platform verifier: the same). requests and curl have names of their own for the bundle.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    files, git,
    host_env::HostEnv,
    output::{Output, shell_quoted},
    plan::Plan,
    record::{self, SavedFile},
    warn,
};
use crate::{
    cli::{Failure, daemon},
    config::Config,
    model::{Host, Target, TlsMode},
};

/// The Hub, as its client calls it (huggingface_hub: `constants.py`, `_HF_DEFAULT_ENDPOINT`).
const HUB: &str = "huggingface.co";

/// The first line of a file of ours.
const MARK: &str = "# Written by `gitferry setup hf`";

/// The file as we left it, and what an undo has to take away beside it.
#[derive(Debug, Serialize, Deserialize)]
struct ExportsFile {
    file: SavedFile,
    directory: bool,
    no_ca: bool,
    /// True after `setup off`: the file is there, and exports nothing.
    off: bool,
}

/// Writes the file, or updates the one that is there; without a `bundle` for the reverse front.
///
/// Fails where somebody else's file is in its place.
pub(super) fn apply(
    config: &Config,
    bundle: Option<&Path>,
    host: &HostEnv,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let path = path(host)?;
    let shown = path.display().to_string();
    let no_ca = bundle.is_none();
    let plan = Plan::new(config, &[], no_ca, bundle.unwrap_or(Path::new("")))?;
    let text = match bundle {
        None => reversed(config, &plan),
        Some(bundle) => {
            let terminates = config.terminated_hosts().next().is_some();
            proxied(config, &plan, terminates.then_some(bundle))
        }
    };
    let old = git::bytes(&path)?;
    if old.is_some() && !is_ours(old.as_deref(), &path, host)? {
        return Err(
            Failure::new(format!("{shown} was changed by another program"))
                .hint("move the file, then run this again"),
        );
    }
    if old.as_deref() == Some(text.as_bytes()) {
        output.note(&format!("{shown}: no change"));
    } else if output.dry() {
        output.note(&format!("{shown}: would be written:"));
        output.text(plan.masked(&text).trim_end());
    } else {
        output.note(&format!("{shown}: written"));
        write(&path, &text, no_ca, host)?;
    }
    output.note("for hf, Python and curl: run this in their shell or add it to your profile");
    output.note("(not in the shell of the daemon)");
    output.text(&format!(". {}", shell_quoted(&shown)));
    warn(config, no_ca, host, output);
    Ok(())
}

/// Takes the file away; one that somebody changed stays.
pub(super) fn undo(host: &HostEnv, output: &mut Output<'_>) -> Result<(), Failure> {
    let path = path(host)?;
    let shown = path.display().to_string();
    let record_path = record::path(host, "hf", &path)?;
    let written = record::load::<ExportsFile>(&record_path)?;
    let now = git::bytes(&path)?;
    match (&written, &now) {
        (None, _) => {
            output.note(&format!("{shown}: nothing to undo for hf"));
            return Ok(());
        }
        (Some(_), None) => output.note(&format!("{shown}: already removed")),
        (Some(written), Some(_)) if !written.file.is_as_left(now.as_deref()) => {
            output.note(&format!(
                "{shown} was changed by another program: it is kept"
            ));
        }
        (Some(written), Some(_)) => {
            output.note(&format!("{shown}: removed"));
            output.note("shells that have read it keep its variables until they exit");
            if !output.dry() {
                files::remove(&path)?;
                if let Some(directory) = path.parent().filter(|_| written.directory) {
                    // A config written since keeps it.
                    let _ = fs::remove_dir(directory);
                }
            }
        }
    }
    if output.dry() {
        return Ok(());
    }
    record::forget(&record_path)
}

fn path(host: &HostEnv) -> Result<PathBuf, Failure> {
    Ok(host.user_config()?.join("hf.sh"))
}

/// A file with our mark that nobody changed since; where there is no record any more, the mark is enough.
fn is_ours(bytes: Option<&[u8]>, path: &Path, host: &HostEnv) -> Result<bool, Failure> {
    let written: Option<ExportsFile> = record::load(&record::path(host, "hf", path)?)?;
    let marked = bytes.is_some_and(|bytes| bytes.starts_with(MARK.as_bytes()));
    Ok(marked && written.is_none_or(|written| written.file.is_as_left(bytes)))
}

/// `setup off`: the file stays, and exports nothing. False where nothing was on.
pub(super) fn switch_off(host: &HostEnv, output: &mut Output<'_>) -> Result<bool, Failure> {
    let path = path(host)?;
    let record_path = record::path(host, "hf", &path)?;
    let now = git::bytes(&path)?;
    let Some(mut written) = record::load::<ExportsFile>(&record_path)?
        .filter(|written| !written.off && now.is_some() && written.file.is_as_left(now.as_deref()))
    else {
        return Ok(false);
    };
    let shown = path.display();
    output.note(&format!("{shown}: no longer exports anything"));
    output.note("shells that have read it keep its variables until they exit");
    if !output.dry() {
        let text = format!(
            "{MARK}; switched off by `gitferry setup off`; `gitferry setup on` switches it on.\n"
        );
        written.file = SavedFile::new(Some(text.as_bytes()));
        written.off = true;
        record::save(&record_path, &written)?;
        files::replace(&path, text.as_bytes(), 0o600)?;
    }
    Ok(true)
}

/// Whether the exports were without the CA, where they are switched off.
pub(super) fn switched_off(host: &HostEnv) -> Result<Option<bool>, Failure> {
    let written: Option<ExportsFile> = record::load(&record::path(host, "hf", &path(host)?)?)?;
    Ok(written
        .filter(|written| written.off)
        .map(|written| written.no_ca))
}

/// The record is written first, so that a set-up that is cut off can still be undone.
fn write(path: &Path, text: &str, no_ca: bool, host: &HostEnv) -> Result<(), Failure> {
    let record_path = record::path(host, "hf", path)?;
    let known: Option<ExportsFile> = record::load(&record_path)?;
    let parent = path.parent();
    let made = parent.is_some_and(|directory| !directory.exists());
    let written = ExportsFile {
        file: SavedFile::new(Some(text.as_bytes())),
        directory: known.is_some_and(|known| known.directory) || made,
        no_ca,
        off: false,
    };
    record::save(&record_path, &written)?;
    if let Some(directory) = parent {
        fs::create_dir_all(directory).map_err(|error| {
            Failure::during(format!("cannot create {}", directory.display()), error)
        })?;
    }
    // It may hold the daemon's password; one that an earlier version left with another mode must not keep it.
    files::remove(path)?;
    files::replace(path, text.as_bytes(), 0o600)
}

/// Through the CONNECT front: the proxy for every https host, and the bundle where TLS is terminated.
fn proxied(config: &Config, plan: &Plan, bundle: Option<&Path>) -> String {
    let mut text = head(config);
    let proxy = shell_quoted(&plan.proxy);
    text.push_str(&format!(
        "export HTTPS_PROXY={proxy}\nexport https_proxy=\"$HTTPS_PROXY\"\n"
    ));
    if let Some(bundle) = bundle {
        let bundle = shell_quoted(&bundle.to_string_lossy());
        for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
            text.push_str(&format!("export {name}={bundle}\n"));
        }
    }
    text
}

/// Why the reverse front is no way for these clients, if it is none.
pub(super) fn unfit_without_ca(config: &Config) -> Option<String> {
    let hub = Target::new(Host::Name(HUB.into()), 443);
    let route = config.route(&hub);
    let named = config.routes.iter().any(|known| Arc::ptr_eq(known, route));
    (!named || route.tls == TlsMode::Deny).then(|| format!("no route allows {HUB}"))
}

/// Through the reverse front, in plain HTTP on this machine.
fn reversed(config: &Config, plan: &Plan) -> String {
    let endpoint = shell_quoted(&format!("{}/{HUB}", plan.proxy));
    format!("{}export HF_ENDPOINT={endpoint}\n", head(config))
}

/// What stays on this machine takes no other hop: the daemon itself is there, by both of its names.
fn head(config: &Config) -> String {
    let daemon = daemon::address(config).map(|address| address.ip().to_string());
    let mut near = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    near.extend(daemon.filter(|daemon| !near.contains(daemon)));
    let near = near.join(",");
    format!(
        "{MARK}; `gitferry setup hf --undo` removes it.\n\
         NO_PROXY=${{no_proxy:-${{NO_PROXY-}}}}\n\
         case \",$NO_PROXY,\" in\n\
         *,{near},*) ;;\n\
         *) NO_PROXY={near}${{NO_PROXY:+,$NO_PROXY}} ;;\n\
         esac\n\
         export NO_PROXY no_proxy=\"$NO_PROXY\"\n"
    )
}

/// What would send the clients elsewhere.
fn warn(config: &Config, no_ca: bool, host: &HostEnv, output: &mut Output<'_>) {
    if no_ca {
        return;
    }
    if host.variable("HF_ENDPOINT").is_some() {
        output.warn(&format!(
            "HF_ENDPOINT is set: the clients use another host than {HUB}. Run `unset HF_ENDPOINT`; configure a mirror in `upstreams` of the route"
        ));
    }
    let hosts = config.routes.iter().flat_map(|route| &route.hosts);
    if let Some((name, hosts)) = warn::no_proxy_variable(hosts, host) {
        output.warn(&format!(
            "{name} makes these clients bypass gitferry for {hosts}: remove these hosts from it"
        ));
    }
}
