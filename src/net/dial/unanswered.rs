//! Requests that wait for a hop which is told nothing of where they have been.
//!
//! `Via` ends a loop in its first round. Where `via = false` of a hop hides it, two daemons that are each other's hop pass a request round and
//! round: nothing in it, and no socket, tells one round from another client. But each round waits for the next one, so what grows
//! without an answer is a loop, or as good as one.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use crate::model::{Fault, FaultKind, Leg, Stage};

/// How many requests for one target may wait for one such hop. Clients ask for a few dozen at once at most.
const MOST: usize = 64;

type Waiting = HashMap<(SocketAddr, String), usize>;

static WAITING: LazyLock<Mutex<Waiting>> = LazyLock::new(Mutex::default);

/// One of them; over with its end.
#[derive(Debug)]
pub(crate) struct Unanswered((SocketAddr, String));

impl Unanswered {
    /// One more request for `target` through `hop`.
    ///
    /// Fails where so many wait that it must be a loop.
    pub(crate) fn begin(hop: SocketAddr, target: &str) -> Result<Self, Fault> {
        let key = (hop, target.to_owned());
        let mut waiting = lock();
        let count = waiting.entry(key.clone()).or_default();
        if *count >= MOST {
            let fault = Fault::new(Leg::Client, Stage::Accepted, FaultKind::Loop).peer(hop);
            return Err(fault.detail(format!(
                "{MOST} requests for {target} wait for this hop: it leads back to this daemon, and `via = false` hides the loop"
            )));
        }
        *count += 1;
        Ok(Self(key))
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let mut waiting = lock();
        if let Some(count) = waiting.get_mut(&self.0) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                waiting.remove(&self.0);
            }
        }
    }
}

fn lock() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}
