//! Which rule denied a request, and what is wrong with the credentials for a hop.

/// What is wrong with the credentials for a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HopLogin {
    /// None are configured.
    Missing,
    /// The hop rejects them.
    Refused,
    /// The hop offers no scheme that gitferry supports.
    OtherScheme,
}

impl HopLogin {
    /// For a hop that requests credentials although these were sent, if any.
    pub(crate) fn of<C>(sent: Option<C>) -> Self {
        match sent {
            Some(_) => Self::Refused,
            None => Self::Missing,
        }
    }

    /// The cause, as a sentence.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Self::Missing => "the hop requires credentials and none are configured",
            Self::Refused => "the hop refused the configured credentials",
            Self::OtherScheme => "the hop accepts no authentication method that gitferry supports",
        }
    }
}

/// The rule that denies a request.
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
    /// The reverse front does not serve browsers.
    Browser,
    /// The reverse front serves only its address and localhost as host names.
    ForeignName,
    /// A name from a response resolves to an address in a private network.
    Private,
    /// The same, where the address is a fake address of a local VPN tool.
    FakeIp,
    /// `[listen]` does not serve the local user.
    LocalUser,
    /// The kernel cannot tell which local user the client is.
    UnknownUser,
}
