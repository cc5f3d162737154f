//! A broken response ends after its last byte: the client first gets everything that came before the break.
//!
//! hyper drops unwritten data when a body fails. So the failure is delayed until the client's TCP has acknowledged everything.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    io::TcpMonitor,
    model::{Fault, FaultKind, Leg, attempts::Event},
    track::Front,
};

/// How often the client's socket is checked.
const INTERVAL: Duration = Duration::from_millis(10);
/// A client that reads nothing for this long gets no more.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The wait on a connection with other requests, where gitferry cannot tell which bytes are unacknowledged.
const SHARED_TIMEOUT: Duration = Duration::from_secs(1);

/// Waits until the client has received everything written to it, as long as it makes progress.
pub(super) async fn wait_until_acknowledged(client: &TcpMonitor, shared: bool) {
    let limit = if shared { SHARED_TIMEOUT } else { TIMEOUT };
    let began = Instant::now();
    let mut acknowledged = (0, began);
    loop {
        // Sleep first: hyper writes what it has as soon as the body is pending.
        sleep(INTERVAL).await;
        let flow = client.flow();
        let now = Instant::now();
        if flow.acknowledged() > acknowledged.0 {
            acknowledged = (flow.acknowledged(), now);
        }
        let since = if shared { began } else { acknowledged.1 };
        if !flow.is_pending() || now.duration_since(since) > limit {
            return;
        }
    }
}

/// True where the client must get the rest before the failure.
pub(super) fn should_drain(event: &Event) -> bool {
    matches!(event, Event::BrokeOff { fault, .. } if fault.leg != Leg::Client)
}

/// True where a close-delimited response that broke off with `fault` ends with a reset, because a FIN would mark it as complete. The
/// exception: where TLS ended without close_notify and the client uses TLS too, the client gets the same ending.
pub(super) fn ends_with_reset(fault: &Fault, front: Front) -> bool {
    front != Front::Intercept || fault.kind != FaultKind::ClosedEarly
}
