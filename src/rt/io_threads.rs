//! The threads that serve clients, one for each processor, each with a runtime of its own.
//!
//! A connection, and all that is done for it, stays on its thread, as in HAProxy and nginx: no task wakes another thread, and memory is freed
//! where it was allocated. With tokio's work-stealing runtime instead, a small request took a fifth more CPU on two processors
//! (tests/bench/README.md).

use std::{
    cell::Cell,
    convert::Infallible,
    io,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio_util::sync::CancellationToken;

/// More threads would only help a daemon that passes several GiB a second.
const MAX_THREADS: usize = 8;

/// How long the end of a thread waits for calls that block, such as a write to a disk that hangs.
const END_TIMEOUT: Duration = Duration::from_millis(100);

thread_local! {
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Which of the threads calls; `None` for any other thread.
pub(crate) fn io_thread_number() -> Option<usize> {
    NUMBER.get()
}

/// Where new connections are served. Clones share the threads.
#[derive(Clone, Debug)]
pub(crate) struct IoThreads {
    first: Arc<IoThread>,
    others: Arc<[Arc<IoThread>]>,
}

#[derive(Debug)]
struct IoThread {
    /// `None` for a runtime of somebody else.
    number: Option<usize>,
    runtime: Handle,
    connections: AtomicUsize,
}

/// The place of one connection on a thread, which counts it until it is dropped.
#[derive(Debug)]
pub(crate) struct IoPlace(Arc<IoThread>);

/// Ends the threads when it is dropped.
pub(crate) struct IoThreadsGuard {
    stop: CancellationToken,
    /// Disconnected once every thread has ended.
    ended: mpsc::Receiver<Infallible>,
}

impl IoThreads {
    /// Starts a thread for each processor that this process may use.
    pub(crate) fn start() -> io::Result<(Self, IoThreadsGuard)> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let (alive, ended) = mpsc::channel();
        let guard = IoThreadsGuard {
            stop: CancellationToken::new(),
            ended,
        };
        let start = |number| IoThread::start(number, guard.stop.clone(), alive.clone());
        let threads = Self {
            first: start(0)?,
            others: (1..processors.min(MAX_THREADS))
                .map(start)
                .collect::<io::Result<_>>()?,
        };
        Ok((threads, guard))
    }

    /// Only the runtime that this is called in.
    pub(crate) fn of_caller() -> Self {
        Self {
            first: IoThread::new(None, Handle::current()),
            others: Arc::default(),
        }
    }

    /// What is opened and spawned while the guard lives belongs to the first thread.
    pub(crate) fn enter_first(&self) -> EnterGuard<'_> {
        self.first.runtime.enter()
    }

    /// Waits until each thread has run a task: never, where one hangs.
    pub(crate) async fn respond(&self) {
        for thread in self.others.iter().chain([&self.first]) {
            // An error means that the runtime has ended.
            let _ = thread.runtime.spawn(async {}).await;
        }
    }

    /// A place on the thread with the fewest connections; among equals on the calling one, which nobody has to wake.
    pub(crate) fn place(&self) -> IoPlace {
        let caller = io_thread_number();
        let load = |thread: &IoThread| {
            let connections = thread.connections.load(Ordering::Relaxed);
            (connections, thread.number != caller)
        };
        let least = self.others.iter().fold(&self.first, |least, thread| {
            if load(thread) < load(least) {
                thread
            } else {
                least
            }
        });
        least.connections.fetch_add(1, Ordering::Relaxed);
        IoPlace(Arc::clone(least))
    }
}

impl IoThread {
    fn new(number: Option<usize>, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            number,
            runtime,
            connections: AtomicUsize::new(0),
        })
    }

    fn start(
        number: usize,
        stop: CancellationToken,
        alive: mpsc::Sender<Infallible>,
    ) -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let started = Self::new(Some(number), runtime.handle().clone());
        thread::Builder::new()
            .name(format!("gitferry-io-{number}"))
            .spawn(move || {
                NUMBER.set(Some(number));
                runtime.block_on(stop.cancelled());
                runtime.shutdown_timeout(END_TIMEOUT);
                drop(alive);
            })?;
        Ok(started)
    }
}

impl IoPlace {
    /// What is opened and spawned while the guard lives belongs to this thread.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.0.runtime.enter()
    }

    /// The runtime of the thread.
    pub(super) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }
}

impl Drop for IoPlace {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for IoThreadsGuard {
    fn drop(&mut self) {
        self.stop.cancel();
        // Nothing is ever sent: this waits until the last thread has dropped its sender.
        let _ = self.ended.recv_timeout(2 * END_TIMEOUT);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, future::pending};

    use tokio::time::timeout;

    use super::*;

    fn started() -> (IoThreads, IoThreadsGuard) {
        IoThreads::start().unwrap()
    }

    #[test]
    fn connections_are_spread_over_all_threads() {
        let (threads, _guard) = started();
        let count = 1 + threads.others.len();
        let mut places: Vec<_> = (0..3 * count).map(|_| threads.place()).collect();
        let of = |places: &[IoPlace]| -> HashSet<_> {
            places.iter().map(|place| place.0.number).collect()
        };
        for round in places.chunks(count) {
            assert_eq!(of(round).len(), count);
        }
        let ended = places.swap_remove(0);
        let freed = ended.0.number;
        drop(ended);
        assert_eq!(threads.place().0.number, freed);
    }

    #[test]
    fn among_equal_threads_the_calling_one_gets_the_connection() {
        let (threads, _guard) = started();
        for thread in threads.others.iter().chain([&threads.first]) {
            let (send, receive) = mpsc::channel();
            let asked = threads.clone();
            thread.runtime.spawn(async move {
                let place = asked.place();
                send.send((io_thread_number(), place.0.number)).unwrap();
            });
            let (caller, placed) = receive.recv().unwrap();
            assert_eq!(caller, thread.number);
            assert_eq!(placed, caller);
        }
    }

    #[tokio::test]
    async fn threads_respond_unless_one_of_them_hangs() {
        let (threads, _guard) = started();
        threads.respond().await;
        let (release, released) = mpsc::channel::<Infallible>();
        let hangs = threads.place().runtime().spawn(async move {
            let _ = released.recv();
        });
        let response = timeout(Duration::from_millis(50), threads.respond());
        response.await.unwrap_err();
        drop(release);
        hangs.await.unwrap();
        threads.respond().await;
    }

    #[test]
    fn the_end_drops_the_tasks_that_still_run() {
        let (threads, guard) = started();
        let (alive, dropped) = mpsc::channel::<Infallible>();
        let place = threads.place();
        place.runtime().spawn(async move {
            pending::<()>().await;
            drop(alive);
        });
        drop(guard);
        assert_eq!(
            dropped.recv_timeout(Duration::ZERO),
            Err(mpsc::RecvTimeoutError::Disconnected)
        );
    }
}
