//! The first connection of a download in segments: it delivers its own part, is kept alive, and reads on when ranges are given up.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Incoming};
use tokio::time::Instant;
use tokio_util::bytes::{Buf, Bytes};

use super::{BodyError, HEAD_SILENCE_LIMIT, Segmented, TICK};

/// How many bytes of the first connection are skipped at a time while ranges deliver.
const TRICKLE: u64 = 16 << 10;

impl Segmented {
    /// Bytes of the first connection; none where the client already has them.
    pub(super) fn poll_first(
        &mut self,
        cx: &mut Context<'_>,
        first: &mut Incoming,
        most: u64,
    ) -> Poll<Result<Bytes, BodyError>> {
        ready!(self.poll_spare(cx, first))?;
        let skips = self.plan.first_skips();
        let count = (skips + most).min(self.spare.len() as u64);
        let mut bytes = self.spare.split_to(count as usize);
        self.plan.note_first_received(count);
        bytes.advance(skips.min(count) as usize);
        Poll::Ready(Ok(bytes))
    }

    /// Reads on where the buffered bytes are used up.
    fn poll_spare(
        &mut self,
        cx: &mut Context<'_>,
        first: &mut Incoming,
    ) -> Poll<Result<(), BodyError>> {
        if self.spare.is_empty() {
            match ready!(Pin::new(first).poll_frame(cx)) {
                Some(Ok(frame)) => self.spare = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Err(BodyError::by(error))),
                None => return Poll::Ready(Err(BodyError::early())),
            }
            self.held_back.note_progress();
        }
        Poll::Ready(Ok(()))
    }

    /// Skips a few bytes now and then that ranges have delivered: servers close a connection that is not read for a minute.
    pub(super) fn keep_first_alive(&mut self, cx: &mut Context<'_>, first: &mut Incoming) {
        let now = Instant::now();
        let due = now.saturating_duration_since(self.first_read) >= TICK;
        if !due || self.broken.is_some() || self.plan.is_given_up() {
            return;
        }
        let skips = self.plan.first_skips();
        if skips == 0 {
            return;
        }
        match self.poll_spare(cx, first) {
            Poll::Ready(Ok(())) => {
                self.first_read = now;
                let count = skips.min(self.spare.len() as u64).min(TRICKLE);
                self.spare.advance(count as usize);
                self.plan.note_first_received(count);
            }
            Poll::Ready(Err(broken)) => self.first_failed(broken),
            Poll::Pending => {}
        }
    }

    pub(super) fn first_failed(&mut self, broken: BodyError) {
        self.requests
            .transfer()
            .log_segment_failure(&broken.kind.as_str());
        self.spare = Bytes::new();
        self.broken = Some(broken);
        self.plan.note_first_failed();
    }

    /// If the first connection has no bytes for the client, ranges fetch its remaining part.
    pub(super) fn skip_first(&mut self, now: Instant) {
        let waited = |since| now.saturating_duration_since(since) >= HEAD_SILENCE_LIMIT;
        if self.first_waits.is_some_and(waited) && !self.plan.is_given_up() {
            self.first_waits = None;
            self.requests.transfer().log_segment_failure("nothing came");
            self.plan.skip_first();
        }
    }
}
