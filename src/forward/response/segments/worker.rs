//! One connection that fetches ranges, one after the other.

mod receive;

use std::{
    future::Future,
    mem,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;
use tokio_util::bytes::Bytes;

use crate::forward::{
    downloads::HostPlace,
    exchange::ranges::{RangeRefusal, RangeRequests, RangeResponse},
    upstream::pool::Lease,
};
use crate::{
    io::TcpMonitor,
    track::{TransferHandle, timeline::Segment},
};

/// A connection that fetches ranges.
pub(super) struct Worker {
    state: WorkerState,
    /// The time since when it waits for bytes.
    since: Option<Instant>,
    /// Bytes that arrived since then.
    dripped: usize,
    begun: Instant,
    /// True where it was connected since the last query.
    changed: bool,
    /// Its record for the history.
    record: Segment,
    transfer: TransferHandle,
    _place: HostPlace,
}

enum WorkerState {
    Free(Box<Lease>),
    Asking {
        id: u64,
        size: u64,
        response: Pin<Box<dyn Future<Output = Result<RangeResponse, RangeRefusal>> + Send>>,
    },
    Reading {
        id: u64,
        /// Bytes of the response that have not arrived.
        left: u64,
        lease: Box<Lease>,
        body: Incoming,
    },
    /// Its range was split or another connection brought it: the rest of the response is discarded.
    Draining {
        until: Instant,
        left: u64,
        lease: Box<Lease>,
        body: Incoming,
    },
    Gone,
}

/// How long discarding the rest of a response may take before its connection takes another range: about as long as a new one needs.
const DISCARD_LIMIT: Duration = Duration::from_secs(1);

/// The result of polling a connection.
pub(super) enum WorkerStep {
    /// It waits, or has no range.
    Waits,
    /// It can take another range, or is closed.
    Free,
    Bytes {
        id: u64,
        bytes: Bytes,
    },
    Failed {
        id: u64,
        why: String,
    },
    Refused {
        why: String,
    },
}

impl Worker {
    /// A connection that first fetches `range`.
    pub(super) fn new(
        place: HostPlace,
        requests: &Arc<RangeRequests>,
        id: u64,
        range: Range<u64>,
    ) -> Self {
        let mut worker = Self {
            state: WorkerState::Gone,
            since: None,
            dripped: 0,
            begun: Instant::now(),
            changed: false,
            record: Segment {
                congestion: None,
                received: 0,
            },
            transfer: requests.transfer().clone(),
            _place: place,
        };
        worker.fetch(requests, id, range);
        worker
    }

    /// Fetches `range` next.
    pub(super) fn fetch(&mut self, requests: &Arc<RangeRequests>, id: u64, range: Range<u64>) {
        let kept = match mem::replace(&mut self.state, WorkerState::Gone) {
            WorkerState::Free(lease) => Some(*lease),
            WorkerState::Asking { .. }
            | WorkerState::Reading { .. }
            | WorkerState::Draining { .. }
            | WorkerState::Gone => None,
        };
        self.since = Some(Instant::now());
        self.dripped = 0;
        self.state = WorkerState::Asking {
            id,
            size: range.end - range.start,
            response: Box::pin(Arc::clone(requests).fetch(kept, range)),
        };
    }

    /// Polls it for its next result.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> WorkerStep {
        loop {
            match mem::replace(&mut self.state, WorkerState::Gone) {
                WorkerState::Asking {
                    id,
                    size,
                    mut response,
                } => match response.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.state = WorkerState::Asking { id, size, response };
                        return WorkerStep::Waits;
                    }
                    Poll::Ready(Ok(RangeResponse { lease, body })) => {
                        self.since = None;
                        self.changed = true;
                        let record = &mut self.record;
                        if record.congestion.is_none() {
                            record.congestion = lease.info.tcp.congestion();
                        }
                        self.state = WorkerState::Reading {
                            id,
                            left: size,
                            lease: Box::new(lease),
                            body,
                        };
                    }
                    Poll::Ready(Err(RangeRefusal::Failed(why))) => {
                        return WorkerStep::Failed { id, why };
                    }
                    Poll::Ready(Err(RangeRefusal::Refused(why))) => {
                        return WorkerStep::Refused { why };
                    }
                },
                WorkerState::Reading {
                    id,
                    left,
                    lease,
                    body,
                } => return self.read(cx, id, left, (lease, body)),
                WorkerState::Draining {
                    until,
                    left,
                    lease,
                    body,
                } => return self.discard(cx, (until, left), (lease, body)),
                state @ (WorkerState::Free(_) | WorkerState::Gone) => {
                    self.state = state;
                    return WorkerStep::Waits;
                }
            }
        }
    }

    /// Ends a fetch that is no longer `wanted`. A connection takes the next range where the rest of its response comes soon.
    pub(super) fn end_unwanted(&mut self, wanted: impl FnOnce(u64) -> bool) {
        let is_wanted = match &self.state {
            WorkerState::Asking { id, .. } | WorkerState::Reading { id, .. } => wanted(*id),
            WorkerState::Free(_) | WorkerState::Draining { .. } | WorkerState::Gone => true,
        };
        if is_wanted {
            return;
        }
        let now = Instant::now();
        let pace = self.record.received as f64 / (now - self.begun).as_secs_f64();
        let soon = (pace * DISCARD_LIMIT.as_secs_f64()) as u64;
        self.state = match mem::replace(&mut self.state, WorkerState::Gone) {
            state @ WorkerState::Asking { size, .. } if size <= soon => state,
            WorkerState::Reading {
                left: 0,
                lease,
                body,
                ..
            } if body.is_end_stream() => WorkerState::Free(lease),
            WorkerState::Reading {
                left, lease, body, ..
            } if left <= soon => WorkerState::Draining {
                until: now + 2 * DISCARD_LIMIT,
                left,
                lease,
                body,
            },
            WorkerState::Asking { .. }
            | WorkerState::Reading { .. }
            | WorkerState::Draining { .. }
            | WorkerState::Free(_)
            | WorkerState::Gone => WorkerState::Gone,
        };
    }

    /// Closes the connection.
    pub(super) fn end(&mut self) {
        self.state = WorkerState::Gone;
    }

    /// Returns the connection to the pool where it is free.
    pub(super) fn return_to_pool(mut self) {
        if let WorkerState::Free(lease) = mem::replace(&mut self.state, WorkerState::Gone) {
            lease.return_to_pool();
        }
    }

    /// True where it can take a range at once.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.state, WorkerState::Free(_))
    }

    /// True where it is closed.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.state, WorkerState::Gone)
    }

    /// The fetch that waits for bytes, and since when.
    pub(super) fn waiting_fetch(&self) -> Option<(u64, Instant)> {
        match &self.state {
            WorkerState::Asking { id, .. } | WorkerState::Reading { id, .. } => {
                Some((*id, self.since?))
            }
            WorkerState::Free(_) | WorkerState::Draining { .. } | WorkerState::Gone => None,
        }
    }

    /// True where its socket may have changed since the last call.
    pub(super) fn is_changed(&mut self) -> bool {
        mem::take(&mut self.changed)
    }

    /// Its socket, once it is connected.
    pub(super) fn socket(&self) -> Option<TcpMonitor> {
        match &self.state {
            WorkerState::Free(lease)
            | WorkerState::Reading { lease, .. }
            | WorkerState::Draining { lease, .. } => Some(lease.info.tcp.clone()),
            WorkerState::Asking { .. } | WorkerState::Gone => None,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.record.received > 0 {
            self.transfer.note_segment_end(self.record.clone());
        }
    }
}
