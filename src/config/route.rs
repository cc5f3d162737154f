//! A route as meant: hosts, their TLS, the upstreams in order, and what these are dialled through.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use super::{Environment, Stall, Uploads};
use crate::model::{Host, HostPattern, Role, Scheme, Target, TlsMode, secret::Credentials};

/// One `[[route]]`, or `[other_hosts]`.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// The name in the log.
    pub name: Box<str>,
    /// What its hosts serve.
    pub role: Role,
    /// Which hosts; empty for `[other_hosts]`.
    pub hosts: Vec<HostPattern>,
    /// Which ports; `None` for every port.
    pub ports: Option<Vec<u16>>,
    /// What to do with their TLS.
    pub tls: TlsMode,
    /// The highest HTTP version offered, on both sides.
    pub http: HttpVersion,
    /// The ways to the origin, in order; at least one unless `tls` is deny.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Address overrides, like curl's `--resolve`: tried in the order given.
    pub resolve: BTreeMap<Host, Vec<Override>>,
    /// Deadlines and patience.
    pub dial: Dial,
    /// Whether uploads are kept while they pass, so that they can be sent again.
    pub replay: bool,
    /// For how long nothing may move, and what is done then.
    pub stall: Stall,
    /// Uploads at once.
    pub uploads: Uploads,
}

/// An address that stands for a host of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Override {
    /// The address.
    pub ip: IpAddr,
    /// A port in place of the target's.
    pub port: Option<u16>,
}

/// HTTP/1.1, or HTTP/2 where both sides speak it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    /// Only HTTP/1.1 is offered by ALPN.
    Http1,
    /// HTTP/2 is offered first.
    Http2,
}

/// One configured way to an origin.
#[derive(Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Stable within a config: `direct`, `environment`, the hop's name; with ` to MIRROR` after it for a mirror.
    pub label: Box<str>,
    /// Through what.
    pub via: Via,
    /// A mirror in place of the site itself.
    pub mirror: Option<Mirror>,
}

/// Through what an origin is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// Straight to the origin.
    Direct,
    /// Through a hop.
    Hop(Arc<Hop>),
    /// Through whatever the `*_PROXY` variables say for the target; see [`Environment::hop_for`].
    Environment(Arc<Environment>),
}

/// An origin in place of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    /// http or https.
    pub scheme: Scheme,
    /// Host and port.
    pub target: Target,
    /// Stands before every path; empty or `/base` without a final slash.
    pub base_path: Box<str>,
    /// What it gets to see of who asks.
    pub credentials: ToMirror,
}

/// What becomes of a request's credentials on the way to a mirror, whose keeper is not the site's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToMirror {
    /// They are left out, and so are the mirror's cookies.
    Withhold,
    /// The mirror gets what the site would get.
    Pass,
}

impl ToMirror {
    /// The name in the config.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Withhold => "withhold",
            Self::Pass => "pass",
        }
    }
}

/// An upstream proxy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// The name in `[hops]`; for the environment the variable's name.
    pub name: Box<str>,
    /// How it is spoken to.
    pub kind: HopKind,
    /// Where it is.
    pub target: Target,
    /// What it gets to know who asks.
    pub credentials: Option<Credentials>,
}

impl Hop {
    /// The hop as a URL, without its credentials.
    pub(crate) fn url(&self) -> String {
        let scheme = match self.kind {
            HopKind::Http => "http",
            HopKind::Https => "https",
            HopKind::Socks5 => "socks5",
            HopKind::Socks5h => "socks5h",
        };
        format!("{scheme}://{}", self.target)
    }
}

/// How a hop is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HopKind {
    /// CONNECT over TCP (RFC 9110, section 9.3.6).
    Http,
    /// CONNECT over TLS.
    Https,
    /// SOCKS5 (RFC 1928); names are looked up here.
    Socks5,
    /// SOCKS5; names are looked up by the hop.
    Socks5h,
}

/// `[dial]`, and a route's own `dial`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    /// For the name and TCP together, per attempt.
    pub connect_timeout: Duration,
    /// For the hop's answer.
    pub greet_timeout: Duration,
    /// For TLS.
    pub handshake_timeout: Duration,
    /// Tries per upstream before the next one, at least 1.
    pub attempts: u32,
    /// The first wait between two tries; it doubles, with jitter.
    pub backoff: Duration,
    /// The longest wait between two tries.
    pub backoff_limit: Duration,
    /// How long an upstream that failed is tried last.
    pub cooldown: Duration,
    /// The largest TCP segment, in bytes; `None` for what the path is said to carry.
    pub max_segment: Option<u32>,
}

impl Hop {
    /// The scheme of its URL.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.kind {
            HopKind::Http => "http",
            HopKind::Https => "https",
            HopKind::Socks5 => "socks5",
            HopKind::Socks5h => "socks5h",
        }
    }
}
