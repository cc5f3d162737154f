//! How a request came in.

/// What the client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Front {
    /// A request inside a terminated CONNECT.
    Intercept,
    /// An opaque tunnel after CONNECT, or `gitferry connect`.
    Tunnel,
    /// `GET http://host/…`.
    Absolute,
    /// `GET /host/…`.
    Reverse,
}

impl Front {
    /// The name in the log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Intercept => "intercept",
            Self::Tunnel => "tunnel",
            Self::Absolute => "absolute",
            Self::Reverse => "reverse",
        }
    }
}
