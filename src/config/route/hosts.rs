//! A route's `hosts`.

use crate::{
    config::section::{Item, Section},
    model::{HostPattern, TlsMode},
};

/// The hosts of earlier routes: the pattern, the ports, and the route's name.
pub(super) type HostOwners = Vec<(HostPattern, Option<Vec<u16>>, String)>;

/// The valid patterns.
pub(super) fn read(
    section: &Section<'_, '_>,
    tls: Option<TlsMode>,
    ports: Option<&Vec<u16>>,
    earlier: &mut HostOwners,
) -> Vec<HostPattern> {
    let items = section.strings("hosts");
    if section.is_empty_list("hosts") {
        let place = section.at("hosts");
        place.problem("the route has no hosts", None);
    }
    let route = section.string("name").unwrap_or_default();
    let mut hosts = Vec::new();
    for item in items {
        let Some(pattern) = pattern(&item, tls) else {
            continue;
        };
        // A route of the file may have the same host as a built-in route.
        if !item.place.is_built_in() || !section.is_in_file() {
            let before = earlier.iter().find(|(known, known_ports, _)| {
                *known == pattern && covers(known_ports.as_ref(), ports)
            });
            if let Some((_, _, other)) = before {
                let text = item.text;
                item.place.problem(
                    format!("route `{other}` has {text:?} already: this entry is never used"),
                    Some("the first match is used"),
                );
                continue;
            }
            earlier.push((pattern.clone(), ports.cloned(), route.to_owned()));
        }
        hosts.push(pattern);
    }
    hosts
}

fn pattern(item: &Item<'_, '_>, tls: Option<TlsMode>) -> Option<HostPattern> {
    let text = item.text;
    let Ok(pattern) = text.parse::<HostPattern>() else {
        let hint = "a name, an address, or a name with `*`; no scheme, no port, no path";
        item.place
            .problem(format!("{text:?} is not a host"), Some(hint));
        return None;
    };
    let narrow = match &pattern {
        HostPattern::Exact(_) => true,
        HostPattern::Wildcard(_) => pattern
            .subtree()
            .is_some_and(|subtree| subtree.contains('.')),
    };
    if tls == Some(TlsMode::Terminate) && !narrow {
        let message = format!(
            "{text:?} is too wide for TLS termination: the local CA is constrained to the configured names"
        );
        let hint = "at least two labels after the last `*`, or `tls = \"tunnel\"`";
        item.place.problem(message, Some(hint));
        return None;
    }
    Some(pattern)
}

/// True where all ports of `ports` are in `known`; `None` means every port.
fn covers(known: Option<&Vec<u16>>, ports: Option<&Vec<u16>>) -> bool {
    known.is_none_or(|known| ports.is_some_and(|ports| ports.iter().all(|p| known.contains(p))))
}
