//! The reverse front's form of a URL: `https://huggingface.co/x` is `http://127.0.0.1:4483/huggingface.co/x`.
//!
//! The first segment contains scheme, host and port: `HOST` and `HOST:PORT` are https, `HOST:80` is plain http, and an explicit scheme
//! covers the rest: `http:HOST:8080`, `https:HOST:80`. [`segment`] writes it, [`parse_segment`] reads it.

use super::url::{Url, resolve_dots};
use crate::model::{Host, Scheme, Secret, Target, target::TargetError};

/// The daemon's address as the client wrote it: mapped URLs begin with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReverseBase {
    /// `http://127.0.0.1:4483`, without a final slash.
    origin: Box<str>,
    /// The path before the host's segment, including its slash: the secret first segment, or nothing.
    prefix: Secret,
    /// The same daemon under another name, which a client treats as another origin; equal to `origin` where there is none.
    other_origin: Box<str>,
    /// The daemon's ports; first the one that this client uses.
    ports: Vec<u16>,
}

impl ReverseBase {
    /// From the request's `Host`, and the path before the host's segment.
    pub(crate) fn new(host: &str, prefix: &str) -> Self {
        let origin = format!("http://{host}");
        let other_origin = Target::parse(host, Some(Scheme::Http.default_port()))
            .ok()
            .and_then(|target| other_loopback_name(&target.host).map(|name| (name, target.port)))
            .map_or_else(
                || origin.clone(),
                |(name, port)| {
                    let host: Host = Host::Name(name.into());
                    let target = Target::new(host, port);
                    format!("http://{}", target.authority(Scheme::Http))
                },
            );
        let port = Target::parse(host, Some(Scheme::Http.default_port()));
        Self {
            ports: vec![port.map_or(Scheme::Http.default_port(), |target| target.port)],
            origin: origin.into(),
            prefix: Secret::new(prefix),
            other_origin: other_origin.into(),
        }
    }

    /// The URL on this daemon for `url`; the part after the authority stays unchanged.
    pub(crate) fn map(&self, url: &Url<'_>) -> String {
        self.on_origin(&self.origin, url)
    }

    /// Like [`ReverseBase::map`], but a path only, for a redirect that has only a path: the Hub's client treats such a redirect as a
    /// renamed repository, and any other as one to the storage (huggingface_hub 0.x and 1.x,
    /// `_httpx_follow_relative_redirects_with_backoff`).
    pub(crate) fn map_path(&self, url: &Url<'_>) -> String {
        format!(
            "{}{}",
            self.path_of(url.scheme, &url.target),
            resolve_dots(url.rest)
        )
    }

    /// Adds the other ports that the daemon listens on.
    #[must_use]
    pub(crate) fn with_ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.ports.extend(ports);
        self
    }

    /// True for a port of this daemon that the client can reach.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }

    /// A URL that this daemon refuses, in place of one whose `authority` gitferry cannot parse and a client may resolve to this daemon:
    /// curl and WHATWG's URL read `127.1` and `2130706433` as addresses. `None` for a port that is not this daemon's.
    pub(crate) fn refused_url(&self, authority: &str) -> Option<String> {
        let (_, port) = authority.rsplit_once(':')?;
        if !port.parse().is_ok_and(|port| self.has_port(port)) {
            return None;
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-');
        let segment = authority.replace(|c: char| !plain(c), "_");
        Some(format!(
            "{}{}/{segment}/",
            self.origin,
            self.prefix.expose()
        ))
    }

    /// The path prefix of an origin.
    pub(super) fn path_of(&self, scheme: Scheme, target: &Target) -> String {
        format!("{}/{}", self.prefix.expose(), segment(scheme, target))
    }

    /// Maps a redirect to another host.
    ///
    /// A client compares host names to decide whether a redirect leaves the site, and then drops `Authorization`. The Hub's client also
    /// stops there, because the redirect contains the metadata that it wants (`_is_same_or_hub_host` of huggingface_hub 2.4). If all hosts
    /// had one name, clients would send the user's token to the storage, which rejects a presigned URL with additional credentials. So such
    /// a redirect uses `localhost` instead of `127.0.0.1`, or the reverse.
    pub(crate) fn map_to_other_name(&self, url: &Url<'_>) -> String {
        self.on_origin(&self.other_origin, url)
    }

    /// `url` as a path of `origin`, with its user info: a client sends it to the daemon as it would send it to the host.
    fn on_origin(&self, origin: &str, url: &Url<'_>) -> String {
        let path = self.map_path(url);
        match (url.user, origin.strip_prefix("http://")) {
            (user, Some(daemon)) if !user.is_empty() => format!("http://{user}@{daemon}{path}"),
            _ => format!("{origin}{path}"),
        }
    }
}

fn other_loopback_name(host: &Host) -> Option<&'static str> {
    match host {
        Host::Name(name) => (&**name == "localhost").then_some("127.0.0.1"),
        Host::Ip(ip) => ip.is_loopback().then_some("localhost"),
    }
}

/// The first path segment of an origin.
pub(crate) fn segment(scheme: Scheme, target: &Target) -> String {
    // A host named `http` or `https` would be read as a scheme.
    let ambiguous = matches!(&target.host, Host::Name(name) if matches!(&**name, "http" | "https"));
    match (scheme, target.port) {
        (Scheme::Https, 443) => target.host.to_string(),
        (Scheme::Http, 80) if !ambiguous => target.to_string(),
        (Scheme::Https, port) if port != 80 && !ambiguous => target.to_string(),
        (scheme, _) => format!("{scheme}:{target}"),
    }
}

/// Parses scheme and target of a first segment.
///
/// Fails as [`Target::parse`] does.
pub(crate) fn parse_segment(text: &str) -> Result<(Scheme, Target), TargetError> {
    let text = decoded(text);
    for scheme in [Scheme::Https, Scheme::Http] {
        let rest = text
            .strip_prefix(scheme.as_str())
            .and_then(|rest| rest.strip_prefix(':'));
        if let Some(rest) = rest {
            return Ok((scheme, Target::parse(rest, Some(scheme.default_port()))?));
        }
    }
    let target = Target::parse(&text, Some(Scheme::Https.default_port()))?;
    let scheme = match target.port {
        80 => Scheme::Http,
        _ => Scheme::Https,
    };
    Ok((scheme, target))
}

/// Some clients write `:`, `[` and `]` of a path as escapes (RFC 3986 allows both).
fn decoded(text: &str) -> String {
    [("%3A", ":"), ("%5B", "["), ("%5D", "]")].into_iter().fold(
        text.to_owned(),
        |text, (escape, letter)| {
            text.replace(escape, letter)
                .replace(&escape.to_ascii_lowercase(), letter)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::{super::url, *};

    fn map(text: &str) -> String {
        match url::reference(text, Scheme::Https) {
            url::Reference::Absolute(url) => ReverseBase::new("127.0.0.1:4483", "").map(&url),
            other => panic!("{text} is {other:?}"),
        }
    }

    #[test]
    fn every_scheme_host_and_port_has_its_own_segment() {
        for (url, segment) in [
            ("https://hf.co/a?b=c#d", "hf.co/a?b=c#d"),
            ("https://hf.co", "hf.co"),
            ("https://hf.co:8443/x%2Fy", "hf.co:8443/x%2Fy"),
            ("https://hf.co:80/", "https:hf.co:80/"),
            ("http://hf.co/x", "hf.co:80/x"),
            ("http://hf.co:8080/x", "http:hf.co:8080/x"),
            ("http://hf.co:443/x", "http:hf.co:443/x"),
            ("http://[::1]:9000/x", "http:[::1]:9000/x"),
            ("https://http/x", "http/x"),
            ("http://http/x", "http:http:80/x"),
            ("https://https:8443/x", "https:https:8443/x"),
        ] {
            assert_eq!(
                map(url),
                format!("http://127.0.0.1:4483/{segment}"),
                "{url}"
            );
        }
    }

    #[test]
    fn user_info_of_a_url_is_kept() {
        let mapped = map("https://me:pass@hf.co/x");
        assert_eq!(mapped, "http://me:pass@127.0.0.1:4483/hf.co/x");
    }

    #[test]
    fn a_segment_is_parsed_to_the_origin_it_was_made_from() {
        for host in ["hf.co", "http", "https", "127.0.0.1", "[::1]", "a_b.test"] {
            for port in [1, 80, 443, 8080, 65535] {
                for scheme in [Scheme::Http, Scheme::Https] {
                    let target = Target::new(host.parse().unwrap(), port);
                    let text = segment(scheme, &target);
                    assert_eq!(parse_segment(&text), Ok((scheme, target.clone())), "{text}");
                    let escaped = text
                        .replace(':', "%3a")
                        .replace('[', "%5B")
                        .replace(']', "%5d");
                    assert_eq!(parse_segment(&escaped), Ok((scheme, target)), "{escaped}");
                }
            }
        }
        for bad in ["", "http:", "https::80", "http:8080", "me@hf.co", "hf.co:x"] {
            parse_segment(bad).unwrap_err();
        }
    }

    #[test]
    fn the_daemons_other_name_is_localhost_or_127_0_0_1() {
        for (host, other_origin) in [
            ("127.0.0.1:4483", "http://localhost:4483"),
            ("localhost:4483", "http://127.0.0.1:4483"),
            ("[::1]:4483", "http://localhost:4483"),
            ("127.0.0.1", "http://localhost"),
            ("gitferry.lan:4483", "http://gitferry.lan:4483"),
        ] {
            let base = ReverseBase::new(host, "");
            assert_eq!(&*base.origin, format!("http://{host}"));
            assert_eq!(&*base.other_origin, other_origin);
        }
    }
}
