//! Where a fault or a stall happens: on which part of the path, and at which stage.

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
