//! An HTTP/1 connection to an origin that the request using it polls, without a task of its own.
//!
//! hyper splits a connection into a sender and a future that reads and writes. A separate task for the future costs a small request four
//! wake-ups between tasks, some of them across cores. So the task that waits for a response polls the future, and an idle connection is not
//! polled until the pool checks it. Long or bidirectional work still gets a task ([`Driver::spawn`]): a request whose body comes from the
//! client, an upgrade, a large response.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tokio_util::sync::CancellationToken;

use crate::{
    rt::{Shutdown, Tasks},
    sync::Mutex,
};

/// The future of one connection.
pub(crate) struct Driver {
    /// `None` once the connection is over.
    connection: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    wakes: Arc<WakeState>,
    /// Made from `wakes`, once.
    waker: Waker,
}

/// Wakes the task that polls the connection. During a poll it only records that more polling is needed: a task that wakes itself goes
/// through the scheduler's queue again, and wakes another thread there.
#[derive(Debug)]
struct WakeState {
    state: AtomicU8,
    outer: Mutex<Waker>,
}

/// No poll is under way: a wake-up goes to the task that polled last.
const IDLE: u8 = 0;
/// A poll is under way.
const POLLED: u8 = 1;
/// A wake-up came since the poll began.
const WOKEN: u8 = 2;

/// How many rounds one poll makes before it lets other tasks run.
const ROUNDS: usize = 16;

impl Driver {
    /// `connection` is the future that hyper returns with a sender.
    pub(crate) fn new(connection: impl Future<Output = ()> + Send + 'static) -> Self {
        let wakes = Arc::new(WakeState {
            state: AtomicU8::new(IDLE),
            outer: Mutex::new(Waker::noop().clone()),
        });
        Self {
            connection: Some(Box::pin(connection)),
            waker: Waker::from(Arc::clone(&wakes)),
            wakes,
        }
    }

    /// From here on a task polls it, until the connection or the daemon ends, or the token is cancelled.
    pub(crate) fn spawn(&mut self, tasks: &Tasks, shutdown: &Shutdown) -> CancellationToken {
        let (cut, shutdown) = (CancellationToken::new(), shutdown.clone());
        if let Some(connection) = self.connection.take() {
            let cut = cut.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = connection => {}
                    () = cut.cancelled() => {}
                    () = shutdown.ended() => {}
                }
            });
        }
        cut
    }

    /// True once the connection is over.
    pub(crate) fn is_over(&self) -> bool {
        self.connection.is_none()
    }

    /// Polls `work`, which waits for something on this connection, and the connection as long as that makes progress.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.wakes.begin_poll(cx.waker());
        let waker = self.waker.clone();
        let inner = &mut Context::from_waker(&waker);
        for _ in 0..ROUNDS {
            if let Poll::Ready(value) = work(inner) {
                self.wakes.state.store(IDLE, Ordering::Release);
                return Poll::Ready(value);
            }
            self.advance(inner);
            if self.wakes.end_round() {
                return Poll::Pending;
            }
        }
        self.wakes.state.store(IDLE, Ordering::Release);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// A poll follows at once, so wake-ups until then carry no information.
    pub(crate) fn expect_poll(&mut self) {
        self.wakes.state.store(POLLED, Ordering::Release);
    }

    /// Polls an idle connection so that it notices a close by its peer.
    pub(crate) fn poll_idle(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let _ = self.poll::<()>(&mut context, |_| Poll::Pending);
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(cx).is_ready()
        {
            self.connection = None;
        }
    }
}

impl WakeState {
    fn begin_poll(&self, outer: &Waker) {
        let mut kept = self.outer.lock();
        kept.clone_from(outer);
        drop(kept);
        self.state.store(POLLED, Ordering::Release);
    }

    /// Ends a round; false where a wake-up came and another round is needed.
    fn end_round(&self) -> bool {
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let ended = self.state.compare_exchange(POLLED, IDLE, set, fetch);
        if ended.is_err() {
            self.state.store(POLLED, Ordering::Release);
        }
        ended.is_ok()
    }
}

impl Wake for WakeState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        let noted = self.state.compare_exchange(POLLED, WOKEN, set, fetch);
        if noted == Err(IDLE) {
            let outer = self.outer.lock();
            outer.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::atomic::AtomicUsize};

    use super::*;

    struct WakeCounter(AtomicUsize);

    impl Wake for WakeCounter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_wake_up_during_a_poll_adds_a_round_and_a_later_one_wakes_the_task() {
        let counts = Arc::new(WakeCounter(AtomicUsize::new(0)));
        let task = Waker::from(Arc::clone(&counts));
        let (rounds, kept) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Mutex::new(None::<Waker>)),
        );
        let (seen, keep) = (Arc::clone(&rounds), Arc::clone(&kept));
        let mut driver = Driver::new(poll_fn(move |cx| {
            if seen.fetch_add(1, Ordering::Relaxed) < 3 {
                cx.waker().wake_by_ref();
            }
            *keep.lock() = Some(cx.waker().clone());
            Poll::Pending
        }));
        let cx = &mut Context::from_waker(&task);
        assert!(driver.poll::<()>(cx, |_| Poll::Pending).is_pending());
        assert_eq!(rounds.load(Ordering::Relaxed), 4);
        assert_eq!(counts.0.load(Ordering::Relaxed), 0);
        kept.lock().take().unwrap().wake();
        assert_eq!(counts.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_connection_that_always_wakes_itself_yields_to_other_tasks() {
        let counts = Arc::new(WakeCounter(AtomicUsize::new(0)));
        let task = Waker::from(Arc::clone(&counts));
        let mut driver = Driver::new(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        let cx = &mut Context::from_waker(&task);
        assert!(driver.poll::<()>(cx, |_| Poll::Pending).is_pending());
        assert_eq!(counts.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_value_is_returned_after_the_connection_is_over() {
        let mut driver = Driver::new(std::future::ready(()));
        driver.poll_idle();
        assert!(driver.is_over());
        let cx = &mut Context::from_waker(Waker::noop());
        assert_eq!(driver.poll(cx, |_| Poll::Ready(7)), Poll::Ready(7));
    }
}
