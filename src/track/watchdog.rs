//! The one timer that looks at every running transfer: what it sees is judged by `model::stall`, told here, and acted on by `forward`.
//!
//! It runs while transfers come and ends a look after the last one, so an idle daemon sleeps, and a client that asks one thing after the
//! other does not have it begin and end each time. A transfer that moves costs two counts a look, and a short one none;
//! the kernel is asked for more only about one that did not move since the look before.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::{running::Running, transfer::TransferState};

/// Looks until a look finds no transfer.
pub(super) async fn watch(running: Arc<Running<TransferState>>) {
    while let Some(next) = running.looks() {
        tokio::select! {
            () = sleep_until(next) => {
                let now = Instant::now();
                running.examine(now, |transfer| transfer.examine(now));
            }
            () = running.changed() => {}
        }
    }
    running.rest().await;
}
