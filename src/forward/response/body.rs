//! An origin's answer on its way to the client: counted while it passes, gone on with where it breaks, ended with its transfer.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::forward::{
    headers,
    request::gate::GateKey,
    request::uploads::Place,
    response::resumption::{Rest, Resumption},
    upstream::circuit::Account,
    upstream::pool::Lease,
};
use crate::{
    model::{
        Fault, FaultKind, Leg, Stage, classify,
        fault::BoxError,
        stall::{Action, Stall},
    },
    rt::Shutdown,
    track::{Outcome, Transfer},
};

/// An origin's answer on its way to the client; its end is the end of the transfer.
pub(crate) struct OriginBody {
    inner: Incoming,
    state: Option<OriginState>,
    /// What ends it from outside: a stall, or shutdown. It goes with the transfer that it holds.
    ended: Option<Ended>,
    shutdown: Shutdown,
    /// How many bytes the answer's head promised. A client on HTTP/1.1 asks for no more than these, and an origin on HTTP/2 may say
    /// apart that they were all.
    promised: Option<u64>,
    /// Bytes passed on, and how many of them at the last break.
    got: u64,
    got_at_break: u64,
    /// The rest, while it is asked for.
    rest: Option<Asking>,
}

/// The rest of a broken answer, on its way.
type Asking = Pin<Box<dyn Future<Output = Result<Rest, Fault>> + Send>>;
type Ended = Pin<Box<dyn Future<Output = Option<Stall>> + Send>>;

/// What is released when the answer's body ends, or is dropped.
pub(crate) struct OriginState {
    /// The transfer that ends with the body.
    pub transfer: Transfer,
    /// The answer's status.
    pub status: u16,
    /// The connection, which goes back to the pool.
    pub lease: Option<Lease>,
    /// Refused when the answer is over.
    pub gate: Option<GateKey>,
    /// Among the route's uploads.
    #[expect(dead_code, reason = "released when it is dropped")]
    pub place: Option<Place>,
    /// The TCP peer.
    pub peer: std::net::SocketAddr,
    /// How the rest is asked for if the answer breaks off.
    pub(crate) resumption: Option<Box<Resumption>>,
    /// Where the end is written down.
    pub(crate) account: Option<Account>,
}

impl OriginBody {
    /// Watches `inner`.
    pub(crate) fn new(inner: Incoming, state: OriginState, shutdown: &Shutdown) -> Self {
        state.transfer.expect_down(inner.size_hint().exact());
        let mut body = Self {
            promised: inner.size_hint().exact(),
            inner,
            state: Some(state),
            ended: None,
            shutdown: shutdown.clone(),
            got: 0,
            got_at_break: 0,
            rest: None,
        };
        body.await_end();
        if body.inner.is_end_stream() {
            body.complete();
        }
        body
    }

    /// Waits from now on for what ends it from outside.
    fn await_end(&mut self) {
        let transfer = self.state.as_ref().map(|state| state.transfer.clone());
        let shutdown = self.shutdown.clone();
        self.ended = transfer.map(|transfer| -> Ended {
            Box::pin(async move {
                tokio::select! {
                    () = shutdown.ended() => None,
                    stall = transfer.stalled() => Some(stall),
                }
            })
        });
    }

    /// The fault that ends it from outside, when there is one.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Option<Fault> {
        match (self.ended.as_mut()?.as_mut().poll(cx), &self.state) {
            (Poll::Ready(None), _) => {
                let shutdown = FaultKind::Shutdown;
                Some(Fault::new(Leg::Client, Stage::ReceivingBody, shutdown))
            }
            (Poll::Ready(Some(stall)), Some(state)) => Some(state.transfer.stall_fault(&stall)),
            (Poll::Ready(Some(_)) | Poll::Pending, _) => None,
        }
    }

    /// True unless bytes are missing that were promised, as far as it is known what was.
    fn is_whole(&self) -> bool {
        let resumption = self
            .state
            .as_ref()
            .and_then(|state| state.resumption.as_ref());
        resumption.is_none_or(|resumption| self.got >= resumption.part.length())
    }

    /// True where everything has come, whatever the origin says after it.
    fn is_over(&self) -> bool {
        let all = self.promised.is_some_and(|promised| self.got >= promised);
        self.is_whole() && (all || self.inner.is_end_stream())
    }

    fn complete(&mut self) {
        self.ended = None;
        if let Some(mut state) = self.state.take() {
            state.transfer.finish(Outcome::Answered(state.status));
            if let Some(account) = &state.account {
                account.whole();
            }
            if let Some(gate) = &state.gate {
                gate.refuse();
            }
            if let Some(lease) = state.lease.take() {
                lease.give_back();
            }
        }
    }

    fn fail(&mut self, fault: Fault) -> BoxError {
        self.ended = None;
        if let Some(state) = self.state.take() {
            let fault = fault.peer(state.peer);
            if let Some(account) = &state.account {
                account.failed(&fault);
            }
            state.transfer.gives_up(&fault);
            return broken(&state.transfer, fault);
        }
        fault.into()
    }

    /// Like [`Self::resume`], where the route wants a stall to be acted on so.
    fn resume_stalled(&mut self, fault: Fault) -> Result<(), Fault> {
        let action = self
            .state
            .as_ref()
            .map(|state| state.transfer.stall_action());
        if action != Some(Action::Failover) || fault.leg == Leg::Client {
            return Err(fault);
        }
        self.resume(fault)
    }

    /// Begins to ask for the rest; gives the fault back where there is nothing to ask with.
    fn resume(&mut self, fault: Fault) -> Result<(), Fault> {
        let Some(state) = &mut self.state else {
            return Err(fault);
        };
        let Some(resumption) = state.resumption.take() else {
            return Err(fault);
        };
        // It is written down where the rest is asked for.
        state.account = None;
        // The broken connection is of no use to anybody.
        state.lease = None;
        self.ended = None;
        let moved = self.got > self.got_at_break;
        self.got_at_break = self.got;
        self.rest = Some(Box::pin(resumption.after(
            self.got,
            moved,
            fault.peer(state.peer),
        )));
        Ok(())
    }

    /// Waits for the rest, where it was asked for.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(Ok(()));
        };
        let rest = ready!(rest.as_mut().poll(cx));
        self.rest = None;
        match rest {
            Ok(rest) => {
                self.inner = rest.body;
                if let Some(state) = &mut self.state {
                    state.peer = rest.lease.about.peer;
                    state.lease = Some(rest.lease);
                    state.account = rest.resumption.account();
                    state.resumption = Some(rest.resumption);
                }
                self.await_end();
                Poll::Ready(Ok(()))
            }
            Err(fault) => Poll::Ready(Err(match self.state.take() {
                Some(state) => broken(&state.transfer, fault),
                None => fault.into(),
            })),
        }
    }
}

/// The end of a transfer whose answer broke off, and what the client's connection is told.
fn broken(transfer: &Transfer, fault: Fault) -> BoxError {
    transfer.finish(Outcome::Broken {
        code: fault.code().into(),
    });
    fault.into()
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Err(error) = ready!(self.poll_rest(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
            let polled = Pin::new(&mut self.inner).poll_frame(cx);
            if let Some(state) = &self.state {
                let counts = state.transfer.counters();
                counts
                    .asks_origin
                    .store(polled.is_pending(), Ordering::Relaxed);
            }
            return match polled {
                Poll::Ready(Some(Ok(mut frame))) => {
                    if let Some(trailers) = frame.trailers_mut() {
                        headers::strip_proxy_status(trailers);
                    }
                    if let (Some(data), Some(state)) = (frame.data_ref(), &self.state) {
                        let down = &state.transfer.counters().down;
                        down.fetch_add(data.len() as u64, Ordering::Relaxed);
                    }
                    self.got += frame.data_ref().map_or(0, |data| data.len() as u64);
                    if self.is_over() {
                        self.complete();
                    }
                    Poll::Ready(Some(Ok(frame)))
                }
                Poll::Ready(Some(Err(_))) if self.is_over() => Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => {
                    let kind = classify::io(&error);
                    let fault = Fault::new(Leg::Origin, Stage::ReceivingBody, kind).source(error);
                    match self.resume(fault) {
                        Ok(()) => continue,
                        Err(fault) => Poll::Ready(Some(Err(self.fail(fault)))),
                    }
                }
                // A rest that ends well before its end, as its own head had said.
                Poll::Ready(None) if !self.is_whole() => {
                    let kind = FaultKind::ClosedEarly;
                    match self.resume(Fault::new(Leg::Origin, Stage::ReceivingBody, kind)) {
                        Ok(()) => continue,
                        Err(fault) => Poll::Ready(Some(Err(self.fail(fault)))),
                    }
                }
                Poll::Ready(None) => {
                    self.complete();
                    Poll::Ready(None)
                }
                Poll::Pending => {
                    let Some(fault) = self.poll_ended(cx) else {
                        return Poll::Pending;
                    };
                    match self.resume_stalled(fault) {
                        Ok(()) => continue,
                        Err(fault) => Poll::Ready(Some(Err(self.fail(fault)))),
                    }
                }
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.inner.is_end_stream() && self.is_whole()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for OriginBody {
    fn drop(&mut self) {
        if let Some(gate) = self.state.as_ref().and_then(|state| state.gate.as_ref()) {
            gate.refuse();
        }
    }
}
