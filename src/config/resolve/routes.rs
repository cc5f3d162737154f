//! `[[route]]` and `[other_hosts]`: which hosts, what to do with their TLS, which ways.

use std::{collections::BTreeMap, sync::Arc};

use super::{Defaults, Names, daemon::dial, or_base, overrides::overrides, upstreams::upstreams};
use crate::{
    config::{Config, HttpVersion, Route, Upstream, Via, section::Section},
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
    let watched = defaults.watched.of_route(&section);
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

pub(super) fn routes(
    root: &Section<'_, '_>,
    base: Option<&Config>,
    defaults: &Defaults,
    names: &mut Names<'_>,
) -> Option<Vec<Arc<Route>>> {
    let Some(sections) = root.sections("route", "each route begins with a line `[[route]]`") else {
        let base = or_base(root, "route", None, base)?;
        let renew = |route: &Arc<Route>| {
            let (stall, uploads) = defaults.watched.renewed(route)?;
            Some(Arc::new(Route {
                name: route.name.clone(),
                role: route.role,
                hosts: route.hosts.clone(),
                ports: route.ports.clone(),
                tls: route.tls,
                http: route.http,
                upstreams: route
                    .upstreams
                    .iter()
                    .map(|upstream| renewed(upstream, names))
                    .collect(),
                resolve: route.resolve.clone(),
                // The file's own [dial] is for the routes of the default list too.
                dial: defaults.dial?,
                stall,
                uploads,
                replay: route.replay,
            }))
        };
        return base.routes.iter().map(renew).collect();
    };
    let mut seen_names: BTreeMap<String, ()> = BTreeMap::new();
    let mut seen_hosts: Vec<(HostPattern, Option<Vec<u16>>, String)> = Vec::new();
    let mut routes = Some(Vec::new());
    for section in sections {
        let route = route(&section, defaults, names, &mut seen_names, &mut seen_hosts);
        section.finish();
        routes = match (routes, route) {
            (Some(mut routes), Some(route)) => {
                routes.push(Arc::new(route));
                Some(routes)
            }
            _ => None,
        };
    }
    routes
}

fn route(
    section: &Section<'_, '_>,
    defaults: &Defaults,
    names: &mut Names<'_>,
    seen_names: &mut BTreeMap<String, ()>,
    seen_hosts: &mut Vec<(HostPattern, Option<Vec<u16>>, String)>,
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
    required(
        "hosts",
        "such as `hosts = [\"huggingface.co\", \"*.hf.co\"]`",
    );
    required("tls", "\"terminate\", \"tunnel\" or \"deny\"");
    let name = section.string("name");
    if let Some(name) = name {
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            source.problem(
                section.place("name"),
                &section.key("name"),
                format!("{name:?} is no name"),
                Some("letters, digits, `-`, `_` and `.`"),
            );
        }
        if seen_names.insert(name.to_owned(), ()).is_some() {
            source.problem(
                section.place("name"),
                &section.key("name"),
                format!("a second route is called `{name}`"),
                Some("the log tells routes apart by their names"),
            );
        }
    }
    let role = section
        .one_of("role", &ROLES)
        .or((!section.has("role")).then_some(Role::Other));
    let ports = section.ports("ports");
    let tls = section.one_of("tls", &MODES);
    let http = section
        .one_of("http", &VERSIONS)
        .or((!section.has("http")).then_some(HttpVersion::Http1));
    let hosts = hosts(
        section,
        tls,
        ports.as_ref(),
        name.unwrap_or_default(),
        seen_hosts,
    );
    let upstreams = upstreams(section, tls, names);
    let replay = section
        .bool("replay")
        .or((!section.has("replay")).then_some(role == Some(Role::LfsStorage)));
    let mut resolved = hosts.clone().unwrap_or_default();
    resolved.extend(mirrors(upstreams.as_deref().unwrap_or_default()));
    let resolve = overrides(&section.section("resolve"), &resolved);
    let dial_section = section.section("dial");
    let dial = dial(&dial_section, defaults.dial);
    dial_section.finish();
    let watched = defaults.watched.of_route(section);
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
