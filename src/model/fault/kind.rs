//! Where a fault happened (leg and stage), and which rule denied a request.

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

/// What a hop that wants credentials thinks of the configured ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HopLogin {
    /// None are configured.
    Missing,
    /// They are wrong.
    Refused,
    /// The hop offers no scheme that gitferry speaks.
    OtherScheme,
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
    /// The same, and it is a fake address of a local VPN tool.
    FakeIp,
    /// `[listen]` does not serve the local user.
    LocalUser,
    /// The kernel cannot say which local user the client is.
    UnknownUser,
}
