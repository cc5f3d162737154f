//! The one timer that looks at every running transfer: what it sees is judged by `model::stall`, told here, and acted on by `forward`.
//!
//! It runs while transfers come and ends a look after the last one, so an idle daemon sleeps, and a client that asks one thing after the
//! other does not have it begin and end each time. A transfer that moves costs two counts a look, and a short one none;
//! the kernel is asked for more only about one that did not move since the look before.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::registry::Registry;
use crate::model::stall::Limits;

/// How often it looks, at most and at least.
pub(super) const SLOW: Duration = Duration::from_secs(1);
const FAST: Duration = Duration::from_millis(50);

/// How often a transfer with these limits is looked at: a quarter of the shortest one.
pub(super) fn tick(limits: &Limits) -> Duration {
    [
        limits.after,
        limits.connect_after,
        limits.answer_after,
        limits.client_after,
    ]
    .into_iter()
    .filter(|limit| !limit.is_zero())
    .map(|limit| limit / 4)
    .min()
    .unwrap_or(SLOW)
    .clamp(FAST, SLOW)
}

/// Looks until a look finds no transfer.
pub(super) async fn watch(registry: Arc<Registry>) {
    while let Some(next) = registry.looks() {
        tokio::select! {
            () = sleep_until(next) => registry.look(Instant::now()),
            () = registry.nudged() => {}
        }
    }
}
