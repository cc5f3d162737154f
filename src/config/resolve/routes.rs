//! `[[route]]` and `[other_hosts]`: which hosts, what to do with their TLS, which ways.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Defaults, Names, daemon::dial, or_base, overrides::overrides, upstreams::upstreams};
use crate::{
    config::{Config, HttpVersion, Route, Upstream, Via, problem::nearest, section::Section},
    model::{HostPattern, Role, TlsMode},
};

const MODES: [(&str, TlsMode); 3] = [
    ("terminate", TlsMode::Terminate),
    ("tunnel", TlsMode::Tunnel),
    ("deny", TlsMode::Deny),
];
const ROLES: [(&str, Role); 3] = [
    ("main-site", Role::MainSite),
    ("lfs-storage", Role::LfsStorage),
    ("other", Role::Other),
];
const VERSIONS: [(&str, HttpVersion); 2] = [("1.1", HttpVersion::Http1), ("2", HttpVersion::Http2)];

pub(super) fn other_hosts(
    section: Section<'_, '_>,
    base: Option<&Config>,
    defaults: &Defaults,
    names: &mut Names<'_>,
) -> Option<Route> {
    let watched = defaults.watched.of_route(&section, None);
    let base = base.map(|base| &base.other_hosts);
    let tls = or_base(
        &section,
        "tls",
        section.one_of("tls", &MODES[1..]),
        base.map(|base| base.tls),
    );
    let ports = or_base(
        &section,
        "ports",
        section.ports("ports"),
        base.and_then(|base| base.ports.clone()),
    );
    let upstreams = if section.has("upstreams") || base.is_none() {
        upstreams(&section, tls, names)
    } else {
        base.map(|base| {
            base.upstreams
                .iter()
                .map(|upstream| renewed(upstream, names))
                .collect()
        })
    };
    section.finish();
    Some(Route {
        name: "other_hosts".into(),
        role: Role::Other,
        hosts: Vec::new(),
        ports: Some(ports?),
        tls: tls?,
        http: HttpVersion::Http1,
        upstreams: upstreams?,
        resolve: BTreeMap::new(),
        dial: defaults.dial?,
        stall: watched?.0,
        uploads: watched?.1,
        replay: false,
    })
}

/// An upstream of the base, with this file's environment.
fn renewed(upstream: &Arc<Upstream>, names: &Names<'_>) -> Arc<Upstream> {
    match upstream.via {
        Via::Environment(_) => Arc::new(Upstream {
            label: upstream.label.clone(),
            via: Via::Environment(Arc::clone(names.environment)),
            mirror: upstream.mirror.clone(),
        }),
        Via::Direct | Via::Hop(_) => Arc::clone(upstream),
    }
}

/// The routes of the file, then those of the base. A route of the file that has the name of one of the base stands in its place, and
/// what it does not say is as there.
pub(super) fn routes(
    root: &Section<'_, '_>,
    base: Option<&Config>,
    defaults: &Defaults,
    names: &mut Names<'_>,
) -> Option<Vec<Arc<Route>>> {
    let built_in = root.section("built_in");
    let kept = built_in.bool("routes").unwrap_or(true);
    built_in.finish();
    let sections = root.sections("route", "each route begins with a line `[[route]]`");
    if base.is_none() {
        or_base(root, "route", sections.as_ref().map(drop), None)?;
    }
    let base = base.into_iter().flat_map(|base| &base.routes);
    let base: Option<Vec<_>> = base
        .map(|route| inherited(route, defaults, names))
        .collect();
    let mut base = base?;
    let mut seen = Seen {
        built_in: base.iter().map(|route| route.name.clone()).collect(),
        ..Seen::default()
    };
    let mut read = Vec::new();
    for section in sections.into_iter().flatten() {
        let name = section.string("name").unwrap_or_default();
        let place = base.iter().position(|route| &*route.name == name);
        let like = place.and_then(|place| base.get(place));
        let route = route(&section, like, defaults, names, &mut seen);
        section.finish();
        read.push((route, place.filter(|_| kept)));
    }
    if !kept {
        base.clear();
    }
    let mut own = Vec::new();
    for (route, place) in read {
        match place.and_then(|place| base.get_mut(place)) {
            Some(place) => *place = route?,
            None => own.push(route?),
        }
    }
    Some(own.into_iter().chain(base).map(Arc::new).collect())
}

/// A route of the base under this file: its environment, and its `[dial]`, `[stall]` and `[uploads]`, are for it too.
fn inherited(route: &Route, defaults: &Defaults, names: &Names<'_>) -> Option<Route> {
    let (stall, uploads) = defaults.watched.renewed(route)?;
    let upstreams = route.upstreams.iter();
    Some(Route {
        name: route.name.clone(),
        role: route.role,
        hosts: route.hosts.clone(),
        ports: route.ports.clone(),
        tls: route.tls,
        http: route.http,
        upstreams: upstreams.map(|upstream| renewed(upstream, names)).collect(),
        resolve: route.resolve.clone(),
        dial: defaults.dial?,
        stall,
        uploads,
        replay: route.replay,
    })
}

/// What the routes of a file have said so far.
#[derive(Default)]
struct Seen {
    built_in: Vec<Box<str>>,
    names: BTreeSet<String>,
    hosts: Vec<(HostPattern, Option<Vec<u16>>, String)>,
}

/// One route; what it does not say is as in `like`.
fn route(
    section: &Section<'_, '_>,
    like: Option<&Route>,
    defaults: &Defaults,
    names: &mut Names<'_>,
    seen: &mut Seen,
) -> Option<Route> {
    let source = section.source;
    let required = |key: &'static str, hint: &str| {
        if !section.has(key) {
            source.problem(
                section.span(),
                &section.key(key),
                format!("a route needs `{key}`"),
                Some(hint),
            );
        }
    };
    required("name", "a word for the log, such as `name = \"hf-main\"`");
    if like.is_none() {
        let built_in = seen.built_in.iter().map(|name| &**name);
        let meant = nearest(section.string("name").unwrap_or_default(), built_in);
        let hint = match meant {
            Some(meant) => format!("did you mean the built-in route `{meant}`, which has them?"),
            None => "such as `hosts = [\"huggingface.co\", \"*.hf.co\"]`".into(),
        };
        required("hosts", &hint);
        required("tls", "\"terminate\", \"tunnel\" or \"deny\"");
    }
    let name = name(section, seen);
    let unsaid = |key: &'static str| !section.has(key);
    let or_like = Inheriting { section, like };
    let role = or_like.value("role", section.one_of("role", &ROLES), |like| like.role);
    let role = role.or(unsaid("role").then_some(Role::Other));
    let ports = section.ports("ports");
    let ports = ports.or_else(|| like.filter(|_| unsaid("ports"))?.ports.clone());
    let tls = or_like.value("tls", section.one_of("tls", &MODES), |like| like.tls);
    let http = or_like.value("http", section.one_of("http", &VERSIONS), |like| like.http);
    let http = http.or(unsaid("http").then_some(HttpVersion::Http1));
    let hosts = match like.filter(|_| unsaid("hosts")) {
        Some(like) => Some(like.hosts.clone()),
        None => {
            let route = name.unwrap_or_default();
            hosts(section, tls, ports.as_ref(), route, &mut seen.hosts)
        }
    };
    let upstreams = match like.filter(|_| unsaid("upstreams")) {
        Some(like) => Some(like.upstreams.clone()),
        None => upstreams(section, tls, names),
    };
    let replay = or_like.value("replay", section.bool("replay"), |like| like.replay);
    let replay = replay.or(unsaid("replay").then_some(role == Some(Role::LfsStorage)));
    let mut resolved = hosts.clone().unwrap_or_default();
    resolved.extend(mirrors(upstreams.as_deref().unwrap_or_default()));
    let resolve = overrides(&section.section("resolve"), &resolved);
    let dial_section = section.section("dial");
    let dial = dial(&dial_section, defaults.dial);
    dial_section.finish();
    let watched = defaults.watched.of_route(section, like);
    Some(Route {
        name: name?.into(),
        role: role?,
        hosts: hosts?,
        ports,
        tls: tls?,
        http: http?,
        upstreams: upstreams?,
        resolve,
        dial: dial?,
        stall: watched?.0,
        uploads: watched?.1,
        replay: replay?,
    })
}

/// The name, which must be one and the only one of its kind.
fn name<'s>(section: &Section<'s, '_>, seen: &mut Seen) -> Option<&'s str> {
    let source = section.source;
    let (place, key) = (section.place("name"), section.key("name"));
    let name = section.string("name")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        source.problem(
            place.clone(),
            &key,
            format!("{name:?} is no name"),
            Some("letters, digits, `-`, `_` and `.`"),
        );
    }
    if !seen.names.insert(name.to_owned()) {
        source.problem(
            place,
            &key,
            format!("a second route is called `{name}`"),
            Some("the log tells routes apart by their names"),
        );
    }
    Some(name)
}

/// A section, and the route that it need not repeat.
struct Inheriting<'r, 's, 'a> {
    section: &'r Section<'s, 'a>,
    like: Option<&'r Route>,
}

impl Inheriting<'_, '_, '_> {
    /// What was read, else the other route's where the key is not set.
    fn value<T>(
        &self,
        key: &'static str,
        read: Option<T>,
        of: impl FnOnce(&Route) -> T,
    ) -> Option<T> {
        read.or_else(|| (!self.section.has(key)).then(|| self.like.map(of))?)
    }
}

/// The mirrors' own names, which may be overridden like the hosts they stand for.
fn mirrors(upstreams: &[Arc<Upstream>]) -> impl Iterator<Item = HostPattern> {
    let mirrors = upstreams
        .iter()
        .filter_map(|upstream| upstream.mirror.as_ref());
    mirrors.map(|mirror| HostPattern::Exact(mirror.target.host.clone()))
}

fn hosts(
    section: &Section<'_, '_>,
    tls: Option<TlsMode>,
    ports: Option<&Vec<u16>>,
    route: &str,
    seen: &mut Vec<(HostPattern, Option<Vec<u16>>, String)>,
) -> Option<Vec<HostPattern>> {
    let source = section.source;
    let key = section.key("hosts");
    let written = section.strings("hosts", false)?;
    if written.is_empty() {
        source.problem(
            section.place("hosts"),
            &key,
            "a route without hosts does nothing",
            None,
        );
    }
    let mut hosts = Vec::new();
    for (text, span) in written {
        let pattern = match text.parse::<HostPattern>() {
            Ok(pattern) => pattern,
            Err(_) => {
                let hint = "a name, an address, or a name with `*`; no scheme, no port, no path";
                source.problem(span, &key, format!("{text:?} is no host"), Some(hint));
                continue;
            }
        };
        let narrow = match &pattern {
            HostPattern::Exact(_) => true,
            HostPattern::Wildcard(_) => pattern
                .subtree()
                .is_some_and(|subtree| subtree.contains('.')),
        };
        if tls == Some(TlsMode::Terminate) && !narrow {
            let hint = "at least two labels after the last `*`, or `tls = \"tunnel\"`";
            let message = format!(
                "{text:?} is too wide to terminate: the local CA is constrained to the configured names"
            );
            source.problem(span, &key, message, Some(hint));
            continue;
        }
        if let Some((_, _, other)) = seen.iter().find(|(earlier, earlier_ports, _)| {
            *earlier == pattern
                && earlier_ports.as_ref().is_none_or(|list| {
                    ports.is_some_and(|ports| ports.iter().all(|port| list.contains(port)))
                })
        }) {
            source.problem(
                span,
                &key,
                format!("route `{other}` has {text:?} already: this entry is never reached"),
                Some("the first match counts"),
            );
            continue;
        }
        seen.push((pattern.clone(), ports.cloned(), route.to_owned()));
        hosts.push(pattern);
    }
    Some(hosts)
}
