//! A route's `resolve`: addresses that stand for names.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::{
    config::{Override, section::Section},
    model::{Host, HostPattern},
};

pub(super) fn overrides(
    section: &Section<'_, '_>,
    hosts: &[HostPattern],
) -> BTreeMap<Host, Vec<Override>> {
    let source = section.source;
    let mut overrides = BTreeMap::new();
    for (name, span, addresses) in section.lists() {
        let key = section.key(name);
        let Ok(host) = name.parse::<Host>() else {
            source.problem(
                span,
                &key,
                format!("{name:?} is no host"),
                Some("a host of this route, without a port"),
            );
            continue;
        };
        if !hosts.iter().any(|pattern| pattern.matches(&host)) {
            source.problem(
                span,
                &key,
                format!("{name:?} is no host of this route"),
                Some("add it to `hosts`"),
            );
        }
        let mut list = Vec::new();
        for (text, span) in addresses {
            match address(text) {
                Some(address) => list.push(address),
                None => source.problem(
                    span,
                    &key,
                    format!("{text:?} is no address"),
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
