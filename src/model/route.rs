//! The host patterns, the role and the TLS mode of a route.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use super::target::Host;
use crate::model::named::named;

named! {
/// What a route's hosts serve; a verdict compares the main site with its storage.
pub enum Role {
    /// The site that answers git's requests and the LFS batch.
    MainSite = "main-site",
    /// The storage that LFS objects go to.
    LfsStorage = "lfs-storage",
    /// Anything else.
    Other = "other",
}
}

named! {
/// What to do with the TLS of a client that asks for a tunnel.
pub enum TlsMode {
    /// Terminate TLS with a leaf certificate of the local CA, and forward request by request.
    Terminate = "terminate",
    /// Pass the bytes on unchanged.
    Tunnel = "tunnel",
    /// Refuse.
    Deny = "deny",
}
}

/// A host of a route: a name or address, or a name with `*` in it.
///
/// `*` matches one or more characters. A first label that is only `*` also covers deeper names
/// (`*.hf.co` covers `a.hf.co` and `a.b.hf.co`, not `hf.co`); elsewhere `*` stays inside its label
/// (`cdn-lfs*.huggingface.co`), where it may also match the empty string.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(Host),
    /// A pattern with at least one `*`, lower case.
    Wildcard(Box<str>),
}

impl HostPattern {
    /// True where `host` is covered.
    pub(crate) fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(exact), host) => exact == host,
            (Self::Wildcard(_), Host::Ip(_)) => false,
            (Self::Wildcard(pattern), Host::Name(name)) => wildcard_matches(pattern, name),
        }
    }

    /// True for a pattern without `*`.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }

    /// True for a pattern that may cover several hosts.
    pub(crate) fn is_wildcard(&self) -> bool {
        !self.is_exact()
    }

    /// The DNS subtree that covers every host of the pattern: what a name-constrained CA must permit.
    ///
    /// `None` for an address and for `*` alone.
    pub(crate) fn subtree(&self) -> Option<&str> {
        match self {
            Self::Exact(Host::Name(name)) => Some(name),
            Self::Exact(Host::Ip(_)) => None,
            Self::Wildcard(pattern) => {
                let after_star = pattern.rfind('*').and_then(|at| pattern.get(at..))?;
                after_star.split_once('.').map(|(_, rest)| rest)
            }
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // In the config an address is written without brackets.
            Self::Exact(Host::Ip(ip)) => write!(f, "{ip}"),
            Self::Exact(host) => host.fmt(f),
            Self::Wildcard(pattern) => f.write_str(pattern),
        }
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl FromStr for HostPattern {
    type Err = super::target::TargetError;

    /// Fails where the text, with a letter for every `*`, is not a valid host.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.contains('*') {
            return text.parse().map(Self::Exact);
        }
        text.replace('*', "x").parse::<Host>()?;
        Ok(Self::Wildcard(text.to_ascii_lowercase().into()))
    }
}

fn wildcard_matches(pattern: &str, name: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("*.") {
        // The star may cover several labels: try every position where the rest may begin.
        return name.match_indices('.').any(|(at, _)| {
            at > 0
                && name
                    .get(at + 1..)
                    .is_some_and(|tail| labels_match(rest, tail))
        });
    }
    labels_match(pattern, name)
}

fn labels_match(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut labels) = (pattern.split('.'), name.split('.'));
    loop {
        match (patterns.next(), labels.next()) {
            (None, None) => return true,
            (Some("*"), Some(label)) if !label.is_empty() => {}
            (Some(pattern), Some(label)) if label_matches(pattern, label) => {}
            _ => return false,
        }
    }
}

fn label_matches(pattern: &str, label: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = label.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, host: &str) -> bool {
        pattern
            .parse::<HostPattern>()
            .unwrap()
            .matches(&host.parse().unwrap())
    }

    #[test]
    fn a_pattern_covers_its_hosts_and_no_others() {
        for (pattern, host) in [
            ("huggingface.co", "HuggingFace.co"),
            ("*.hf.co", "cdn-lfs.hf.co"),
            ("*.hf.co", "cas-server.xethub.hf.co"),
            ("cdn-lfs*.huggingface.co", "cdn-lfs.huggingface.co"),
            ("cdn-lfs*.huggingface.co", "cdn-lfs-us-1.huggingface.co"),
            (
                "hf-hub-lfs-*.s3-accelerate.amazonaws.com",
                "hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com",
            ),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert!(covers(pattern, host), "{pattern} should cover {host}");
        }
        for (pattern, host) in [
            ("huggingface.co", "evil-huggingface.co"),
            ("*.hf.co", "hf.co"),
            ("*.hf.co", "xhf.co"),
            ("cdn-lfs*.huggingface.co", "cdn-lfs.evil.huggingface.co"),
            ("cdn-lfs*.huggingface.co", "acdn-lfs.huggingface.co"),
            ("*.hf.co", "hf.co.evil.example"),
            ("*.0.0.x", "127.0.0.1"),
        ] {
            assert!(!covers(pattern, host), "{pattern} should not cover {host}");
        }
    }

    #[test]
    fn the_subtree_of_a_pattern_is_what_follows_its_last_star() {
        for (pattern, subtree) in [
            ("hf.co", Some("hf.co")),
            ("*.hf.co", Some("hf.co")),
            ("hf-*.s3.amazonaws.com", Some("s3.amazonaws.com")),
            ("127.0.0.1", None),
            ("*", None),
        ] {
            assert_eq!(
                pattern.parse::<HostPattern>().unwrap().subtree(),
                subtree,
                "{pattern}"
            );
        }
    }
}
