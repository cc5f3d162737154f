//! `[hops]`: named ways out.

use std::{collections::BTreeMap, sync::Arc};

use super::{Variables, credentials::credentials};
use crate::{
    config::{Hop, HopKind, section::Section, value},
    model::Target,
};

pub(super) fn hops(
    section: &Section<'_, '_>,
    variables: Variables<'_>,
) -> BTreeMap<String, Arc<Hop>> {
    let mut hops = BTreeMap::new();
    for (name, span, hop) in section.named() {
        if ["direct", "environment"].contains(&name) {
            let message = format!("`{name}` is taken: it is a way out of its own");
            section.source.problem(
                span,
                &section.key(name),
                message,
                Some("call the hop something else"),
            );
        }
        let credentials = credentials(&hop, variables);
        let url = hop.string("url");
        if url.is_none() && !hop.has("url") {
            section.source.problem(
                hop.span(),
                &hop.key("url"),
                format!("`{}` is missing", hop.key("url")),
                Some("such as `url = \"http://proxy.example:3128\"`"),
            );
        }
        if let Some(parsed) = url.and_then(|url| hop_url(&hop, url)) {
            let (kind, target) = parsed;
            hops.insert(
                name.to_owned(),
                Arc::new(Hop {
                    name: name.into(),
                    kind,
                    target,
                    credentials,
                }),
            );
        }
        hop.finish();
    }
    hops
}

pub(super) fn hop_url(hop: &Section<'_, '_>, text: &str) -> Option<(HopKind, Target)> {
    let complain = |message: String, hint: &str| {
        hop.source
            .problem(hop.place("url"), &hop.key("url"), message, Some(hint));
        None
    };
    let Some(url) = value::url(text) else {
        return complain(
            format!("`{}` is no URL", hop.key("url")),
            "such as \"http://proxy.example:3128\" or \"socks5h://127.0.0.1:1080\"",
        );
    };
    if url.user_info.is_some() {
        return complain(
            "the URL has credentials in it".into(),
            "set `username` and `password_file` (or `password_env`) beside it",
        );
    }
    let Some((kind, default_port)) = hop_kind(&url.scheme) else {
        return complain(
            format!("`{}` is no kind of hop", url.scheme),
            "one of http, https, socks5, socks5h",
        );
    };
    if !matches!(url.path, "" | "/") || url.more {
        return complain(
            "a hop's URL ends after its port".into(),
            "leave the path away",
        );
    }
    match Target::parse(url.authority, default_port) {
        Ok(target) => Some((kind, target)),
        Err(error) => complain(
            format!("`{}`: {error}", hop.key("url")),
            "a hop's URL is scheme://host:port",
        ),
    }
}

/// The kind by its scheme, and the port that the scheme implies; clients disagree on that of plain `http`.
pub(in crate::config) fn hop_kind(scheme: &str) -> Option<(HopKind, Option<u16>)> {
    Some(match scheme {
        "http" => (HopKind::Http, None),
        "https" => (HopKind::Https, Some(443)),
        "socks5" => (HopKind::Socks5, Some(1080)),
        "socks5h" => (HopKind::Socks5h, Some(1080)),
        _ => return None,
    })
}
