//! An ssh server speaks first: its banner is enough.

use tokio::{
    io::AsyncReadExt as _,
    time::{Instant, timeout},
};

use super::{CheckResult, Probe, RemoteProtocol, STEP, shown};
use crate::{
    doctor::Outcome,
    model::{Fault, FaultKind, Leg, Stage, classify},
};

pub(in crate::doctor) async fn run(probe: &Probe) -> CheckResult {
    if probe.purpose != RemoteProtocol::Ssh {
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
