//! How a request came in.

use crate::model::named::named;

named! {
/// What the client spoke.
pub(crate) enum Front {
    /// A request inside a terminated CONNECT.
    Intercept = "intercept",
    /// An opaque tunnel after CONNECT, or `gitferry connect`.
    Tunnel = "tunnel",
    /// `GET http://host/…`.
    Absolute = "absolute",
    /// `GET /host/…`.
    Reverse = "reverse",
}
}
