//! The diagnosis: what works, what does not, and the one change that most likely fixes it. Pure.

mod change;
mod proposal;
mod sentences;

use std::collections::BTreeMap;

use super::{
    CheckResults, CheckSubject, Finding, State, check_results::PathName, daemon::RecentFault,
    outcome::CheckFacts,
};

pub(crate) use proposal::{ConfigEdit, EditPlace, ProposedChange};

/// The diagnosis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    /// One sentence on what works.
    pub works: String,
    /// One sentence on what does not.
    pub broken: Option<String>,
    /// One sentence on recent faults of the daemon.
    pub recent: Option<String>,
    /// The one change to make.
    pub change: Option<ProposedChange>,
}

impl Diagnosis {
    /// True where nothing is broken.
    pub(crate) fn is_healthy(&self) -> bool {
        self.broken.is_none()
    }
}

/// The results of a host over one upstream.
#[derive(Clone, Debug)]
pub(crate) struct PathSummary {
    /// The host and the upstream.
    pub(crate) name: PathName,
    /// The first failed check; a portal takes precedence.
    pub(crate) root: Option<Finding>,
    /// True where a check is pending.
    pub(crate) unfinished: bool,
    /// All its findings.
    pub(crate) findings: Vec<Finding>,
}

impl PathSummary {
    /// True where no check that counts failed or is pending.
    pub(crate) fn works(&self) -> bool {
        self.root.is_none() && !self.unfinished && !self.lacks_password()
    }

    /// True where the proxy asks for a password that only the daemon has: nothing is known of the rest.
    fn lacks_password(&self) -> bool {
        self.facts().any(|facts| facts.lacks_password)
    }

    /// The result of a check.
    pub(crate) fn finding(&self, check: &str) -> Option<&Finding> {
        self.findings.iter().find(|found| found.check == check)
    }

    /// The state of a check.
    fn state(&self, check: &str) -> Option<State> {
        self.finding(check).map(|found| found.outcome.state)
    }

    /// The words of a check.
    fn shown(&self, check: &str) -> Option<&str> {
        self.finding(check)
            .map(|found| found.outcome.shown.as_str())
    }

    fn facts(&self) -> impl Iterator<Item = &CheckFacts> {
        self.findings.iter().map(|found| &found.outcome.facts)
    }
}

/// Checks with other ClientHellos: they are evidence and no faults.
const COMPARED: [&str; 3] = ["tls-small", "tls-large", "tls-no-sni"];

/// The results of each host over each upstream, in the planned order.
pub(crate) fn summaries(findings: &[Finding]) -> Vec<PathSummary> {
    let mut summaries: Vec<PathSummary> = Vec::new();
    for finding in findings {
        let CheckSubject::Path(name) = &finding.subject else {
            continue;
        };
        match summaries.iter_mut().find(|known| known.name == *name) {
            Some(known) => known.findings.push(finding.clone()),
            None => summaries.push(PathSummary {
                name: name.clone(),
                root: None,
                unfinished: false,
                findings: vec![finding.clone()],
            }),
        }
    }
    for summary in &mut summaries {
        let counts = |found: &&Finding| !COMPARED.contains(&found.check);
        let failed = |found: &&Finding| found.outcome.state == State::Failed;
        let failures = || summary.findings.iter().filter(counts).filter(failed);
        // A portal breaks other checks too: it explains them.
        let portal = failures().find(|found| found.check == "portal");
        summary.root = portal.or_else(|| failures().next()).cloned();
        let pending = |found: &Finding| found.outcome.state == State::Pending;
        summary.unfinished = summary.findings.iter().any(pending);
    }
    summaries
}

/// The diagnosis of the findings so far.
pub(crate) fn of_results(results: &CheckResults) -> Diagnosis {
    of(&results.findings())
}

/// The diagnosis of findings.
pub(crate) fn of(findings: &[Finding]) -> Diagnosis {
    let paths = summaries(findings);
    let of = |wanted: fn(&CheckSubject) -> bool| -> Vec<&Finding> {
        findings
            .iter()
            .filter(|found| wanted(&found.subject))
            .collect()
    };
    let facts = Facts {
        hosts: by_host(&paths),
        machine: of(|subject| matches!(subject, CheckSubject::Machine)),
        clients: of(|subject| matches!(subject, CheckSubject::Client(_))),
    };
    Diagnosis {
        works: works(&facts),
        broken: sentences::broken(&facts),
        recent: sentences::recent(&facts),
        change: change::of(&facts),
    }
}

/// What the diagnosis is made of.
pub(super) struct Facts<'a> {
    hosts: Vec<HostSummary<'a>>,
    machine: Vec<&'a Finding>,
    clients: Vec<&'a Finding>,
}

impl Facts<'_> {
    /// A check of this machine.
    fn machine(&self, check: &str) -> Option<&Finding> {
        self.machine
            .iter()
            .copied()
            .find(|found| found.check == check)
    }

    /// The recent faults of the daemon with the checked hosts.
    fn recent(&self) -> Vec<RecentHostFaults<'_>> {
        let history = self.machine("history");
        let faults = history.map_or(&[][..], |found| &found.outcome.facts.recent);
        let with_host = faults.iter().filter_map(|(fault, count)| {
            let host = self.hosts.iter().find(|host| host.is_called(&fault.host))?;
            let count = *count;
            Some(RecentHostFaults { fault, count, host })
        });
        with_host.collect()
    }

    /// The names of the clients in this state.
    fn clients(&self, state: State) -> Vec<String> {
        let ended = self
            .clients
            .iter()
            .filter(|found| found.outcome.state == state);
        ended.map(|found| found.subject.to_string()).collect()
    }
}

/// Recent faults of the daemon with a checked host.
pub(super) struct RecentHostFaults<'a> {
    fault: &'a RecentFault,
    count: usize,
    host: &'a HostSummary<'a>,
}

/// The results of a host over all upstreams.
pub(super) struct HostSummary<'a> {
    /// Its name and route.
    name: &'a PathName,
    /// Over the upstreams of its route, in order.
    paths: Vec<&'a PathSummary>,
    /// Over other upstreams of the config.
    others: Vec<&'a PathSummary>,
}

impl<'a> HostSummary<'a> {
    /// True for its name without the port.
    fn is_called(&self, name: &str) -> bool {
        let rest = self.name.host.strip_prefix(name);
        rest.is_some_and(|port| port.is_empty() || port.starts_with(':'))
    }

    /// The first upstream of the route that works.
    fn working(&self) -> Option<&'a PathSummary> {
        self.paths.iter().copied().find(|path| path.works())
    }

    /// The broken upstreams of the route, each with its failure.
    fn broken(&self) -> impl Iterator<Item = (&'a PathSummary, &'a Finding)> {
        let paths = self.paths.iter().copied();
        paths.filter_map(|path| Some((path, path.root.as_ref()?)))
    }

    /// A working upstream that is not in the route.
    fn alternative(&self) -> Option<&'a PathSummary> {
        self.others.iter().copied().find(|path| path.works())
    }
}

fn by_host(paths: &[PathSummary]) -> Vec<HostSummary<'_>> {
    let mut hosts: Vec<HostSummary<'_>> = Vec::new();
    for summary in paths {
        let at = hosts
            .iter()
            .position(|host| host.name.host == summary.name.host);
        let at = at.unwrap_or_else(|| {
            hosts.push(HostSummary {
                name: &summary.name,
                paths: Vec::new(),
                others: Vec::new(),
            });
            hosts.len() - 1
        });
        if let Some(host) = hosts.get_mut(at) {
            match summary.name.place {
                Some(_) => host.paths.push(summary),
                None => host.others.push(summary),
            }
        }
    }
    hosts
}

fn works(facts: &Facts<'_>) -> String {
    let mut by_upstream: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut pushed = Vec::new();
    let mut one_family = None;
    let mut unknown = Vec::new();
    for host in &facts.hosts {
        let lacks_password = host.paths.iter().any(|path| path.lacks_password());
        if host.working().is_none() && lacks_password {
            unknown.push(sentences::host(host.name));
        }
        if let Some(path) = host.working() {
            let name = sentences::host(host.name);
            by_upstream
                .entry(sentences::via(&path.name))
                .or_default()
                .push(name);
            if path.shown("refs") == Some("push allowed") {
                pushed.push(host.name.host.to_string());
            }
            if let (Some(State::Warned), Some(shown)) = (path.state("tcp"), path.shown("tcp")) {
                one_family.get_or_insert_with(|| {
                    let name = &host.name.host;
                    format!("{name} is reached over one address family alone ({shown})")
                });
            }
        }
    }
    let mut parts: Vec<String> = Vec::new();
    for (via, hosts) in by_upstream {
        parts.push(format!("{} can be reached {via}", sentences::list(&hosts)));
    }
    parts.extend(one_family);
    if !pushed.is_empty() {
        parts.push(format!("a push to {} is allowed", sentences::list(&pushed)));
    }
    if !unknown.is_empty() {
        parts.push(format!(
            "{} could not be checked: only the daemon has the password of its proxy, so run doctor with the HTTPS_PROXY of the daemon",
            sentences::list(&unknown)
        ));
    }
    if parts.is_empty() && !facts.hosts.is_empty() {
        parts.push("nothing: no host works over the upstreams of its route".into());
    }
    let through = facts.clients(State::Passed);
    match through.as_slice() {
        [] => {}
        [_] => parts.push(format!("{} uses gitferry", sentences::list(&through))),
        _ => parts.push(format!("{} use gitferry", sentences::list(&through))),
    }
    match parts.is_empty() {
        true => "nothing was tried".into(),
        false => parts.join("; "),
    }
}

#[cfg(test)]
mod tests;
