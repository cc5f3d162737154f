//! A file of exports for the Hugging Face clients, which only read their environment; a shell reads it with `. FILE`.
//!
//! The variables are those of huggingface_hub 2.4.0 (httpx2: `SSL_CERT_FILE`, `*_PROXY` in either case, lower case first) and
//! hf_xet 1.8.0 (reqwest with rustls' platform verifier: the same). requests and curl have their own variables for the bundle.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    host_env::HostEnv,
    output::{Output, shell_quoted},
    plan::Plan,
    record::{SavedFile, SetupRecord},
    warn,
};
use crate::{
    cli::{Failure, daemon, files},
    config::Config,
    model::{Host, Target, TlsMode},
};

/// The Hub, as its client calls it (huggingface_hub: `constants.py`, `_HF_DEFAULT_ENDPOINT`).
const HUB: &str = "huggingface.co";

/// The first line of the file.
const MARK: &str = "# Written by `gitferry setup hf`";

/// The file as we left it, and what else an undo removes.
#[derive(Debug, Serialize, Deserialize)]
struct ExportsFile {
    file: SavedFile,
    directory: bool,
    no_ca: bool,
    /// True after `setup off`: the file is there, and exports nothing.
    off: bool,
}

/// The file of exports and its record.
pub(super) struct Exports<'a> {
    path: PathBuf,
    record: SetupRecord<ExportsFile>,
    host: &'a HostEnv,
}

impl<'a> Exports<'a> {
    /// Those of the user of `host`.
    pub(super) fn new(host: &'a HostEnv) -> Result<Self, Failure> {
        let path = host.user_config()?.join("hf.sh");
        let record = SetupRecord::of("hf", &path, host)?;
        Ok(Self { path, record, host })
    }

    /// Writes the file, or updates the existing one; without a `bundle`, for the reverse front.
    ///
    /// Fails where another program's file is in its place.
    pub(super) fn apply(
        &self,
        config: &Config,
        bundle: Option<&Path>,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let shown = self.path.display().to_string();
        let no_ca = bundle.is_none();
        let plan = Plan::new(config, &[], no_ca, bundle.unwrap_or(Path::new("")))?;
        let text = match bundle {
            None => reversed(config, &plan),
            Some(bundle) => {
                let terminates = config.terminated_hosts().next().is_some();
                proxied(config, &plan, terminates.then_some(bundle))
            }
        };
        let old = files::read(&self.path)?;
        let known = self.record.load()?;
        // Without a record, the first line shows that the file is ours.
        let is_ours = |old: &[u8]| {
            let unchanged = known
                .as_ref()
                .map(|known| known.file.is_unchanged(Some(old)));
            old.starts_with(MARK.as_bytes()) && unchanged.unwrap_or(true)
        };
        if old.as_deref().is_some_and(|old| !is_ours(old)) {
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
            self.write(&text, no_ca, known.is_some_and(|known| known.directory))?;
        }
        output.note("for hf, Python and curl: run this in their shell or add it to your profile");
        output.note("(not in the shell of the daemon)");
        output.text(&format!(". {}", shell_quoted(&shown)));
        warn(config, no_ca, self.host, output);
        Ok(())
    }

    /// Removes the file; a changed one is kept.
    pub(super) fn undo(&self, output: &mut Output<'_>) -> Result<(), Failure> {
        let shown = self.path.display().to_string();
        let Some(written) = self.record.load()? else {
            output.note(&format!("{shown}: nothing to undo for hf"));
            return Ok(());
        };
        match files::read(&self.path)? {
            None => output.note(&format!("{shown}: already removed")),
            now if !written.file.is_unchanged(now.as_deref()) => {
                output.note(&format!(
                    "{shown} was changed by another program: it is kept"
                ));
            }
            Some(_) => {
                output.note(&format!("{shown}: removed"));
                output.note("shells that have read it keep its variables until they exit");
                output.make(|| files::remove(&self.path))?;
            }
        }
        output.make(|| {
            if written.directory {
                files::remove_empty_directory_of(&self.path);
            }
            self.record.forget()
        })
    }

    /// `setup off`: keeps the file, without exports. False where nothing was on.
    pub(super) fn switch_off(&self, output: &mut Output<'_>) -> Result<bool, Failure> {
        let now = files::read(&self.path)?;
        let Some(mut written) = self.record.load()?.filter(|written| {
            !written.off && now.is_some() && written.file.is_unchanged(now.as_deref())
        }) else {
            return Ok(false);
        };
        let shown = self.path.display();
        output.note(&format!("{shown}: no longer exports anything"));
        output.note("shells that have read it keep its variables until they exit");
        let text = format!(
            "{MARK}; switched off by `gitferry setup off`; `gitferry setup on` switches it on.\n"
        );
        written.file = SavedFile::new(Some(text.as_bytes()));
        written.off = true;
        output.make(|| {
            self.record.save(&written)?;
            files::write(&self.path, text.as_bytes(), 0o600)
        })?;
        Ok(true)
    }

    /// Whether the exports were without the CA, where they are switched off.
    pub(super) fn switched_off(&self) -> Result<Option<bool>, Failure> {
        let off = self.record.load()?.filter(|written| written.off);
        Ok(off.map(|written| written.no_ca))
    }

    /// Writes the record first, so that an interrupted set-up can still be undone.
    fn write(&self, text: &str, no_ca: bool, made_before: bool) -> Result<(), Failure> {
        let missing = self
            .path
            .parent()
            .is_some_and(|directory| !directory.exists());
        self.record.save(&ExportsFile {
            file: SavedFile::new(Some(text.as_bytes())),
            directory: made_before || missing,
            no_ca,
            off: false,
        })?;
        // It may contain the daemon's password.
        files::write(&self.path, text.as_bytes(), 0o600)
    }
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

/// Why these clients cannot use the reverse front, if they cannot.
pub(super) fn reverse_front_problem(config: &Config) -> Option<String> {
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

/// Requests to this machine bypass every other proxy: the daemon is here, by both of its names.
fn head(config: &Config) -> String {
    let daemon = daemon::address(config).map(|address| address.ip().to_string());
    let mut local = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    local.extend(daemon.filter(|daemon| !local.contains(daemon)));
    let local = local.join(",");
    format!(
        "{MARK}; `gitferry setup hf --undo` removes it.\n\
         NO_PROXY=${{no_proxy:-${{NO_PROXY-}}}}\n\
         case \",$NO_PROXY,\" in\n\
         *,{local},*) ;;\n\
         *) NO_PROXY={local}${{NO_PROXY:+,$NO_PROXY}} ;;\n\
         esac\n\
         export NO_PROXY no_proxy=\"$NO_PROXY\"\n"
    )
}

/// Warns of variables by which the clients bypass gitferry.
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
