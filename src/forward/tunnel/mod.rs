//! An opaque tunnel: dialled before CONNECT is answered, so that its failure has a status.
//!
//! Until the origin's first byte the client's first flight is kept and, where that is safe ([`Flight`]), replayed on the
//! next connection or upstream: a handshake that something on the path resets is tried again without the client knowing.

pub(crate) mod first_flight;
pub(crate) mod pump;
pub(crate) mod upgrade;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::forward::{
    Forwarder,
    tunnel::first_flight::{Flight, LIMIT},
    tunnel::pump::{Pumped, pump},
    upstream::attempt::{Purpose, Reached},
    upstream::circuit,
    upstream::destination::UpstreamNeeds,
    upstream::plan::UpstreamPlan,
};
use crate::{
    config::Route,
    io::BoxIo,
    model::{Fault, FaultKind, Leg, Stage, Target, classify},
    track::{Outcome, Transfer},
};

/// A tunnel whose origin side stands.
pub(crate) struct Tunnel {
    target: Target,
    ways: UpstreamPlan,
    reached: Reached,
}

/// What the time before the origin's first byte came to.
enum Opening {
    /// The origin spoke: these are its first bytes.
    Spoke(Vec<u8>),
    /// The client closed its half, or sent more than is kept: go on without replay.
    Unheld,
    /// The client's side broke.
    ClientFailed(std::io::Error),
    /// The origin's side broke.
    OriginFailed(FaultKind, Option<std::io::Error>),
}

impl Tunnel {
    /// Dials `target` by its route.
    pub(crate) async fn open(
        forwarder: &Forwarder,
        transfer: &Transfer,
        route: &Arc<Route>,
        target: &Target,
    ) -> Result<Self, Fault> {
        let probing = circuit::Probing {
            purpose: Purpose::Tunnel,
            public_only: false,
        };
        let about = circuit::About { route, target };
        let mut ways = UpstreamPlan::new(forwarder, transfer, about, UpstreamNeeds::Site, probing);
        let reached = ways
            .reach(forwarder, transfer, target, Purpose::Tunnel)
            .await?;
        Ok(Self {
            target: target.clone(),
            ways,
            reached,
        })
    }

    /// Carries the client's bytes until both sides have closed, or shutdown's second step.
    pub(crate) async fn run(self, forwarder: &Forwarder, transfer: Transfer, client: BoxIo) {
        let shutdown = forwarder.shared.shutdown.clone();
        tokio::select! {
            () = self.carry(forwarder, &transfer, client) => {}
            () = shutdown.ended() => Pumped::failed(Leg::Client, FaultKind::Shutdown).tell(&transfer),
        }
    }

    async fn carry(mut self, forwarder: &Forwarder, transfer: &Transfer, mut client: BoxIo) {
        let counters = transfer.counters();
        let mut held = Vec::new();
        let spoken = loop {
            match self
                .opening(forwarder, transfer, &mut client, &mut held)
                .await
            {
                Opening::Spoke(bytes) => {
                    self.ways.succeeded(forwarder, transfer);
                    break bytes;
                }
                Opening::Unheld => break Vec::new(),
                Opening::ClientFailed(error) => {
                    let fault = Fault::new(Leg::Client, transfer.stage(), classify::io(&error))
                        .source(error);
                    return transfer.breaks(&fault);
                }
                Opening::OriginFailed(kind, source) => {
                    let replayable = Flight::of(&held).is_replayable();
                    let mut fault = Fault::new(Leg::Origin, transfer.stage(), kind)
                        .peer(self.reached.peer)
                        .sent(!replayable);
                    fault.source = source.map(Into::into);
                    if let Err(last) = self.again(forwarder, transfer, &fault, &held).await {
                        return transfer.finish(Outcome::Broken { code: last.into() });
                    }
                }
            }
        };
        drop(held);
        transfer.enter(Stage::ReceivingBody);
        if let Err(error) = client.write_all(&spoken).await {
            let fault =
                Fault::new(Leg::Client, Stage::ReceivingBody, classify::io(&error)).source(error);
            return transfer.breaks(&fault);
        }
        counters
            .down
            .fetch_add(spoken.len() as u64, Ordering::Relaxed);
        drop(spoken);
        let account = self.ways.account(forwarder);
        let (up, down) = (&counters.up, &counters.down);
        tokio::select! {
            pumped = pump(&mut client, &mut self.reached.io, up, down) => {
                if let (true, Some(account)) = (pumped.is_well(), &account) {
                    account.whole();
                }
                pumped.tell(transfer);
            }
            stall = transfer.stalled() => {
                let fault = transfer.stall_fault(&stall).sent(true);
                if let Some(account) = &account {
                    account.failed(&fault);
                }
                transfer.breaks(&fault);
            }
        }
    }

    /// Waits for the origin's first byte while the client's flight is passed on and kept.
    async fn opening(
        &mut self,
        forwarder: &Forwarder,
        transfer: &Transfer,
        client: &mut BoxIo,
        held: &mut Vec<u8>,
    ) -> Opening {
        let limit = forwarder.config.route(&self.target).dial.handshake_timeout;
        let mut from_client = vec![0; 4096];
        let mut from_origin = vec![0; 4096];
        loop {
            if held.len() >= LIMIT {
                return Opening::Unheld;
            }
            let handshaking = Flight::of(held) == Flight::Handshake;
            if handshaking && transfer.stage() != Stage::Handshaking {
                transfer.enter(Stage::Handshaking);
            }
            // Only a handshake has an answer that is due; an idle tunnel may wait for ever.
            let silence = silence(handshaking.then_some(limit));
            tokio::select! {
                biased;
                read = self.reached.io.read(&mut from_origin) => return match read {
                    Ok(0) => Opening::OriginFailed(FaultKind::ClosedEarly, None),
                    Ok(read) => {
                        from_origin.truncate(read);
                        Opening::Spoke(from_origin)
                    }
                    Err(error) => Opening::OriginFailed(classify::io(&error), Some(error)),
                },
                read = client.read(&mut from_client) => match read {
                    Ok(0) => return Opening::Unheld,
                    Ok(read) => {
                        let Some(bytes) = from_client.get(..read) else { return Opening::Unheld };
                        held.extend_from_slice(bytes);
                        transfer.counters().up.fetch_add(read as u64, Ordering::Relaxed);
                        let limit = handshaking.then_some(limit);
                        if let Err((kind, source)) = offer(&mut self.reached.io, bytes, transfer, limit).await {
                            return Opening::OriginFailed(kind, source);
                        }
                    }
                    Err(error) => return Opening::ClientFailed(error),
                },
                stall = transfer.stalled() => {
                    return Opening::OriginFailed(FaultKind::Stalled(stall.verdict), None);
                }
                () = silence => return Opening::OriginFailed(FaultKind::TimedOut, None),
            }
        }
    }

    /// The next connection, with the flight on it; the last fault where none is left.
    async fn again(
        &mut self,
        forwarder: &Forwarder,
        transfer: &Transfer,
        fault: &Fault,
        held: &[u8],
    ) -> Result<(), String> {
        if !self.ways.after(forwarder, transfer, fault).await {
            return Err(fault.code());
        }
        loop {
            let reached = self
                .ways
                .reach(forwarder, transfer, &self.target, Purpose::Tunnel)
                .await;
            self.reached = reached.map_err(|fault| fault.code())?;
            transfer.enter(Stage::Handshaking);
            let limit = self.ways.route().dial.handshake_timeout;
            let limit = (Flight::of(held) == Flight::Handshake).then_some(limit);
            let offered = offer(&mut self.reached.io, held, transfer, limit).await;
            let Err((kind, source)) = offered else {
                return Ok(());
            };
            let mut fault =
                Fault::new(Leg::Origin, Stage::Handshaking, kind).peer(self.reached.peer);
            fault.source = source.map(Into::into);
            if !self.ways.after(forwarder, transfer, &fault).await {
                return Err(fault.code());
            }
        }
    }
}

/// Writes some of the flight, unless the watchdog or the deadline of a handshake ends it before.
async fn offer(
    io: &mut BoxIo,
    bytes: &[u8],
    transfer: &Transfer,
    limit: Option<Duration>,
) -> Result<(), (FaultKind, Option<std::io::Error>)> {
    let writing = async {
        io.write_all(bytes).await?;
        io.flush().await
    };
    tokio::select! {
        written = writing => written.map_err(|error| (classify::io(&error), Some(error))),
        stall = transfer.stalled() => Err((FaultKind::Stalled(stall.verdict), None)),
        () = silence(limit) => Err((FaultKind::TimedOut, None)),
    }
}

/// Ends after `limit`, where there is one.
async fn silence(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
