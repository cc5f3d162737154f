//! Threads for calls of the C library that may hang for minutes: `getaddrinfo`, and the user database.
//!
//! A dead resolver must not occupy tokio's blocking threads, which write the spool. The threads of this module are few, their queue is
//! bounded, and the process does not wait for them when it ends.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, PoisonError},
    thread,
    time::Duration,
};

use crate::sync::Mutex;

/// A bounded set of threads that start when there is work. Clones share them.
#[derive(Clone)]
pub(crate) struct Workers(Arc<WorkersState>);

struct WorkersState {
    name: &'static str,
    threads: usize,
    queue: usize,
    state: Mutex<JobQueue>,
    work: Condvar,
}

#[derive(Default)]
struct JobQueue {
    jobs: VecDeque<Job>,
    running: usize,
    idle: usize,
}

type Job = Box<dyn FnOnce() + Send>;

/// How long an idle thread lives.
const IDLE: Duration = Duration::from_secs(10);

impl Workers {
    /// A set of at most `threads` threads, for which at most `queue` jobs wait.
    pub(crate) fn new(name: &'static str, threads: usize, queue: usize) -> Self {
        Self(Arc::new(WorkersState {
            name,
            threads,
            queue,
            state: Mutex::default(),
            work: Condvar::new(),
        }))
    }

    /// Runs `job` on a thread. Returns false where the queue is full, or no thread can be started.
    #[must_use]
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.0.state.lock();
        let free = state.idle > state.jobs.len();
        if !free && state.running >= self.0.threads && state.jobs.len() >= self.0.queue {
            return false;
        }
        state.jobs.push_back(Box::new(job));
        if free {
            self.0.work.notify_one();
        } else if state.running < self.0.threads {
            let inner = Arc::clone(&self.0);
            let thread = thread::Builder::new().name(self.0.name.into());
            match thread.spawn(move || inner.run()) {
                Ok(_) => state.running += 1,
                // Another thread exists, and takes the job.
                Err(_) if state.running > 0 => {}
                Err(_) => return state.jobs.pop_back().is_none(),
            }
        }
        true
    }
}

impl WorkersState {
    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // A panic drops the job's sender, so its caller gets an error. The thread goes on.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.state.lock();
                continue;
            }
            state.idle += 1;
            let (again, waited) = self
                .work
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = again;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                state.running -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn hanging_jobs_use_at_most_the_configured_threads_and_a_full_queue_refuses_jobs() {
        let workers = Workers::new("test", 2, 1);
        let (begun, begins) = mpsc::channel();
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let hang = || {
            let (begun, held) = (begun.clone(), Arc::clone(&held));
            move || {
                begun.send(()).unwrap();
                let _ = held.lock().recv();
            }
        };
        assert!(workers.run(hang()));
        assert!(workers.run(hang()));
        begins.recv_timeout(SOON).unwrap();
        begins.recv_timeout(SOON).unwrap();
        assert!(workers.run(hang()), "the queue has a place");
        assert!(!workers.run(hang()), "and only one");
        assert!(begins.try_recv().is_err(), "two threads, not three");
        for _ in 0..3 {
            release.send(()).unwrap();
        }
        begins.recv_timeout(SOON).unwrap();
    }

    #[test]
    fn a_thread_survives_a_job_that_panics() {
        let workers = Workers::new("test", 1, 8);
        let (done, ends) = mpsc::channel();
        assert!(workers.run(|| panic!("a job of a test")));
        assert!(workers.run(move || done.send(()).unwrap()));
        ends.recv_timeout(SOON).unwrap();
    }
}
