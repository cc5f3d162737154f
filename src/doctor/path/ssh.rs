//! An ssh server speaks first: its banner is enough.

use tokio::{
    io::AsyncReadExt as _,
    time::{Instant, timeout},
};

use super::{Probe, RemoteProtocol, STEP, shown};
use crate::{
    doctor::Outcome,
    model::{Fault, FaultKind, Leg, Stage, classify},
};

pub(in crate::doctor) async fn run(probe: &Probe) -> Outcome {
    if probe.purpose != RemoteProtocol::Ssh {
        return Outcome::skipped("");
    }
    let begun = Instant::now();
    let mut connection = match probe.dial().await {
        Ok(connection) => connection,
        Err(fault) => return probe.failed(&fault),
    };
    let mut banner = [0_u8; 255];
    let fault = |kind| Fault::new(Leg::Origin, Stage::Handshaking, kind).peer(connection.peer);
    match timeout(STEP, connection.io.read(&mut banner)).await {
        Err(_) => probe.failed(
            &fault(FaultKind::TimedOut).detail("connected, but the server sent no ssh banner"),
        ),
        Ok(Err(error)) => probe.failed(&fault(classify::io(&error)).source(error)),
        Ok(Ok(0)) => probe.failed(&fault(FaultKind::ClosedEarly)),
        Ok(Ok(_)) if banner.starts_with(b"SSH-") => {
            Outcome::passed(format!("banner, {}", shown(begun.elapsed())))
        }
        Ok(Ok(_)) => {
            probe.failed(&fault(FaultKind::BadAnswer).detail("the server does not speak ssh"))
        }
    }
}
