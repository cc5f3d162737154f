//! Where a fault or a stall happens: on which part of the path, and at which stage.

use crate::model::named::named;

named! {
/// The part of the path that failed.
pub(crate) enum Leg {
    /// Between the client and gitferry.
    Client = "client",
    /// Between gitferry and the upstream proxy, or that proxy itself.
    Hop = "hop",
    /// Between gitferry (or the hop) and the site or its mirror.
    Origin = "origin",
}
}

named! {
/// What a transfer is doing.
pub(crate) enum Stage {
    /// The client's request was taken.
    Accepted = "accepted",
    /// Waiting for a place (uploads at once).
    Queued = "queued",
    /// Looking a name up.
    Resolving = "resolving",
    /// TCP.
    Connecting = "connecting",
    /// Talking to the hop: CONNECT or SOCKS5.
    Greeting = "greeting",
    /// TLS.
    Handshaking = "handshaking",
    /// The request's head is being written.
    SendingHead = "sending-head",
    /// The request's body is on its way.
    SendingBody = "sending-body",
    /// The whole request is out; the answer's head is awaited.
    AwaitingHead = "awaiting-head",
    /// The answer's body is on its way; for a tunnel: bytes flow.
    ReceivingBody = "receiving-body",
}
}
