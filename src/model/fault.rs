//! A failure with its leg, stage, kind and peer.
//!
//! The code of a fault (`origin/handshaking/reset`) is stable: the log, the API, the metrics and the error responses contain it. `Display`
//! prints its own level only; the renderer walks `source()`.

mod advice;
mod kind;
pub(crate) mod table;

use std::{error::Error, fmt};

use super::{Leg, Stage};

pub(crate) use kind::{Denial, HopLogin};
pub(crate) use table::{FaultKind, Outlook, meaning};

/// An error of a library, kept below a fault.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The error of an origin that does not serve this request over HTTP/2.
const HTTP_1_1_REQUIRED: &str = "http-1-1-required";

/// A failure with its leg, stage and kind.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The part of the path.
    pub leg: Leg,
    /// What gitferry was doing.
    pub stage: Stage,
    /// What went wrong.
    pub kind: FaultKind,
    /// The peer: an address, or a name where there is no address yet.
    pub peer: Option<Box<str>>,
    /// True where another attempt cannot act twice: no byte of the request was sent, or the request may be repeated.
    pub unsent: bool,
    /// One more sentence of detail (the hop's response, the certificate's names). Never a secret.
    pub detail: Option<Box<str>>,
    /// The library's error.
    pub source: Option<BoxError>,
}

impl Fault {
    /// A new fault. Before stage `sending-head` no byte of the request has been sent; [`Fault::with_unsent`] overrides this.
    pub(crate) fn new(leg: Leg, stage: Stage, kind: FaultKind) -> Self {
        Self {
            leg,
            stage,
            kind,
            peer: None,
            unsent: stage < Stage::SendingHead,
            detail: None,
            source: None,
        }
    }

    /// Adds the peer's address.
    #[must_use]
    pub(crate) fn peer(mut self, peer: impl fmt::Display) -> Self {
        self.peer = Some(peer.to_string().into());
        self
    }

    /// Adds a sentence of detail for the reader.
    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds the library's error as the source.
    #[must_use]
    pub(crate) fn source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets [`Fault::unsent`].
    #[must_use]
    pub(crate) fn with_unsent(mut self, unsent: bool) -> Self {
        self.unsent = unsent;
        self
    }

    /// True where the peer closed the connection, with a FIN or a reset.
    pub(crate) fn is_hang_up(&self) -> bool {
        matches!(
            self.kind,
            FaultKind::Reset | FaultKind::ClosedEarly | FaultKind::Http2(_)
        )
    }

    /// True where the origin requires HTTP/1.1 for this request (RFC 9113, section 7).
    pub(crate) fn wants_http1(&self) -> bool {
        matches!(&self.kind, FaultKind::Http2(name) if name == HTTP_1_1_REQUIRED)
    }

    /// True where the connection was dead before the request reached it.
    pub(crate) fn is_stale(&self) -> bool {
        self.kind == FaultKind::StaleConnection
    }

    /// The stable code: `leg/stage/kind`.
    pub(crate) fn code(&self) -> String {
        format!(
            "{}/{}/{}",
            self.leg.as_str(),
            self.stage.as_str(),
            self.kind
        )
    }

    /// What the system or the peer says, without the code and the peer; `None` where it says nothing.
    pub(crate) fn cause(&self) -> Option<String> {
        let (own, chain) = (self.to_string(), self.chain());
        let below = chain.strip_prefix(&*own).unwrap_or_default();
        let below = without_numbers(below.trim_start_matches(": "));
        match (self.detail.as_deref(), below) {
            (None, "") => None,
            (Some(detail), "") => Some(detail.to_owned()),
            (None, below) => Some(below.to_owned()),
            (Some(detail), below) => Some(format!("{detail}: {below}")),
        }
    }

    /// This level and every level below, each once: for one line of log.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = next {
            let level = error.to_string();
            // Libraries repeat the level below in their own text.
            if !text.contains(&level) {
                text.push_str(": ");
                text.push_str(&level);
            }
            next = error.source();
        }
        text
    }
}

/// `Connection refused`, not `Connection refused (os error 111)`.
pub(crate) fn without_numbers(cause: &str) -> &str {
    cause.split(" (os error ").next().unwrap_or(cause)
}

/// `text` with its first letter in lower case, to be part of another sentence. An acronym keeps its capitals.
pub(crate) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// The code, the peer and the detail, without the sources.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code())?;
        if let Some(peer) = &self.peer {
            write!(f, " with {peer}")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_prints_each_level_of_its_chain_once() {
        let io = std::io::Error::new(
            std::io::ErrorKind::ConnectionReset,
            "connection reset by peer",
        );
        let fault = Fault::new(Leg::Origin, Stage::Handshaking, FaultKind::Reset)
            .peer("192.0.2.1:443")
            .source(io);
        assert_eq!(fault.code(), "origin/handshaking/reset");
        assert_eq!(
            fault.chain(),
            "origin/handshaking/reset with 192.0.2.1:443: connection reset by peer"
        );
        assert!(fault.unsent);
        assert!(!Fault::new(Leg::Origin, Stage::AwaitingHead, FaultKind::Reset).unsent);
    }
}
