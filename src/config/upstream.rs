//! A route's upstreams, each with an optional hop and an optional mirror.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Serialize, Serializer};

use super::{Environment, Hop, section::Section, value};
use crate::model::named::named;
use crate::model::{Scheme, Target, TlsMode};

/// An example of the syntax.
const SUCH_AS: &str = "such as `upstreams = [{ via = \"environment\" }]`";

/// One configured way to an origin.
#[derive(Debug, PartialEq, Eq)]
pub struct Upstream {
    /// `direct`, `environment` or the hop's name; for a mirror followed by ` to MIRROR`. Unique within a route.
    pub label: Arc<str>,
    /// How the origin is dialled.
    pub via: Via,
    /// A mirror that replaces the site itself.
    pub mirror: Option<Mirror>,
}

/// How an origin is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// Directly.
    Direct,
    /// Through a hop.
    Hop(Arc<Hop>),
    /// Through the hop that the `*_PROXY` variables name for the target; see [`Environment::hop_for`].
    Environment(Arc<Environment>),
}

/// An origin that replaces another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// The scheme.
    pub scheme: Scheme,
    /// The host and port.
    pub target: Target,
    /// The path before every request's path: empty, or like `/base` without a final slash.
    pub base_path: Box<str>,
    /// Whether it gets the client's credentials.
    pub credentials: MirrorCredentials,
}

named! {
/// Whether a mirror, which another party operates, gets a request's credentials.
pub(crate) enum MirrorCredentials {
    /// It does not; the mirror's cookies are removed too.
    Withhold = "withhold",
    /// It gets the credentials that the site would get.
    Pass = "pass",
}
}

/// The names that upstreams refer to.
pub(super) struct UpstreamNames<'n> {
    pub(super) hops: &'n BTreeMap<String, Arc<Hop>>,
    pub(super) environment: &'n Arc<Environment>,
    /// The hops that a route names.
    pub(super) used: BTreeSet<String>,
}

/// A route's `upstreams`; empty only where its TLS mode is deny.
pub(super) fn upstreams(
    section: &Section<'_, '_>,
    tls: Option<TlsMode>,
    names: &mut UpstreamNames<'_>,
) -> Vec<Arc<Upstream>> {
    let entries = section.sections("upstreams", SUCH_AS);
    let place = section.at("upstreams");
    if tls != Some(TlsMode::Deny) && !section.has("upstreams") {
        place.problem("a route needs `upstreams`", Some(SUCH_AS));
    } else if tls != Some(TlsMode::Deny) && section.is_empty_list("upstreams") {
        place.problem(
            "`upstreams` is empty: these hosts cannot be reached",
            Some("at least `{ via = \"direct\" }`"),
        );
    }
    let mut upstreams: Vec<Arc<Upstream>> = Vec::new();
    for entry in entries {
        let place = entry.place();
        let Some(upstream) = Upstream::read(entry, tls, names) else {
            continue;
        };
        let label = &upstream.label;
        if upstreams.iter().any(|known| known.label == *label) {
            place.problem(format!("`{label}` is in the list twice"), None);
        }
        upstreams.push(Arc::new(upstream));
    }
    upstreams
}

impl Upstream {
    fn read(
        entry: Section<'_, '_>,
        tls: Option<TlsMode>,
        names: &mut UpstreamNames<'_>,
    ) -> Option<Self> {
        let via = Via::read(&entry, names);
        let mirror = Mirror::read(&entry, tls);
        let wrong = entry.has("mirror") && mirror.is_none();
        entry.finish();
        let (mut label, via) = via.filter(|_| !wrong)?;
        if let Some(mirror) = &mirror {
            label = format!("{label} to {}", mirror.label());
        }
        Some(Self {
            label: label.into(),
            via,
            mirror,
        })
    }
}

impl Via {
    /// Reads `via` of an entry. Returns its name as well.
    fn read(entry: &Section<'_, '_>, names: &mut UpstreamNames<'_>) -> Option<(String, Self)> {
        let unset = (!entry.has("via")).then_some("environment");
        let name = entry.string("via").or(unset)?;
        let via = match name {
            "direct" => Some(Self::Direct),
            "environment" => Some(Self::Environment(Arc::clone(names.environment))),
            name => names.hops.get(name).cloned().map(Self::Hop),
        };
        if via.is_none() {
            let valid = ["direct", "environment"]
                .into_iter()
                .chain(names.hops.keys().map(String::as_str));
            let list: Vec<String> = valid.map(|name| format!("\"{name}\"")).collect();
            let hint = format!("one of {}; hops are defined in `[hops]`", list.join(", "));
            let message = format!("there is no hop `{name}`");
            entry.at("via").problem(message, Some(&hint));
        }
        names.used.insert(name.to_owned());
        via.map(|via| (name.to_owned(), via))
    }

    fn name(&self) -> &str {
        match self {
            Self::Direct => "direct",
            Self::Environment(_) => "environment",
            Self::Hop(hop) => &hop.name,
        }
    }
}

impl Mirror {
    /// `mirror` and `credentials`.
    fn read(entry: &Section<'_, '_>, tls: Option<TlsMode>) -> Option<Self> {
        let hint = "such as `mirror = \"https://hf-mirror.com\"`";
        let parsed = entry.parsed("mirror", value::mirror, hint);
        let credentials = entry.optional_choice("credentials", &MirrorCredentials::NAMES);
        if entry.has("credentials") && !entry.has("mirror") {
            entry.at("credentials").problem(
                "`credentials` applies to mirrors only: the site itself always gets them",
                Some("remove it, or add `mirror`"),
            );
        }
        let (scheme, target, base_path) = parsed?;
        if tls == Some(TlsMode::Tunnel) {
            entry.at("mirror").problem(
                "a tunnel does not work with a mirror: the client would get the mirror's certificate",
                Some("`tls = \"terminate\"` for the route"),
            );
        }
        let unset = (!entry.has("credentials")).then_some(MirrorCredentials::Withhold);
        let credentials = credentials.or(unset)?;
        if credentials == MirrorCredentials::Pass
            && scheme == Scheme::Http
            && !target.host.is_loopback()
        {
            entry.at("credentials").warning(
                format!("credentials are sent to {target} unencrypted"),
                Some("`https://` in `mirror`"),
            );
        }
        Some(Self {
            scheme,
            target,
            base_path,
            credentials,
        })
    }

    /// Its part of an upstream's label, without the scheme where that is https.
    fn label(&self) -> String {
        let authority = self.target.authority(self.scheme);
        match self.scheme {
            Scheme::Https => format!("{authority}{}", self.base_path),
            Scheme::Http => format!("http://{authority}{}", self.base_path),
        }
    }
}

/// Serialises in the form of a route's `upstreams`.
impl Serialize for Upstream {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct UpstreamForm<'u> {
            via: &'u str,
            #[serde(skip_serializing_if = "Option::is_none")]
            mirror: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            credentials: Option<MirrorCredentials>,
        }
        let mirror = self.mirror.as_ref();
        let url = |mirror: &Mirror| {
            let authority = mirror.target.authority(mirror.scheme);
            format!("{}://{authority}{}", mirror.scheme, mirror.base_path)
        };
        UpstreamForm {
            via: self.via.name(),
            mirror: mirror.map(url),
            credentials: mirror.map(|mirror| mirror.credentials),
        }
        .serialize(to)
    }
}
