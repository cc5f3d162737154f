//! Detects that a reused connection died while it was idle, from the kernel's report on the bytes sent.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::forward::upstream::pool::{ConnectionInfo, Lease};
use crate::{
    model::{
        Fault, FaultKind, Leg, Stage,
        stale::{Liveness, ReusedConnection},
    },
    rt::ReusedTimer,
};

/// How often the kernel is queried.
const INTERVAL: Duration = Duration::from_millis(250);

/// Watches the connection of `lease` for the request about to be sent on it; `None` where the connection is new.
pub(crate) fn watch(lease: &Lease, repeatable: bool) -> Option<StaleWatch> {
    lease.reused.then(|| StaleWatch {
        // Earlier requests were answered, so all earlier bytes were acknowledged.
        reuse: ReusedConnection::new(lease.info.tcp.counts(), repeatable),
        began: Instant::now(),
        timer: std::mem::take(&mut lease.info.stale_timer.lock()),
        info: Arc::clone(&lease.info),
    })
}

/// Watches one connection for one request.
pub(crate) struct StaleWatch {
    info: Arc<ConnectionInfo>,
    reuse: ReusedConnection,
    began: Instant,
    timer: ReusedTimer,
}

/// Keeps the timer for the next request.
impl Drop for StaleWatch {
    fn drop(&mut self) {
        *self.info.stale_timer.lock() = std::mem::take(&mut self.timer);
    }
}

/// Completes when the connection proves dead; never where it proves alive, or is new.
pub(crate) async fn wait_until_dead(watch: Option<StaleWatch>) {
    let Some(mut watch) = watch else {
        return std::future::pending().await;
    };
    loop {
        watch.timer.until(Instant::now() + INTERVAL).await;
        let flow = watch.info.tcp.detailed_flow();
        match watch.reuse.judge(flow, watch.began.elapsed()) {
            Liveness::Unknown => {}
            Liveness::Alive => return std::future::pending().await,
            Liveness::Dead => return,
        }
    }
}

/// The fault of a connection that died while it was idle.
pub(crate) fn fault(info: &ConnectionInfo, stage: Stage) -> Fault {
    let leg = if info.hop { Leg::Hop } else { Leg::Origin };
    Fault::new(
        leg,
        stage.max(Stage::SendingHead),
        FaultKind::StaleConnection,
    )
    .peer(info.peer)
    .detail("reused connection: nothing that was sent on it was acknowledged")
}
