//! What is happening: transfers, their stages and bytes, and the one place where log lines and counters are written.
//!
//! One struct per event writes the log line and the counter, so that the two cannot disagree. Nothing secret passes:
//! paths are redacted where they are captured.

pub(crate) mod event;
pub(crate) mod history;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod moment;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod observe;
mod pace;
pub(crate) mod redact;
pub(crate) mod registry;
pub(crate) mod timeline;
pub(crate) mod transfer;
pub(crate) mod watchdog;

pub use registry::Tracker;
pub(crate) use transfer::{Begin, Front, GivenUp, Outcome, Transfer, TransferHandle};
