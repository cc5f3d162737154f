//! Bodies that are watched while they pass: bytes are counted as they move, and the end of a body is an event.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Response,
    body::{Body, Frame, Incoming, SizeHint},
};
use tokio::time::Sleep;

use super::{
    pool::Lease,
    replay::{Broken, Read, Reader},
    resumption::{Rest, Resumption},
    uploads::Place,
};
use crate::{
    model::{
        Fault, FaultKind, Leg, Stage, classify,
        fault::BoxError,
        retry::Next,
        stall::{Action, Stall},
    },
    rt::Shutdown,
    track::{Outcome, Transfer},
};

/// What a client is answered with.
pub type Answer = Response<AnswerBody>;
/// The body of an answer, whoever made it.
pub type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body of gitferry's own.
pub fn full(bytes: impl Into<Bytes>) -> AnswerBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A request's body on its way to the origin.
pub struct RequestBody {
    source: Option<Source>,
    transfer: Transfer,
    notes: Arc<RequestNotes>,
    gate: Option<Gate>,
    begun: bool,
}

enum Source {
    Client(Incoming),
    /// By way of a tape.
    Taped(Reader),
    Held(Bytes),
}

/// What is known of a request's body while hyper holds it.
#[derive(Debug, Default)]
pub struct RequestNotes {
    passed: AtomicU64,
    client_failed: AtomicBool,
}

impl RequestNotes {
    /// How many bytes of the body were handed to the connection.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Acquire)
    }

    /// True where the client broke off.
    pub fn client_failed(&self) -> bool {
        self.client_failed.load(Ordering::Acquire)
    }
}

impl RequestBody {
    /// Watches `inner`; with a gate, nothing is read from the client until it opens.
    pub fn new(
        inner: Incoming,
        transfer: Transfer,
        gate: Option<Gate>,
    ) -> (Self, Arc<RequestNotes>) {
        let notes = Arc::<RequestNotes>::default();
        let source = (!inner.is_end_stream()).then_some(Source::Client(inner));
        (
            Self {
                source,
                transfer,
                notes: Arc::clone(&notes),
                gate,
                begun: false,
            },
            notes,
        )
    }

    /// A body that is kept while it passes.
    pub fn taped(
        reader: Reader,
        transfer: Transfer,
        gate: Option<Gate>,
    ) -> (Self, Arc<RequestNotes>) {
        let notes = Arc::<RequestNotes>::default();
        let body = Self {
            source: Some(Source::Taped(reader)),
            transfer,
            notes: Arc::clone(&notes),
            gate,
            begun: false,
        };
        (body, notes)
    }

    /// A body that is held, or none: to send a request again. Its bytes were counted when they were taken.
    pub fn held(bytes: Option<Bytes>, transfer: Transfer) -> Self {
        let source = bytes.filter(|bytes| !bytes.is_empty()).map(Source::Held);
        Self {
            source,
            transfer,
            notes: Arc::default(),
            gate: None,
            begun: false,
        }
    }

    fn ended(&mut self) {
        self.source = None;
        if self.transfer.stage() < Stage::AwaitingHead {
            self.transfer.enter(Stage::AwaitingHead);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(gate) = &mut this.gate {
            match gate.poll_open(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(false) => return Poll::Ready(Some(Err(Box::new(NotWanted)))),
                Poll::Ready(true) => this.gate = None,
            }
        }
        let polled = match &mut this.source {
            None => return Poll::Ready(None),
            Some(Source::Client(inner)) => Pin::new(inner)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map(Read::Taken).map_err(BoxError::from))),
            Some(Source::Taped(reader)) => match reader.poll_frame(cx) {
                // Whether the client is to blame decides what the fault says.
                Poll::Ready(Some(Err(error @ Broken::Tape))) => {
                    return Poll::Ready(Some(Err(error.into())));
                }
                polled => polled.map(|frame| frame.map(|frame| frame.map_err(BoxError::from))),
            },
            Some(Source::Held(bytes)) => {
                // Counted when it was taken from the client.
                let frame = Frame::data(std::mem::take(bytes));
                this.ended();
                return Poll::Ready(Some(Ok(frame)));
            }
        };
        let counts = this.transfer.counts();
        counts
            .asks_client
            .store(polled.is_pending(), Ordering::Relaxed);
        match polled {
            Poll::Ready(Some(Ok(read))) => {
                if !this.begun {
                    this.begun = true;
                    if this.transfer.stage() < Stage::SendingBody {
                        this.transfer.enter(Stage::SendingBody);
                    }
                }
                let frame = match read {
                    Read::Again(frame) => frame,
                    Read::Taken(frame) => {
                        let size = frame.data_ref().map_or(0, Bytes::len);
                        this.transfer
                            .counters()
                            .up
                            .fetch_add(size as u64, Ordering::Relaxed);
                        frame
                    }
                };
                let size = frame.data_ref().map_or(0, Bytes::len);
                this.notes.passed.fetch_add(size as u64, Ordering::AcqRel);
                let over = match &this.source {
                    None => true,
                    Some(Source::Client(inner)) => inner.is_end_stream(),
                    Some(Source::Taped(reader)) => reader.is_end(),
                    Some(Source::Held(_)) => false,
                };
                if over {
                    this.ended();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.notes.client_failed.store(true, Ordering::Release);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                this.ended();
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            None => SizeHint::with_exact(0),
            Some(Source::Client(inner)) => inner.size_hint(),
            Some(Source::Taped(reader)) => reader.size_hint(),
            Some(Source::Held(bytes)) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

/// Holds a request's body back until the origin says `100 Continue` (RFC 9110, section 10.1.1).
///
/// hyper tells the client to continue when its body is first read, so both sides wait for the same word.
pub struct Gate {
    state: Arc<Mutex<GateState>>,
    patience: Pin<Box<Sleep>>,
}

/// The other end of a [`Gate`].
#[derive(Clone, Debug)]
pub struct GateKey(Arc<Mutex<GateState>>);

#[derive(Debug, Default)]
struct GateState {
    open: Option<bool>,
    waker: Option<Waker>,
}

/// How long a silent origin is waited for before the body is sent anyway.
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

impl Gate {
    /// A closed gate and its key.
    pub fn new() -> (Self, GateKey) {
        let state = Arc::<Mutex<GateState>>::default();
        let gate = Self {
            state: Arc::clone(&state),
            patience: Box::pin(tokio::time::sleep(CONTINUE_PATIENCE)),
        };
        (gate, GateKey(state))
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(open) = state.open {
                return Poll::Ready(open);
            }
            state.waker = Some(cx.waker().clone());
        }
        self.patience.as_mut().poll(cx).map(|()| true)
    }
}

impl GateKey {
    /// Lets the body pass.
    pub fn open(&self) {
        self.decide(true);
    }

    /// The origin answered without it: the body is not wanted.
    pub fn refuse(&self) {
        self.decide(false);
    }

    fn decide(&self, open: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.open.get_or_insert(open);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

/// The origin gave its final answer before it asked for the body.
#[derive(Debug)]
pub struct NotWanted;

impl fmt::Display for NotWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the origin answered without asking for the body")
    }
}

impl Error for NotWanted {}

/// An origin's answer on its way to the client; its end is the end of the transfer.
pub struct OriginBody {
    inner: Incoming,
    state: Option<OriginState>,
    /// What ends it from outside: a stall, or shutdown. It goes with the transfer that it holds.
    ended: Option<Ended>,
    shutdown: Shutdown,
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
pub struct OriginState {
    /// The transfer that ends with the body.
    pub transfer: Transfer,
    /// The answer's status.
    pub status: u16,
    /// The connection, which goes back to the pool.
    pub lease: Option<Lease>,
    /// Refused when the answer is over.
    pub gate: Option<GateKey>,
    /// Among the route's uploads.
    pub place: Option<Place>,
    /// The TCP peer.
    pub peer: std::net::SocketAddr,
    /// How the rest is asked for if the answer breaks off.
    pub(super) resumption: Option<Box<Resumption>>,
}

impl OriginBody {
    /// Watches `inner`.
    pub fn new(inner: Incoming, state: OriginState, shutdown: &Shutdown) -> Self {
        let mut body = Self {
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

    fn complete(&mut self) {
        self.ended = None;
        if let Some(mut state) = self.state.take() {
            state.transfer.finish(Outcome::Answered(state.status));
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
            state.transfer.fault(&fault, &Next::GiveUp);
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
                let counts = state.transfer.counts();
                counts
                    .asks_origin
                    .store(polled.is_pending(), Ordering::Relaxed);
            }
            return match polled {
                Poll::Ready(Some(Ok(frame))) => {
                    if let (Some(data), Some(state)) = (frame.data_ref(), &self.state) {
                        state
                            .transfer
                            .counters()
                            .down
                            .fetch_add(data.len() as u64, Ordering::Relaxed);
                    }
                    self.got += frame.data_ref().map_or(0, |data| data.len() as u64);
                    if self.inner.is_end_stream() {
                        self.complete();
                    }
                    Poll::Ready(Some(Ok(frame)))
                }
                Poll::Ready(Some(Err(error))) => {
                    let kind = classify::io(&error);
                    let fault = Fault::new(Leg::Origin, Stage::ReceivingBody, kind).source(error);
                    match self.resume(fault) {
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
        self.rest.is_none() && self.inner.is_end_stream()
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
