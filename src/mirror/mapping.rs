//! The URL mapping of one exchange: from a URL as the responding origin wrote it to one that keeps the client on its routes.
//!
//! Two steps: a mirror's URL becomes the original's; then, on the reverse front, a URL of any host that it serves becomes one of this
//! daemon.

use std::{borrow::Cow, fmt, sync::Arc};

use super::{
    reverse::ReverseBase,
    url::{self, Reference, Url, reference},
};
use crate::{
    config::Mirror,
    model::{Host, Scheme, Target},
};

/// True for hosts that the reverse front serves.
pub(crate) type ServedHosts = Arc<dyn Fn(&Target) -> bool + Send + Sync>;

/// Maps the URLs of one response.
#[derive(Clone)]
pub(crate) struct Mapping {
    /// The requested scheme.
    pub scheme: Scheme,
    /// The requested host and port.
    pub target: Target,
    /// The requested path, the base of relative references.
    pub path: Box<str>,
    /// The mirror that responded, if any.
    pub mirror: Option<Mirror>,
    /// On the reverse front: the daemon's address as the client wrote it.
    pub base: Option<ReverseBase>,
    /// The hosts that the reverse front serves.
    pub served: ServedHosts,
}

/// The result for a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MappedUrl {
    /// Unchanged.
    Unchanged,
    /// The new URL.
    Mapped(String),
    /// Unchanged, and the client bypasses this daemon: no route and no `[reverse] allow` names this host and port.
    Unserved {
        /// Its target.
        host: Box<str>,
        /// The URL with the origin's scheme, where it had none: the client would use this daemon's scheme.
        url: Option<String>,
    },
}

/// Where a URL stands, and what a client does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UrlUse {
    /// In a body: the client sends a new request.
    Link,
    /// In a header field, where it may be relative (RFC 3986, section 4.1): the client sends a new request.
    Reference,
    /// In a challenge: the client sends the credentials that the challenge requests there.
    Realm,
    /// In the `Location` of a redirect: the client repeats the request. See [`ReverseBase::map_to_other_name`].
    Redirect,
}

impl Mapping {
    /// True on the reverse front.
    pub(crate) fn is_reverse(&self) -> bool {
        self.base.is_some()
    }

    /// Normalises a reference so that all clients parse it alike, and makes a relative one a path. On the reverse front a client resolves
    /// it against another path than the origin expects: `../x` or `x` could then name another host's segment.
    fn resolved<'t>(&self, text: &'t str, usage: UrlUse) -> Cow<'t, str> {
        if !self.is_reverse() || usage == UrlUse::Link {
            return text.into();
        }
        let text = url::unambiguous(text);
        match url::is_relative_path(&text) {
            true => url::resolve_relative(&self.path, &text).into(),
            false => text,
        }
    }

    /// Scheme, host and port of a URL (the original's for a mirror's URL); the requested ones for a relative URL.
    pub(crate) fn origin(&self, text: &str, usage: UrlUse) -> (Scheme, Target) {
        self.original(&self.resolved(text, usage)).map_or_else(
            || (self.scheme, self.target.clone()),
            |(url, _)| (url.scheme, url.target),
        )
    }

    /// The URL that the original would have written; for a mirror's URL also the part after the mirror's base path.
    fn original<'u>(&self, text: &'u str) -> Option<(Url<'u>, Option<&'u str>)> {
        let reference = reference(text, self.responder().0);
        let original = match &reference {
            Reference::Other | Reference::Unreadable(_) => return None,
            Reference::Path(path) => self.below_base(path),
            Reference::Absolute(url) if self.is_of_mirror(url) => self.below_base(url.rest),
            Reference::Absolute(_) => None,
        };
        let own = |user, rest| Url {
            scheme: self.scheme,
            user,
            target: self.target.clone(),
            rest,
        };
        let url = match (reference, original) {
            (Reference::Other | Reference::Unreadable(_), _) => return None,
            (Reference::Path(path), original) => own("", original.unwrap_or(path)),
            (Reference::Absolute(url), Some(rest)) => own(url.user, rest),
            (Reference::Absolute(url), None) => url,
        };
        Some((url, original))
    }

    /// Maps a URL.
    pub(crate) fn map(&self, text: &str, usage: UrlUse) -> MappedUrl {
        let text = &*self.resolved(text, usage);
        if let Reference::Unreadable(authority) = reference(text, self.responder().0)
            && let Some(base) = &self.base
        {
            let unserved = || self.unserved(text, authority.chars().take(253).collect());
            return base
                .refused_url(authority)
                .map_or_else(unserved, MappedUrl::Mapped);
        }
        let Some((url, original)) = self.original(text) else {
            return MappedUrl::Unchanged;
        };
        let short = text.starts_with('/') && !text.starts_with("//");
        match &self.base {
            Some(base) if usage == UrlUse::Redirect && short => {
                MappedUrl::Mapped(base.map_path(&url))
            }
            Some(base) => match self.to_daemon(base, &url, usage) {
                Some(mapped) => MappedUrl::Mapped(mapped),
                None => self.unserved(text, url.target.to_string().into()),
            },
            None if original.is_none() && self.responder().0 != self.scheme => self
                .with_scheme(text)
                .map_or(MappedUrl::Unchanged, MappedUrl::Mapped),
            None if original.is_none_or(|rest| rest == text) => MappedUrl::Unchanged,
            None => MappedUrl::Mapped(self.to_original(&url, short)),
        }
    }

    fn unserved(&self, text: &str, host: Box<str>) -> MappedUrl {
        let url = self.with_scheme(text);
        MappedUrl::Unserved { host, url }
    }

    /// Adds the responder's scheme to a URL without one.
    fn with_scheme(&self, text: &str) -> Option<String> {
        let scheme = self.responder().0;
        text.starts_with("//").then(|| format!("{scheme}:{text}"))
    }

    /// The URL on this daemon; `None` for a host that the reverse front does not serve.
    fn to_daemon(&self, base: &ReverseBase, url: &Url<'_>, usage: UrlUse) -> Option<String> {
        let own = url.scheme == self.scheme && url.target == self.target;
        // Under any name: on a port of the daemon, the path would name a segment that the origin chose.
        let may_be_daemon = base.has_port(url.target.port);
        if !own && !may_be_daemon && !(self.served)(&url.target) {
            return None;
        }
        Some(match usage {
            UrlUse::Redirect if !own => base.map_to_other_name(url),
            UrlUse::Redirect | UrlUse::Reference | UrlUse::Realm | UrlUse::Link => base.map(url),
        })
    }

    /// The URL of the original; only its path where `short` is set and the path cannot be read as a host.
    fn to_original(&self, url: &Url<'_>, short: bool) -> String {
        let rest = url.rest;
        let slash = if rest.starts_with('/') { "" } else { "/" };
        if short && !rest.starts_with("//") {
            return format!("{slash}{rest}");
        }
        let authority = self.target.authority(self.scheme);
        let at = if url.user.is_empty() { "" } else { "@" };
        format!("{}://{}{at}{authority}{rest}", self.scheme, url.user)
    }

    /// Scheme and target of the server that responded.
    fn responder(&self) -> (Scheme, &Target) {
        self.mirror
            .as_ref()
            .map_or((self.scheme, &self.target), |mirror| {
                (mirror.scheme, &mirror.target)
            })
    }

    fn is_of_mirror(&self, url: &Url<'_>) -> bool {
        self.mirror
            .as_ref()
            .is_some_and(|mirror| url.scheme == mirror.scheme && url.target == mirror.target)
    }

    /// The part after the mirror's base path.
    fn below_base<'p>(&self, path: &'p str) -> Option<&'p str> {
        strip_base(path, &self.mirror.as_ref()?.base_path)
    }

    /// True where the responding origin may set a cookie for `domain` (RFC 6265, section 5.1.3).
    pub(super) fn is_of_origin(&self, domain: &str) -> bool {
        let domain = domain.strip_prefix('.').unwrap_or(domain);
        match &self.responder().1.host {
            Host::Name(name) => {
                let domain = domain.to_ascii_lowercase();
                let above = name
                    .strip_suffix(domain.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                // `Domain=co` would apply to every host of that suffix; clients reject it with a list of public suffixes.
                above && (domain.contains('.') || *domain == **name)
            }
            Host::Ip(ip) => domain.parse() == Ok(*ip),
        }
    }

    /// On the reverse front, the default path of a cookie (RFC 6265, section 5.1.4), below the segment of its host.
    pub(super) fn default_cookie_path(&self) -> Option<String> {
        let base = self.base.as_ref()?;
        let end = self.path.find('?').unwrap_or(self.path.len());
        let path = self.path.get(..end)?;
        let directory = path.rfind('/').and_then(|at| path.get(..at));
        let directory = directory.filter(|path| !path.is_empty()).unwrap_or("/");
        let segment = base.path_of(self.scheme, &self.target);
        Some(format!("{segment}{directory}"))
    }

    /// A cookie's path as the client must see it; `None` where no request of the client would match it.
    pub(super) fn cookie_path(&self, path: &str) -> Option<String> {
        let original = match &self.mirror {
            None => path,
            Some(mirror) => match strip_base(path, &mirror.base_path) {
                Some("") => "/",
                Some(rest) => rest,
                // A cookie for a path above the mirror's base applies to the whole base.
                None if strip_base(&mirror.base_path, path.trim_end_matches('/')).is_some() => "/",
                None => return None,
            },
        };
        Some(match &self.base {
            Some(base) => format!("{}{original}", base.path_of(self.scheme, &self.target)),
            None => original.to_owned(),
        })
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("target", &self.target)
            .field("mirror", &self.mirror)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// The path on a mirror for `path`.
pub(crate) fn mirror_path(mirror: &Mirror, path: &str) -> String {
    format!("{}{path}", mirror.base_path)
}

/// The part of `path` after `base`; `None` where `path` is neither `base` nor below it.
fn strip_base<'p>(path: &'p str, base: &str) -> Option<&'p str> {
    path.strip_prefix(base)
        .filter(|rest| base.is_empty() || rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

#[cfg(test)]
mod tests;
