//! The parameters at the start of a transfer, its outcome, and its counters.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use crate::{
    config::Route,
    model::Target,
    track::{Front, event::EventText, redact},
};

/// The parameters at the start of a transfer.
#[derive(Debug)]
pub(crate) struct TransferStart<'a> {
    /// The front that received it.
    pub front: Front,
    /// The client's address.
    pub client: SocketAddr,
    /// The target.
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
    /// The origin's response was passed on completely, or its head to a client that needed no more.
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
    /// Aborted in the middle.
    Broken {
        /// The fault's code.
        code: Box<str>,
    },
}

impl TransferOutcome {
    /// True where the client disconnected.
    pub(super) fn is_departure(&self) -> bool {
        match self {
            Self::Broken { code } => code.starts_with("client/") && code.ends_with("/gone"),
            Self::Answered(_) | Self::Refused { .. } | Self::Closed => false,
        }
    }
}

/// Byte counters, shared with the bodies and the tunnel.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Body bytes taken from the client.
    pub up: AtomicU64,
    /// Body bytes given to the client.
    pub down: AtomicU64,
    /// Body bytes that range connections received and that wait until the client has all bytes before them.
    pub ahead: AtomicU64,
    /// The declared length of the request; 0 where unknown.
    pub up_total: AtomicU64,
    /// The declared length of the response; 0 where unknown.
    pub down_total: AtomicU64,
    /// True while the request's body waits for the client.
    pub awaits_client: AtomicBool,
    /// True while the response's body waits for the origin.
    pub awaits_origin: AtomicBool,
    /// Request bodies being sent: 0 before the first attempt and after the origin has received everything.
    pub sending: AtomicU32,
    /// True where the response's head arrived before the request was completely sent.
    pub early: AtomicBool,
    /// True where the response refuses or redirects, so the rest of the request need not be sent.
    pub refused: AtomicBool,
    /// True where the request carries credentials.
    pub credentials: AtomicBool,
}

impl Counters {
    /// The body bytes from the client and to it.
    pub(super) fn moved(&self) -> [u64; 2] {
        [&self.up, &self.down].map(|count| count.load(Ordering::SeqCst))
    }

    /// Records that a response with this status begins now.
    pub(crate) fn note_response(&self, status: u16) {
        let early = self.sending.load(Ordering::Relaxed) > 0;
        self.early.store(early, Ordering::Relaxed);
        self.refused.store(status >= 300, Ordering::Relaxed);
    }
}

/// A method as text; the usual ones need no allocation.
pub(super) fn method(method: &str) -> EventText {
    const KNOWN: [&str; 6] = ["GET", "POST", "PUT", "HEAD", "CONNECT", "PATCH"];
    let known = KNOWN.into_iter().find(|known| *known == method);
    known.map_or_else(|| redact::text(method).into(), EventText::Borrowed)
}
