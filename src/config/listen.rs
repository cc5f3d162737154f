//! `[listen]`: the addresses, and the clients that are served.

use std::{net::SocketAddr, time::Duration};

use serde::Serialize;

use super::{Variables, access::access, credentials::credentials, section::Section};
use crate::model::{access::Access, secret::Credentials, unit};

/// `[listen]`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Listen {
    /// The addresses, at least one.
    #[serde(rename = "address")]
    pub addresses: Vec<SocketAddr>,
    /// The credentials that clients must send (`Proxy-Authorization`). They are always set where an address is not on loopback.
    #[serde(flatten)]
    pub credentials: Option<Credentials>,
    /// The local users that are served on loopback.
    #[serde(flatten)]
    pub access: Access,
    /// The largest number of client connections.
    pub max_connections: usize,
    /// The largest request head, in bytes.
    #[serde(serialize_with = "unit::as_usize")]
    pub max_head: usize,
    /// How long a client may take to send a request's head.
    #[serde(serialize_with = "unit::as_duration")]
    pub head_timeout: Duration,
    /// How long a connection may wait for its next request.
    #[serde(serialize_with = "unit::as_duration")]
    pub idle_timeout: Duration,
}

impl Listen {
    /// `given` replaces the addresses of the section.
    pub(super) fn read(
        section: Section<'_, '_>,
        variables: Variables<'_>,
        given: &[SocketAddr],
    ) -> Self {
        let written = addresses(&section);
        let listen = Self {
            addresses: match given {
                [] => written,
                given => given.to_vec(),
            },
            credentials: credentials(&section, variables),
            access: access(&section),
            max_connections: section.integer("max_connections", 1..=1_000_000) as usize,
            max_head: section.size_within("max_head", 8 << 10..=16 << 20) as usize,
            head_timeout: section.duration("head_timeout"),
            idle_timeout: section.duration("idle_timeout"),
        };
        let open = |address: &SocketAddr| !address.ip().is_loopback();
        if listen.addresses.iter().any(open) && listen.credentials.is_none() {
            let why = "an address other than loopback requires credentials: without them anybody could use this daemon";
            let given = given.iter().find(|address| open(address));
            let message = given.map_or(why.into(), |given| format!("`--listen {given}`: {why}"));
            section.at("address").problem(
                message,
                Some("set `username` and `password_file` (or `password_env`) of `[listen]`"),
            );
        }
        section.finish();
        listen
    }

    /// True where the users of clients on loopback are identified: no password is set, or the config names users or groups.
    pub(crate) fn identifies_users(&self) -> bool {
        self.credentials.is_none() || self.access.is_explicit()
    }
}

fn addresses(section: &Section<'_, '_>) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    let written = section.string_or_strings("address");
    if section.is_empty_list("address") {
        let place = section.at("address");
        place.problem(
            "`address` of `[listen]` is empty",
            Some("at least one address is needed"),
        );
    }
    for item in written {
        match item.text.parse::<SocketAddr>() {
            Ok(address) => addresses.push(address),
            Err(_) => item.place.problem(
                format!("{:?} is not an address with a port", item.text),
                Some("such as \"127.0.0.1:4483\" or \"[::1]:4483\""),
            ),
        }
    }
    addresses
}
