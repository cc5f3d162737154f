//! Remotes as git writes them, and their protocol.

use crate::{
    config::Config,
    mirror::reverse::parse_segment,
    model::{Scheme, Target},
};

/// The protocol of a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RemoteProtocol {
    /// HTTP or HTTPS.
    Requests(Scheme),
    /// ssh; only its banner is read.
    Ssh,
}

/// The URL of a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteUrl {
    /// The protocol.
    pub protocol: RemoteProtocol,
    /// Host and port.
    pub target: Target,
    /// The path, with a slash at its start and none at its end.
    pub path: String,
    /// The user name; a password is dropped.
    pub username: Option<String>,
}

impl RemoteUrl {
    /// Parses a URL or `git@host:path`; `None` for a local path.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some(found) => found,
            None => return Self::parse_scp(text),
        };
        let (protocol, port) = match scheme.to_ascii_lowercase().as_str() {
            "https" => (RemoteProtocol::Requests(Scheme::Https), 443),
            "http" => (RemoteProtocol::Requests(Scheme::Http), 80),
            "ssh" | "git+ssh" | "ssh+git" => (RemoteProtocol::Ssh, 22),
            _ => return None,
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let username = user.and_then(|user| user.split(':').next());
        Some(Self {
            protocol,
            target: Target::parse(host, Some(port)).ok()?,
            path: format!("/{}", path.trim_end_matches('/')),
            username: username.filter(|name| !name.is_empty()).map(str::to_owned),
        })
    }

    /// `user@host:path` (git-fetch(1), "GIT URLS"); with a slash before the colon it is a local path.
    fn parse_scp(text: &str) -> Option<Self> {
        let (host, path) = text.split_once(':')?;
        if host.contains('/') || host.len() < 2 {
            return None;
        }
        let (user, host) = match host.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (None, host),
        };
        Some(Self {
            protocol: RemoteProtocol::Ssh,
            target: Target::parse(host, Some(22)).ok()?,
            path: format!("/{}", path.trim_matches('/')),
            username: user,
        })
    }

    /// The site behind a URL of the reverse front (`http://127.0.0.1:4483/HOST/…`); any other URL as it is.
    pub(crate) fn behind_the_reverse_front(self, config: &Config) -> Self {
        let own = config.listen.addresses.iter().any(|own| {
            own.port() == self.target.port
                && (self.target.host.is_loopback() || self.target.host.ip() == Some(own.ip()))
        });
        if !own || self.protocol != RemoteProtocol::Requests(Scheme::Http) {
            return self;
        }
        let path = self.path.trim_start_matches('/');
        let (segment, rest) = path.split_once('/').unwrap_or((path, ""));
        match parse_segment(segment) {
            Ok((scheme, target)) => Self {
                protocol: RemoteProtocol::Requests(scheme),
                target,
                path: format!("/{rest}"),
                username: self.username,
            },
            Err(_) => self,
        }
    }

    /// Where git-lfs looks for the LFS API of a remote (git-lfs: docs/api/server-discovery.md).
    pub(crate) fn lfs(&self) -> Self {
        let path = match self.path.ends_with(".git") {
            true => format!("{}/info/lfs", self.path),
            false => format!("{}.git/info/lfs", self.path),
        };
        let (protocol, target) = match self.protocol {
            // An ssh server may name another URL; the default is this one.
            RemoteProtocol::Ssh => (
                RemoteProtocol::Requests(Scheme::Https),
                Target::new(self.target.host.clone(), 443),
            ),
            RemoteProtocol::Requests(_) => (self.protocol, self.target.clone()),
        };
        Self {
            protocol,
            target,
            path,
            username: self.username.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, String, Option<String>)> {
        let url = RemoteUrl::parse(text)?;
        Some((url.target.to_string(), url.path, url.username))
    }

    #[test]
    fn remotes_are_read_as_git_reads_them() {
        let some = |target: &str, path: &str, user: Option<&str>| {
            Some((target.to_owned(), path.to_owned(), user.map(str::to_owned)))
        };
        for (text, expected) in [
            (
                "https://hf.co/me/model",
                some("hf.co:443", "/me/model", None),
            ),
            (
                "https://me:PLANTED@hf.co/me/",
                some("hf.co:443", "/me", Some("me")),
            ),
            (
                "git@hf.co:me/model.git",
                some("hf.co:22", "/me/model.git", Some("git")),
            ),
            ("hf.co:/me/model", some("hf.co:22", "/me/model", None)),
            (
                "ssh://git@hf.co:2222/me",
                some("hf.co:2222", "/me", Some("git")),
            ),
            ("/srv/git/x.git", None),
            ("./x:y", None),
            ("file:///srv/x", None),
            ("C:/x", None),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[test]
    fn the_lfs_api_is_below_the_remote_and_on_https_for_an_ssh_remote() {
        for (remote, api) in [
            (
                "https://hf.co/me/model",
                "https hf.co:443/me/model.git/info/lfs",
            ),
            (
                "https://hf.co/me/model.git",
                "https hf.co:443/me/model.git/info/lfs",
            ),
            (
                "git@hf.co:me/model",
                "https hf.co:443/me/model.git/info/lfs",
            ),
        ] {
            let lfs = RemoteUrl::parse(remote).unwrap().lfs();
            let RemoteProtocol::Requests(scheme) = lfs.protocol else {
                panic!("{remote}");
            };
            assert_eq!(format!("{scheme} {}{}", lfs.target, lfs.path), api);
        }
    }
}
