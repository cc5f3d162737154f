//! URLs in header fields: links, challenges, cookies. Each function is pure and maps one field value.

use super::Mapping;

/// The result for a field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Unchanged.
    Keep,
    /// The new value.
    Replace(String),
    /// The field is removed.
    Remove,
}

/// Maps one URL; `None` where it stays unchanged.
pub(crate) type MapUrl<'m> = dyn FnMut(&str) -> Option<String> + 'm;

/// A field that is one URL: `Location`, `Content-Location`, `X-Xet-Cas-Url`.
pub(crate) fn url(value: &str, map: &mut MapUrl<'_>) -> Edit {
    map(value.trim()).map_or(Edit::Keep, Edit::Replace)
}

/// Maps the targets of `<URL>; rel="next", <URL>; …` (RFC 8288, section 3). An `anchor` names a context, which no client follows.
pub(crate) fn link(value: &str, map: &mut MapUrl<'_>) -> Edit {
    let mut out = String::with_capacity(value.len());
    let mut copied = 0;
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted && at >= copied => {
                let rest = value.get(at + 1..).unwrap_or_default();
                let Some(target) = rest.find('>').and_then(|end| rest.get(..end)) else {
                    break;
                };
                if let Some(mapped) = map(target) {
                    out.push_str(value.get(copied..=at).unwrap_or_default());
                    out.push_str(&mapped);
                    copied = at + 1 + target.len();
                }
            }
            _ => {}
        }
    }
    replaced(out, copied, value)
}

/// Maps the realm of `Bearer realm="https://host/token",service="…"` where it is an absolute URL. Any other realm is a name.
pub(crate) fn challenge(value: &str, map: &mut MapUrl<'_>) -> Edit {
    const REALM: &str = "realm=\"";
    let mut out = String::with_capacity(value.len());
    let mut copied = 0;
    // Conversion to ASCII lower case keeps all byte positions.
    let lower = value.to_ascii_lowercase();
    for (at, _) in lower.match_indices(REALM) {
        let before = value.get(..at).unwrap_or_default();
        let begins = before.is_empty() || before.ends_with([' ', ',', '\t']);
        if !begins || is_inside_quotes(before) {
            continue;
        }
        let rest = value.get(at + REALM.len()..).unwrap_or_default();
        let Some(realm) = rest.find('"').and_then(|end| rest.get(..end)) else {
            continue;
        };
        if !realm.contains("://") {
            continue;
        }
        if let Some(mapped) = map(realm) {
            let start = at + REALM.len();
            out.push_str(value.get(copied..start).unwrap_or_default());
            out.push_str(&mapped);
            copied = start + realm.len();
        }
    }
    replaced(out, copied, value)
}

/// Maps `name=value; Domain=…; Path=…; Secure` (RFC 6265, section 4.1) for the host that the client believes it talks to.
///
/// Removes `Domain`, so that the client returns the cookie to this host only. A cookie for a domain that does not include the origin is
/// removed, as a client would reject it. `Path` is mapped like a path. On the reverse front, where all hosts share one name, every cookie
/// gets a `Path`, and `Secure` is removed: a client does not send such a cookie over plain HTTP.
pub(crate) fn cookie(value: &str, mapping: &Mapping) -> Edit {
    let mut out = String::new();
    let mut has_path = false;
    for (at, part) in value.split(';').enumerate() {
        let (name, setting) = match part.split_once('=') {
            Some((name, setting)) => (name.trim(), setting.trim()),
            None => (part.trim(), ""),
        };
        if at == 0 {
            out.push_str(part);
            continue;
        }
        if name.eq_ignore_ascii_case("domain") {
            if !setting.is_empty() && !mapping.is_of_origin(setting) {
                return Edit::Remove;
            }
        } else if name.eq_ignore_ascii_case("path") {
            // curl strips quotes; a path without a leading slash counts as absent (RFC 6265, section 5.2.4).
            let setting = setting.trim_matches('"');
            if !setting.starts_with('/') {
                has_path = false;
                continue;
            }
            has_path = true;
            match mapping.cookie_path(setting) {
                Some(path) if path == setting => out.extend([";", part]),
                Some(path) => out.extend(["; Path=", path.as_str()]),
                None => return Edit::Remove,
            }
        } else if !(name.eq_ignore_ascii_case("secure") && mapping.is_reverse()) {
            out.extend([";", part]);
        }
    }
    if !has_path && let Some(path) = mapping.default_cookie_path() {
        out.extend(["; Path=", path.as_str()]);
    }
    if out == value {
        Edit::Keep
    } else {
        Edit::Replace(out)
    }
}

fn replaced(mut out: String, copied: usize, value: &str) -> Edit {
    if copied == 0 {
        return Edit::Keep;
    }
    out.push_str(value.get(copied..).unwrap_or_default());
    Edit::Replace(out)
}

fn is_inside_quotes(before: &str) -> bool {
    let mut quoted = false;
    let mut escaped = false;
    for byte in before.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(url: &str) -> Option<String> {
        url.strip_prefix("https://").map(|rest| format!("x:{rest}"))
    }

    fn replace(text: &str) -> Edit {
        Edit::Replace(text.into())
    }

    #[test]
    fn every_target_of_a_link_field_is_mapped_and_its_parameters_stay() {
        let value =
            r#"<https://a/x,y;z>; rel="next"; title="<https://kept>", </b>;rel=x,<https://c>"#;
        let expected = r#"<x:a/x,y;z>; rel="next"; title="<https://kept>", </b>;rel=x,<x:c>"#;
        assert_eq!(link(value, &mut mark), replace(expected));
        for kept in [
            "",
            "<",
            "<https://a",
            "https://a; rel=next",
            r#""<https://a>""#,
        ] {
            assert_eq!(link(kept, &mut mark), Edit::Keep, "{kept}");
        }
    }

    #[test]
    fn a_realm_is_mapped_only_where_it_is_a_url() {
        for (value, expected) in [
            (
                r#"Bearer realm="https://a/token",service="s""#,
                r#"Bearer realm="x:a/token",service="s""#,
            ),
            (
                r#"Negotiate, Basic Realm="https://a", Bearer scope="b",realm="https://c""#,
                r#"Negotiate, Basic Realm="x:a", Bearer scope="b",realm="x:c""#,
            ),
        ] {
            assert_eq!(challenge(value, &mut mark), replace(expected), "{value}");
        }
        for kept in [
            r#"Basic realm="GitLab""#,
            r#"Basic realm="/x""#,
            r#"Bearer scope=" realm=\"https://a""#,
            r#"Bearer xrealm="https://a""#,
            r#"Bearer realm="https://a"#,
            "Basic",
        ] {
            let mut any = |url: &str| Some(format!("mapped {url}"));
            assert_eq!(challenge(kept, &mut any), Edit::Keep, "{kept}");
        }
    }
}
