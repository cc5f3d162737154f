//! What is happening: transfers, their stages and bytes, and the one place where log lines and counters are written.
//!
//! One struct per event writes the log line and the counter, so that the two cannot disagree. Nothing secret passes:
//! paths are redacted where they are captured.

pub mod event;
pub mod log;
pub mod metrics;
pub mod moment;
pub mod redact;
pub mod registry;
pub mod transfer;
pub mod watchdog;

pub use registry::Tracker;
pub use transfer::{Begin, Counters, Front, Outcome, Transfer};
