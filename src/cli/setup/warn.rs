//! Warns of settings and variables that override ours, and of unsafe ones. It changes none of them.

use std::{collections::BTreeSet, path::Path};

use super::{
    git,
    host_env::HostEnv,
    output::{Output, shell_quoted},
    plan::{Plan, ProbeUrl, exact_name},
};
use crate::{
    cli::{Failure, daemon},
    config::{Config, is_in_no_proxy},
    doctor::git_settings::{self, GitSetting},
    model::{Host, HostPattern},
};

/// Variables that override the config (measured with git 2.39, 2.47 and git-lfs 3.3.0).
pub(super) fn environment(plan: &Plan, bundle: &Path, host: &HostEnv, output: &mut Output<'_>) {
    if host.variable("GIT_SSL_NO_VERIFY").is_some() {
        output.warn(
            "GIT_SSL_NO_VERIFY is set: git accepts every certificate, forged ones too. Run `unset GIT_SSL_NO_VERIFY`; gitferry does not need it",
        );
    }
    if let Some(other) = host.variable("GIT_SSL_CAINFO")
        && plan.needs_bundle
        && Path::new(other) != bundle
    {
        output.warn(&format!(
            "GIT_SSL_CAINFO is set and overrides http.<url>.sslCAInfo, so git and git-lfs do not trust the local CA. Run `unset GIT_SSL_CAINFO`, or `export GIT_SSL_CAINFO={}`, which includes the system's roots",
            shell_quoted(&bundle.to_string_lossy())
        ));
    }
    if plan.uses_proxy()
        && let Some((name, hosts)) = no_proxy_variable(&plan.hosts, host)
    {
        output.warn(&format!(
            "{name} makes git bypass gitferry for {hosts}: remove these hosts from it"
        ));
    }
}

/// Warns that no daemon answers: until one does, the set-up clients fail.
pub(super) fn daemon_unreachable(config: &Config, host: &HostEnv, output: &mut Output<'_>) {
    if let Some(address) = daemon::address(config)
        && let Err(why) = (host.daemon)(host, address)
    {
        output.warn(&why.to_string());
    }
}

/// The variable that makes clients bypass every proxy for some of `hosts`, and the names of these.
pub(super) fn no_proxy_variable<'a>(
    hosts: impl IntoIterator<Item = &'a HostPattern>,
    host: &HostEnv,
) -> Option<(String, String)> {
    let (name, value) = host.either_case("NO_PROXY")?;
    let kept: BTreeSet<String> = hosts
        .into_iter()
        .filter(|host| is_named(&value, host))
        .map(ToString::to_string)
        .collect();
    let kept: Vec<String> = kept.into_iter().collect();
    (!kept.is_empty()).then(|| (name, kept.join(", ")))
}

/// Settings of any scope that override ours, as git itself reads them once ours are in place.
pub(super) fn overriding(
    plan: &Plan,
    host: &HostEnv,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    plan.probes
        .iter()
        .try_for_each(|probe| overridden(plan, probe, host, output))
}

/// `http.sslVerify` and `http.<url>.sslVerify`, in any file.
pub(super) fn unverified(host: &HostEnv, output: &mut Output<'_>) -> Result<(), Failure> {
    let arguments = [
        "config",
        "--null",
        "--show-origin",
        "--get-regexp",
        r"^http\.(.*\.)?sslverify$",
    ];
    let listed = git::found(host, &arguments)?.unwrap_or_default();
    let settings = git_settings::parse(&String::from_utf8_lossy(&listed));
    for GitSetting { origin, key, value } in settings.iter().filter(|it| it.disables_verification())
    {
        output.warn(&format!(
            "{key} is {value} ({origin}): git accepts every certificate, forged ones too. Remove it; gitferry does not need it"
        ));
    }
    Ok(())
}

fn overridden(
    plan: &Plan,
    probe: &ProbeUrl,
    host: &HostEnv,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let ask = |arguments: &[&str]| {
        let answer = git::found(host, arguments)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
    };
    let url = ask(&["ls-remote", "--get-url", &probe.url])?;
    if plan.is_front(&url) && probe.becomes == probe.url {
        // `setup --no-ca` of a wider scope: git still uses the daemon.
    } else if url != probe.becomes {
        output.warn(&format!(
            "another url.*.insteadOf turns {1} into {0}: git does not use gitferry for it",
            url, probe.url
        ));
    } else if url == probe.url {
        let proxy = ask(&["config", "--get-urlmatch", "http.proxy", &url])?;
        if proxy != plan.proxy {
            // The other proxy may contain a password.
            output.warn(&format!(
                "another http.proxy takes precedence for {url}: see `git config --show-origin --get-urlmatch http {url}`"
            ));
        }
    }
    Ok(())
}

fn is_named(no_proxy: &str, host: &HostPattern) -> bool {
    let name = exact_name(host).or_else(|| host.subtree());
    name.is_some_and(|name| is_in_no_proxy(no_proxy, &Host::Name(name.into())))
}
