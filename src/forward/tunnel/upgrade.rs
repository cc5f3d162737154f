//! The stream after `101 Switching Protocols`.

use std::pin::pin;

use hyper::{
    Response,
    body::Incoming,
    upgrade::{OnUpgrade, on},
};
use hyper_util::rt::TokioIo;

use crate::forward::{
    client::ClientConn,
    forwarder::Shared,
    request::body::{HttpResponse, full},
    tunnel::pump::{PumpOutcome, pump},
};
use crate::{
    model::{Fault, FaultKind, Leg, Stage, classify},
    track::{Transfer, TransferOutcome, TunnelStop},
};

/// Passes the origin's 101 on, and pumps once both sides have switched.
pub(crate) fn switch(
    shared: &Shared,
    mut response: Response<Incoming>,
    (client, upgrade): (ClientConn, OnUpgrade),
    transfer: Transfer,
) -> HttpResponse {
    let origin = on(&mut response);
    transfer.mark_as_tunnel();
    let shutdown = shared.shutdown.clone();
    let slot = client.slot;
    client.after_upgrade.run(async move {
        let _until_the_end = slot;
        let both = tokio::try_join!(
            async {
                upgrade
                    .await
                    .map_err(|error| (Leg::Client, classify::client(&error), error))
            },
            async {
                origin
                    .await
                    .map_err(|error| (Leg::Origin, classify::io(&error), error))
            }
        );
        let (client, origin) = match both {
            Ok(both) => both,
            Err((leg, kind, error)) => {
                let fault = Fault::new(leg, Stage::ReceivingBody, kind);
                return transfer.fail(fault.source(error));
            }
        };
        let counters = transfer.counters();
        let (mut client, mut origin) = (TokioIo::new(client), TokioIo::new(origin));
        let pumping = pin!(pump(&mut client, &mut origin, &counters.up, &counters.down));
        let pumped = tokio::select! {
            pumped = transfer.wake_with(pumping) => pumped,
            stopped = transfer.stopped_by(&shutdown) => match stopped {
                TunnelStop::Idle => return transfer.finish(TransferOutcome::Closed),
                TunnelStop::Busy => PumpOutcome::failed(Leg::Client, FaultKind::Shutdown),
            },
            stall = transfer.stalled() => {
                let fault = transfer.stall_fault(&stall).with_unsent(false);
                return transfer.fail(fault);
            }
        };
        match pumped.fault() {
            None => transfer.finish(TransferOutcome::Closed),
            Some(fault) => transfer.fail(fault),
        }
    });
    response.map(|_| full(""))
}
