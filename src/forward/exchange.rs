//! One exchange with an origin: a request and its response's head, or the rest of a response that broke off.
//!
//! [`Exchange`] reports events to [`UpstreamPlan`] and carries out the steps that follow. It owns the transfer: the response body takes the
//! exchange with it, and when the client has its last byte, the transfer ends.

mod hop_response;
mod judge;
pub(crate) mod ranges;
mod write;

use std::sync::Arc;

use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use tokio::time::Instant;

use self::judge::{authenticates_connection, gives_credentials};
use crate::forward::{
    forwarder::Forwarder,
    request::{
        exchange_request::ExchangeRequest, outgoing::OutgoingRequest,
        partial_response::PartialResponse,
    },
    upstream::{
        attempt::StreamUse,
        background_dial::Probing,
        circuit,
        destination::{Destination, UpstreamNeeds},
        plan::{PlanStep, UpstreamPlan},
        pool::{ConnectionInfo, Key, Lease},
        send::{self, NoResponse},
        spare::SpareDial,
        stale,
    },
};
use crate::{
    config::Route,
    model::{
        Fault, FaultKind, Leg, Stage,
        attempts::{ConnectCommand, ConnectionKind, Event, RequestState},
    },
    net::{dial::request_loop::PendingRequest, listen::slots::BusyGuard},
    track::{FinalFault, Transfer},
};

/// A request, its destination and its progress.
pub(crate) struct Exchange {
    pub(crate) forwarder: Arc<Forwarder>,
    pub(crate) exchange_request: ExchangeRequest,
    pub(crate) transfer: Transfer,
    pub(crate) outgoing: OutgoingRequest,
    pub(crate) plan: UpstreamPlan,
    /// The bytes that the response promised; `None` where its rest cannot be requested.
    partial: Option<PartialResponse>,
    /// Bytes of it already passed on, while the rest is being requested.
    got: Option<u64>,
    /// True where the origin's HTTP version supports ranges.
    supports_ranges: bool,
    /// The client's connection is not idle until its response is complete.
    _busy: BusyGuard,
}

/// A response's head, and the connection that carries its body.
pub(crate) type LeasedResponse = (Response<Incoming>, Lease);

impl Exchange {
    /// A new exchange; nothing is sent yet.
    pub(crate) fn new(
        forwarder: &Arc<Forwarder>,
        route: &Arc<Route>,
        exchange_request: ExchangeRequest,
        transfer: Transfer,
        outgoing: OutgoingRequest,
    ) -> Self {
        transfer.note_credentials(gives_credentials(&outgoing.head.headers));
        let distrusted = exchange_request.base.is_some()
            && forwarder
                .config
                .needs_public_address(&exchange_request.target);
        let scope = circuit::CircuitScope {
            route,
            target: &exchange_request.target,
        };
        let probing = Probing {
            purpose: StreamUse::Requests(exchange_request.scheme),
            public_only: distrusted,
        };
        let needs = UpstreamNeeds::of(&outgoing, route);
        let busy = exchange_request.client.slot.mark_busy();
        let plan = UpstreamPlan::new(forwarder, &transfer, scope, needs, probing);
        Self {
            forwarder: Arc::clone(forwarder),
            exchange_request,
            transfer,
            outgoing,
            plan,
            partial: None,
            got: None,
            supports_ranges: false,
            _busy: busy,
        }
    }

    /// Sends the request until there is a response to pass on.
    pub(crate) async fn request(&mut self) -> Result<LeasedResponse, FinalFault> {
        let step = self.plan.begin(self.outgoing.connection_kind());
        let leased = self.run(step).await?;
        let (method, response) = (&self.outgoing.head.method, &leased.0);
        if self.outgoing.bodiless && self.outgoing.upgrade.is_none() {
            self.partial = PartialResponse::of(method, response.status(), response.headers());
            self.supports_ranges = response.version() > Version::HTTP_10;
        }
        Ok(leased)
    }

    /// How many bytes the response promised, where its rest can be requested.
    pub(crate) fn promised(&self) -> Option<u64> {
        self.partial.as_ref().map(PartialResponse::length)
    }

    /// Requests the rest of a response that broke off with `fault` after `got` bytes.
    pub(crate) async fn resume(
        &mut self,
        fault: Fault,
        got: u64,
    ) -> Result<LeasedResponse, FinalFault> {
        self.got = Some(got);
        let step = self.plan.on_event(self.broke_off(fault, got)).await?;
        let leased = self.run(step).await?;
        self.transfer.enter(Stage::ReceivingBody);
        Ok(leased)
    }

    /// The event for a response that broke off.
    pub(crate) fn broke_off(&self, fault: Fault, got: u64) -> Event {
        Event::BrokeOff {
            fault,
            got,
            resumable: self.partial.is_some(),
        }
    }

    /// The destination of the upstream in use.
    pub(crate) fn destination(&self) -> Destination {
        let upstream = self.plan.upstream().map(|upstream| &**upstream);
        Destination::of(
            self.exchange_request.scheme,
            &self.exchange_request.target,
            upstream,
        )
    }

    /// Carries out one step after the other until there is a response to pass on.
    async fn run(&mut self, mut step: PlanStep) -> Result<LeasedResponse, FinalFault> {
        let mut held = StepResult::Nothing;
        loop {
            let event;
            (held, event) = match (step, held) {
                (PlanStep::Connect(connect), _) => self.connect(connect).await,
                (PlanStep::Send, StepResult::Connection(lease)) => self.send(lease).await,
                (PlanStep::Deliver, StepResult::Response(leased)) => return Ok(*leased),
                // The policy sends only on a connection, and delivers only a response.
                (PlanStep::Send | PlanStep::Deliver, _) => {
                    let fault = Fault::new(Leg::Client, Stage::Accepted, FaultKind::Local);
                    (StepResult::Nothing, Event::DialFailed(fault))
                }
            };
            step = self.plan.on_event(event).await?;
        }
    }

    /// Takes an idle connection where one is acceptable, else a new one.
    async fn connect(&self, connect: ConnectCommand) -> (StepResult, Event) {
        let key = self.key();
        if let Some(lease) = self.take_idle(connect, &key).await {
            self.transfer.set_peer(lease.info.peer);
            lease.watch(&self.transfer);
            if !lease.reused {
                return (StepResult::Connection(lease), Event::Dialled);
            }
            self.transfer.mark_reused();
            return (StepResult::Connection(lease), Event::Reused);
        }
        let reached = match self.plan.dial(connect).await {
            Ok(reached) => reached,
            Err(event) => return (StepResult::Nothing, event),
        };
        match send::open(&self.forwarder, reached).await {
            Ok((sender, info)) => {
                let lease = self.forwarder.pool.lease(key, sender, info);
                lease.watch(&self.transfer);
                (StepResult::Connection(lease), Event::Dialled)
            }
            Err(fault) => (StepResult::Nothing, Event::DialFailed(fault)),
        }
    }

    fn key(&self) -> Arc<Key> {
        let to = self.destination();
        let upstream = self.plan.upstream().map(|upstream| upstream.label.clone());
        Arc::new(Key {
            route: self.plan.route().name.clone(),
            public_only: self.plan.public_only(),
            upstream: upstream.unwrap_or_default(),
            scheme: to.scheme,
            target: to.target,
            bound_to: None,
        })
    }

    /// An idle connection: one bound to this client's identity, else an unbound one where an idle connection is acceptable.
    async fn take_idle(&self, connect: ConnectCommand, key: &Arc<Key>) -> Option<Lease> {
        let pool = &self.forwarder.pool;
        // Even a request that may act uses the bound connection: a new one lacks the identity.
        match pool.take_bound(key, self.exchange_request.client.id).await {
            Some(lease) => Some(lease),
            None if connect.connection == ConnectionKind::Idle => match pool.take(key).await {
                Some(lease) => Some(lease),
                None => pool.join(key).await,
            },
            None if connect.spare => self.spare(key).await,
            None => None,
        }
    }

    /// A connection that is as good as a new one, for a request that may act.
    async fn spare(&self, key: &Arc<Key>) -> Option<Lease> {
        let pool = &self.forwarder.pool;
        if let Some(lease) = pool.take_spare(key).await {
            return Some(lease);
        }
        if self.outgoing.is_push()
            && let Some(lease) = pool.take_recent(key).await
        {
            return Some(lease);
        }
        pool.join(key).await
    }

    /// Returns the connection of a complete response with `status` to the pool. Prepares a spare one for the commands of `git push`, which
    /// may come when this one is too old to trust.
    pub(crate) fn return_to_pool(&self, lease: Lease, status: u16) {
        let info = Arc::clone(&lease.info);
        lease.return_to_pool();
        if status == StatusCode::OK
            && self.outgoing.precedes_push()
            && let Some(dial) = self.plan.background_dial()
        {
            let key = self.key();
            SpareDial { key, dial }.open_in_place_of(info, Arc::clone(&self.forwarder));
        }
    }

    /// Sends once and returns the result.
    async fn send(&mut self, mut lease: Lease) -> (StepResult, Event) {
        let to = self.destination();
        let request = match self.write(&lease, &to) {
            Ok(request) => request,
            Err(fault) => return (StepResult::Nothing, Event::Refused(fault)),
        };
        let waiting = match &lease.info.absolute_form {
            None => None,
            Some(_) => {
                let hop = lease.info.peer.to_string();
                match PendingRequest::begin(&hop, &to.target.to_string()).await {
                    Ok(waiting) => Some(waiting),
                    Err(fault) => return (StepResult::Nothing, Event::Refused(fault)),
                }
            }
        };
        // A head without a body leaves in one write, at an unknown moment: the exchange waits for the response from here on.
        self.transfer.enter(if self.outgoing.bodiless {
            Stage::AwaitingHead
        } else {
            Stage::SendingHead
        });
        if !self.outgoing.is_in_memory() {
            let shared = &self.forwarder.shared;
            lease.spawn_driver(&shared.tasks, &shared.shutdown);
        }
        let repeatable = self.outgoing.state().may_repeat();
        let began = Instant::now();
        let sent = tokio::select! {
            // First, because shutdown also ends the connections' tasks, and that is not the cause.
            biased;
            () = self.forwarder.shared.shutdown.ended() => return (StepResult::Nothing, self.plan.shutdown()),
            sent = send::send_watched(&mut lease, request, &self.transfer, repeatable) => sent,
        };
        match sent {
            Ok(response) => {
                waiting.into_iter().for_each(PendingRequest::note_response);
                if authenticates_connection(&self.outgoing.head.headers, AUTHORIZATION)
                    || authenticates_connection(response.headers(), WWW_AUTHENTICATE)
                {
                    lease.bind(self.exchange_request.client.id);
                }
                let event = self.judge(&response, &lease, &to);
                (StepResult::Response(Box::new((response, lease))), event)
            }
            Err(failure) => {
                if matches!(failure, NoResponse::Stale) {
                    self.forwarder.pool.forget_unused_since(began);
                }
                (StepResult::Nothing, self.failed_event(failure, &lease.info))
            }
        }
    }

    /// The event for a request without a response.
    fn failed_event(&mut self, failure: NoResponse, info: &ConnectionInfo) -> Event {
        match failure {
            NoResponse::Stale => Event::Failed {
                fault: stale::fault(info, self.transfer.stage()),
                request: self.outgoing.state(),
            },
            NoResponse::Stalled(stall) => Event::Stalled {
                fault: self.transfer.stall_fault(&stall),
                request: self.outgoing.state(),
            },
            NoResponse::Failed(failed) => {
                let fault = failed.fault(&self.transfer, &self.outgoing.notes, info);
                let unprocessed = failed.is_unprocessed();
                self.outgoing.body = failed.request.map(Request::into_body);
                let state = self.outgoing.state();
                Event::Failed {
                    fault,
                    request: RequestState {
                        harmless: state.harmless || unprocessed,
                        ..state
                    },
                }
            }
        }
    }
}

/// What an exchange holds between two steps.
enum StepResult {
    Nothing,
    Connection(Lease),
    Response(Box<LeasedResponse>),
}
