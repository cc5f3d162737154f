//! Faults, stalls and ends of transfers as values, for tests. A release build has nothing of it (feature `testing`).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;

/// A fault of a transfer.
#[derive(Clone, Debug)]
pub struct FaultSeen {
    /// The host asked for.
    pub host: String,
    /// The upstream of the attempt.
    pub upstream: Option<String>,
    /// `leg/stage/kind`.
    pub code: String,
    /// `client`, `hop` or `origin`.
    pub leg: String,
    /// What was being done.
    pub stage: String,
    /// What went wrong.
    pub kind: String,
    /// Which attempt of the transfer.
    pub attempt: u32,
    /// `again`, `next-upstream` or `give-up`.
    pub next: String,
    /// True where the log has it at level debug: the upstream is waited for, and its failure was reported.
    pub repeated: bool,
    /// The fact.
    pub cause: String,
    /// The guess.
    pub advice: Option<String>,
}

/// A line of a stall.
#[derive(Clone, Debug)]
pub struct StallSeen {
    /// The host asked for.
    pub host: String,
    /// `began`, `goes on`, `over` or `ended with its transfer`.
    pub phase: String,
    /// Why nothing moves.
    pub verdict: String,
    /// `client`, `hop` or `origin`.
    pub leg: String,
    /// What was being done.
    pub stage: String,
}

/// The end of a transfer.
#[derive(Clone, Debug)]
pub struct EndSeen {
    /// The host asked for.
    pub host: String,
    /// `CONNECT`, `GET`, …
    pub method: String,
    /// The status of the answer to the client.
    pub status: Option<u16>,
    /// `answered`, `closed`, or a fault's code.
    pub result: String,
    /// Attempts in all.
    pub attempts: u32,
    /// Whether the circuit of another upstream led it elsewhere.
    pub rerouted: bool,
    /// Body bytes from the client.
    pub up: u64,
    /// Body bytes to the client.
    pub down: u64,
}

/// What a subscription sees.
#[derive(Clone, Debug)]
pub enum Observation {
    /// A fault.
    Fault(FaultSeen),
    /// A stall began, goes on or is over.
    Stall(StallSeen),
    /// A transfer ended.
    Ended(EndSeen),
}

/// Everything that was seen since the subscription, in order. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<EventLog>);

#[derive(Debug, Default)]
struct EventLog {
    events: Mutex<Vec<Observation>>,
    news: Notify,
}

impl Events {
    /// Adds an event; the tests bring those that they read from the log of a daemon beside them.
    pub fn push(&self, event: Observation) {
        let mut events = self.0.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event);
        self.0.news.notify_waiters();
    }

    /// What `pick` takes of the events so far.
    pub fn so_far<T>(&self, pick: impl Fn(Observation) -> Option<T>) -> Vec<T> {
        let events = self.0.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().cloned().filter_map(pick).collect()
    }

    /// Number `n`, from 0, of what `pick` takes; waits for it.
    pub async fn nth<T>(&self, n: usize, pick: impl Fn(Observation) -> Option<T>) -> T {
        loop {
            let news = self.0.news.notified();
            tokio::pin!(news);
            // What comes between the look and the wait is not missed.
            news.as_mut().enable();
            if let Some(found) = self.so_far(&pick).into_iter().nth(n) {
                return found;
            }
            news.await;
        }
    }
}

/// The subscription to a registry, if a test took one.
#[derive(Debug, Default)]
pub(super) struct Observer(OnceLock<Events>);

impl Observer {
    pub(super) fn subscribe(&self) -> Events {
        self.0.get_or_init(Events::default).clone()
    }

    pub(super) fn see<'a, E>(&self, event: &'a E)
    where
        Observation: From<&'a E>,
    {
        if let Some(events) = self.0.get() {
            events.push(event.into());
        }
    }
}
