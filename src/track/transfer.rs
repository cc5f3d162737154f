//! One request, or one tunnel, being ferried. Its closing line is written when the last clone is dropped.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
};

use crate::model::{Fault, Stage, Target, retry::Next};

/// What the client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Front {
    /// A request inside a terminated CONNECT.
    Intercept,
    /// An opaque tunnel after CONNECT, or `gitferry connect`.
    Tunnel,
    /// `GET http://host/…`.
    Absolute,
    /// `GET /host/…`.
    Reverse,
}

/// What a transfer begins with.
#[derive(Debug)]
pub struct Begin<'a> {
    /// How it came in.
    pub front: Front,
    /// The client's address.
    pub client: SocketAddr,
    /// Where it wants to go.
    pub target: &'a Target,
    /// `CONNECT`, `GET`, …
    pub method: &'a str,
    /// Path and query as received; redacted here, before it is kept. Empty for a tunnel.
    pub path: &'a str,
    /// The name of the route.
    pub route: &'a str,
    /// The product of `User-Agent` (`git/2.39.5`), where given.
    pub agent: Option<&'a str>,
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The origin's answer was passed on whole.
    Answered(u16),
    /// gitferry answered itself, after a fault.
    Refused {
        /// The status given to the client.
        status: u16,
        /// The fault's code.
        code: Box<str>,
    },
    /// A tunnel that both sides closed.
    Closed,
    /// Broken off in the middle.
    Broken {
        /// The fault's code.
        code: Box<str>,
    },
}

/// Bytes moved, shared with the bodies and the tunnel.
#[derive(Debug, Default)]
pub struct Counters {
    /// Body bytes taken from the client.
    pub up: AtomicU64,
    /// Body bytes given to the client.
    pub down: AtomicU64,
}

/// A handle on a running transfer; clones are the same transfer.
#[derive(Clone, Debug)]
pub struct Transfer;

impl Transfer {
    /// The stage begins now; the time since the last change is added to the stage before.
    pub fn enter(&self, stage: Stage) {
        let _ = stage;
    }
    /// The stage it is in.
    pub fn stage(&self) -> Stage {
        Stage::Accepted
    }
    /// An attempt through `upstream` begins; `attempt` counts from 1 over all upstreams.
    pub fn attempting(&self, upstream: &str, attempt: u32) {
        let _ = (upstream, attempt);
    }
    /// The connection was taken from the pool.
    pub fn reused(&self) {}
    /// The address of the TCP peer.
    pub fn connected(&self, peer: SocketAddr) {
        let _ = peer;
    }
    /// The byte counters.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::default()
    }
    /// Writes the fault's event and counts it.
    pub fn fault(&self, fault: &Fault, next: &Next) {
        let _ = (fault, next);
    }
    /// Says how it ends; the first call counts, and without one the client went away.
    pub fn finish(&self, outcome: Outcome) {
        let _ = outcome;
    }
    /// The label of the upstream in use, if any.
    pub fn upstream(&self) -> Option<Box<str>> {
        None
    }
    /// The advice for a fault of this transfer.
    pub fn advice(&self, fault: &Fault) -> Option<String> {
        let _ = fault;
        None
    }
    /// A CONNECT whose TLS stands: its requests are transfers of their own, so this one ends without a closing line.
    pub fn handed_over(&self) {}
}
