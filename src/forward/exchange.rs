//! One request: from the client's head to the last byte of the answer.

use std::{net::SocketAddr, sync::Arc};

use hyper::{Request, Response, StatusCode, Version, body::Incoming, header::USER_AGENT};

use crate::forward::{
    Forwarder, credentials, framing, headers,
    keep_alive::KeepAlive,
    request::body::Answer,
    request::outgoing::Outgoing,
    response::body::{OriginBody, OriginState},
    response::errors::ErrorFormat,
    response::resume::Part,
    response::resumption::Resumption,
    response::rewrite::Rewriting,
    tunnel::upgrade,
    upstream::attempt::Purpose,
    upstream::circuit,
    upstream::destination::{Destination, UpstreamNeeds},
    upstream::plan::UpstreamPlan,
    upstream::pool::{Key, Lease},
    upstream::send,
    watch::{self, ClientSocket, Missed},
};
use crate::{
    config::Route,
    mirror::ReverseBase,
    model::{Fault, FaultKind, Leg, Scheme, Stage, Target, stall::Action},
    track::{Begin, Front, Transfer},
};

/// What a front asks for.
#[derive(Clone, Debug)]
pub(crate) struct ExchangeRequest {
    /// How it came in.
    pub front: Front,
    /// The client's address.
    pub client: SocketAddr,
    /// The scheme toward the origin.
    pub scheme: Scheme,
    /// Where to.
    pub target: Target,
    /// On the reverse front: what the answer's URLs are mapped back to.
    pub base: Option<ReverseBase>,
}

impl Forwarder {
    /// Ferries one request; whatever goes wrong is told to the client in the form it shows.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        request: Request<Incoming>,
        asked: ExchangeRequest,
    ) -> Answer {
        let asker = ErrorFormat::of(&request);
        let transfer = self.begin(&request, &asked);
        let refused = if headers::is_loop(request.headers()) {
            let fault =
                Fault::new(Leg::Client, Stage::Accepted, FaultKind::Loop).peer(&asked.target);
            Err(fault.detail("the request went through this gitferry before (Via)"))
        } else if let Some(detail) = framing::request_objection(request.headers()) {
            let fault = Fault::new(Leg::Client, Stage::Accepted, FaultKind::BadRequest);
            Err(fault.peer(&asked.target).detail(detail))
        } else {
            self.admit(&asked.target)
        };
        let route = match refused {
            Ok(route) => route,
            Err(fault) => {
                transfer.gives_up(&fault);
                let closes = framing::request_objection(request.headers()).is_some();
                let mut answer = asker.refuse(&fault, &transfer, None).await;
                if closes && request.version() != Version::HTTP_2 {
                    framing::close(answer.headers_mut());
                }
                return answer;
            }
        };
        let patience = KeepAlive::of(&request, self.config.interim);
        let mut outgoing = Outgoing::new(request, &asked, &transfer, &route, &self.shared.replay);
        credentials::withhold(&self.shared.credentials, &asked, outgoing.headers());
        let work = async {
            if let Err(fault) = outgoing.prepare(self, &route).await {
                transfer.gives_up(&fault);
                return asker.refuse(&fault, &transfer, None).await;
            }
            match self.ferry(&mut outgoing, &route, &asked).await {
                Ok(answer) => answer,
                Err(fault) => asker.refuse(&fault, &transfer, outgoing.body.take()).await,
            }
        };
        match patience {
            Some(patience) => patience.hold(&transfer, work).await,
            None => work.await,
        }
    }

    fn begin(&self, request: &Request<Incoming>, asked: &ExchangeRequest) -> Transfer {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let transfer = self.shared.tracker.begin(Begin {
            front: asked.front,
            client: asked.client,
            target: &asked.target,
            method: request.method().as_str(),
            path,
            route: self.config.route(&asked.target),
            agent: request
                .headers()
                .get(USER_AGENT)
                .and_then(|agent| agent.to_str().ok()),
        });
        ClientSocket::watch(request, &transfer);
        transfer
    }

    async fn ferry(
        self: &Arc<Self>,
        outgoing: &mut Outgoing,
        route: &Arc<Route>,
        asked: &ExchangeRequest,
    ) -> Result<Answer, Fault> {
        let distrusted = asked.base.is_some() && self.config.distrusts(&asked.target);
        let wants = UpstreamNeeds::of(outgoing);
        let about = circuit::About {
            route,
            target: &asked.target,
        };
        let probing = circuit::Probing {
            purpose: Purpose::Requests(asked.scheme),
            public_only: distrusted,
        };
        let mut ways = UpstreamPlan::new(self, &outgoing.transfer, about, wants, probing);
        loop {
            let mut lease = self.connect(&mut ways, outgoing, asked).await?;
            let to = Destination::of(asked, ways.upstream().map(|upstream| &**upstream));
            let request = outgoing.request(&lease, asked, &to)?;
            // A head alone leaves in one write, and nobody says when: what is waited for then is the answer.
            outgoing.transfer.enter(if outgoing.bodiless {
                Stage::AwaitingHead
            } else {
                Stage::SendingHead
            });
            let sent = tokio::select! {
                // First: the end of the connections' tasks is a consequence.
                biased;
                () = self.shared.shutdown.ended() => {
                    let fault = Fault::new(Leg::Client, outgoing.transfer.stage(), FaultKind::Shutdown);
                    outgoing.transfer.gives_up(&fault);
                    return Err(fault);
                }
                sent = watch::send(&mut lease, request, &outgoing.transfer) => sent,
            };
            match sent {
                Ok(response) => {
                    if let Some(fault) = objection(&response, &lease, outgoing, &to) {
                        let fault = fault.sent(!outgoing.may_repeat());
                        if !ways.after(self, &outgoing.transfer, &fault).await {
                            return Err(fault);
                        }
                        continue;
                    }
                    // Where it stays so, the client gets what the origin said.
                    if let Some(fault) = outgoing.may_pass(&response, lease.about.peer)
                        && ways.after(self, &outgoing.transfer, &fault).await
                    {
                        continue;
                    }
                    ways.succeeded(self, &outgoing.transfer);
                    return Ok(self.answer(response, lease, outgoing, asked, &ways).await);
                }
                Err(Missed::Stalled(stall)) => {
                    let failover = outgoing.transfer.stall_action() == Action::Failover;
                    let again = failover && outgoing.may_repeat();
                    let fault = outgoing.transfer.stall_fault(&stall).sent(!again);
                    if !ways.after(self, &outgoing.transfer, &fault).await {
                        return Err(fault);
                    }
                }
                Err(Missed::Failed(failed)) => {
                    let fault = failed.fault(&outgoing.transfer, &outgoing.notes, lease.about.peer);
                    outgoing.body = failed.request.map(Request::into_body);
                    let again = outgoing.body.is_some() || outgoing.may_repeat();
                    let idle = lease.reused && outgoing.notes.passed() <= PASSED_TO_THE_DEAD;
                    if again && idle && fault.is_hang_up() {
                        ways.idle_connection_died(&outgoing.transfer, &fault);
                        continue;
                    }
                    let fault = fault.sent(!again);
                    if !ways.after(self, &outgoing.transfer, &fault).await {
                        return Err(fault);
                    }
                }
            }
        }
    }

    /// An idle connection of the upstream whose turn it is, else a new one of the first that answers.
    pub(crate) async fn connect(
        &self,
        ways: &mut UpstreamPlan,
        outgoing: &Outgoing,
        asked: &ExchangeRequest,
    ) -> Result<Lease, Fault> {
        let key = |ways: &UpstreamPlan| {
            let to = Destination::of(asked, ways.upstream().map(|upstream| &**upstream));
            let upstream = ways.upstream().map(|upstream| upstream.label.clone());
            Key {
                route: ways.route().name.clone(),
                public_only: ways.public_only(),
                upstream: upstream.unwrap_or_default(),
                scheme: to.scheme,
                target: to.target,
            }
        };
        let transfer = &outgoing.transfer;
        // After a failure only a new connection tells whether the path works.
        // And a request that cannot be repeated never meets an idle connection that dies just then.
        if ways.is_first()
            && outgoing.may_reuse()
            && let Some(lease) = self.pool.take(&key(ways)).await
        {
            ways.begin(transfer);
            transfer.reused();
            transfer.connected(lease.about.peer);
            lease.watch(transfer);
            return Ok(lease);
        }
        let reached = ways
            .reach(
                self,
                transfer,
                &asked.target,
                Purpose::Requests(asked.scheme),
            )
            .await?;
        match send::open(self, reached, outgoing.upgrade.is_some()).await {
            Ok((sender, about)) => {
                let lease = self.pool.lease(key(ways), sender, about);
                lease.watch(transfer);
                Ok(lease)
            }
            Err(fault) => {
                transfer.gives_up(&fault);
                Err(fault)
            }
        }
    }

    /// How the answer's rest would be asked for if it broke off; `None` where it could not.
    fn resumption(
        self: &Arc<Self>,
        response: &Response<Incoming>,
        outgoing: &Outgoing,
        asked: &ExchangeRequest,
        ways: &UpstreamPlan,
    ) -> Option<Box<Resumption>> {
        let part = Part::of(&outgoing.head.method, response.status(), response.headers())?;
        (outgoing.bodiless && outgoing.upgrade.is_none()).then(|| {
            Box::new(Resumption {
                part,
                outgoing: outgoing.again(),
                ways: ways.clone(),
                asked: asked.clone(),
                forwarder: Arc::clone(self),
            })
        })
    }

    async fn answer(
        self: &Arc<Self>,
        mut response: Response<Incoming>,
        lease: Lease,
        outgoing: &mut Outgoing,
        asked: &ExchangeRequest,
        ways: &UpstreamPlan,
    ) -> Answer {
        let to = &Destination::of(asked, ways.upstream().map(|upstream| &**upstream));
        let transfer = outgoing.transfer.clone();
        headers::strip_transfer_encoding(response.headers_mut());
        let resumption = self.resumption(&response, outgoing, asked, ways);
        transfer.enter(Stage::ReceivingBody);
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = headers::strip_hop_by_hop(response.headers_mut());
        headers::strip_alternatives(response.headers_mut());
        let version = response.version();
        headers::add_via(response.headers_mut(), version);
        headers::strip_proxy_status(response.headers_mut());
        framing::merge_lengths(response.headers_mut());
        to.strip_answer(response.headers_mut());
        let rewriting = Rewriting::of(self, &outgoing.head, asked, to, &transfer);
        if let Some(rewriting) = &rewriting {
            rewriting.head(&mut response, &outgoing.head.headers);
        }
        if switched && let (Some((_, client)), Some(protocol)) = (outgoing.upgrade.take(), protocol)
        {
            headers::set_upgrade(response.headers_mut(), protocol);
            let socket = outgoing.head.extensions.get::<ClientSocket>().cloned();
            return upgrade::switch(&self.shared, response, client, socket, transfer);
        }
        *response.version_mut() = Version::HTTP_11;
        let state = OriginState {
            status: response.status().as_u16(),
            peer: lease.about.peer,
            transfer,
            lease: Some(lease),
            gate: outgoing.gate.take(),
            place: outgoing.place.take(),
            resumption,
            account: ways.account(self),
        };
        let shutdown = &self.shared.shutdown;
        let answer = response.map(|body| {
            http_body_util::BodyExt::boxed_unsync(OriginBody::new(body, state, shutdown))
        });
        match rewriting {
            Some(rewriting) => rewriting.body(answer, &self.rewriting).await,
            None => answer,
        }
    }
}

/// Why an answer is not passed on, where it is none of the origin's, or cannot be.
fn objection(
    response: &Response<Incoming>,
    lease: &Lease,
    outgoing: &Outgoing,
    to: &Destination,
) -> Option<Fault> {
    let framing = framing::answer_objection(response.headers());
    let unusable = if framing.is_some() {
        framing
    } else if response.status() == StatusCode::SWITCHING_PROTOCOLS && outgoing.upgrade.is_none() {
        Some("the answer switches protocols, which nobody asked for")
    } else {
        None
    };
    if let Some(detail) = unusable {
        let fault = Fault::new(Leg::Origin, Stage::AwaitingHead, FaultKind::BadAnswer);
        return Some(fault.peer(lease.about.peer).detail(detail));
    }
    refused_by_hop(response, lease).or_else(|| to.wants_the_withheld(&outgoing.head.uri, response))
}

/// A hop that carries plain HTTP asks gitferry for credentials, not the client, whose own password is none of its business.
fn refused_by_hop(response: &Response<Incoming>, lease: &Lease) -> Option<Fault> {
    let asks = response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
    (asks && lease.about.absolute_form.is_some()).then(|| {
        Fault::new(Leg::Hop, Stage::AwaitingHead, FaultKind::HopAuthentication)
            .peer(lease.about.peer)
    })
}

/// How much of an upload an idle connection may have swallowed before its death is a fault: what is written until the reset of a
/// peer that closed long ago comes back.
const PASSED_TO_THE_DEAD: u64 = 256 * 1024;
