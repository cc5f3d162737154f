//! A route's `resolve`: addresses that override names.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::{
    config::{Upstream, section::Section},
    model::{Host, HostPattern},
};

/// An address that overrides a host of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Override {
    /// The address.
    pub ip: IpAddr,
    /// A port that replaces the target's.
    pub port: Option<u16>,
}

/// Formats it like the config.
impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

impl Serialize for Override {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Serialises overrides as a table by host, for `serialize_with`.
pub(super) fn by_host<S: Serializer>(
    overrides: &BTreeMap<Host, Vec<Override>>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(overrides.len()))?;
    for (host, list) in overrides {
        map.serialize_entry(&HostPattern::Exact(host.clone()), list)?;
    }
    map.end()
}

/// The overrides. Each must be for a host of the route or of one of its mirrors.
pub(super) fn read(
    section: Section<'_, '_>,
    hosts: &[HostPattern],
    upstreams: &[Arc<Upstream>],
) -> BTreeMap<Host, Vec<Override>> {
    let mirrors = upstreams
        .iter()
        .filter_map(|upstream| upstream.mirror.as_ref());
    let mirrors: Vec<&Host> = mirrors.map(|mirror| &mirror.target.host).collect();
    let mut overrides = BTreeMap::new();
    for (name, place, addresses) in section.named_lists() {
        let Ok(host) = name.parse::<Host>() else {
            let hint = "a host of this route, without a port";
            place.problem(format!("{name:?} is not a host"), Some(hint));
            continue;
        };
        if !mirrors.contains(&&host) && !hosts.iter().any(|pattern| pattern.matches(&host)) {
            let message = format!("{name:?} is not a host of this route");
            place.problem(message, Some("add it to `hosts`"));
        }
        let mut list = Vec::new();
        for item in addresses {
            match address(item.text) {
                Some(address) => list.push(address),
                None => item.place.problem(
                    format!("{:?} is not an address", item.text),
                    Some("such as \"192.0.2.1\", \"192.0.2.1:8443\" or \"[2001:db8::1]:8443\""),
                ),
            }
        }
        overrides.insert(host, list);
    }
    overrides
}

fn address(text: &str) -> Option<Override> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(Override {
            ip: address.ip(),
            port: Some(address.port()),
        });
    }
    text.parse::<IpAddr>()
        .ok()
        .map(|ip| Override { ip, port: None })
}
