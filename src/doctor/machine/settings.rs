//! Settings that contradict each other, or make a client bypass the daemon.

use std::net::SocketAddr;

use super::Machine;
use crate::{
    config::is_in_no_proxy,
    doctor::{
        Outcome,
        git_settings::{GitSetting, parse},
        repository::git,
    },
    model::HostPattern,
};

async fn read(machine: &Machine) -> Vec<GitSetting> {
    let arguments = ["config", "--null", "--show-origin", "--list"];
    let listed = git(&machine.local.directory, &arguments).await;
    listed.map_or_else(|_| Vec::new(), |ended| parse(&ended.stdout))
}

/// True where git or this environment uses the proxy at `address`.
pub(super) async fn uses(machine: &Machine, address: &str) -> bool {
    let by_variable = machine.variables.iter().any(|(name, value)| {
        name.to_ascii_lowercase().ends_with("_proxy") && value.contains(address)
    });
    by_variable
        || read(machine)
            .await
            .iter()
            .any(|setting| setting.value.contains(address))
}

pub(in crate::doctor) async fn git_settings(machine: &Machine) -> Outcome {
    let settings = read(machine).await;
    let odd = contradictions(&settings, machine.local.daemon.address);
    match odd.split_first() {
        None => Outcome::passed("no contradiction"),
        Some((first, [])) => Outcome::warned("one contradiction").detail(first.clone()),
        Some((first, rest)) => Outcome::warned(format!("{} contradictions", rest.len() + 1))
            .detail(format!("{first}; {}", rest.join("; "))),
    }
}

fn contradictions(settings: &[GitSetting], daemon: SocketAddr) -> Vec<String> {
    let mut odd = Vec::new();
    for setting in settings.iter().filter(|it| it.disables_verification()) {
        odd.push(format!(
            "`{}` is off in {}: git accepts every certificate; gitferry does not need that",
            setting.key, setting.origin
        ));
    }
    let proxies: Vec<&GitSetting> = settings
        .iter()
        .filter(|setting| setting.key == "http.proxy")
        .collect();
    let mut values: Vec<&str> = proxies.iter().map(|proxy| proxy.value.as_str()).collect();
    values.sort_unstable();
    values.dedup();
    if values.len() > 1 {
        let places: Vec<&str> = proxies.iter().map(|proxy| proxy.origin.as_str()).collect();
        let last = proxies.last().map_or("", |proxy| proxy.origin.as_str());
        odd.push(format!(
            "`http.proxy` has {} values ({}): git uses the one in {last}",
            values.len(),
            places.join(", ")
        ));
    }
    // `gitferry setup` writes a setting for each host, which overrides the user's setting for all hosts.
    let ours = daemon.to_string();
    let of_hosts = settings
        .iter()
        .filter(|setting| setting.key.starts_with("http.http") && setting.key.ends_with(".proxy"));
    for setting in of_hosts {
        if !setting.value.contains(&ours) && !setting.value.is_empty() {
            odd.push(format!(
                "`{}` in {} sends that host through another proxy than gitferry",
                setting.key, setting.origin
            ));
        }
    }
    odd
}

pub(in crate::doctor) async fn environment(machine: &Machine) -> Outcome {
    let variable = |name: &str| {
        machine
            .variables
            .get(name)
            .filter(|value| !value.is_empty())
    };
    let mut odd: Vec<String> = Vec::new();
    let mut hides = None;
    if variable("GIT_SSL_NO_VERIFY").is_some() {
        odd.push("GIT_SSL_NO_VERIFY is set: git accepts every certificate".into());
    }
    if let Some(file) = variable("GIT_SSL_CAINFO") {
        let bundle = machine
            .local
            .about
            .as_ref()
            .ok()
            .map(|about| about.state_directory.join("bundle.pem"));
        if bundle.is_none_or(|bundle| bundle.as_os_str() != file.as_str()) {
            odd.push(
                "GIT_SSL_CAINFO is set and overrides `gitferry setup`: git does not trust the daemon's CA"
                    .into(),
            );
            hides = Some("GIT_SSL_CAINFO");
        }
    }
    for name in ["no_proxy", "NO_PROXY"] {
        let list = variable(name).map_or("", String::as_str);
        let mut hosts = machine.config.routes.iter().flat_map(|route| &route.hosts);
        let excepted = |host: &&HostPattern| match host {
            HostPattern::Exact(host) => is_in_no_proxy(list, host),
            HostPattern::Wildcard(_) => false,
        };
        if let Some(first) = hosts.find(excepted) {
            odd.push(format!("{name} makes clients bypass gitferry for {first}"));
        }
    }
    odd.extend(differs(machine));
    match odd.first() {
        None => Outcome::passed("no contradiction"),
        Some(_) => Outcome::warned(format!("{} to check", odd.len()))
            .detail(odd.join("; "))
            .fact(|facts| facts.hides_ca = hides),
    }
}

/// The daemon keeps the environment that it was started with.
fn differs(machine: &Machine) -> Option<String> {
    let about = machine.local.about.as_ref().ok()?;
    let here = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
        .iter()
        .find_map(|name| {
            machine
                .variables
                .get(*name)
                .filter(|value| !value.is_empty())
        })?;
    let own = machine.local.daemon.address.to_string();
    if here.contains(&own) {
        return None;
    }
    let shown = crate::track::redact::text(here);
    match &about.environment.https_proxy {
        None => Some(format!(
            "this shell uses the proxy {shown}; the daemon was started without one"
        )),
        Some(there) if !same_place(here, there) => Some(format!(
            "this shell's proxy is {shown}, the daemon's is {there}"
        )),
        Some(_) => None,
    }
}

/// True where two proxy URLs differ in scheme and user info at most.
pub(crate) fn same_place(one: &str, other: &str) -> bool {
    let place = |url: &str| {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        rest.trim_end_matches('/').to_ascii_lowercase()
    };
    place(one) == place(other)
}

/// proxychains works by LD_PRELOAD, and a Go program such as git-lfs connects without the C library that it replaces.
pub(in crate::doctor) async fn proxychains(machine: &Machine) -> Outcome {
    let preload = machine.variables.get("LD_PRELOAD");
    match preload.filter(|value| value.contains("proxychains")) {
        None => Outcome::skipped(""),
        Some(_) => Outcome::warned("proxychains")
            .detail(
                "this shell runs under proxychains (LD_PRELOAD): it works for git, but not for git-lfs, which connects without the C library",
            )
            .advise("run git without proxychains, and add its proxy to `[hops]`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictory_settings_of_git_are_found_and_healthy_ones_are_not() {
        let listed = "file:/etc/gitconfig\0http.proxy\nhttp://a:1\0file:/home/me/.gitconfig\0http.proxy\nhttp://b:1\0\
                      file:/home/me/.gitconfig\0http.sslverify\nfalse\0file:.git/config\0http.https://hf.co.proxy\nhttp://c:1\0";
        let odd = contradictions(&parse(listed), "127.0.0.1:4483".parse().unwrap());
        assert_eq!(odd.len(), 3, "{odd:?}");
        assert!(odd[0].contains("/home/me/.gitconfig"), "{odd:?}");
        assert!(odd[1].contains("has 2 values"), "{odd:?}");
        let healthy = "file:x\0http.https://hf.co.proxy\nhttp://127.0.0.1:4483\0file:x\0http.sslverify\ntrue\0";
        assert!(contradictions(&parse(healthy), "127.0.0.1:4483".parse().unwrap()).is_empty());
    }

    #[test]
    fn proxies_are_compared_without_scheme_and_user_info() {
        assert!(same_place(
            "http://me:secret@proxy.test:3128/",
            "http://proxy.test:3128"
        ));
        assert!(!same_place(
            "http://proxy.test:3128",
            "http://proxy.test:3129"
        ));
    }
}
