//! Reaching the server: TCP to the origin or the hop, the hop itself, and the banner of an ssh server.

use std::net::SocketAddr;

use tokio::{
    io::AsyncReadExt as _,
    time::{Instant, timeout},
};

use super::{CheckResult, Probe, RemoteProtocol, STEP, shown};
use crate::{
    config::Via,
    doctor::Outcome,
    model::{Fault, FaultKind, Host, Leg, Scheme, Stage, Target, classify},
};

/// TCP, each address family by itself.
pub(in crate::doctor) async fn tcp(probe: &Probe) -> CheckResult {
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

/// The hop's greeting, its authentication, and whether it connects to this host.
pub(in crate::doctor) async fn hop(probe: &Probe) -> CheckResult {
    if probe.hop().is_none() {
        return Ok(Outcome::skipped(""));
    }
    let begun = Instant::now();
    let connection = probe.dial().await?;
    Ok(match connection.absolute_form {
        // In absolute form the hop gets no request yet.
        Some(_) => {
            Outcome::passed("reached").detail("plain HTTP goes through the hop request by request")
        }
        None => Outcome::passed(format!("connects, {}", shown(begun.elapsed()))),
    })
}

/// An ssh server speaks first: its banner is enough.
pub(in crate::doctor) async fn ssh(probe: &Probe) -> CheckResult {
    if probe.protocol != RemoteProtocol::Ssh {
        return Ok(Outcome::skipped(""));
    }
    let begun = Instant::now();
    let mut connection = probe.dial().await?;
    let mut banner = [0_u8; 255];
    let fault = |kind| Fault::new(Leg::Origin, Stage::Handshaking, kind).peer(connection.peer);
    let read = timeout(STEP, connection.io.read(&mut banner)).await;
    let read = read.map_err(|_| {
        fault(FaultKind::TimedOut).detail("connected, but the server sent no ssh banner")
    })?;
    match read.map_err(|error| fault(classify::io(&error)).source(error))? {
        0 => Err(fault(FaultKind::ClosedEarly)),
        _ if banner.starts_with(b"SSH-") => Ok(Outcome::passed(format!(
            "banner, {}",
            shown(begun.elapsed())
        ))),
        _ => Err(fault(FaultKind::BadAnswer).detail("the server does not speak ssh")),
    }
}
