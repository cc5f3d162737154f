//! A route: its hosts, their TLS mode, the upstreams in order, and its own limits.

mod hosts;
mod overrides;

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde::{Serialize, Serializer};

use super::{
    Dial, MirrorCredentials, PeerTls, StallConfig, UploadsConfig, Upstream,
    problem::nearest,
    section::Section,
    stall::StallDefaults,
    upstream::{UpstreamNames, upstreams},
};
use crate::model::{Host, HostPattern, Role, TlsMode};

pub(crate) use overrides::Override;

const VERSIONS: [(&str, HttpVersion); 2] = [("1.1", HttpVersion::Http1), ("2", HttpVersion::Http2)];

/// One `[[route]]`, or `[other_hosts]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The name in the log.
    pub name: Arc<str>,
    /// The role of its hosts.
    pub role: Role,
    /// The hosts; empty for `[other_hosts]`.
    pub hosts: Vec<HostPattern>,
    /// The ports; `None` for every port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<u16>>,
    /// What to do with the TLS of their clients.
    pub tls: TlsMode,
    /// The highest HTTP version offered, on both sides.
    pub http: HttpVersion,
    /// The upstreams in order; at least one unless `tls` is deny.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Address overrides like curl's `--resolve`, tried in the order given.
    #[serde(serialize_with = "overrides::by_host")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resolve: BTreeMap<Host, Vec<Override>>,
    /// TLS settings for its origins.
    #[serde(flatten)]
    pub peer: PeerTls,
    /// True where uploads are recorded while they pass, so that they can be sent again.
    pub replay: bool,
    /// Dial settings.
    pub dial: Dial,
    /// The stall limits and action.
    pub stall: StallConfig,
    /// The limit on concurrent uploads.
    pub uploads: UploadsConfig,
}

/// The highest HTTP version that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum HttpVersion {
    /// Only HTTP/1.1 is offered by ALPN.
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2 is offered first.
    #[serde(rename = "2")]
    Http2,
}

/// The names and hosts of the routes read so far.
#[derive(Default)]
struct RouteNames {
    names: Vec<String>,
    hosts: hosts::HostOwners,
}

/// The routes of the file, then the built-in ones. A route of the file replaces the built-in route of the same name, and inherits from it the
/// keys that it omits.
pub(super) fn routes(root: &Section<'_, '_>, names: &mut UpstreamNames<'_>) -> Vec<Arc<Route>> {
    let built_in = root.section("built_in");
    let kept = built_in.bool("routes");
    built_in.finish();
    let hint = "each route begins with a line `[[route]]`";
    let (own, built_in) = root.sections_by_layer("route", hint);
    let known: Vec<&str> = built_in
        .iter()
        .filter_map(|route| route.string("name"))
        .collect();
    let mut replaced = BTreeMap::new();
    let mut routes = Vec::new();
    let mut earlier = RouteNames::default();
    for section in own {
        let name = section.string("name").unwrap_or_default();
        let like = known.iter().position(|known| *known == name);
        let section = match like.and_then(|at| built_in.get(at)) {
            Some(like) => section.on_top_of(like),
            None => {
                required(&section, &known);
                section
            }
        };
        let Some(route) = Route::read(section, root, names, &mut earlier) else {
            continue;
        };
        match like.filter(|_| kept) {
            Some(at) => drop(replaced.insert(at, route)),
            None => routes.push(route),
        }
    }
    let mut earlier = RouteNames::default();
    for (at, section) in built_in.into_iter().enumerate() {
        routes.extend(match replaced.remove(&at) {
            Some(route) => Some(route),
            None if kept => Route::read(section, root, names, &mut earlier),
            None => None,
        });
    }
    routes.into_iter().map(Arc::new).collect()
}

/// Reports the missing keys of a route that no built-in route underlies.
fn required(section: &Section<'_, '_>, built_in: &[&str]) {
    let meant = section.string("name").unwrap_or_default();
    let hosts = match nearest(meant, built_in.iter().copied()) {
        Some(meant) => format!("did you mean the built-in route `{meant}`, which has these hosts?"),
        None => "such as `hosts = [\"huggingface.co\", \"*.hf.co\"]`".into(),
    };
    for (key, hint) in [
        ("name", "such as `name = \"hf-main\"`"),
        ("hosts", &hosts),
        ("tls", "\"terminate\", \"tunnel\" or \"deny\""),
    ] {
        if !section.has(key) {
            let message = format!("a route needs `{key}`");
            section.place().problem(message, Some(hint));
        }
    }
}

impl Route {
    fn read(
        section: Section<'_, '_>,
        root: &Section<'_, '_>,
        names: &mut UpstreamNames<'_>,
        earlier: &mut RouteNames,
    ) -> Option<Self> {
        let name = name(&section, &mut earlier.names);
        let role = section
            .optional_choice("role", &Role::NAMES)
            .unwrap_or(Role::Other);
        let tls = section.optional_choice("tls", &TlsMode::NAMES);
        let ports = section.ports("ports");
        let hosts = hosts::read(&section, tls, ports.as_ref(), &mut earlier.hosts);
        let upstreams = upstreams(&section, tls, names);
        let resolve = overrides::read(section.section("resolve"), &hosts, &upstreams);
        let replay = section.optional_bool("replay");
        let http = section.optional_choice("http", &VERSIONS);
        let stall = StallDefaults::read(section.section_over("stall", root));
        let route = Self {
            name: name.unwrap_or_default().into(),
            role,
            hosts,
            ports,
            tls: tls.unwrap_or(TlsMode::Deny),
            http: http.unwrap_or(HttpVersion::Http1),
            upstreams,
            resolve,
            peer: PeerTls::read(&section),
            replay: replay.unwrap_or(role == Role::LfsStorage),
            dial: Dial::read(section.section_over("dial", root)),
            stall: stall.for_role(role),
            uploads: UploadsConfig::read(section.section_over("uploads", root)),
        };
        section.finish();
        Some(route)
    }

    /// TLS settings for the origin of an upstream. A mirror from which credentials are withheld does not get the client certificate.
    pub(crate) fn peer_for(&self, upstream: &Upstream) -> Cow<'_, PeerTls> {
        match &upstream.mirror {
            Some(mirror) if mirror.credentials == MirrorCredentials::Withhold => {
                Cow::Owned(self.peer.without_client())
            }
            Some(_) | None => Cow::Borrowed(&self.peer),
        }
    }

    /// `[other_hosts]`: the hosts without a route.
    pub(super) fn other_hosts(root: &Section<'_, '_>, names: &mut UpstreamNames<'_>) -> Self {
        let section = root.section("other_hosts");
        let tls = section.optional_choice("tls", TlsMode::NAMES.get(1..).unwrap_or_default());
        let stall = StallDefaults::read(section.section_over("stall", root));
        let route = Self {
            name: "other_hosts".into(),
            role: Role::Other,
            hosts: Vec::new(),
            ports: section.ports("ports"),
            tls: tls.unwrap_or(TlsMode::Deny),
            http: HttpVersion::Http1,
            upstreams: upstreams(&section, tls, names),
            resolve: BTreeMap::new(),
            peer: PeerTls::default(),
            replay: false,
            dial: Dial::read(section.section_over("dial", root)),
            stall: stall.for_role(Role::Other),
            uploads: UploadsConfig::read(section.section_over("uploads", root)),
        };
        section.finish();
        route
    }
}

/// Serialises a route as `[other_hosts]`, which has only some of a route's keys, for `serialize_with`.
pub(super) fn as_other_hosts<S: Serializer>(route: &Route, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct OtherHostsForm<'r> {
        tls: TlsMode,
        ports: &'r Option<Vec<u16>>,
        upstreams: &'r [Arc<Upstream>],
        dial: Dial,
        stall: StallConfig,
        uploads: UploadsConfig,
    }
    OtherHostsForm {
        tls: route.tls,
        ports: &route.ports,
        upstreams: &route.upstreams,
        dial: route.dial,
        stall: route.stall,
        uploads: route.uploads,
    }
    .serialize(to)
}

/// The name, which must be valid and unique.
fn name<'s>(section: &Section<'s, '_>, earlier: &mut Vec<String>) -> Option<&'s str> {
    let name = section.string("name")?;
    let place = section.at("name");
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        let hint = "letters, digits, `-`, `_` and `.`";
        place.problem(format!("{name:?} is not a name"), Some(hint));
    }
    if earlier.iter().any(|known| known == name) {
        let hint = "names must be unique";
        place.problem(format!("two routes are named `{name}`"), Some(hint));
    }
    earlier.push(name.to_owned());
    Some(name)
}
