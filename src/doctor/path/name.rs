//! Resolves the name, and judges whether such a site can have these addresses.

use std::net::{IpAddr, SocketAddr};

use tokio::time::{Instant, timeout};

use super::{CheckResult, Probe, STEP, shown};
use crate::{
    doctor::Outcome,
    model::{
        Fault, FaultKind, Host, Leg, Stage, Target,
        address::{is_fake, is_public},
    },
    net::resolve,
};

pub(in crate::doctor) async fn run(probe: &Probe) -> CheckResult {
    let begun = Instant::now();
    let origin = probe.origin().1;
    let mut words = "looked up by the hop".to_owned();
    if probe.looks_up_the_origin() {
        let overrides = probe.route.resolve.get(&origin.host).map_or(&[][..], |o| o);
        let addresses = look_up(origin, overrides, Leg::Origin).await?;
        let listed = list(&addresses);
        if !overrides.is_empty() {
            words = format!("{listed} (resolve)");
        }
        if probe.hop().is_none() {
            let odd = implausible(&origin.host, &addresses);
            probe.evidence().addresses = addresses;
            return Ok(match overrides {
                [] => judged(odd, &listed, &shown(begun.elapsed())),
                _ => Outcome::passed(words),
            });
        }
    }
    let Some(hop) = probe.hop() else {
        return Ok(Outcome::skipped(""));
    };
    // The name of the hop is always resolved on this machine.
    let addresses = look_up(&hop.target, &[], Leg::Hop).await?;
    probe.evidence().addresses = addresses;
    Ok(Outcome::passed(words))
}

async fn look_up(
    target: &Target,
    overrides: &[crate::config::Override],
    leg: Leg,
) -> Result<Vec<SocketAddr>, Fault> {
    let looking = resolve::addresses(target, overrides, leg, &|_| {});
    timeout(STEP, looking).await.unwrap_or_else(|_| {
        let fault = Fault::new(leg, Stage::Resolving, FaultKind::TimedOut).peer(target);
        Err(fault.detail(format!("no answer from the resolver within {STEP:?}")))
    })
}

fn judged(odd: Option<(&'static str, String)>, listed: &str, took: &str) -> Outcome {
    match odd {
        None => Outcome::passed(format!("{listed} {took}")),
        Some((word, sentence)) => Outcome::warned(format!("{listed} {word}"))
            .detail(sentence.clone())
            .fact(|facts| facts.implausible = Some((word, sentence))),
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    match addresses {
        [] => "no address".into(),
        [one] => one.ip().to_string(),
        [first, rest @ ..] => format!("{} +{}", first.ip(), rest.len()),
    }
}

/// Why these addresses cannot be those of a public site: a word and a sentence.
pub(super) fn implausible(host: &Host, addresses: &[SocketAddr]) -> Option<(&'static str, String)> {
    if host.ip().is_some() || host.is_loopback() {
        return None;
    }
    let odd = addresses.iter().find(|address| !is_public(address.ip()))?;
    let ip = odd.ip();
    let (word, what) = match ip {
        _ if is_fake(ip) || is_mihomo(ip) => (
            "fake",
            "a fake address of a local VPN tool (Clash, sing-box): the connection depends on that tool",
        ),
        _ if ip.is_loopback() || ip.is_unspecified() => (
            "blocked",
            "this machine itself: a hosts file or a DNS filter blocks the name, or a local accelerator serves it",
        ),
        _ => (
            "private",
            "a private address: correct for a server in your own network, wrong for a public site",
        ),
    };
    Some((word, format!("{host} resolves to {ip}, {what}")))
}

/// mihomo's default IPv6 network, which is inside the private range.
fn is_mihomo(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if matches!(ip.segments(), [0xfdfe, 0xdcba, 0x9876, ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fake_private_and_blocked_addresses_are_implausible_and_public_ones_are_not() {
        let host: Host = "hf.co".parse().unwrap();
        for (address, word) in [
            ("198.18.0.7", Some("fake")),
            ("fc00::7", Some("fake")),
            ("10.1.2.3", Some("private")),
            ("0.0.0.0", Some("blocked")),
            ("127.0.0.1", Some("blocked")),
            ("3.165.1.1", None),
        ] {
            let at = SocketAddr::new(address.parse().unwrap(), 443);
            let odd = implausible(&host, &[at]);
            assert_eq!(odd.map(|(word, _)| word), word, "{address}");
        }
        let local: Host = "localhost".parse().unwrap();
        assert!(implausible(&local, &["127.0.0.1:443".parse().unwrap()]).is_none());
    }
}
