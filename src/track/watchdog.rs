//! The timer that checks every running transfer. `model::stall` judges, `track` reports, and `forward` acts.
//!
//! It starts with the first transfer and stops some time after the last one: an idle daemon sleeps, and a client with sequential requests
//! does not restart it each time. The checks are cheap: a moving transfer costs two counter reads, a short one is never checked, the
//! kernel is asked for `TCP_INFO` only where nothing moved since the last check, and an idle tunnel rests until bytes move.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::running::{RunningTransfers, Watched};

/// Checks until no transfer is left.
pub(super) async fn watch<T: Watched>(running: Arc<RunningTransfers<T>>) {
    while let Some(next) = running.next_check() {
        tokio::select! {
            () = sleep_until(next) => {
                running.examine(Instant::now());
            }
            () = running.changed() => {}
        }
    }
    running.trim_memory().await;
}
