//! A timer for deadlines that follow one another and are rarely reached, such as those of the requests on one connection.
//!
//! A new tokio timer takes the lock of the timer wheel when it is registered and again when it is dropped, and wakes the thread in
//! `epoll_wait` where it is due before all others. A small request paid that twice. The timer here stays registered: a later deadline only
//! changes a field, and the timer is moved when it fires too early.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Waits for one deadline at a time.
#[derive(Debug, Default)]
pub(crate) struct ReusedTimer(Option<Pin<Box<Sleep>>>);

impl ReusedTimer {
    /// Completes at `deadline`. Until then, the task may be woken for an earlier deadline that no longer counts.
    pub(crate) fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }

    /// Waits until `deadline`.
    pub(crate) async fn until(&mut self, deadline: Instant) {
        poll_fn(|cx| self.poll_until(cx, deadline)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_deadline_is_met_whether_earlier_or_later_than_the_one_before() {
        let (mut timer, begun) = (ReusedTimer::default(), Instant::now());
        for seconds in [3, 4, 4, 60] {
            let deadline = begun + Duration::from_secs(seconds);
            timer.until(deadline).await;
            assert_eq!(Instant::now(), deadline.max(begun));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_was_given_up_neither_delays_nor_hastens_the_next() {
        let mut timer = ReusedTimer::default();
        for (given_up, next) in [(250, 1), (1, 250), (1, 1)] {
            let begun = Instant::now();
            let far = begun + Duration::from_secs(given_up);
            let _ = tokio::time::timeout(Duration::from_millis(1), timer.until(far)).await;
            let near = Instant::now() + Duration::from_secs(next);
            timer.until(near).await;
            assert_eq!(Instant::now(), near);
        }
    }
}
