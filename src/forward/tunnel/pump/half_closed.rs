//! How long a tunnel lives of which one half is closed.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Sleep;

use super::Direction;

/// How long one half may stay open alone without a byte.
pub(super) const HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(600);
/// How long one half may stay open after the other side closed its socket.
const HUNG_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// Ready when one half has been open alone for long enough without a byte.
pub(super) fn half_closed(
    cx: &mut Context<'_>,
    timer: &mut Option<Pin<Box<Sleep>>>,
    moved: bool,
    directions: [&Direction; 2],
) -> Poll<()> {
    let hung_up = directions
        .iter()
        .any(|direction| direction.write_error.is_some());
    let limit = if hung_up {
        HUNG_UP_TIMEOUT
    } else {
        HALF_CLOSED_TIMEOUT
    };
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
    if moved {
        timer.as_mut().reset(tokio::time::Instant::now() + limit);
    }
    timer.as_mut().poll(cx)
}
