//! The source of a response's next frame: its connection, segments, or the requested rest.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body as _, Frame, Incoming};
use tokio_util::bytes::Bytes;

use super::{
    OpenBody, OriginBody,
    ending::{break_connection, external_end},
};
use crate::{
    forward::{
        exchange::Exchange,
        response::segments::{BodyError, Candidate},
        upstream::pool::Lease,
    },
    model::fault::BoxError,
};

impl OriginBody {
    /// Waits for the rest, where it was requested.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(Ok(()));
        };
        let (exchange, rest) = ready!(rest.as_mut().poll(cx));
        self.rest = None;
        match rest {
            Ok((response, mut lease)) => {
                self.inner = response.into_body();
                spawn_if_large(&self.inner, &exchange, &mut lease);
                self.ended = Some(external_end(&exchange));
                if !self.refused {
                    self.candidate = Candidate::of(&exchange, &lease).map(Box::new);
                }
                self.open = Some(OpenBody { exchange, lease });
                Poll::Ready(Ok(()))
            }
            Err(given_up) => Poll::Ready(Err(break_connection(&exchange, given_up))),
        }
    }

    /// The next frame, from any source.
    pub(super) fn poll_inner(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.begin_segments(cx);
        if let Some(segmented) = &mut self.segmented {
            let polled = segmented.poll_data(cx, &mut self.inner);
            return polled.map(|data| data.map(|data| data.map(Frame::data)));
        }
        let polled = match &mut self.open {
            Some(open) => open.lease.poll_body(cx, &mut self.inner),
            None => Pin::new(&mut self.inner).poll_frame(cx),
        };
        if let Some(candidate) = &mut self.candidate {
            candidate.record_wait(polled.is_pending());
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(BodyError::by)))
    }

    fn begin_segments(&mut self, cx: &mut Context<'_>) {
        let worth_it = match &mut self.candidate {
            Some(candidate) => candidate.poll_worth_it(cx, self.got),
            None => false,
        };
        if worth_it && let (Some(candidate), Some(open)) = (self.candidate.take(), &self.open) {
            let segmented = candidate.segmented(&open.exchange, self.got);
            self.segmented = Some(Box::new(segmented));
        }
    }
}

/// The largest response whose connection is driven by its reader.
const SMALL: u64 = 64 * 1024;

/// Lets a task drive the connection of a large response: reading and writing then use two cores, and reading continues while the client waits.
pub(super) fn spawn_if_large(inner: &Incoming, exchange: &Exchange, lease: &mut Lease) {
    let size = inner.size_hint().exact();
    if size.is_none_or(|size| size > SMALL) {
        let shared = &exchange.forwarder.shared;
        lease.spawn_driver(&shared.tasks, &shared.shutdown);
    }
}
