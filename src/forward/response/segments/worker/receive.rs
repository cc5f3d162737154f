//! Receives the response to a range request, or discards it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use super::{Worker, WorkerState, WorkerStep};
use crate::forward::upstream::pool::Lease;

/// Fewer bytes within the limit of a silent connection are no progress.
const LEAST_PROGRESS: usize = 1 << 10;

impl Worker {
    /// Reads the response to a range request.
    pub(super) fn read(
        &mut self,
        cx: &mut Context<'_>,
        id: u64,
        left: u64,
        (lease, mut body): (Box<Lease>, Incoming),
    ) -> WorkerStep {
        let (left, progress) = match Pin::new(&mut body).poll_frame(cx) {
            Poll::Pending => {
                if self.since.is_none() {
                    self.since = Some(Instant::now());
                    self.dripped = 0;
                }
                (left, WorkerStep::Waits)
            }
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.into_data().unwrap_or_default();
                self.note_bytes(bytes.len());
                let left = match left.checked_sub(bytes.len() as u64) {
                    Some(left) => left,
                    None => return failed(id, "the response has more bytes than requested"),
                };
                self.record.received += bytes.len() as u64;
                (left, WorkerStep::Bytes { id, bytes })
            }
            Poll::Ready(Some(Err(error))) => return failed(id, &error.to_string()),
            Poll::Ready(None) if left > 0 => return failed(id, "the range ended early"),
            Poll::Ready(None) => {
                self.state = WorkerState::Free(lease);
                return WorkerStep::Free;
            }
        };
        self.state = WorkerState::Reading {
            id,
            left,
            lease,
            body,
        };
        progress
    }

    /// It waits no longer once enough has arrived: a connection that drips counts as silent.
    fn note_bytes(&mut self, count: usize) {
        self.dripped += count;
        if self.dripped >= LEAST_PROGRESS {
            self.since = None;
        }
    }

    /// Reads the rest of a response that is no longer needed.
    pub(super) fn discard(
        &mut self,
        cx: &mut Context<'_>,
        (until, left): (Instant, u64),
        (lease, mut body): (Box<Lease>, Incoming),
    ) -> WorkerStep {
        let polled = Pin::new(&mut body).poll_frame(cx);
        let waits = polled.is_pending();
        let left = match polled {
            Poll::Pending => (Instant::now() < until).then_some(left),
            Poll::Ready(Some(Ok(frame))) => {
                let count = frame.data_ref().map_or(0, |data| data.len() as u64);
                left.checked_sub(count)
            }
            Poll::Ready(None) if left == 0 => {
                self.state = WorkerState::Free(lease);
                return WorkerStep::Free;
            }
            Poll::Ready(_) => None,
        };
        // Otherwise it is closed.
        let Some(left) = left else {
            return WorkerStep::Free;
        };
        self.state = WorkerState::Draining {
            until,
            left,
            lease,
            body,
        };
        if waits {
            WorkerStep::Waits
        } else {
            WorkerStep::Free
        }
    }
}

fn failed(id: u64, why: &str) -> WorkerStep {
    WorkerStep::Failed {
        id,
        why: why.to_owned(),
    }
}
