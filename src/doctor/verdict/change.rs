//! The one change that most likely mends what is broken.

use super::{HostSummary, PathSummary, words};
use crate::doctor::{Fact, Finding};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// One sentence.
    pub sentence: String,
    /// A command to type.
    pub command: Option<String>,
    /// Lines of the config.
    pub toml: Option<String>,
    /// What `--apply` does; none where only the user may do it.
    pub edit: Option<Edit>,
}

/// A change of the config that touches neither trust nor exposure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Sets a key of a route, to a value as TOML writes it.
    Route {
        /// The route.
        route: String,
        /// `upstreams`, or `dial.max_segment`.
        key: &'static str,
        /// The value.
        value: String,
    },
}

impl Edit {
    /// The lines that do it, in a file that has no such route yet.
    pub(crate) fn toml(&self) -> String {
        let Self::Route { route, key, value } = self;
        match key.split_once('.') {
            Some((table, key)) => {
                format!("[[route]]\nname = \"{route}\"\n{table} = {{ {key} = {value} }}")
            }
            None => format!("[[route]]\nname = \"{route}\"\n{key} = {value}"),
        }
    }
}

impl Change {
    fn advice(sentence: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            command: None,
            toml: None,
            edit: None,
        }
    }

    fn command(sentence: impl Into<String>, command: impl Into<String>) -> Self {
        Self {
            command: Some(command.into()),
            ..Self::advice(sentence)
        }
    }

    fn edit(sentence: impl Into<String>, edit: Edit) -> Self {
        Self {
            toml: Some(edit.toml()),
            edit: Some(edit),
            ..Self::advice(sentence)
        }
    }
}

/// A rule sees all hosts; the first that knows a change wins. What explains many faults stands first.
type Rule = fn(&[HostSummary<'_>]) -> Option<Change>;

const RULES: &[Rule] = &[clock, portal, another_way, segments, by_advice];

/// The change; `None` where nothing is broken.
pub(super) fn of(hosts: &[HostSummary<'_>]) -> Option<Change> {
    RULES.iter().find_map(|rule| rule(hosts))
}

/// Every broken way of a route, those of hosts that nothing rescues first.
fn broken<'h>(
    hosts: &'h [HostSummary<'_>],
) -> impl Iterator<Item = (&'h HostSummary<'h>, &'h PathSummary, &'h Finding)> {
    let of = |rescued: bool| {
        hosts
            .iter()
            .filter(move |host| host.working().is_some() == rescued)
            .flat_map(|host| host.broken().map(move |(way, root)| (host, way, root)))
    };
    of(false).chain(of(true))
}

/// Further off than this, and a clock is wrong.
const SKEW: i64 = 300;

fn clock(hosts: &[HostSummary<'_>]) -> Option<Change> {
    let (_, way, root) = broken(hosts).find(|(_, _, root)| {
        root.check == "certificate" && matches!(words::kind(root), "expired" | "not-yet-valid")
    })?;
    let skews: Vec<i64> = hosts
        .iter()
        .flat_map(|host| host.ways.iter().chain(&host.others))
        .flat_map(|way| way.facts())
        .filter_map(|fact| match fact {
            Fact::ClockSkew(skew) => Some(*skew),
            _ => None,
        })
        .collect();
    let right = skews.iter().any(|skew| skew.abs() < SKEW);
    let host = &way.path.host;
    if right {
        return Some(Change::advice(format!(
            "other sites confirm this machine's clock: only the owner of {host} can renew its certificate"
        )));
    }
    let _ = root;
    Some(Change::command(
        "check this machine's date and let it be set by the network; if it is right, only the owner of \
         the site can renew the certificate"
            .to_owned(),
        "date; sudo timedatectl set-ntp true",
    ))
}

fn portal(hosts: &[HostSummary<'_>]) -> Option<Change> {
    let (.., root) = broken(hosts).find(|(.., root)| {
        let facts = &root.outcome.facts;
        facts.iter().any(|fact| matches!(fact, Fact::Portal(_)))
    })?;
    let page = root.outcome.facts.iter().find_map(|fact| match fact {
        Fact::Portal(page) => page.clone(),
        _ => None,
    });
    Some(Change::advice(match page {
        Some(page) => format!("log in to this network: open {page} in a browser, then try again"),
        None => "log in to this network in a browser, then try again".into(),
    }))
}

/// A way that works stands behind one that does not, or is not in the route at all.
fn another_way(hosts: &[HostSummary<'_>]) -> Option<Change> {
    let (host, way, _) =
        broken(hosts).find(|(host, ..)| host.working().or_else(|| host.way_out()).is_some())?;
    let works = host.working().or_else(|| host.way_out())?;
    let mut written = vec![&*works.path.written];
    let others = host.ways.iter().filter(|other| other.path != works.path);
    written.extend(others.map(|other| &*other.path.written));
    let edit = Edit::Route {
        route: host.path.route.to_string(),
        key: "upstreams",
        value: format!("[{}]", written.join(", ")),
    };
    let (good, bad) = (&works.path.upstream, &way.path.upstream);
    let sentence = format!(
        "let route `{}` try `{good}` before `{bad}`",
        host.path.route
    );
    Some(Change::edit(sentence, edit))
}

/// What every path of today carries, with room for tunnels (RFC 4459); IPv6 promises no more than 1280 bytes a packet.
const SEGMENT: u32 = 1220;

fn segments(hosts: &[HostSummary<'_>]) -> Option<Change> {
    let (host, ..) = broken(hosts).find(|(_, way, _)| words::mtu(way))?;
    Some(Change::edit(
        format!("let route `{}` send smaller packets", host.path.route),
        Edit::Route {
            route: host.path.route.to_string(),
            key: "dial.max_segment",
            value: SEGMENT.to_string(),
        },
    ))
}

fn by_advice(hosts: &[HostSummary<'_>]) -> Option<Change> {
    let advised = broken(hosts).find_map(|(.., root)| root.outcome.advice.clone());
    advised.map(Change::advice)
}
