//! Mirrors in a route's upstreams, and what concerns URLs: `[reverse]` and `[rewrite]`.

use super::or_base;
use crate::{
    config::{Mirror, Reverse, Rewrite, ToMirror, section::Section},
    model::{HostPattern, Scheme, Target, TlsMode},
};

const CREDENTIALS: [(&str, ToMirror); 2] =
    [("withhold", ToMirror::Withhold), ("pass", ToMirror::Pass)];

/// The mirror of an upstream, with what it may see; `parsed` is what its URL came to.
pub(super) fn resolve(
    entry: &Section<'_, '_>,
    parsed: Option<(Scheme, Target, Box<str>)>,
    tls: Option<TlsMode>,
) -> Option<Mirror> {
    let complain = |key: &'static str, message: &str, hint: &str| {
        let (place, key) = (entry.place(key), entry.key(key));
        entry.source.problem(place, &key, message, Some(hint));
    };
    let credentials = entry.one_of("credentials", &CREDENTIALS);
    if entry.has("credentials") && !entry.has("mirror") {
        complain(
            "credentials",
            "`credentials` is for mirrors: the site itself always gets them",
            "leave it out, or add `mirror`",
        );
    }
    let (scheme, target, base_path) = parsed?;
    if tls == Some(TlsMode::Tunnel) {
        complain(
            "mirror",
            "a tunnel cannot end at a mirror: in it the client checks the certificate of the host it asked for",
            "`tls = \"terminate\"` for the route",
        );
    }
    let credentials = credentials.or((!entry.has("credentials")).then_some(ToMirror::Withhold))?;
    if credentials == ToMirror::Pass && scheme == Scheme::Http && !target.host.is_loopback() {
        entry.source.doubt(
            entry.place("credentials"),
            &entry.key("credentials"),
            format!("credentials travel to {target} unencrypted"),
            Some("`https://` in `mirror`"),
        );
    }
    Some(Mirror {
        scheme,
        target,
        base_path,
        credentials,
    })
}

/// What tells a mirror apart in an upstream's label: no more than it needs.
pub(super) fn label(mirror: &Mirror) -> String {
    let scheme = match mirror.scheme {
        Scheme::Https => "",
        Scheme::Http => "http://",
    };
    let authority = mirror.target.authority(mirror.scheme);
    format!("{scheme}{authority}{}", mirror.base_path)
}

pub(super) fn reverse(section: Section<'_, '_>) -> Option<Reverse> {
    let written = section.strings("allow", false);
    let failed = section.has("allow") && written.is_none();
    let mut allow = Vec::new();
    for (text, span) in written.unwrap_or_default() {
        match text.parse::<HostPattern>() {
            Ok(pattern) => allow.push(pattern),
            Err(_) => section.source.problem(
                span,
                "reverse.allow",
                format!("{text:?} is no host"),
                Some("a name, an address, or a name with `*`; no scheme, no port, no path"),
            ),
        }
    }
    section.finish();
    (!failed).then_some(Reverse { allow })
}

pub(super) fn rewrite(section: Section<'_, '_>, base: Option<Rewrite>) -> Option<Rewrite> {
    let max_body = or_base(
        &section,
        "max_body",
        section.size("max_body"),
        base.map(|base| base.max_body),
    );
    if max_body.is_some_and(|size| !(64 * 1024..=256 * 1024 * 1024).contains(&size)) {
        section.source.problem(
            section.place("max_body"),
            "rewrite.max_body",
            "`rewrite.max_body` must lie between 64 KiB and 256 MiB",
            None,
        );
    }
    section.finish();
    Some(Rewrite {
        max_body: max_body?,
    })
}
