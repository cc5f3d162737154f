//! Where a fault or a stall happens: the part of the path and the stage.

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
    /// The client's request was accepted.
    Accepted = "accepted",
    /// Waiting for other uploads to end: `uploads.at_once` limits their number.
    Queued = "queued",
    /// Resolving a name.
    Resolving = "resolving",
    /// Opening a TCP connection.
    Connecting = "connecting",
    /// Talking to the hop: CONNECT or SOCKS5.
    Greeting = "greeting",
    /// The TLS handshake.
    Handshaking = "handshaking",
    /// The request's head is being written.
    SendingHead = "sending-head",
    /// The request's body is being sent.
    SendingBody = "sending-body",
    /// The whole request is sent; gitferry waits for the response's head.
    AwaitingHead = "awaiting-head",
    /// The response's body is being received; in a tunnel, bytes flow.
    ReceivingBody = "receiving-body",
}
}
