//! A route's upstreams: through what, to the site or to a mirror.

use std::sync::Arc;

use super::{Names, mirror};
use crate::{
    config::{Upstream, Via, section::Section, value},
    model::TlsMode,
};

/// How it is written.
const SUCH_AS: &str = "such as `upstreams = [{ via = \"environment\" }]`";

pub(super) fn upstreams(
    section: &Section<'_, '_>,
    tls: Option<TlsMode>,
    names: &mut Names<'_>,
) -> Option<Vec<Arc<Upstream>>> {
    let source = section.source;
    let key = section.key("upstreams");
    let Some(sections) = section.sections("upstreams", SUCH_AS) else {
        if !section.has("upstreams") && tls != Some(TlsMode::Deny) {
            source.problem(
                section.span(),
                &key,
                "a route needs `upstreams`",
                Some(SUCH_AS),
            );
        }
        return (tls == Some(TlsMode::Deny)).then(Vec::new);
    };
    if sections.is_empty() && tls != Some(TlsMode::Deny) {
        source.problem(
            section.place("upstreams"),
            &key,
            "`upstreams` is empty: there is no way to these hosts",
            Some("`{ via = \"direct\" }` at least"),
        );
    }
    let mut upstreams: Vec<Arc<Upstream>> = Vec::new();
    for entry in sections {
        let via = match entry.string("via") {
            None => (!entry.has("via")).then(|| {
                (
                    "environment".to_owned(),
                    Via::Environment(Arc::clone(names.environment)),
                )
            }),
            Some(name) => via(&entry, name, names),
        };
        let written = entry.has("mirror");
        let mirror = entry.parsed(
            "mirror",
            value::mirror,
            "such as `mirror = \"https://hf-mirror.com\"`",
        );
        let mirror = mirror::resolve(&entry, mirror, tls);
        if let Some((label, via)) = via
            && written == mirror.is_some()
        {
            let label = match &mirror {
                Some(mirror) => format!("{label} to {}", mirror::label(mirror)),
                None => label,
            };
            if upstreams.iter().any(|upstream| *upstream.label == label) {
                source.problem(
                    entry.span(),
                    &key,
                    format!("`{label}` stands in the list twice"),
                    None,
                );
            }
            upstreams.push(Arc::new(Upstream {
                label: label.into(),
                via,
                mirror,
            }));
        }
        entry.finish();
    }
    Some(upstreams)
}

fn via(entry: &Section<'_, '_>, name: &str, names: &mut Names<'_>) -> Option<(String, Via)> {
    let via = match name {
        "direct" => Some(Via::Direct),
        "environment" => Some(Via::Environment(Arc::clone(names.environment))),
        name => names.hops.get(name).cloned().map(Via::Hop),
    };
    if via.is_none() {
        let valid = ["direct", "environment"]
            .into_iter()
            .chain(names.hops.keys().map(String::as_str));
        let list = valid
            .map(|name| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(", ");
        let message = format!("there is no hop `{name}`");
        entry.source.problem(
            entry.place("via"),
            &entry.key("via"),
            message,
            Some(&format!("one of {list}; hops are made in `[hops]`")),
        );
    }
    names.used.insert(name.to_owned());
    via.map(|via| (name.to_owned(), via))
}
