//! A request's body on its way to the origin: counts bytes as they move, and reports its end.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Response,
    body::{Body, Frame, Incoming, SizeHint},
};
use tokio_util::bytes::Bytes;

use crate::forward::{
    headers,
    request::gate::{BodyDecision, BodyNotWanted, Gate},
    request::replay::{FrameOrigin, ReplayError, ReplayReader},
};
use crate::{
    model::{FaultKind, Stage, classify, fault::BoxError},
    track::TransferHandle,
};

/// The response to a client.
pub(crate) type HttpResponse = Response<ResponseBody>;
/// The body of a response, from the origin or from gitferry.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body made by gitferry.
pub(crate) fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A request's body on its way to the origin.
pub(crate) struct RequestBody {
    source: Option<BodySource>,
    transfer: TransferHandle,
    notes: Arc<RequestNotes>,
    gate: Option<Gate>,
    begun: bool,
}

enum BodySource {
    Client(Incoming),
    /// Read through a replay buffer.
    Recorded(ReplayReader),
    Held(Bytes),
}

/// The state of a request's body while hyper owns it.
#[derive(Debug, Default)]
pub(crate) struct RequestNotes {
    passed: AtomicU64,
    client_failed: AtomicBool,
    malformed: AtomicBool,
}

impl RequestNotes {
    /// How many bytes of the body the connection has taken.
    pub(crate) fn bytes_taken(&self) -> u64 {
        self.passed.load(Ordering::Acquire)
    }

    /// True where the client aborted its request.
    pub(crate) fn client_failed(&self) -> bool {
        self.client_failed.load(Ordering::Acquire)
    }

    /// How the client failed: it disconnected, or its body is not valid HTTP.
    pub(crate) fn client_fault(&self) -> FaultKind {
        if self.malformed.load(Ordering::Acquire) {
            FaultKind::BadRequest
        } else {
            FaultKind::Gone
        }
    }
}

impl RequestBody {
    /// Counts the bytes read from `inner`. With a gate, nothing is read from the client until the gate opens.
    pub(crate) fn new(inner: Incoming, transfer: TransferHandle, gate: Option<Gate>) -> Self {
        transfer.expect_up(inner.size_hint().exact());
        let source = (!inner.is_end_stream()).then_some(BodySource::Client(inner));
        Self::of(source, transfer, gate)
    }

    /// A body that is recorded while it is sent.
    pub(crate) fn recorded(
        reader: ReplayReader,
        transfer: TransferHandle,
        gate: Option<Gate>,
    ) -> Self {
        transfer.expect_up(reader.size_hint().exact());
        Self::of(Some(BodySource::Recorded(reader)), transfer, gate)
    }

    /// A body in memory, or none, for sending a request again. Its bytes were counted when they were received.
    pub(crate) fn in_memory(bytes: Option<Bytes>, transfer: TransferHandle) -> Self {
        let bytes = bytes.filter(|bytes| !bytes.is_empty());
        Self::of(bytes.map(BodySource::Held), transfer, None)
    }

    fn of(source: Option<BodySource>, transfer: TransferHandle, gate: Option<Gate>) -> Self {
        if source.is_some() {
            transfer.counters().sending.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            source,
            transfer,
            notes: Arc::default(),
            gate,
            begun: false,
        }
    }

    /// Its state, for the time when hyper owns the body.
    pub(crate) fn notes(&self) -> Arc<RequestNotes> {
        Arc::clone(&self.notes)
    }

    /// Counts a frame that is passed to the origin.
    fn count(&mut self, read: FrameOrigin) -> Frame<Bytes> {
        if !self.begun {
            self.begun = true;
            self.transfer.advance(Stage::SendingBody);
        }
        let size = |frame: &Frame<Bytes>| frame.data_ref().map_or(0, Bytes::len) as u64;
        let mut frame = match read {
            FrameOrigin::Record(frame) => frame,
            FrameOrigin::Client(frame) => {
                let up = &self.transfer.counters().up;
                up.fetch_add(size(&frame), Ordering::Relaxed);
                frame
            }
        };
        if let Some(trailers) = frame.trailers_mut() {
            headers::strip_trailers(trailers);
        }
        self.notes.passed.fetch_add(size(&frame), Ordering::AcqRel);
        let over = match &self.source {
            None => true,
            Some(BodySource::Client(inner)) => inner.is_end_stream(),
            Some(BodySource::Recorded(reader)) => reader.is_end(),
            Some(BodySource::Held(_)) => false,
        };
        if over {
            self.end();
        }
        frame
    }

    fn end(&mut self) {
        self.release_source();
        self.transfer.advance(Stage::AwaitingHead);
    }

    fn release_source(&mut self) {
        if self.source.take().is_some() {
            let sending = &self.transfer.counters().sending;
            sending.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.release_source();
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
            match gate.poll_decision(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(BodyDecision::Drop) => {
                    return Poll::Ready(Some(Err(Box::new(BodyNotWanted))));
                }
                Poll::Ready(BodyDecision::Send) => this.gate = None,
            }
        }
        let polled = match &mut this.source {
            None => return Poll::Ready(None),
            Some(BodySource::Client(inner)) => Pin::new(inner).poll_frame(cx).map(|frame| {
                frame.map(|frame| frame.map(FrameOrigin::Client).map_err(BoxError::from))
            }),
            Some(BodySource::Recorded(reader)) => match reader.poll_frame(cx) {
                // Whether the client is the cause decides the fault.
                Poll::Ready(Some(Err(error @ ReplayError::ReplayBuffer))) => {
                    return Poll::Ready(Some(Err(error.into())));
                }
                polled => polled.map(|frame| frame.map(|frame| frame.map_err(BoxError::from))),
            },
            Some(BodySource::Held(bytes)) => {
                // It was counted when the client sent it.
                let frame = Frame::data(std::mem::take(bytes));
                this.end();
                return Poll::Ready(Some(Ok(frame)));
            }
        };
        let awaits_client = &this.transfer.counters().awaits_client;
        awaits_client.store(polled.is_pending(), Ordering::Relaxed);
        match &polled {
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
            Poll::Ready(Some(Err(error))) => {
                let malformed = classify::is_malformed(&**error);
                this.notes.malformed.store(malformed, Ordering::Release);
                this.notes.client_failed.store(true, Ordering::Release);
            }
            Poll::Ready(None) => this.end(),
        }
        polled.map(|read| read.map(|read| Ok(this.count(read?))))
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            None => SizeHint::with_exact(0),
            Some(BodySource::Client(inner)) => inner.size_hint(),
            Some(BodySource::Recorded(reader)) => reader.size_hint(),
            Some(BodySource::Held(bytes)) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}
