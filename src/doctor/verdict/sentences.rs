//! The sentences on what is broken.

use std::collections::BTreeMap;

use super::{Facts, HostSummary, PathSummary, RecentHostFaults};
use crate::doctor::{
    Finding, PATH_CHECKS, State,
    certificate::{day, middlebox},
    check_results::PathName,
};

/// The host with its role.
pub(super) fn host(name: &PathName) -> String {
    match name.role {
        "lfs-storage" => format!("{} (storage)", name.host),
        _ => name.host.to_string(),
    }
}

/// A list of at most three items, then a number.
pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [one, two, three] => format!("{one}, {two} and {three}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more", rest.len()),
    }
}

/// `directly`, or `through` and the upstream.
pub(super) fn via(name: &PathName) -> String {
    match (&*name.upstream, name.upstream.split_once(" to ")) {
        (_, Some((_, mirror))) if name.direct => format!("through the mirror {mirror}"),
        (_, Some((hop, mirror))) => format!("through {hop} and the mirror {mirror}"),
        ("direct", _) => "directly".into(),
        ("environment", _) if name.direct => "directly (environment)".into(),
        (other, _) => format!("through {other}"),
    }
}

/// The sentence on what is broken; `None` where nothing is.
pub(super) fn broken(facts: &Facts<'_>) -> Option<String> {
    let hosts = facts.hosts.as_slice();
    let mut causes: Vec<(String, Vec<String>)> = Vec::new();
    for known in hosts {
        let name = host(known.name);
        for (path, root) in known.broken() {
            let rescued = known.working().map(|works| &works.name);
            let cause = cause(path, root);
            let cause = match rescued {
                Some(name) => format!("{cause}, but works {}", via(name)),
                None => cause,
            };
            match causes.iter_mut().find(|(known, _)| *known == cause) {
                Some((_, names)) => names.push(name.clone()),
                None => causes.push((cause, vec![name.clone()])),
            }
        }
    }
    let unfinished = unfinished(hosts);
    let mut parts: Vec<String> = causes
        .into_iter()
        .map(|(cause, names)| match names.as_slice() {
            [one] => format!("{one} {cause}"),
            many => format!("{} {}", list(many), of_many(&cause)),
        })
        .collect();
    parts.extend(unfinished);
    let failed = |found: &&&Finding| found.outcome.state == State::Failed;
    for found in facts.clients.iter().filter(failed) {
        parts.push(format!("{} {}", found.subject, found.outcome.shown));
    }
    for found in facts.machine.iter().filter(failed) {
        let detail = found.outcome.detail.as_ref();
        parts.push(detail.unwrap_or(&found.outcome.shown).clone());
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// `cause` for several hosts: in the plural.
fn of_many(cause: &str) -> String {
    let cause = cause.replacen("fails ", "fail ", 1);
    cause.replace(", but works ", ", but work ")
}

/// The sentence on recent faults of the daemon; `None` where there are none.
pub(super) fn recent(facts: &Facts<'_>) -> Option<String> {
    let parts: Vec<String> = facts.recent().iter().map(of_the_daemon).collect();
    (!parts.is_empty()).then(|| format!("in the last minutes the daemon had {}", parts.join("; ")))
}

fn of_the_daemon(recent: &RecentHostFaults<'_>) -> String {
    let fault = recent.fault;
    let count = match recent.count {
        1 => "a fault".into(),
        count => format!("{count} faults"),
    };
    let through = fault.upstream.as_ref();
    let through = through.map_or_else(String::new, |name| format!(" through {name}"));
    let now = match recent.host.working() {
        Some(_) => ", although the checks pass now",
        None => "",
    };
    format!("{count} with {}{through} ({}){now}", fault.host, fault.code)
}

/// The checks that did not end in time.
fn unfinished(hosts: &[HostSummary<'_>]) -> Option<String> {
    let mut open: BTreeMap<String, &str> = BTreeMap::new();
    for known in hosts.iter().filter(|host| host.working().is_none()) {
        for path in known.paths.iter().filter(|path| path.root.is_none()) {
            let pending = path
                .findings
                .iter()
                .find(|found| found.outcome.state == State::Pending);
            if let Some(found) = pending {
                let name = format!("{} {}", host(&path.name), via(&path.name));
                open.insert(name, found.check);
            }
        }
    }
    let check = open.values().next().copied()?;
    let names: Vec<String> = open.into_keys().collect();
    Some(format!("{} was not finished (at `{check}`)", list(&names)))
}

/// How a host fails over an upstream, with the code; the sentence goes on after the host's name.
pub(super) fn cause(path: &PathSummary, root: &Finding) -> String {
    let through = via(&path.name);
    let code = root
        .outcome
        .code
        .as_ref()
        .map(|code| format!(" ({code})"))
        .unwrap_or_default();
    let why = why(path, root);
    let odd = odd_address(path).map_or_else(String::new, |(_, odd)| format!("; {odd}"));
    format!("fails {through}: {why}{code}{odd}")
}

/// Why the name's address cannot be the site's: a word and a sentence.
pub(super) fn odd_address(path: &PathSummary) -> Option<(&'static str, &str)> {
    let (word, sentence) = path.facts().find_map(|facts| facts.implausible.as_ref())?;
    Some((word, sentence))
}

/// The kind of a fault: the last part of its code.
pub(super) fn kind(finding: &Finding) -> &str {
    let code = finding.outcome.code.as_deref().unwrap_or_default();
    code.rsplit('/').next().unwrap_or_default()
}

/// The hop as the subject of a sentence.
fn proxy(upstream: &str) -> String {
    let hop = upstream.split(" to ").next().unwrap_or(upstream);
    match hop {
        "environment" => "the proxy of the environment".into(),
        name => format!("the proxy {name}"),
    }
}

fn why(path: &PathSummary, root: &Finding) -> String {
    let proxy = proxy(&path.name.upstream);
    let code = root.outcome.code.as_deref().unwrap_or_default();
    match (root.check, kind(root)) {
        ("name", "name-unknown") if code.starts_with("hop/") => {
            format!("the name of {proxy} cannot be resolved")
        }
        ("tcp", kind) if code.starts_with("hop/") => proxy_down(&proxy, kind),
        ("name", "name-unknown") => "the name cannot be resolved".into(),
        ("name", "timed-out") => "the name server does not answer".into(),
        ("tcp", "refused") => "nothing listens on the port".into(),
        ("tcp", "timed-out") => "the port does not answer: it is filtered".into(),
        ("tcp", "unreachable") => "the network has no route to it".into(),
        ("hop", "hop-authentication") => format!("{proxy} {}", log_in(root, &path.name.upstream)),
        ("hop", "hop-refused-403" | "socks-refused-2") => {
            format!("{proxy} does not allow this host")
        }
        ("hop", "target-refused") => {
            format!("{proxy} does not allow this host or cannot reach it")
        }
        ("hop", kind) if kind.starts_with("hop-refused") || kind.starts_with("socks-refused") => {
            format!("{proxy} cannot reach this host")
        }
        ("hop", "timed-out") => format!("{proxy} accepts the request and does not connect"),
        ("tls", kind) => handshake(path, kind),
        ("certificate", kind) => certificate(root, kind),
        ("portal", _) => "the log-in page of this network answers instead".into(),
        ("http" | "post-1k", "timed-out") => {
            "the server accepts the request and does not answer".into()
        }
        ("post-mtu" | "post-256k", "timed-out") if mtu(path) => {
            "the path loses large packets, small ones pass".into()
        }
        ("refs" | "lfs-batch", _) if root.outcome.detail.is_some() => {
            root.outcome.detail.clone().unwrap_or_default()
        }
        (check, _) => {
            let row = PATH_CHECKS.iter().find(|row| row.name == check);
            row.map_or("", |row| row.means).to_owned()
        }
    }
}

/// No TCP connection to a hop.
fn proxy_down(proxy: &str, kind: &str) -> String {
    match kind {
        "refused" => format!("{proxy} does not run, or its address is wrong"),
        "unreachable" => format!("the network has no route to {proxy}"),
        _ => format!("{proxy} does not answer: it is down or filtered"),
    }
}

/// What the hop says of the credentials.
fn log_in(root: &Finding, upstream: &str) -> &'static str {
    let said = root.outcome.detail.as_deref().unwrap_or_default();
    if said.contains("it offers only") {
        "requires a log-in that gitferry does not speak (NTLM, Negotiate or Digest)"
    } else if said.contains("none are configured") && upstream.starts_with("environment") {
        // The daemon never shows the user info of its own variables.
        "requires a user name and a password, and this shell has none: if the daemon has them, run doctor with the same HTTPS_PROXY"
    } else if said.contains("none are configured") {
        "requires a user name and a password, and none are configured"
    } else {
        "rejects the user name or password"
    }
}

/// True where small packets pass and large ones get no acknowledgement. A connection that is closed or reset lost none.
pub(super) fn mtu(path: &PathSummary) -> bool {
    let lost = |check| {
        let found = path.findings.iter().find(|found| found.check == check);
        found
            .is_some_and(|found| found.outcome.state == State::Failed && kind(found) == "timed-out")
    };
    path.state("post-1k") == Some(State::Passed) && (lost("post-mtu") || lost("post-256k"))
}

/// True where only the handshake with the host's name fails.
pub(super) fn filtered_by_name(path: &PathSummary) -> bool {
    path.state("tls") == Some(State::Failed) && path.state("tls-no-sni") == Some(State::Passed)
}

fn handshake(path: &PathSummary, kind: &str) -> String {
    if filtered_by_name(path) {
        return "something on the path breaks TLS when it reads this name (SNI filter)".into();
    }
    if path.state("tls-small") == Some(State::Passed) {
        return "something on the path breaks TLS, but a smaller ClientHello passes".into();
    }
    match kind {
        "reset" | "closed-early" => "something on the path breaks the TLS handshake".into(),
        "timed-out" => "TLS gets no answer: the path loses packets or filters the name".into(),
        "bad-answer" => "the server does not speak TLS".into(),
        _ => "the TLS handshake fails".into(),
    }
}

fn certificate(root: &Finding, kind: &str) -> String {
    let facts = &root.outcome.facts;
    let issuer = facts.issuer.as_deref().unwrap_or("unknown");
    let validity = facts.validity.map(|(from, to)| (day(from), day(to)));
    match (kind, validity) {
        ("expired", Some((_, to))) => {
            format!("its certificate expired on {to}, by this machine's clock")
        }
        ("not-yet-valid", Some((from, _))) => {
            format!("its certificate is valid only from {from}, by this machine's clock")
        }
        ("unknown-issuer", _) => match middlebox(issuer) {
            Some(name) => format!("{name} inspects TLS, and its CA is not trusted"),
            None => format!("its certificate is signed by \"{issuer}\", which is not trusted"),
        },
        ("name-mismatch", _) => "another server answers: the certificate is for other names".into(),
        _ => "the certificate is invalid".into(),
    }
}
