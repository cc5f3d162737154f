//! What a transfer begins and ends with, and what it counts.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use crate::{config::Route, model::Target, track::Front};

/// What a transfer begins with.
#[derive(Debug)]
pub(crate) struct TransferStart<'a> {
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
    /// Its route.
    pub route: &'a Route,
    /// The product of `User-Agent` (`git/2.39.5`), where given.
    pub agent: Option<&'a str>,
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TransferOutcome {
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

impl TransferOutcome {
    /// True where the client went away.
    pub(super) fn is_departure(&self) -> bool {
        match self {
            Self::Broken { code } => code.starts_with("client/") && code.ends_with("/gone"),
            Self::Answered(_) | Self::Refused { .. } | Self::Closed => false,
        }
    }
}

/// Bytes moved, shared with the bodies and the tunnel.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Body bytes taken from the client.
    pub up: AtomicU64,
    /// Body bytes given to the client.
    pub down: AtomicU64,
    /// How many bytes the client will send, as far as it said so; 0 where it did not.
    pub up_total: AtomicU64,
    /// How many bytes the client will be given, as far as the origin said so; 0 where it did not.
    pub down_total: AtomicU64,
    /// True while the request's body waits for the client.
    pub asks_client: AtomicBool,
    /// True while the answer's body waits for the origin.
    pub asks_origin: AtomicBool,
    /// Request bodies that are under way: none before the first attempt and once the origin has been given everything.
    pub sending: AtomicU32,
    /// The answer's head came before the request was sent whole.
    pub early: AtomicBool,
    /// And it was a refusal: nobody need send the rest.
    pub refused: AtomicBool,
    /// The request has credentials of its own.
    pub credentials: AtomicBool,
}

impl Counters {
    /// Notes that an answer with this status begins now.
    pub(crate) fn answer(&self, status: u16) {
        let early = self.sending.load(Ordering::Relaxed) > 0;
        self.early.store(early, Ordering::Relaxed);
        self.refused.store(status >= 300, Ordering::Relaxed);
    }
}
