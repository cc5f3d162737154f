//! The fronts: how a request was received.

use crate::model::named::named;

named! {
/// The form of the client's request.
pub(crate) enum Front {
    /// A request inside a terminated CONNECT.
    Intercept = "intercept",
    /// An opaque tunnel after CONNECT, or `gitferry connect`.
    Tunnel = "tunnel",
    /// `GET http://host/…`.
    Absolute = "absolute",
    /// `GET /host/…`.
    Reverse = "reverse",
    /// No request could be read.
    Unknown = "unknown",
}
}
