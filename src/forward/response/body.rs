//! An origin's response on its way to the client: counts it, resumes it where it breaks, and ends its transfer.

pub(crate) mod departure;
mod ending;
mod source;

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio_util::bytes::Bytes;

use ending::{
    CompletionFuture, FailureFuture, NO_CLOSE_NOTIFY, ResumeFuture, break_connection, external_end,
    fail,
};
use source::spawn_if_large;

use crate::forward::{
    exchange::Exchange,
    forwarder::Forwarder,
    headers,
    response::segments::{BodyError, Candidate, Segmented},
    response::{delivery::Delivery, drain},
    upstream::pool::Lease,
};
use crate::model::{Fault, FaultKind, Leg, Stage, attempts::Event, fault::BoxError};
use crate::track::TransferOutcome;

/// Up to this many bytes fit into the client's socket: its transfer ends with the last frame. To wait for them costs a task, a timer and
/// three system calls, a tenth of a small request.
const SMALL: u64 = 16 * 1024;

/// An origin's response on its way to the client. Its end passes the transfer to its [`Delivery`], unless it is small.
pub(crate) struct OriginBody {
    inner: Incoming,
    /// `None` once it is complete or failed.
    open: Option<OpenBody>,
    /// Completes when something external ends it: a stall, or shutdown.
    ended: Option<CompletionFuture>,
    /// The rest, while it is being requested.
    rest: Option<ResumeFuture>,
    /// The failure, while the client receives what came before it.
    failing: Option<FailureFuture>,
    /// A large response that may be segmented.
    candidate: Option<Box<Candidate>>,
    segmented: Option<Box<Segmented>>,
    status: u16,
    /// True where the end of the connection ends the response.
    close_delimited: bool,
    /// How many bytes the response's head promised. An HTTP/1.1 client stops reading after these, and an HTTP/2 origin may send the end of the
    /// stream separately.
    promised: Option<u64>,
    /// The same, where the rest can be requested: the response is complete with these bytes.
    resumable: Option<u64>,
    /// Bytes passed on.
    got: u64,
    /// The origin refused ranges, so there are no further segments.
    refused: bool,
    /// True where it is complete although its first connection is not.
    is_finished: bool,
}

/// What is released when the body ends or is dropped.
struct OpenBody {
    exchange: Box<Exchange>,
    /// The connection, which returns to the pool.
    lease: Lease,
}

impl OriginBody {
    /// The body `inner` of the response that `exchange` received.
    pub(crate) fn new(
        inner: Incoming,
        (status, close_delimited): (u16, bool),
        exchange: Box<Exchange>,
        mut lease: Lease,
    ) -> Self {
        spawn_if_large(&inner, &exchange, &mut lease);
        exchange.transfer.expect_down(inner.size_hint().exact());
        exchange.transfer.counters().note_response(status);
        let mut body = Self {
            promised: inner.size_hint().exact(),
            resumable: exchange.promised(),
            candidate: Candidate::of(&exchange, &lease).map(Box::new),
            segmented: None,
            ended: Some(external_end(&exchange)),
            open: Some(OpenBody { exchange, lease }),
            inner,
            rest: None,
            failing: None,
            status,
            close_delimited,
            got: 0,
            refused: false,
            is_finished: false,
        };
        if body.inner.is_end_stream() {
            body.complete();
        }
        body
    }

    /// The external event that ends it, when there is one.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Option<Event> {
        let polled = self.ended.as_mut()?.as_mut().poll(cx);
        let exchange = &self.open.as_ref()?.exchange;
        match polled {
            Poll::Pending => None,
            Poll::Ready(None) => Some(exchange.plan.shutdown()),
            Poll::Ready(Some(stall)) => {
                let fault = exchange.transfer.stall_fault(&stall);
                Some(exchange.broke_off(fault, self.got))
            }
        }
    }

    /// True unless promised bytes are missing, as far as the length is known.
    fn is_whole(&self) -> bool {
        self.resumable.is_none_or(|length| self.got >= length)
    }

    /// True where all bytes have arrived, whatever the origin sends afterwards.
    fn is_over(&self) -> bool {
        let all = self.promised.is_some_and(|promised| self.got >= promised);
        self.is_whole() && (all || self.inner.is_end_stream())
    }

    /// What it belongs to, until it is complete or failed.
    fn forwarder(&self) -> Option<Arc<Forwarder>> {
        let open = self.open.as_ref()?;
        Some(Arc::clone(&open.exchange.forwarder))
    }

    /// The request's body is not wanted, and its place among the route's uploads is free for the client's next one.
    fn release_upload(&mut self) {
        if let Some(open) = &mut self.open {
            open.exchange.outgoing.place = None;
            if let Some(gate) = &open.exchange.outgoing.gate {
                gate.refuse();
            }
        }
    }

    /// True where the response is small, as far as its length is known.
    fn is_small(&self) -> bool {
        self.got <= SMALL && self.promised.is_none_or(|promised| promised <= SMALL)
    }

    fn complete(&mut self) {
        self.ended = None;
        let Some(OpenBody {
            mut exchange,
            lease,
        }) = self.open.take()
        else {
            return;
        };
        exchange.plan.complete();
        if let Some(gate) = &exchange.outgoing.gate {
            gate.refuse();
        }
        exchange.transfer.release_origin();
        self.candidate = None;
        self.is_finished = self.segmented.is_some();
        match self.segmented.take() {
            // The first connection has bytes left that are not needed.
            Some(segmented) => segmented.return_to_pool(),
            None => exchange.return_to_pool(lease, self.status),
        }
        let Exchange {
            transfer,
            exchange_request,
            forwarder,
            ..
        } = *exchange;
        if self.got <= SMALL {
            transfer.finish(TransferOutcome::Answered(self.status));
        } else {
            Delivery::spawn(transfer, self.status, &exchange_request.client, &forwarder);
        }
    }

    /// The response broke off: requests the rest where possible.
    fn break_off(&mut self, broken: BodyError) -> Result<(), BoxError> {
        let mut fault = Fault::new(Leg::Origin, Stage::ReceivingBody, broken.kind);
        fault.source = broken.source.map(Into::into);
        let Some(open) = &self.open else {
            return Err(fault.into());
        };
        if let Some(flood) = open.lease.info.flood.exceeded() {
            fault = Fault::new(Leg::Origin, Stage::ReceivingBody, FaultKind::BadAnswer);
            fault = fault.detail(flood);
        }
        if self.close_delimited && fault.kind == FaultKind::ClosedEarly {
            fault = fault.detail(NO_CLOSE_NOTIFY);
        }
        let fault = if open.exchange.outgoing.notes.client_failed() {
            // The client aborted its request (Ctrl-C); the end of the origin's response is a consequence.
            let kind = open.exchange.outgoing.notes.client_fault();
            Fault::new(Leg::Client, Stage::ReceivingBody, kind)
        } else {
            fault.peer(open.lease.info.peer)
        };
        let event = open.exchange.broke_off(fault, self.got);
        self.end(event)
    }

    /// Ends with `error` at the next poll: hyper drops unwritten data when a body fails, but writes it while the body is pending.
    fn fail_after_flush(&mut self, error: BoxError) {
        self.failing = Some(Box::pin(async {
            tokio::task::yield_now().await;
            error
        }));
    }

    /// Ends with `event`, unless the rest can be requested.
    fn end(&mut self, event: Event) -> Result<(), BoxError> {
        self.ended = None;
        self.candidate = None;
        let refused = self.segmented.take().is_some_and(|one| one.is_refused());
        self.refused |= refused;
        // The broken connection is not reused: it is dropped here.
        let Some(OpenBody { mut exchange, .. }) = self.open.take() else {
            return Ok(());
        };
        let got = self.got;
        match event {
            Event::BrokeOff {
                fault,
                resumable: true,
                ..
            } => {
                self.rest = Some(Box::pin(async move {
                    let rest = exchange.resume(fault, got).await;
                    (exchange, rest)
                }));
                Ok(())
            }
            event if drain::should_drain(&event) => {
                self.failing = Some(Box::pin(fail(exchange, event, self.close_delimited)));
                Ok(())
            }
            event => {
                let given_up = exchange.plan.give_up(event);
                Err(break_connection(&exchange, given_up))
            }
        }
    }

    /// Counts a frame that passes.
    fn count_frame(&mut self, frame: &mut Frame<Bytes>) {
        if let Some(trailers) = frame.trailers_mut() {
            headers::strip_trailers(trailers);
        }
        let size = frame.data_ref().map_or(0, |data| data.len() as u64);
        if let Some(open) = &self.open {
            let down = &open.exchange.transfer.counters().down;
            down.fetch_add(size, Ordering::Relaxed);
        }
        self.got += size;
        if self.is_over() {
            self.complete();
        }
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(failing) = &mut self.failing {
                let error = ready!(failing.as_mut().poll(cx));
                self.failing = None;
                return Poll::Ready(Some(Err(error)));
            }
            if let Err(error) = ready!(self.poll_rest(cx)) {
                self.fail_after_flush(error);
                continue;
            }
            if self.is_finished {
                return Poll::Ready(None);
            }
            let polled = self.poll_inner(cx);
            if let Some(open) = &self.open {
                let counts = open.exchange.transfer.counters();
                counts
                    .awaits_origin
                    .store(polled.is_pending(), Ordering::Relaxed);
            }
            let ended = match polled {
                Poll::Ready(Some(Ok(mut frame))) => {
                    self.count_frame(&mut frame);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(Some(Err(_))) if self.is_over() => return Poll::Ready(None),
                Poll::Ready(Some(Err(broken))) => self.break_off(broken),
                // The rest ended before its own promised end, which its head announced.
                Poll::Ready(None) if !self.is_whole() => self.break_off(BodyError::early()),
                Poll::Ready(None) => {
                    self.complete();
                    return Poll::Ready(None);
                }
                Poll::Pending => match self.poll_ended(cx) {
                    Some(event) => self.end(event),
                    None => return Poll::Pending,
                },
            };
            if let Err(error) = ended {
                self.fail_after_flush(error);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.is_finished || self.inner.is_end_stream();
        self.rest.is_none() && ended && self.is_whole()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for OriginBody {
    fn drop(&mut self) {
        // Drop the segments before the transfer ends: its history includes their bytes.
        self.segmented = None;
        if let Some(open) = &self.open
            && let Some(gate) = &open.exchange.outgoing.gate
        {
            gate.refuse();
        }
    }
}
