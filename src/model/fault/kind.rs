//! Which rule denied a request, and what a hop did with its credentials.

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
