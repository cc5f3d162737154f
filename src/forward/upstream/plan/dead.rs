//! The only upstream of a host, known to be dead (`model::health::sole`): requests are answered soon, and attempts to reach it continue.

use std::sync::Arc;

use tokio::time::Instant;

use super::UpstreamPlan;
use crate::{
    forward::upstream::attempt::OriginStream,
    model::{
        Fault, Stage,
        attempts::ConnectCommand,
        health::sole::{DeadUpstream, SHORT_ATTEMPT, SoleAttempt},
    },
    track::WatchedSocket,
};

impl UpstreamPlan {
    /// Why the only upstream is known to be dead; `None` where it no longer is.
    pub(super) fn known_dead(&self) -> Option<DeadUpstream> {
        let upstream = self.upstream().filter(|_| self.dead)?;
        self.scope().known_dead(&self.forwarder.shared, upstream)
    }

    /// Tries the dead upstream: this request waits for a moment, then the attempt continues in the background, unless one already does.
    pub(super) async fn dial_dead(
        &self,
        known: &DeadUpstream,
        connect: ConnectCommand,
    ) -> Result<OriginStream, Fault> {
        let dead = || known.fault(Instant::now());
        let background = self.background_dial().ok_or_else(dead)?;
        let scope = background.scope();
        let shared = &self.forwarder.shared;
        let short = scope.try_dead(shared, &background.upstream, SoleAttempt::Short);
        let short = short.ok_or_else(dead)?;
        let (mut found, finding) = tokio::sync::oneshot::channel();
        let forwarder = Arc::clone(&self.forwarder);
        let http = self.http(connect);
        self.transfer.enter(Stage::Connecting);
        shared.tasks.spawn(async move {
            let (shared, scope) = (&forwarder.shared, background.scope());
            let mut dialling = std::pin::pin!(background.dial_once(&forwarder, http));
            let mut long = None;
            let dialled = loop {
                tokio::select! {
                    dialled = &mut dialling => break dialled,
                    () = found.closed(), if long.is_none() => {
                        long = scope.try_dead(shared, &background.upstream, SoleAttempt::Long);
                        if long.is_none() {
                            return;
                        }
                    }
                    () = shared.shutdown.drained() => return,
                }
            };
            if dialled.is_ok() {
                scope.note_sole_success(shared, &background.upstream);
            }
            let _ = found.send(dialled);
        });
        let found = tokio::time::timeout(SHORT_ATTEMPT, finding).await;
        drop(short);
        let Ok(Ok(found)) = found else {
            return Err(dead());
        };
        let reached = found?;
        self.transfer.set_peer(reached.peer);
        self.transfer.set_through_hop(reached.hop);
        let socket = WatchedSocket::own(reached.tcp.monitor());
        self.transfer.watch_origin(socket);
        Ok(reached)
    }
}
