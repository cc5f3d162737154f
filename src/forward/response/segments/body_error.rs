//! Why the bytes of a download end before its response is complete.

use crate::model::{FaultKind, classify};

/// Why the bytes end before the response is complete.
pub(crate) struct BodyError {
    pub(crate) kind: FaultKind,
    pub(crate) source: Option<hyper::Error>,
}

impl BodyError {
    /// The origin's connection failed.
    pub(crate) fn by(error: hyper::Error) -> Self {
        Self {
            kind: classify::io(&error),
            source: Some(error),
        }
    }

    /// No bytes arrived for too long.
    pub(super) fn stalled() -> Self {
        Self {
            kind: FaultKind::TimedOut,
            source: None,
        }
    }

    /// The connection ended and bytes are missing.
    pub(crate) fn early() -> Self {
        Self {
            kind: FaultKind::ClosedEarly,
            source: None,
        }
    }
}
