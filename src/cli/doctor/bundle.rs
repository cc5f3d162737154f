//! `--bundle FILE`: facts for somebody who helps the user. It contains listed fields only, and pseudonyms for the user's own names.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    cli::{Failure, files, printed},
    config::{self, Config, Route, Upstream},
    doctor::{
        CheckSubject, Finding,
        daemon::{DaemonInfo, RecentFault},
        verdict::Diagnosis,
    },
    model::{Target, unit::millis},
};

/// What the bundle is made of.
pub(super) struct BundleContents<'a> {
    pub(super) config: &'a Config,
    pub(super) about: Option<&'a DaemonInfo>,
    pub(super) faults: &'a [RecentFault],
    pub(super) findings: &'a [Finding],
    pub(super) verdict: &'a Diagnosis,
    pub(super) took: Duration,
    /// Writes real names, and the sentences that contain them.
    pub(super) with_names: bool,
}

/// Prints the bundle, then writes it, readable by its owner only.
pub(super) fn write(file: &Path, contents: &BundleContents<'_>) -> Result<(), Failure> {
    let text = format!("{:#}\n", document(contents));
    printed(writeln!(io::stdout(), "\n{}:\n{text}", file.display()))?;
    files::write(file, text.as_bytes(), 0o600)?;
    printed(writeln!(
        io::stdout(),
        "written to {}: read it before you send it to anyone",
        file.display()
    ))
}

fn document(contents: &BundleContents<'_>) -> Value {
    let mut names = Pseudonyms::new(contents.with_names);
    let config = contents.config;
    let routes: Vec<Value> = config
        .routes
        .iter()
        .chain([&config.other_hosts])
        .map(|known| route(known, &mut names))
        .collect();
    let checks: Vec<Value> = contents
        .findings
        .iter()
        .map(|finding| check(finding, &mut names))
        .collect();
    let faults: Vec<Value> = contents
        .faults
        .iter()
        .map(|fault| {
            json!({
                "code": fault.code,
                "host": names.host(&fault.host),
                "upstream": fault.upstream.as_deref().map(|label| names.upstream(label)),
            })
        })
        .collect();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut value = json!({
        "gitferry": env!("CARGO_PKG_VERSION"),
        "system": { "os": env::consts::OS, "architecture": env::consts::ARCH, "kernel": kernel.trim() },
        "took_ms": millis(contents.took),
        "daemon": contents.about.map(|about| json!({
            "version": about.version,
            "built_in_config": about.config.is_none(),
            "has_ca": about.ca_sha256.is_some(),
            "has_https_proxy": about.environment.https_proxy.is_some(),
            "has_http_proxy": about.environment.http_proxy.is_some(),
        })),
        "routes": routes,
        "checks": checks,
        "faults": faults,
        "healthy": contents.verdict.is_healthy(),
    });
    if contents.with_names
        && let Some(object) = value.as_object_mut()
    {
        let verdict = contents.verdict;
        let sentences = json!({
            "works": verdict.works,
            "broken": verdict.broken,
            "recent": verdict.recent,
        });
        object.insert("verdict".into(), sentences);
    }
    value
}

fn route(route: &Route, names: &mut Pseudonyms) -> Value {
    let hosts: Vec<String> = route
        .hosts
        .iter()
        .map(|host| names.host(&host.to_string()))
        .collect();
    let upstreams: Vec<String> = route
        .upstreams
        .iter()
        .map(|upstream: &std::sync::Arc<Upstream>| names.upstream(&upstream.label))
        .collect();
    json!({
        "name": names.route(&route.name),
        "role": route.role.as_str(),
        "tls": route.tls,
        "hosts": hosts,
        "upstreams": upstreams,
        "replay": route.replay,
        "attempts": route.dial.attempts,
        "connect_timeout_ms": millis(route.dial.connect_timeout),
        "greet_timeout_ms": millis(route.dial.greet_timeout),
        "handshake_timeout_ms": millis(route.dial.handshake_timeout),
        "max_segment": route.dial.max_segment,
    })
}

/// The checks whose results contain no names.
const PLAIN: &[&str] = &[
    "tcp",
    "tls",
    "tls-small",
    "tls-large",
    "tls-no-sni",
    "http",
    "post-1k",
    "post-mtu",
    "post-256k",
    "path",
    "refs",
    "clock",
    "disk",
    "tcp-bbr",
    "service",
    "client",
];

fn check(finding: &Finding, names: &mut Pseudonyms) -> Value {
    let outcome = &finding.outcome;
    let plain = names.real || PLAIN.contains(&finding.check);
    let mut value = json!({
        "check": finding.check,
        "state": outcome.state.as_str(),
        "code": outcome.code,
        "took_ms": millis(finding.took),
        "shown": plain.then_some(&outcome.shown),
        "detail": names.real.then_some(outcome.detail.as_ref()).flatten(),
    });
    let Some(object) = value.as_object_mut() else {
        return value;
    };
    match &finding.subject {
        CheckSubject::Path(path) => {
            object.insert("host".into(), names.host(&path.host).into());
            object.insert("route".into(), names.route(&path.route).into());
            object.insert("upstream".into(), names.upstream(&path.upstream).into());
        }
        CheckSubject::Machine => {}
        CheckSubject::Client(name) => {
            // A path follows the version where several are installed.
            let shown = name.split(" /").next().unwrap_or_default();
            object.insert("client".into(), shown.into());
        }
    }
    value
}

/// Keeps the names of the built-in config, and replaces each name of the user's own by one pseudonym.
struct Pseudonyms {
    real: bool,
    built_in: Option<Config>,
    given: BTreeMap<(&'static str, String), String>,
}

impl Pseudonyms {
    fn new(real: bool) -> Self {
        // Without a home the config has no state directory; this one is not used.
        let variables = |name: &str| (name == "HOME").then(|| "/nonexistent".to_owned());
        Self {
            real,
            built_in: config::load(None, &variables).ok(),
            given: BTreeMap::new(),
        }
    }

    fn pseudonym(&mut self, kind: &'static str, name: &str) -> String {
        if self.real {
            return name.to_owned();
        }
        let number = self
            .given
            .keys()
            .filter(|(known, _)| *known == kind)
            .count()
            + 1;
        let key = (kind, name.to_owned());
        let given = self
            .given
            .entry(key)
            .or_insert_with(|| format!("{kind}-{number}"));
        given.clone()
    }

    /// Hosts and patterns of the built-in routes are not secret.
    fn host(&mut self, name: &str) -> String {
        let known = self.built_in.as_ref().is_some_and(|config| {
            let pattern = config
                .routes
                .iter()
                .flat_map(|route| &route.hosts)
                .any(|host| host.to_string() == name);
            let target = Target::parse(name, Some(443));
            pattern || target.is_ok_and(|target| config.has_route(&target))
        });
        match known {
            true => name.to_owned(),
            false => self.pseudonym("host", name),
        }
    }

    fn route(&mut self, name: &str) -> String {
        let known = self.built_in.as_ref().is_some_and(|config| {
            *name == *config.other_hosts.name
                || config.routes.iter().any(|route| *route.name == *name)
        });
        match known {
            true => name.to_owned(),
            false => self.pseudonym("route", name),
        }
    }

    fn upstream(&mut self, label: &str) -> String {
        match label {
            "direct" | "environment" => label.to_owned(),
            other => self.pseudonym("upstream", other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_names_are_kept_and_own_names_get_a_stable_pseudonym() {
        let mut names = Pseudonyms::new(false);
        assert_eq!(names.host("huggingface.co"), "huggingface.co");
        assert_eq!(names.host("*.hf.co"), "*.hf.co");
        assert_eq!(names.host("git.secret-company.example"), "host-1");
        assert_eq!(names.host("other.example"), "host-2");
        assert_eq!(names.host("git.secret-company.example"), "host-1");
        assert_eq!(names.upstream("direct"), "direct");
        assert_eq!(names.upstream("office"), "upstream-1");
        assert_eq!(names.route("hf-lfs"), "hf-lfs");
        assert_eq!(names.route("mine"), "route-1");
        let mut names = Pseudonyms::new(true);
        assert_eq!(names.host("other.example"), "other.example");
    }
}
