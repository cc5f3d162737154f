//! A download over several connections: carries out the plan of [`model::segments`](crate::model::segments).
//!
//! [`Candidate`] watches a large response until segments help; from then on [`Segmented`] is the response's body. All state is in that body:
//! when it is dropped, every connection ends; while it is not polled, nothing is read.

mod body_error;
mod candidate;
mod failing;
mod first;
mod hold_buffer;
mod range_buffers;
mod worker;

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::body::Incoming;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::bytes::Bytes;

pub(crate) use body_error::BodyError;
pub(crate) use candidate::Candidate;
use hold_buffer::HoldBuffer;
use range_buffers::RangeBuffers;
use worker::{Worker, WorkerStep};

use crate::forward::{
    downloads::{DownloadLimits, HostPlace, Reservation},
    exchange::{Exchange, ranges::RangeRequests},
};
use crate::model::segments::{NextBytes, SegmentLimits, Segments};

/// How long the client may wait for a silent range before the range is fetched again: git-lfs gives up after 30 s.
const HEAD_SILENCE_LIMIT: Duration = Duration::from_secs(4);
/// How often that is checked.
const TICK: Duration = Duration::from_secs(1);
impl Candidate {
    /// The rest of the response, in segments.
    pub(crate) fn segmented(self, exchange: &Exchange, delivered: u64) -> Segmented {
        let shared = Arc::clone(&exchange.forwarder.shared.downloads);
        let memory = shared.reservation(self.unread);
        let limits = (self.limits, shared, memory);
        Segmented::new(self.requests, limits, self.first, (self.length, delivered))
    }
}

/// The rest of a response's body, over several connections.
pub(crate) struct Segmented {
    plan: Segments,
    requests: Arc<RangeRequests>,
    workers: Vec<Worker>,
    kept: RangeBuffers,
    /// Bytes of the first connection that were read before they could be delivered, or beyond its part.
    spare: Bytes,
    /// The last bytes received, and the time of the last delivery.
    held_back: HoldBuffer,
    /// Why the first connection ended.
    broken: Option<BodyError>,
    /// Since when the client waits for the first connection.
    first_waits: Option<Instant>,
    /// When it was last read while ranges deliver.
    first_read: Instant,
    /// True where ranges were given up because they stalled.
    stalled: bool,
    memory: Reservation,
    limits: Arc<DownloadLimits>,
    connections: usize,
    _first: HostPlace,
    tick: Interval,
    /// Fetches in a row that gave the waiting client nothing, and the bytes it received since the last one.
    wasted_fetches: u32,
    since_wasted: u64,
    /// The number of connections that the status shows.
    status_count: usize,
    /// True where the origin refuses ranges, so no further attempt is useful.
    refused: bool,
}

impl Segmented {
    /// From byte `delivered` of `length` on.
    pub(crate) fn new(
        requests: Arc<RangeRequests>,
        (limits, shared, memory): (SegmentLimits, Arc<DownloadLimits>, Reservation),
        first: HostPlace,
        (length, delivered): (u64, u64),
    ) -> Self {
        requests.transfer().log_segments_begin(limits.connections);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            plan: Segments::new(limits, length, delivered),
            requests,
            workers: Vec::new(),
            kept: RangeBuffers::default(),
            spare: Bytes::new(),
            held_back: HoldBuffer::new(),
            broken: None,
            first_waits: None,
            first_read: Instant::now(),
            stalled: false,
            memory,
            limits: shared,
            connections: limits.connections,
            _first: first,
            tick,
            wasted_fetches: 0,
            since_wasted: 0,
            status_count: 0,
            refused: false,
        }
    }

    /// The next bytes of the response; `first` is the body of the first connection.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        first: &mut Incoming,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        match self.poll_next(cx, first) {
            Poll::Ready(Some(Ok(bytes))) => {
                let is_last = self.plan.source() == NextBytes::Done;
                Poll::Ready(Some(Ok(self.held_back.hold_last(bytes, is_last))))
            }
            Poll::Pending => match self.held_back.release_one_byte() {
                Some(bytes) => Poll::Ready(Some(Ok(bytes))),
                None => Poll::Pending,
            },
            over => over,
        }
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        first: &mut Incoming,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            self.poll_workers(cx);
            self.keep_first_alive(cx, first);
            match self.plan.source() {
                NextBytes::Done => return Poll::Ready(None),
                NextBytes::Range { start, ready } if ready > 0 => {
                    if let Some(bytes) = self.kept.take(start, ready) {
                        self.note_delivered(bytes.len());
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                    // The plan and the buffers disagree: fail, because continuing would deliver wrong bytes.
                    return Poll::Ready(Some(Err(BodyError::early())));
                }
                NextBytes::Range { .. } => return Poll::Pending,
                // The rest over a new connection arrives sooner than the first connection can read up to here.
                NextBytes::First { .. } if self.stalled && self.plan.skips_much() => {
                    return Poll::Ready(Some(Err(BodyError::stalled())));
                }
                NextBytes::First { most } => {
                    self.first_waits.get_or_insert_with(Instant::now);
                    match ready!(self.poll_first(cx, first, most)) {
                        Ok(bytes) if bytes.is_empty() => {}
                        Ok(bytes) => {
                            self.note_delivered(bytes.len());
                            return Poll::Ready(Some(Ok(bytes)));
                        }
                        Err(broken) => self.first_failed(broken),
                    }
                }
                NextBytes::NoSource if self.broken.is_none() && !self.plan.is_given_up() => {
                    self.plan.extend();
                }
                NextBytes::NoSource => {
                    let broken = self.broken.take().unwrap_or_else(BodyError::early);
                    return Poll::Ready(Some(Err(broken)));
                }
            }
        }
    }

    /// True where the origin refused ranges, or every connection breaks.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused || self.plan.is_breaking()
    }

    /// The response is complete: returns its connections to the pool.
    pub(crate) fn return_to_pool(mut self) {
        for worker in self.workers.drain(..) {
            worker.return_to_pool();
        }
    }

    fn note_delivered(&mut self, count: usize) {
        self.first_waits = None;
        self.since_wasted += count as u64;
        self.plan.note_delivered(count as u64);
        let held = self.plan.held_bytes();
        self.memory.plan(|_| ((), held));
        self.count(self.plan.bytes_ahead());
    }

    /// Sets how many bytes wait for delivery.
    fn count(&self, ahead: u64) {
        let counters = self.requests.transfer().counters();
        counters.ahead.store(ahead, Ordering::Relaxed);
    }

    /// Assigns ranges and collects bytes until every connection waits.
    fn poll_workers(&mut self, cx: &mut Context<'_>) {
        loop {
            self.assign_ranges();
            let mut moved = false;
            for at in 0..self.workers.len() {
                moved |= self.poll_worker(cx, at);
            }
            self.workers.retain(|worker| !worker.is_gone());
            if !moved && self.tick.poll_tick(cx).is_pending() {
                break;
            }
            self.end_silent_fetches();
        }
        self.count(self.plan.bytes_ahead());
        self.update_status();
    }

    /// Assigns ranges to free connections, and to new ones.
    fn assign_ranges(&mut self) {
        let plan = &mut self.plan;
        for worker in &mut self.workers {
            worker.end_unwanted(|id| plan.remaining(id).is_some());
        }
        self.workers.retain(|worker| !worker.is_gone());
        loop {
            let free = self.workers.iter().position(Worker::is_free);
            let place = match free {
                Some(_) => None,
                None if self.workers.len() >= self.connections => return,
                None => match self.place() {
                    Some(place) => Some(place),
                    None => return,
                },
            };
            let plan = &mut self.plan;
            let next = self
                .memory
                .plan(|free| (plan.next_fetch(free), plan.held_bytes()));
            let Some((id, range)) = next else { return };
            match (free.and_then(|at| self.workers.get_mut(at)), place) {
                (Some(worker), _) => worker.fetch(&self.requests, id, range),
                (None, Some(place)) => {
                    let worker = Worker::new(place, &self.requests, id, range);
                    self.workers.push(worker);
                }
                (None, None) => self.plan.note_failed_fetch(id),
            }
        }
    }

    /// A place for one more connection. The range that the client waits for needs none: other downloads may keep the places for long.
    fn place(&self) -> Option<HostPlace> {
        let host = self.requests.host();
        let place = self.limits.place(host);
        place.or_else(|| self.plan.waits_for_fetch().then(|| self.limits.count(host)))
    }

    /// Polls one connection until it waits; true where it is then free.
    fn poll_worker(&mut self, cx: &mut Context<'_>, at: usize) -> bool {
        let Some(worker) = self.workers.get_mut(at) else {
            return false;
        };
        loop {
            match worker.poll(cx) {
                WorkerStep::Waits => return false,
                WorkerStep::Free => return true,
                WorkerStep::Bytes { id, bytes } => {
                    let Some(wanted) = self.plan.note_received(id, bytes.len()) else {
                        worker.end_unwanted(|_| false);
                        return true;
                    };
                    self.held_back.note_progress();
                    let keep = bytes.get(wanted.skip..wanted.skip + wanted.keep);
                    self.kept.append(wanted.start, keep.unwrap_or_default());
                    worker.end_unwanted(|id| self.plan.remaining(id).is_some());
                }
                WorkerStep::Failed { id, why } => {
                    self.fetch_failed(id, &why);
                    return true;
                }
                WorkerStep::Refused { why } => {
                    self.refused = true;
                    self.give_up(&why);
                    return false;
                }
            }
        }
    }

    /// Updates the connections in the status, where they changed.
    fn update_status(&mut self) {
        let changed = self.workers.iter_mut().any(Worker::is_changed);
        if changed || self.workers.len() != self.status_count {
            self.status_count = self.workers.len();
            let sockets = self.workers.iter().filter_map(Worker::socket).collect();
            self.requests.transfer().set_segments(sockets);
        }
    }
}

impl Drop for Segmented {
    fn drop(&mut self) {
        self.count(0);
        self.requests.transfer().set_segments(Vec::new());
    }
}
