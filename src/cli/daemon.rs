//! The running daemon as the commands use it: its address, its credentials, and a GET of its API.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::OnceLock,
};

use super::Failure;
use crate::{
    config::Config,
    doctor::daemon::DaemonInfo,
    model::secret::Credentials,
    net::api::{self, Denied},
};

/// The credentials of `[listen]`: a command is one process with one config.
static CREDENTIALS: OnceLock<Credentials> = OnceLock::new();

/// Adds these credentials to all later requests of this command.
pub(super) fn authenticate(credentials: Option<&Credentials>) {
    if let Some(credentials) = credentials {
        let _ = CREDENTIALS.set(credentials.clone());
    }
}

/// The address at which clients on this machine reach the daemon: the first of `config`.
pub(crate) fn address(config: &Config) -> Option<SocketAddr> {
    config.listen.addresses.first().copied().map(reachable)
}

/// The address at which a client on this machine reaches a listener: loopback for the unspecified address.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The daemon at `address`. Fails where no daemon answers.
pub(crate) fn about(address: SocketAddr) -> io::Result<DaemonInfo> {
    serde_json::from_str(&get(address, "/-/api/daemon")?).map_err(io::Error::other)
}

/// The body of one page of the daemon.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    api::ask(address, CREDENTIALS.get(), &format!("GET {path}"))
}

/// The failure where no daemon answers at `address`, or it denies access; `start` says how to start one.
pub(super) fn unreachable(address: SocketAddr, error: io::Error, start: &str) -> Failure {
    match Denied::of(&error) {
        Some(Denied { cause, advice }) => {
            let usual = "`gitferry help access` explains who is served";
            Failure::new(format!("the daemon at {address} denies access: {cause}"))
                .hint(advice.as_deref().unwrap_or(usual))
        }
        None => Failure::during(format!("no daemon answers at {address}"), error).hint(start),
    }
}
