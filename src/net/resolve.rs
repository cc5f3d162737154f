//! Names to addresses.
//!
//! Uses the machine's own resolver (`getaddrinfo`, so `/etc/hosts` and `nsswitch` apply), unless a route overrides the name or the host is
//! an address. Called by `net::dial` and by doctor.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::LazyLock,
    time::Duration,
};

use crate::{
    config::Override,
    model::{
        Denial, Fault, FaultKind, Host, Leg, Stage, Target,
        address::{FakeNetwork, is_fake, is_public},
    },
    rt::{Lookups, Workers},
};

/// `Name or service not known`, without the prefix of the standard library.
fn without_library_prefix(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.strip_prefix("failed to lookup address information: ") {
        Some(short) => io::Error::new(error.kind(), short.to_owned()),
        None => error,
    }
}

/// One look-up per name at a time for the whole process. A resolver that does not answer blocks only these threads, and a retry joins the
/// look-up that is under way.
static NAMES: LazyLock<Lookups<String, Vec<IpAddr>>> =
    LazyLock::new(|| Lookups::new(Workers::new("gitferry-names", 16, 256), CACHE_LIFETIME));

/// How long a result is kept: long enough for the requests of one push, and short compared with any resolver's cache.
const CACHE_LIFETIME: Duration = Duration::from_secs(5);

/// The addresses of `target`, in the order to try: the overrides as given, else the host where it is an address, else the resolver's
/// result, with IPv6 and IPv4 alternating (RFC 8305, section 4).
///
/// `progress` is called only for an actual look-up. Fails with `resolving/name-unknown` on `leg`.
pub(crate) async fn addresses(
    target: &Target,
    overrides: &[Override],
    leg: Leg,
    progress: &(dyn Fn(Stage) + Send + Sync),
) -> Result<Vec<SocketAddr>, Fault> {
    match without_lookup(target, overrides) {
        Ok(addresses) => Ok(addresses),
        Err(name) => {
            progress(Stage::Resolving);
            to_addresses(look_up(name).await, target, leg)
        }
    }
}

/// The addresses without a look-up; the name where one is needed.
fn without_lookup<'a>(
    target: &'a Target,
    overrides: &[Override],
) -> Result<Vec<SocketAddr>, &'a str> {
    if !overrides.is_empty() {
        let at = |over: &Override| SocketAddr::new(over.ip, over.port.unwrap_or(target.port));
        return Ok(overrides.iter().map(at).collect());
    }
    match &target.host {
        Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, target.port)]),
        Host::Name(name) => Err(name),
    }
}

/// The resolver's result, the preferred address first.
async fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let looking = NAMES.get(name.to_owned(), |name| {
        let found = (name.as_str(), 0)
            .to_socket_addrs()
            .map_err(without_library_prefix)?;
        Ok(found.map(|address| address.ip()).collect())
    });
    looking.await
}

/// The result of a look-up in the order to try.
fn to_addresses(
    looked_up: io::Result<Vec<IpAddr>>,
    target: &Target,
    leg: Leg,
) -> Result<Vec<SocketAddr>, Fault> {
    let unknown = || Fault::new(leg, Stage::Resolving, FaultKind::NameUnknown).peer(target);
    match looked_up {
        Ok(found) if found.is_empty() => Err(unknown().detail("the name has no address")),
        Ok(found) => Ok(alternate_families(found)
            .into_iter()
            .map(|ip| SocketAddr::new(ip, target.port))
            .collect()),
        Err(error) => Err(unknown().source(error)),
    }
}

/// The public addresses of a name, and those in the `fake` networks.
///
/// Fails where there are none: a name from a response must not resolve to this machine or its network.
pub(crate) fn public(
    found: &[SocketAddr],
    target: &Target,
    fake: &[FakeNetwork],
) -> Result<Vec<SocketAddr>, Fault> {
    let allowed = |ip| is_public(ip) || fake.iter().any(|network| network.contains(ip));
    let public: Vec<SocketAddr> = found
        .iter()
        .copied()
        .filter(|address| allowed(address.ip()))
        .collect();
    if !public.is_empty() {
        return Ok(public);
    }
    let (denial, detail) = if found.iter().any(|address| is_fake(address.ip())) {
        (
            Denial::FakeIp,
            "the name resolves to a fake address of a local VPN tool, and only a pattern in `allow` of `[reverse]` covers it",
        )
    } else {
        (
            Denial::Private,
            "the name resolves to a private address, and only a pattern in `allow` of `[reverse]` covers it",
        )
    };
    let fault = Fault::new(Leg::Origin, Stage::Resolving, FaultKind::Denied(denial));
    Err(fault.peer(target).detail(detail))
}

/// Each address once, IPv6 and IPv4 alternating. The resolver's first choice stays first: IPv6 where the machine has an IPv6 route, else
/// IPv4 (RFC 6724, rule 1).
fn alternate_families(found: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut unique: Vec<IpAddr> = Vec::with_capacity(found.len());
    for ip in found {
        if !unique.contains(&ip) {
            unique.push(ip);
        }
    }
    let six_first = unique.first().is_some_and(IpAddr::is_ipv6);
    let (mut this, mut other): (VecDeque<IpAddr>, VecDeque<IpAddr>) = unique
        .iter()
        .partition(|address| address.is_ipv6() == six_first);
    let mut ordered = Vec::with_capacity(unique.len());
    while let Some(ip) = this.pop_front().or_else(|| other.pop_front()) {
        ordered.push(ip);
        ordered.extend(other.pop_front());
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses of `target` at `at`, where the resolver knows only `hf.co`.
    fn lookup(target: &str, at: &[&str], overrides: &[Override]) -> Result<Vec<String>, Fault> {
        let target = Target::parse(target, None).unwrap();
        let addresses = without_lookup(&target, overrides).or_else(|name| {
            let looked_up = match name {
                "hf.co" => Ok(at.iter().map(|ip| ip.parse().unwrap()).collect()),
                _ => Err(io::Error::other("no such host is known")),
            };
            to_addresses(looked_up, &target, Leg::Origin)
        })?;
        Ok(addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn private_addresses_are_removed_except_fake_networks() {
        let target = Target::parse("x.cdn.test:443", None).unwrap();
        let at = |ips: &[&str]| -> Vec<SocketAddr> {
            let ips = ips.iter().map(|ip| ip.parse().unwrap());
            ips.map(|ip| SocketAddr::new(ip, 443)).collect()
        };
        let mixed = at(&["127.0.0.1", "1.1.1.1", "fd00::1"]);
        assert_eq!(public(&mixed, &target, &[]).unwrap(), at(&["1.1.1.1"]));
        let fault = public(&at(&["10.0.0.1", "::1"]), &target, &[]).unwrap_err();
        assert_eq!(fault.code(), "origin/resolving/denied");
        // A fake network permits its own addresses, but no embedded form of them.
        let fake = ["198.18.0.0/15".parse().unwrap()];
        let mixed = at(&["127.0.0.1", "198.18.0.7", "10.0.0.1", "::ffff:198.18.0.8"]);
        assert_eq!(public(&mixed, &target, &fake).unwrap(), at(&["198.18.0.7"]));
        for closed in ["127.0.0.1", "::ffff:198.18.0.7", "fc00::7", "198.20.0.1"] {
            let found = public(&at(&[closed]), &target, &fake);
            assert!(found.is_ok() == (closed == "198.20.0.1"), "{closed}");
        }
        let fault = public(&at(&["198.18.0.7"]), &target, &[]).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Denied(Denial::FakeIp));
    }

    #[test]
    fn families_alternate_and_duplicates_are_removed() {
        let six_first = ["2001:db8::1", "2001:db8::2", "192.0.2.1", "2001:db8::1"];
        assert_eq!(
            lookup("hf.co:443", &six_first, &[]).unwrap(),
            ["[2001:db8::1]:443", "192.0.2.1:443", "[2001:db8::2]:443"]
        );
        let four_first = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"];
        assert_eq!(
            lookup("hf.co:22", &four_first, &[]).unwrap(),
            [
                "192.0.2.1:22",
                "[2001:db8::1]:22",
                "192.0.2.2:22",
                "192.0.2.3:22"
            ]
        );
    }

    #[test]
    fn overrides_precede_the_resolver_in_their_order() {
        let overrides = [
            Override {
                ip: "127.0.0.2".parse().unwrap(),
                port: Some(8443),
            },
            Override {
                ip: "::1".parse().unwrap(),
                port: None,
            },
        ];
        for target in ["hf.co:443", "unknown.example:443", "192.0.2.9:443"] {
            assert_eq!(
                lookup(target, &["192.0.2.1"], &overrides).unwrap(),
                ["127.0.0.2:8443", "[::1]:443"]
            );
        }
    }

    #[tokio::test]
    async fn an_address_is_not_looked_up() {
        let stage = |stage| panic!("{stage:?}");
        let target = Target::parse("[::1]:22", None).unwrap();
        let found = addresses(&target, &[], Leg::Origin, &stage).await;
        assert_eq!(found.unwrap(), ["[::1]:22".parse().unwrap()]);
    }

    #[test]
    fn an_unknown_name_is_reported_with_the_resolvers_message() {
        let fault = lookup("nowhere.example:443", &[], &[]).unwrap_err();
        assert_eq!(
            fault.chain(),
            "origin/resolving/name-unknown with nowhere.example:443: no such host is known"
        );
        let fault = lookup("hf.co:443", &[], &[]).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "origin/resolving/name-unknown with hf.co:443 (the name has no address)"
        );
    }

    #[test]
    fn a_resolver_error_has_no_prefix_of_the_library() {
        let error = ("nowhere.invalid", 0).to_socket_addrs().unwrap_err();
        let text = without_library_prefix(error).to_string();
        assert!(!text.contains("lookup") && !text.is_empty(), "{text}");
    }

    #[tokio::test]
    async fn localhost_resolves_to_loopback() {
        let found = look_up("localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert!(!found.is_empty());
    }
}
