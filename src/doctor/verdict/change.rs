//! The one change that most likely fixes what is broken.

use std::collections::BTreeSet;

use super::{
    ConfigEdit, EditPlace, Facts, HostSummary, PathSummary, ProposedChange, RecentHostFaults,
    sentences,
};
use crate::doctor::{Finding, State, certificate::middlebox};

/// A rule proposes a change or none; the first proposal wins. Rules that explain several failures come first.
type Rule = fn(&Facts<'_>) -> Option<ProposedChange>;

const RULES: &[Rule] = &[
    service_failed,
    daemon_down,
    clock,
    portal,
    use_other_upstream,
    segments,
    odd_address,
    inspected,
    unreachable,
    distrust,
    by_advice,
    other_version,
    point_clients_at_daemon,
    recent,
];

/// The change; `None` where there is nothing to do.
pub(super) fn of(facts: &Facts<'_>) -> Option<ProposedChange> {
    RULES.iter().find_map(|rule| rule(facts))
}

/// The broken upstreams of all routes; hosts without a working upstream come first.
fn broken<'h>(
    facts: &'h Facts<'_>,
) -> impl Iterator<Item = (&'h HostSummary<'h>, &'h PathSummary, &'h Finding)> {
    let hosts = facts.hosts.iter();
    let unreachable = hosts.clone().filter(|host| host.working().is_none());
    let reachable = hosts.filter(|host| host.working().is_some());
    unreachable
        .chain(reachable)
        .flat_map(|host| host.broken().map(move |(path, root)| (host, path, root)))
}

/// With a larger difference, in seconds, a clock is wrong.
const SKEW: i64 = 300;

fn clock(facts: &Facts<'_>) -> Option<ProposedChange> {
    if let Some(found) = facts.machine("clock")
        && found.outcome.state == State::Failed
    {
        return Some(set_clock("synchronise this machine's clock"));
    }
    let (_, path, _) = broken(facts).find(|(_, _, root)| {
        root.check == "certificate" && matches!(sentences::kind(root), "expired" | "not-yet-valid")
    })?;
    let skews: Vec<i64> = facts
        .hosts
        .iter()
        .flat_map(|host| host.paths.iter().chain(&host.others))
        .flat_map(|path| path.facts())
        .filter_map(|facts| facts.clock_skew)
        .collect();
    let right = skews.iter().any(|skew| skew.abs() < SKEW);
    let host = &path.name.host;
    if right {
        return Some(ProposedChange::advice(format!(
            "other sites confirm this machine's clock: only the owner of {host} can renew its certificate"
        )));
    }
    Some(set_clock(
        "check and synchronise this machine's clock; if it is correct, only the owner of the \
         site can renew the certificate",
    ))
}

fn set_clock(sentence: &str) -> ProposedChange {
    ProposedChange::command(sentence, "date; sudo timedatectl set-ntp true")
}

fn portal(facts: &Facts<'_>) -> Option<ProposedChange> {
    let page = broken(facts).find_map(|(.., root)| root.outcome.facts.portal.as_ref())?;
    Some(ProposedChange::advice(match page {
        Some(page) => format!("log in to this network: open {page} in a browser, then try again"),
        None => "log in to this network in a browser, then try again".into(),
    }))
}

/// False where the site itself refuses this user, which another upstream does not change.
fn of_the_path(root: &Finding) -> bool {
    !matches!(root.check, "refs" | "lfs-batch")
}

/// A working upstream is behind a broken one, or not in the route.
fn use_other_upstream(facts: &Facts<'_>) -> Option<ProposedChange> {
    let (host, path, _) = broken(facts).find(|(host, _, root)| {
        of_the_path(root) && host.working().or_else(|| host.alternative()).is_some()
    })?;
    let works = host.working().or_else(|| host.alternative())?;
    let mut written = vec![&*works.name.written];
    let others = host.paths.iter().filter(|other| other.name != works.name);
    written.extend(others.map(|other| &*other.name.written));
    let value = format!("[{}]", written.join(", "));
    let edit = ConfigEdit::of_route(&host.name.route, "upstreams", value);
    let (good, bad) = (&works.name.upstream, &path.name.upstream);
    let sentence = format!(
        "make route `{}` try `{good}` before `{bad}`",
        host.name.route
    );
    Some(ProposedChange::edit(sentence, edit))
}

/// A segment that every path carries, with room for tunnels (RFC 4459): IPv6 guarantees packets of 1,280 bytes.
const SEGMENT: u32 = 1220;

fn segments(facts: &Facts<'_>) -> Option<ProposedChange> {
    let lossy = broken(facts).filter(|(_, path, _)| sentences::mtu(path));
    let routes: BTreeSet<&str> = lossy.map(|(host, ..)| &*host.name.route).collect();
    let value = format!("\"{SEGMENT} B\"");
    let one = routes.first()?;
    Some(match routes.len() {
        1 => ProposedChange::edit(
            format!("make route `{one}` send smaller packets"),
            ConfigEdit::of_route(one, "dial.max_segment", value),
        ),
        // Several routes: the cause is this machine's own link.
        _ => ProposedChange::edit(
            "make gitferry send smaller packets",
            ConfigEdit {
                place: EditPlace::Section("dial"),
                key: "max_segment",
                value,
            },
        ),
    })
}

fn service_failed(facts: &Facts<'_>) -> Option<ProposedChange> {
    let found = facts.machine("service")?;
    (found.outcome.state == State::Failed).then(|| {
        ProposedChange::command(
            "see why the daemon's service failed",
            "gitferry service logs",
        )
    })
}

/// The running daemon is of another version than this command.
fn other_version(facts: &Facts<'_>) -> Option<ProposedChange> {
    let found = facts.machine("daemon")?;
    let other = found.outcome.facts.other_version;
    other.then(|| ProposedChange::command("restart the daemon", "gitferry service restart"))
}

/// Without the daemon, every set-up client fails.
fn daemon_down(facts: &Facts<'_>) -> Option<ProposedChange> {
    let found = facts.machine("daemon")?;
    let down = found.outcome.state == State::Failed;
    down.then(|| {
        ProposedChange::command(
            "start the daemon",
            "gitferry service start   # or: gitferry run",
        )
    })
}

/// The name resolves to an address that such a site cannot have.
fn odd_address(facts: &Facts<'_>) -> Option<ProposedChange> {
    let (host, word) = broken(facts).find_map(|(host, path, root)| {
        let (word, _) = sentences::odd_address(path)?;
        of_the_path(root).then_some((host, word))
    })?;
    let name = &host.name.host;
    let place = crate::model::advice::place(&host.name.route);
    let around = format!(
        "set `resolve` of {place} to its real address, or use a hop that resolves names itself (`http://` or `socks5h://`)"
    );
    Some(ProposedChange::advice(match word {
        "fake" => format!(
            "check that the local VPN tool runs, which made up this address; if not, {around}"
        ),
        "blocked" => format!(
            "remove {name} from the hosts file or the DNS filter of this network, or {around}"
        ),
        _ => format!(
            "if {name} is a public site, the name server of this network gives a wrong address: {around}"
        ),
    }))
}

/// A known middlebox signed the certificate.
fn inspected(facts: &Facts<'_>) -> Option<ProposedChange> {
    let signed = broken(facts).filter(|(.., root)| sentences::kind(root) == "unknown-issuer");
    let name = { signed }.find_map(|(.., root)| middlebox(root.outcome.facts.issuer.as_ref()?))?;
    Some(ProposedChange {
        toml: Some("[trust]\nextra_roots = [\"/path/to/its-ca.pem\"]".into()),
        ..ProposedChange::advice(format!(
            "get the CA certificate of {name} from its administrator, and trust it"
        ))
    })
}

/// A host is unreachable: no set-up of a client helps before that is fixed.
fn unreachable(facts: &Facts<'_>) -> Option<ProposedChange> {
    let mut roots =
        broken(facts).filter(|(host, _, root)| host.working().is_none() && of_the_path(root));
    roots
        .find_map(|(.., root)| root.outcome.advice.clone())
        .map(ProposedChange::advice)
}

/// The first client in this state, and its set-up.
fn set_up(facts: &Facts<'_>, state: State) -> Option<(String, &'static str)> {
    let ended = facts
        .clients
        .iter()
        .filter(|found| found.outcome.state == state);
    let mut known =
        ended.filter_map(|found| Some((found.subject.to_string(), found.outcome.facts.setup?)));
    known.next()
}

fn distrust(facts: &Facts<'_>) -> Option<ProposedChange> {
    let (name, command) = set_up(facts, State::Failed)?;
    // A set-up does not help: the variable overrides it.
    if name.starts_with("git")
        && let Some(found) = facts.machine("environment")
        && let Some(variable) = found.outcome.facts.hides_ca
    {
        let sentence =
            format!("remove {variable} from this shell, so that {name} sees the daemon's CA");
        return Some(ProposedChange::command(
            sentence,
            format!("unset {variable}"),
        ));
    }
    let sentence = format!("give {name} the daemon's CA");
    Some(ProposedChange::command(sentence, command))
}

fn by_advice(facts: &Facts<'_>) -> Option<ProposedChange> {
    let advised = broken(facts).find_map(|(.., root)| root.outcome.advice.clone());
    let failed = |found: &&&Finding| found.outcome.state == State::Failed;
    let mut others = facts.clients.iter().chain(&facts.machine).filter(failed);
    advised
        .or_else(|| others.find_map(|found| found.outcome.advice.clone()))
        .map(ProposedChange::advice)
}

/// Nothing is broken, but git or git-lfs bypasses the daemon.
fn point_clients_at_daemon(facts: &Facts<'_>) -> Option<ProposedChange> {
    let (name, command) = set_up(facts, State::Warned)?;
    let sentence = format!("make {name} use gitferry");
    Some(ProposedChange::command(sentence, command))
}

/// All checks pass, but the daemon had recent faults with a host.
fn recent(facts: &Facts<'_>) -> Option<ProposedChange> {
    let works = |recent: &RecentHostFaults<'_>| recent.host.working().is_some();
    let advised = facts.recent().into_iter().filter(works);
    let advised = advised
        .filter_map(|recent| Some((recent.count, recent.fault, recent.fault.advice.as_ref()?)));
    let (_, fault, advice) = advised.max_by_key(|(count, ..)| *count)?;
    Some(ProposedChange::advice(format!(
        "if a transfer with {} fails again: {advice}",
        fault.host
    )))
}
