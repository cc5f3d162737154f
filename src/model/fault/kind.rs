//! The three words of a fault's code: leg, stage, kind.

use std::{borrow::Cow, fmt};

use crate::model::stall::Verdict;

/// The part of the path that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Leg {
    /// Between the client and gitferry.
    Client,
    /// Between gitferry and the upstream proxy, or that proxy itself.
    Hop,
    /// Between gitferry (or the hop) and the site or its mirror.
    Origin,
}

impl Leg {
    /// The name in a fault's code.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Hop => "hop",
            Self::Origin => "origin",
        }
    }
}

/// What a transfer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The client's request was taken.
    Accepted,
    /// Waiting for a place (uploads at once).
    Queued,
    /// Looking a name up.
    Resolving,
    /// TCP.
    Connecting,
    /// Talking to the hop: CONNECT or SOCKS5.
    Greeting,
    /// TLS.
    Handshaking,
    /// The request's head is being written.
    SendingHead,
    /// The request's body is on its way.
    SendingBody,
    /// The whole request is out; the answer's head is awaited.
    AwaitingHead,
    /// The answer's body is on its way; for a tunnel: bytes flow.
    ReceivingBody,
}

impl Stage {
    /// Every stage, in the order of a transfer.
    pub(crate) const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Queued,
        Self::Resolving,
        Self::Connecting,
        Self::Greeting,
        Self::Handshaking,
        Self::SendingHead,
        Self::SendingBody,
        Self::AwaitingHead,
        Self::ReceivingBody,
    ];

    /// The name in a fault's code and in the log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Queued => "queued",
            Self::Resolving => "resolving",
            Self::Connecting => "connecting",
            Self::Greeting => "greeting",
            Self::Handshaking => "handshaking",
            Self::SendingHead => "sending-head",
            Self::SendingBody => "sending-body",
            Self::AwaitingHead => "awaiting-head",
            Self::ReceivingBody => "receiving-body",
        }
    }
}

/// Which rule says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Denial {
    /// The route denies its hosts.
    Route,
    /// The route has no upstream for such a request.
    Upstream,
    /// The port is not among those of `[other_hosts]`.
    Port,
    /// Neither a route nor `allow` of `[reverse]` names the host.
    NotServed,
    /// The reverse front serves no browser.
    Browser,
    /// The reverse front is served by address or as localhost only.
    ForeignName,
    /// A name that an answer brought leads into a private network.
    Private,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FaultKind {
    /// The peer, or something on the path, sent a TCP reset.
    Reset,
    /// The stream ended where more was due.
    ClosedEarly,
    /// Nothing came within the deadline.
    TimedOut,
    /// Nothing moved for longer than the route allows.
    Stalled(Verdict),
    /// A TLS alert, by its name in RFC 8446, section 6.
    Alert(Cow<'static, str>),
    /// The certificate's time is over.
    Expired,
    /// The certificate's time has not begun.
    NotYetValid,
    /// The certificate leads to no trusted root (self-signed included).
    UnknownIssuer,
    /// The certificate is for other names.
    NameMismatch,
    /// The certificate, its chain or its signature is bad in another way.
    BadCertificate,
    /// Client and peer share no TLS version or cipher suite.
    NoCommonTls,
    /// The port is closed (ICMP or RST to a SYN).
    Refused,
    /// No route to the host or network.
    Unreachable,
    /// The name does not exist or could not be looked up.
    NameUnknown,
    /// The hop said no: an HTTP status.
    HopRefused(u16),
    /// The origin, or what stands before it, said that it cannot just now: 502, 503 or 504.
    Answered(u16),
    /// A SOCKS5 hop said no: its reply code (RFC 1928, section 6).
    SocksRefused(u8),
    /// The hop wants credentials, or refused the configured ones.
    HopAuthentication,
    /// What came is not the protocol that was due.
    BadAnswer,
    /// A mirror asks for the credentials that the config withholds from it.
    CredentialsWithheld,
    /// The client's request is malformed.
    BadRequest,
    /// What the client said first is TLS or SOCKS: its proxy setting has the wrong scheme.
    NotHttp,
    /// The client gave no credentials, or wrong ones.
    Unauthorized,
    /// The config says no.
    Denied(Denial),
    /// The request would come back to gitferry itself.
    Loop,
    /// A head or body is over its limit.
    TooLarge,
    /// The client went away.
    Gone,
    /// gitferry is stopping and the grace is over.
    Shutdown,
    /// Something on this machine failed: no descriptors, no memory, an unreadable file.
    Local,
}

impl FaultKind {
    /// The name in a fault's code.
    pub(crate) fn as_str(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Reset => "reset",
            Self::ClosedEarly => "closed-early",
            Self::TimedOut => "timed-out",
            Self::Stalled(verdict) => return format!("stalled-{}", verdict.as_str()).into(),
            Self::Alert(name) => return format!("alert-{name}").into(),
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::UnknownIssuer => "unknown-issuer",
            Self::NameMismatch => "name-mismatch",
            Self::BadCertificate => "bad-certificate",
            Self::NoCommonTls => "no-common-tls",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::NameUnknown => "name-unknown",
            Self::HopRefused(status) => return format!("hop-refused-{status}").into(),
            Self::Answered(status) => return format!("answered-{status}").into(),
            Self::SocksRefused(code) => return format!("socks-refused-{code}").into(),
            Self::HopAuthentication => "hop-authentication",
            Self::BadAnswer => "bad-answer",
            Self::CredentialsWithheld => "credentials-withheld",
            Self::BadRequest => "bad-request",
            Self::NotHttp => "not-http",
            Self::Unauthorized => "unauthorized",
            Self::Denied(_) => "denied",
            Self::Loop => "loop",
            Self::TooLarge => "too-large",
            Self::Gone => "gone",
            Self::Shutdown => "shutdown",
            Self::Local => "local",
        })
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str())
    }
}
