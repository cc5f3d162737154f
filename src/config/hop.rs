//! `[hops]`: named upstream proxies.

mod kinds;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, MutexGuard},
};

use serde::{Serialize, Serializer, ser::SerializeMap as _};

pub(crate) use kinds::{HopKind, HopKindRow, HopProtocol, UPSTREAM_KINDS};

use super::{PeerTls, Variables, credentials::credentials, section::Section, value};
use crate::{
    model::{Target, secret::Credentials},
    sync::Mutex,
};

/// An upstream proxy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// The name in `[hops]`; for a hop from the environment, the variable's name.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: HopKind,
    /// Its address.
    pub target: Target,
    /// The credentials for it.
    pub credentials: Option<Credentials>,
    /// True where requests to it carry gitferry's `Via` (RFC 9110, section 7.6.3).
    pub via: bool,
    /// True to send the methods and the request to a SOCKS hop together, which saves a round trip.
    pub pipeline: bool,
    /// TLS settings for an https hop.
    pub peer: PeerTls,
    /// The targets that it has connected since the config was read.
    pub granted: GrantedTargets,
}

/// The targets that a hop has connected. Such a hop speaks the protocol of its URL, and a later failure of such a target is no refusal.
#[derive(Debug, Default)]
pub(crate) struct GrantedTargets(Mutex<HashSet<Target>>);

impl GrantedTargets {
    /// The largest number of targets.
    const LIMIT: usize = 1000;

    /// Records that the hop connected `target`.
    pub(crate) fn record_target(&self, target: &Target) {
        let mut targets = self.targets();
        if targets.len() < Self::LIMIT && !targets.contains(target) {
            targets.insert(target.clone());
        }
    }

    /// True where the hop has connected `target`.
    pub(crate) fn contains(&self, target: &Target) -> bool {
        self.targets().contains(target)
    }

    /// True where the hop has connected no target yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.targets().is_empty()
    }

    fn targets(&self) -> MutexGuard<'_, HashSet<Target>> {
        self.0.lock()
    }
}

/// Always equal: what was observed of a hop does not belong to its config.
impl PartialEq for GrantedTargets {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for GrantedTargets {}

impl Hop {
    /// The hop as a URL, without its credentials.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.kind.row().scheme, self.target)
    }

    fn read(section: Section<'_, '_>, name: &str, variables: Variables<'_>) -> Option<Self> {
        let url = section.string("url");
        if url.is_none() && !section.has("url") {
            let key = section.at("url").key;
            section.place().problem(
                format!("`{key}` is missing"),
                Some("such as `url = \"http://proxy.example:3128\"`"),
            );
        }
        let parsed = url.and_then(|url| hop_url(&section, url));
        let credentials = credentials(&section, variables);
        let via = section.optional_bool("via").unwrap_or(true);
        let pipeline = section.optional_bool("pipeline").unwrap_or(false);
        let is_socks =
            |(kind, _): &(HopKind, Target)| matches!(kind, HopKind::Socks5 | HopKind::Socks5h);
        if pipeline && (credentials.is_some() || !parsed.as_ref().is_none_or(is_socks)) {
            section.at("pipeline").problem(
                "only a SOCKS hop without a password takes a request with its greeting",
                Some("remove `pipeline`"),
            );
        }
        let peer = PeerTls::read(&section);
        section.finish();
        let (kind, target) = parsed?;
        Some(Self {
            name: name.into(),
            kind,
            target,
            credentials,
            via,
            pipeline,
            peer,
            granted: GrantedTargets::default(),
        })
    }
}

/// Serialises in the form of `[hops]`, where the name is the key.
impl Serialize for Hop {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct HopForm<'h> {
            url: String,
            #[serde(flatten)]
            credentials: Option<&'h Credentials>,
            via: bool,
            pipeline: bool,
            #[serde(flatten)]
            peer: &'h PeerTls,
        }
        HopForm {
            url: self.url(),
            credentials: self.credentials.as_ref(),
            via: self.via,
            pipeline: self.pipeline,
            peer: &self.peer,
        }
        .serialize(to)
    }
}

/// Serialises hops as a table by name, for `serialize_with`.
pub(super) fn by_name<S: Serializer>(hops: &[Arc<Hop>], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(hops.len()))?;
    for hop in hops {
        map.serialize_entry(&*hop.name, &**hop)?;
    }
    map.end()
}

/// All valid hops.
pub(super) fn hops(
    section: &Section<'_, '_>,
    variables: Variables<'_>,
) -> BTreeMap<String, Arc<Hop>> {
    let mut hops = BTreeMap::new();
    for (name, place, hop) in section.named() {
        if ["direct", "environment"].contains(&name) {
            let message = format!("`{name}` is reserved for the built-in upstream");
            place.problem(message, Some("rename the hop"));
        }
        if let Some(hop) = Hop::read(hop, name, variables) {
            hops.insert(name.to_owned(), Arc::new(hop));
        }
    }
    hops
}

fn hop_url(hop: &Section<'_, '_>, text: &str) -> Option<(HopKind, Target)> {
    let place = hop.at("url");
    let complain = |message: String, hint: &str| {
        place.problem(message, Some(hint));
        None
    };
    let Some(url) = value::url(text) else {
        return complain(
            format!("`{}` is not a URL", place.key),
            "such as \"http://proxy.example:3128\" or \"socks5h://127.0.0.1:1080\"",
        );
    };
    if url.user_info.is_some() {
        return complain(
            "the URL has credentials in it".into(),
            "set `username` and `password_file` (or `password_env`) beside it",
        );
    }
    let Some(kind) = HopKind::of_scheme(&url.scheme) else {
        return complain(
            format!("`{}` is not a hop's scheme", url.scheme),
            &format!("one of {}", HopKind::schemes()),
        );
    };
    if !matches!(url.path, "" | "/") || url.more {
        return complain("a hop's URL has no path".into(), "remove the path");
    }
    match Target::parse(url.authority, kind.row().default_port) {
        Ok(target) => Some((kind, target)),
        Err(error) => complain(
            format!("`{}`: {error}", place.key),
            "a hop's URL is scheme://host:port",
        ),
    }
}
