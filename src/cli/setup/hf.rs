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
    record::{self, Snapshot},
    warn,
};
use crate::{
    cli::Failure,
    config::Config,
    model::{Host, Target, TlsMode},
};

/// The Hub, as its client calls it (huggingface_hub: `constants.py`, `_HF_DEFAULT_ENDPOINT`).
const HUB: &str = "huggingface.co";

/// The first line of a file of ours.
const MARK: &str = "# Written by `gitferry setup hf`";

/// The file as we left it, and what an undo has to take away beside it.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    file: Snapshot,
    directory: bool,
}

/// Writes the file, or brings the one that is there up to date; `no_ca` for the reverse front.
///
/// Fails where somebody else's file is in its place.
pub(super) fn apply(
    config: &Config,
    no_ca: bool,
    surroundings: &HostEnv,
    voice: &mut Output<'_>,
) -> Result<(), Failure> {
    let path = path(surroundings)?;
    let shown = path.display().to_string();
    let bundle = super::bundle_path(config)?;
    let plan = Plan::new(config, &[], no_ca, &bundle)?;
    let text = if no_ca {
        reversed(config, &plan)
    } else {
        let terminates = config.terminated_hosts().next().is_some();
        if terminates {
            super::ensure_bundle(config, &bundle, voice)?;
        }
        proxied(config, &plan, terminates.then_some(&bundle))
    };
    let old = git::bytes(&path)?;
    if old.is_some() && !is_ours(old.as_deref(), &path, surroundings)? {
        return Err(
            Failure::new(format!("{shown} is there, and not as this command left it"))
                .hint("put it elsewhere, then run this again"),
        );
    }
    if old.as_deref() == Some(text.as_bytes()) {
        voice.note(&format!("{shown}: in place"));
    } else {
        voice.note(&format!("{shown}: written with"));
        voice.text(text.trim_end());
        if !voice.dry() {
            write(&path, &text, surroundings)?;
        }
    }
    voice.note("for hf, Python and curl: read it in the shell that runs them (not the daemon's), or in your profile:");
    voice.text(&format!(". {}", shell_quoted(&shown)));
    warn(config, no_ca, surroundings, voice);
    Ok(())
}

/// Takes the file away; one that somebody changed stays.
pub(super) fn undo(surroundings: &HostEnv, voice: &mut Output<'_>) -> Result<(), Failure> {
    let path = path(surroundings)?;
    let shown = path.display().to_string();
    let record_path = record::path(surroundings, "hf", &path)?;
    let written = record::load::<Written>(&record_path)?;
    let now = git::bytes(&path)?;
    match (&written, &now) {
        (None, _) => {
            voice.note(&format!("{shown}: nothing to take back for hf"));
            return Ok(());
        }
        (Some(_), None) => voice.note(&format!("{shown}: gone already")),
        (Some(written), Some(_)) if !written.file.is_as_left(now.as_deref()) => {
            voice.note(&format!("{shown} was changed since: it is left as it is"));
        }
        (Some(written), Some(_)) => {
            voice.note("a shell that has read the file keeps its variables until it ends");
            voice.text(&format!("rm {}", shell_quoted(&shown)));
            if !voice.dry() {
                files::remove(&path)?;
                if let Some(directory) = path.parent().filter(|_| written.directory) {
                    // A config written since keeps it.
                    let _ = fs::remove_dir(directory);
                }
            }
        }
    }
    if voice.dry() {
        return Ok(());
    }
    record::forget(&record_path)
}

fn path(surroundings: &HostEnv) -> Result<PathBuf, Failure> {
    Ok(surroundings.user_config()?.join("hf.sh"))
}

/// A file with our mark that nobody changed since; where there is no record any more, the mark is enough.
fn is_ours(bytes: Option<&[u8]>, path: &Path, surroundings: &HostEnv) -> Result<bool, Failure> {
    let written: Option<Written> = record::load(&record::path(surroundings, "hf", path)?)?;
    let marked = bytes.is_some_and(|bytes| bytes.starts_with(MARK.as_bytes()));
    Ok(marked && written.is_none_or(|written| written.file.is_as_left(bytes)))
}

/// The record is written first, so that a set-up that is cut off can still be taken back.
fn write(path: &Path, text: &str, surroundings: &HostEnv) -> Result<(), Failure> {
    let record_path = record::path(surroundings, "hf", path)?;
    let known: Option<Written> = record::load(&record_path)?;
    let parent = path.parent();
    let made = parent.is_some_and(|directory| !directory.exists());
    let written = Written {
        file: Snapshot::new(Some(text.as_bytes())),
        directory: known.is_some_and(|known| known.directory) || made,
    };
    record::save(&record_path, &written)?;
    if let Some(directory) = parent {
        fs::create_dir_all(directory).map_err(|error| {
            Failure::during(format!("cannot make {}", directory.display()), error)
        })?;
    }
    files::replace(path, text.as_bytes(), 0o644)
}

/// Through the CONNECT front: the proxy for every https host, and the bundle where TLS is terminated.
fn proxied(config: &Config, plan: &Plan, bundle: Option<&PathBuf>) -> String {
    let mut text = head(config);
    let proxy = match plan.proxy.split_once('@') {
        None => shell_quoted(&plan.proxy),
        Some((before, after)) => {
            text.push_str(
                "# GITFERRY_PASSWORD: the daemon's password, percent-encoded; set it before.\n",
            );
            format!("\"{before}:${{GITFERRY_PASSWORD-}}@{after}\"")
        }
    };
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
    (!named || route.tls == TlsMode::Deny).then(|| format!("no route lets {HUB} through"))
}

/// Through the reverse front, in plain HTTP on this machine.
fn reversed(config: &Config, plan: &Plan) -> String {
    let endpoint = shell_quoted(&format!("{}/{HUB}", plan.proxy));
    format!("{}export HF_ENDPOINT={endpoint}\n", head(config))
}

/// What stays on this machine takes no other hop: the daemon itself is there, by both of its names.
fn head(config: &Config) -> String {
    let daemon = config.listen.addresses.first().copied();
    let daemon = daemon.map(|address| super::reachable(address).ip().to_string());
    let mut near = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    near.extend(daemon.filter(|daemon| !near.contains(daemon)));
    let near = near.join(",");
    format!(
        "{MARK}; `gitferry setup hf --undo` takes it away.\n\
         NO_PROXY=${{no_proxy:-${{NO_PROXY-}}}}\n\
         case \",$NO_PROXY,\" in\n\
         *,{near},*) ;;\n\
         *) NO_PROXY={near}${{NO_PROXY:+,$NO_PROXY}} ;;\n\
         esac\n\
         export NO_PROXY no_proxy=\"$NO_PROXY\"\n"
    )
}

/// What would send the clients elsewhere.
fn warn(config: &Config, no_ca: bool, surroundings: &HostEnv, voice: &mut Output<'_>) {
    if no_ca {
        return;
    }
    if surroundings.variable("HF_ENDPOINT").is_some() {
        voice.warn(&format!(
            "HF_ENDPOINT is set: the clients ask another host than {HUB}. `unset HF_ENDPOINT`; a mirror belongs into `upstreams` of the route"
        ));
    }
    let hosts = config.routes.iter().flat_map(|route| &route.hosts);
    if let Some((name, hosts)) = warn::kept_away(hosts, surroundings) {
        voice.warn(&format!(
            "{name} keeps these clients from gitferry for {hosts}: take these hosts out of it"
        ));
    }
}
