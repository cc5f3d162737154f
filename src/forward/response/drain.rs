//! A broken answer ends after its last byte: the client gets what came before the break.
//!
//! hyper drops what it has not written yet when a body fails. So the failure is held back until the client's TCP has acknowledged
//! everything.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    io::TcpMonitor,
    model::{Fault, FaultKind, Leg, attempts::Event},
    track::Front,
};

/// How often the client's socket is looked at.
const EVERY: Duration = Duration::from_millis(10);
/// A client that takes nothing for so long gets no more.
const PATIENCE: Duration = Duration::from_secs(5);
/// On a connection with other requests nobody can say which bytes wait.
const PATIENCE_SHARED: Duration = Duration::from_secs(1);

/// Waits until the client has what was written to it, as long as it takes any of it.
pub(super) async fn drained(client: &TcpMonitor, shared: bool) {
    let patience = if shared { PATIENCE_SHARED } else { PATIENCE };
    let began = Instant::now();
    let mut acknowledged = (0, began);
    loop {
        // First: hyper writes what it has as soon as the body has no more.
        sleep(EVERY).await;
        let flow = client.flow();
        let now = Instant::now();
        if flow.acknowledged() > acknowledged.0 {
            acknowledged = (flow.acknowledged(), now);
        }
        let since = if shared { began } else { acknowledged.1 };
        if !flow.is_pending() || now.duration_since(since) > patience {
            return;
        }
    }
}

/// True where the client is to get the rest before it gets the failure.
pub(super) fn is_worth_it(event: &Event) -> bool {
    matches!(event, Event::BrokeOff { fault, .. } if fault.leg != Leg::Client)
}

/// How a close-delimited answer that broke off with `fault` ends toward the client: with a reset, because a FIN is the end of a whole
/// one. Only where TLS ended without close_notify, and the client speaks TLS too, does it get the same from us.
pub(super) fn ends_with_reset(fault: &Fault, front: Front) -> bool {
    front != Front::Intercept || fault.kind != FaultKind::ClosedEarly
}
