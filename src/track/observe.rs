//! A subscription to faults, stalls and ends of transfers, for tests (feature `testing`). A release build does not contain it.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::sync::Mutex;

/// A fault of a transfer.
#[derive(Clone, Debug)]
pub struct FaultSeen {
    /// The requested host.
    pub host: String,
    /// The upstream of the attempt.
    pub upstream: Option<String>,
    /// `leg/stage/kind`.
    pub code: String,
    /// `client`, `hop` or `origin`.
    pub leg: String,
    /// What gitferry was doing.
    pub stage: String,
    /// What went wrong.
    pub kind: String,
    /// The number of the attempt.
    pub attempt: u32,
    /// `again`, `next-upstream` or `give-up`.
    pub next: String,
    /// True where the log has it at level debug: the upstream's failure was already reported, and gitferry waits for it.
    pub repeated: bool,
    /// The cause.
    pub cause: String,
    /// The advice.
    pub advice: Option<String>,
}

/// A phase of a stall.
#[derive(Clone, Debug)]
pub struct StallSeen {
    /// The requested host.
    pub host: String,
    /// `began`, `goes on`, `over` or `ended with its transfer`.
    pub phase: String,
    /// Why nothing moves.
    pub verdict: String,
    /// `client`, `hop` or `origin`.
    pub leg: String,
    /// What gitferry was doing.
    pub stage: String,
}

/// The end of a transfer.
#[derive(Clone, Debug)]
pub struct EndSeen {
    /// The requested host.
    pub host: String,
    /// `CONNECT`, `GET`, …
    pub method: String,
    /// The status of the response to the client.
    pub status: Option<u16>,
    /// `answered`, `closed`, or a fault's code.
    pub result: String,
    /// The number of attempts.
    pub attempts: u32,
    /// True where an open circuit made it use another upstream.
    pub rerouted: bool,
    /// Body bytes from the client.
    pub up: u64,
    /// Body bytes to the client.
    pub down: u64,
}

/// An event of a subscription.
#[derive(Clone, Debug)]
pub enum Observation {
    /// A fault.
    Fault(FaultSeen),
    /// A stall began, continues or is over.
    Stall(StallSeen),
    /// A transfer ended.
    Ended(EndSeen),
}

/// All events since the subscription, in order. Clones share the list.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<EventLog>);

#[derive(Debug, Default)]
struct EventLog {
    events: Mutex<Vec<Observation>>,
    added: Notify,
}

impl Events {
    /// Adds an event; tests add those that they read from the log of a separate daemon.
    pub fn push(&self, event: Observation) {
        let mut events = self.0.events.lock();
        events.push(event);
        self.0.added.notify_waiters();
    }

    /// The events so far for which `pick` returns a value.
    pub fn so_far<T>(&self, pick: impl Fn(Observation) -> Option<T>) -> Vec<T> {
        let events = self.0.events.lock();
        events.iter().cloned().filter_map(pick).collect()
    }

    /// Waits for event number `n`, from 0, for which `pick` returns a value.
    pub async fn nth<T>(&self, n: usize, pick: impl Fn(Observation) -> Option<T>) -> T {
        loop {
            let added = self.0.added.notified();
            tokio::pin!(added);
            // An event between the check and the wait is not missed.
            added.as_mut().enable();
            if let Some(found) = self.so_far(&pick).into_iter().nth(n) {
                return found;
            }
            added.await;
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

    pub(super) fn record<'a, E>(&self, event: &'a E)
    where
        Observation: From<&'a E>,
    {
        if let Some(events) = self.0.get() {
            events.push(event.into());
        }
    }
}
