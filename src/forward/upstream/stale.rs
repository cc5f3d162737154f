//! Detects that a reused connection died while it was idle, from the kernel's report on the bytes sent.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::forward::upstream::pool::{ConnectionInfo, Lease};
use crate::{
    io::TcpMonitor,
    model::{
        Fault, FaultKind, Leg, Stage,
        stale::{Liveness, ReusedConnection},
    },
};

/// How often the kernel is queried.
const INTERVAL: Duration = Duration::from_millis(250);

/// Watches the connection of `lease` for the request about to be sent on it; `None` where the connection is new.
pub(crate) fn watch(lease: &Lease, repeatable: bool) -> Option<StaleWatch> {
    lease.reused.then(|| StaleWatch {
        tcp: lease.info.tcp.clone(),
        // Earlier requests were answered, so all earlier bytes were acknowledged.
        reuse: ReusedConnection::new(lease.info.tcp.counts(), repeatable),
        began: Instant::now(),
    })
}

/// Watches one connection for one request.
pub(crate) struct StaleWatch {
    tcp: TcpMonitor,
    reuse: ReusedConnection,
    began: Instant,
}

/// Completes when the connection proves dead; never where it proves alive, or is new.
pub(crate) async fn wait_until_dead(watch: Option<StaleWatch>) {
    let Some(mut watch) = watch else {
        return std::future::pending().await;
    };
    loop {
        sleep(INTERVAL).await;
        let flow = watch.tcp.detailed_flow();
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
