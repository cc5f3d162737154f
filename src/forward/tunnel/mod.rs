//! An opaque tunnel. The origin is dialled before CONNECT is answered, so that a failure gets a status.
//!
//! Until the origin's first byte, the client's first flight is kept. Where that is safe ([`FlightKind`]), it is replayed on the next
//! connection or upstream: a handshake that is reset on the path is tried again without the client's knowledge.

pub(crate) mod first_flight;
pub(crate) mod pump;
pub(crate) mod upgrade;

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::bytes::BytesMut;

use crate::forward::{
    forwarder::Forwarder,
    tunnel::first_flight::{FlightKind, MAX_FLIGHT, read_more},
    tunnel::pump::pump,
    upstream::attempt::{OriginStream, StreamUse, blame_hop_after_grant},
    upstream::background_dial::Probing,
    upstream::circuit,
    upstream::destination::UpstreamNeeds,
    upstream::plan::{PlanStep, UpstreamPlan},
};
use crate::{
    config::Route,
    io::{BoxIo, Prefixed},
    model::{
        Fault, FaultKind, Leg, Stage, Target,
        attempts::{BodyState, ConnectionKind, Event, RequestState},
        classify,
    },
    net::dial::trail::Trail,
    track::{FinalFault, Transfer, TransferHandle, TransferOutcome, TunnelStop},
};

/// A tunnel with a connected origin side.
pub(crate) struct Tunnel {
    forwarder: Arc<Forwarder>,
    plan: UpstreamPlan,
    reached: OriginStream,
    /// The stage in which the connection was made: where it fails before either side has sent bytes.
    connect_stage: Stage,
    /// What the client sent before the origin's first byte.
    held: Vec<u8>,
}

/// How the time before the origin's first byte ended.
enum FirstFlightEnd {
    /// The origin sent its first bytes.
    Spoke(Vec<u8>),
    /// The client closed its half, or sent more than is kept: continue without replay.
    ReplayGone,
    /// The client's side failed.
    ClientFailed(std::io::Error),
    /// The origin's side failed.
    OriginFailed(FaultKind, Option<std::io::Error>),
}

impl Tunnel {
    /// Dials `target` through its route.
    pub(crate) async fn open(
        forwarder: &Arc<Forwarder>,
        transfer: &TransferHandle,
        route: &Arc<Route>,
        target: &Target,
        trail: Trail,
    ) -> Result<Box<Self>, FinalFault> {
        let probing = Probing {
            purpose: StreamUse::Tunnel,
            public_only: false,
        };
        let scope = circuit::CircuitScope { route, target };
        let mut plan = UpstreamPlan::new(forwarder, transfer, scope, UpstreamNeeds::Site, probing);
        plan.pass_trail(trail);
        let step = plan.begin(ConnectionKind::New);
        let reached = connect(&mut plan, step).await?;
        let connect_stage = transfer.stage();
        // Until the client sends, the time is the client's.
        transfer.enter(Stage::Accepted);
        // Boxed: each function that takes it would need its memory twice.
        Ok(Box::new(Self {
            forwarder: Arc::clone(forwarder),
            plan,
            reached,
            connect_stage,
            held: Vec::new(),
        }))
    }

    /// Waits for the origin's first bytes or its end, and keeps them for [`Tunnel::run`]. May be dropped without losing a byte.
    pub(crate) async fn receive_first_bytes(&mut self) {
        let mut bytes = BytesMut::with_capacity(4096);
        // The next read finds the failure again.
        if self.reached.io.read_buf(&mut bytes).await.is_ok() && !bytes.is_empty() {
            let silent: BoxIo = Box::new(tokio::io::empty());
            let io = std::mem::replace(&mut self.reached.io, silent);
            self.reached.io = Box::new(Prefixed::new(bytes.freeze(), io));
        }
    }

    /// Carries bytes until both sides have closed, or until shutdown's second step; the first step ends an idle tunnel.
    pub(crate) async fn run(mut self: Box<Self>, transfer: Transfer, client: BoxIo) {
        let shutdown = self.forwarder.shared.shutdown.clone();
        let carrying = pin!(self.carry(&transfer, client));
        tokio::select! {
            biased;
            ended = transfer.wake_with(carrying) => match ended {
                Ok(()) => transfer.finish(TransferOutcome::Closed),
                Err(given_up) => transfer.break_off(&given_up),
            },
            stopped = transfer.stopped_by(&shutdown) => match stopped {
                TunnelStop::Idle => transfer.finish(TransferOutcome::Closed),
                TunnelStop::Busy => {
                    let kind = FaultKind::Shutdown;
                    transfer.fail(Fault::new(Leg::Client, Stage::ReceivingBody, kind));
                }
            },
        }
    }

    async fn carry(&mut self, transfer: &Transfer, mut client: BoxIo) -> Result<(), FinalFault> {
        let first_bytes = self.establish(transfer, &mut client).await?;
        self.held = Vec::new();
        enter(transfer, Stage::ReceivingBody);
        let counters = transfer.counters();
        let fault = if let Err(error) = client.write_all(&first_bytes).await {
            Fault::new(Leg::Client, Stage::ReceivingBody, classify::client(&error)).source(error)
        } else {
            counters
                .down
                .fetch_add(first_bytes.len() as u64, Ordering::SeqCst);
            drop(first_bytes);
            let (up, down) = (&counters.up, &counters.down);
            tokio::select! {
                biased;
                pumped = pump(&mut client, &mut self.reached.io, up, down) => {
                    let Some(fault) = pumped.fault() else {
                        self.plan.complete();
                        return Ok(());
                    };
                    fault
                }
                stall = transfer.stalled() => transfer.stall_fault(&stall).with_unsent(false),
            }
        };
        Err(self.plan.give_up(Event::BrokeOff {
            fault,
            got: 0,
            resumable: false,
        }))
    }

    /// Waits for the origin's first bytes; replays the flight where that is safe.
    async fn establish(
        &mut self,
        transfer: &Transfer,
        client: &mut BoxIo,
    ) -> Result<Vec<u8>, FinalFault> {
        loop {
            let fault = match self.await_first_byte(transfer, client).await {
                FirstFlightEnd::Spoke(bytes) => {
                    self.reached.note_target_reached();
                    self.plan.on_event(Event::Spoke).await?;
                    return Ok(bytes);
                }
                FirstFlightEnd::ReplayGone => {
                    self.plan.on_event(Event::ReplayGone).await?;
                    return Ok(Vec::new());
                }
                FirstFlightEnd::ClientFailed(error) => {
                    let kind = classify::client(&error);
                    Fault::new(Leg::Client, transfer.stage(), kind).source(error)
                }
                FirstFlightEnd::OriginFailed(kind, source) => {
                    self.origin_fault(transfer.stage(), kind, source)
                }
            };
            // Boxed: it is rare, and the tunnel's memory includes every branch.
            Box::pin(self.reconnect(transfer, fault)).await?;
        }
    }

    fn origin_fault(&self, stage: Stage, kind: FaultKind, source: Option<std::io::Error>) -> Fault {
        let stage = match stage {
            Stage::Handshaking => stage,
            _ => self.connect_stage,
        };
        let mut fault = Fault::new(Leg::Origin, stage, kind).peer(self.reached.peer);
        fault.source = source.map(Into::into);
        match self.reached.hop && stage == Stage::Handshaking {
            true => blame_hop_after_grant(fault),
            false => fault,
        }
    }

    fn failed(&self, fault: Fault) -> Event {
        let replayable = FlightKind::of(&self.held).is_replayable();
        Event::Failed {
            fault,
            request: RequestState {
                harmless: true,
                upgrade: false,
                body: if replayable {
                    BodyState::Held
                } else {
                    BodyState::Gone
                },
                passed: self.held.len() as u64,
                returned: false,
            },
        }
    }

    /// Waits for the origin's first byte while the client's flight is passed on and recorded.
    async fn await_first_byte(
        &mut self,
        transfer: &Transfer,
        client: &mut BoxIo,
    ) -> FirstFlightEnd {
        let limit = self.plan.route().dial.handshake_timeout;
        let mut first_bytes = Vec::new();
        loop {
            let before = self.held.len();
            if before >= MAX_FLIGHT {
                return FirstFlightEnd::ReplayGone;
            }
            let flight = FlightKind::of(&self.held);
            let handshaking = flight == FlightKind::Handshake;
            enter(transfer, flight.stage());
            // Only a handshake must be answered; an idle tunnel may wait without limit.
            let after_limit = after_limit(handshaking.then_some(limit));
            tokio::select! {
                biased;
                read = read_more(&mut self.reached.io, &mut first_bytes) => return match read {
                    Ok(0) => FirstFlightEnd::OriginFailed(FaultKind::ClosedEarly, None),
                    Ok(_) => FirstFlightEnd::Spoke(first_bytes),
                    Err(error) => FirstFlightEnd::OriginFailed(classify::io(&error), Some(error)),
                },
                read = read_more(client, &mut self.held) => match read {
                    Ok(0) => return FirstFlightEnd::ReplayGone,
                    Ok(read) => {
                        let bytes = self.held.get(before..).unwrap_or_default();
                        transfer.counters().up.fetch_add(read as u64, Ordering::SeqCst);
                        let limit = handshaking.then_some(limit);
                        if let Err((kind, source)) = send_flight(&mut self.reached.io, bytes, transfer, limit).await {
                            return FirstFlightEnd::OriginFailed(kind, source);
                        }
                    }
                    Err(error) => return FirstFlightEnd::ClientFailed(error),
                },
                stall = transfer.stalled() => {
                    return FirstFlightEnd::OriginFailed(FaultKind::Stalled(stall.verdict), None);
                }
                () = after_limit => return FirstFlightEnd::OriginFailed(FaultKind::TimedOut, None),
            }
        }
    }

    /// The next connection, with the flight sent on it.
    async fn reconnect(&mut self, transfer: &Transfer, fault: Fault) -> Result<(), FinalFault> {
        let mut step = self.plan.on_event(self.failed(fault)).await?;
        loop {
            self.reached = connect(&mut self.plan, step).await?;
            self.connect_stage = transfer.stage();
            let flight = FlightKind::of(&self.held);
            enter(transfer, flight.stage());
            let limit = self.plan.route().dial.handshake_timeout;
            let limit = (flight == FlightKind::Handshake).then_some(limit);
            let sent = send_flight(&mut self.reached.io, &self.held, transfer, limit).await;
            let Err((kind, source)) = sent else {
                return Ok(());
            };
            let fault = self.origin_fault(transfer.stage(), kind, source);
            step = self.plan.on_event(self.failed(fault)).await?;
        }
    }
}

/// Enters `stage`, unless the transfer is already in it.
fn enter(transfer: &TransferHandle, stage: Stage) {
    if transfer.stage() != stage {
        transfer.enter(stage);
    }
}

/// Dials until a connection is established.
async fn connect(plan: &mut UpstreamPlan, mut step: PlanStep) -> Result<OriginStream, FinalFault> {
    loop {
        step = match step {
            PlanStep::Connect(connect) => match plan.dial(connect).await {
                Ok(reached) => {
                    plan.on_event(Event::Dialled).await?;
                    return Ok(reached);
                }
                Err(event) => plan.on_event(event).await?,
            },
            // The policy sends only on a connection.
            PlanStep::Send | PlanStep::Deliver => return Err(plan.give_up(plan.shutdown())),
        };
    }
}

/// Writes part of the flight, unless the watchdog or the handshake deadline ends it first.
async fn send_flight(
    io: &mut BoxIo,
    bytes: &[u8],
    transfer: &TransferHandle,
    limit: Option<Duration>,
) -> Result<(), (FaultKind, Option<std::io::Error>)> {
    let writing = async {
        io.write_all(bytes).await?;
        io.flush().await
    };
    tokio::select! {
        written = writing => written.map_err(|error| (classify::io(&error), Some(error))),
        stall = transfer.stalled() => Err((FaultKind::Stalled(stall.verdict), None)),
        () = after_limit(limit) => Err((FaultKind::TimedOut, None)),
    }
}

/// Completes after `limit`, where there is one.
async fn after_limit(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
