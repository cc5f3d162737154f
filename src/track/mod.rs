//! The running and the finished transfers, the log and the metrics. No other module writes log lines or counts.
//!
//! One struct per event writes the log line and the counter, so that the two agree. Paths are redacted where they are captured, so that no
//! secret reaches the log.

mod digits;
pub(crate) mod event;
mod front;
pub(crate) mod history;
mod ledger;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod moment;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod observe;
mod pace;
pub(crate) mod redact;
mod running;
pub(crate) mod survey;
pub(crate) mod timeline;
mod tracker;
pub(crate) mod transfer;
mod watchdog;

pub(crate) use front::Front;
pub(crate) use tracker::Survey;
pub use tracker::Tracker;
pub(crate) use transfer::{
    FinalFault, Transfer, TransferHandle, TransferOutcome, TransferStart, TunnelStop, WatchedSocket,
};
