//! TCP to the origin or the hop, each address family by itself.

use std::net::SocketAddr;

use tokio::time::Instant;

use super::{CheckResult, Probe, shown};
use crate::{
    config::Via,
    doctor::Outcome,
    model::{Fault, FaultKind, Host, Leg, Scheme, Target},
};

pub(in crate::doctor) async fn run(probe: &Probe) -> CheckResult {
    let addresses = probe.evidence().addresses.clone();
    let four = addresses.iter().find(|address| address.is_ipv4()).copied();
    let six = addresses.iter().find(|address| address.is_ipv6()).copied();
    let (four, six) = tokio::join!(connect(probe, four), connect(probe, six));
    let words = [("v4", &four), ("v6", &six)];
    let words: Vec<String> = words
        .into_iter()
        .filter_map(|(family, result)| match result.as_ref()? {
            Ok(took) => Some(format!("{family} {took}")),
            Err(fault) => Some(format!("{family} {}", fault.kind)),
        })
        .collect();
    let words = words.join(", ");
    match (four, six) {
        // A machine without IPv6 is normal; a family that drops connections delays each of them.
        (Some(Ok(_)), Some(Err(fault))) | (Some(Err(fault)), Some(Ok(_)))
            if fault.kind != FaultKind::Unreachable =>
        {
            Ok(Outcome::warned(words).detail(fault.chain()))
        }
        (Some(Ok(_)), _) | (_, Some(Ok(_))) => Ok(Outcome::passed(words)),
        (Some(Err(fault)), _) | (None, Some(Err(fault))) => Err(fault),
        (None, None) => Ok(Outcome::failed("no address")),
    }
}

async fn connect(probe: &Probe, address: Option<SocketAddr>) -> Option<Result<String, Fault>> {
    let address = address?;
    let target = Target::new(Host::Ip(address.ip()), address.port());
    let begun = Instant::now();
    let connected = probe.dial_to(&Via::Direct, Scheme::Https, &target).await;
    Some(match connected {
        Ok(_) => Ok(shown(begun.elapsed())),
        // The address is the hop's.
        Err(fault) if probe.hop().is_some() => Err(Fault {
            leg: Leg::Hop,
            ..fault
        }),
        Err(fault) => Err(fault),
    })
}
