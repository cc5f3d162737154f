//! hyper's timer for the head of a client's request: a connection that had a request may be idle for `idle_timeout`; once a head has begun,
//! it must be complete within `head_timeout`.
//!
//! hyper has one limit for both (`header_read_timeout`), which starts with the wait. It creates its timer for each head and polls it after
//! each read, so a custom timer can tell the two apart.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt::{Sleep, Timer};
use tokio::time::Instant;

use crate::{config::Listen, net::RequestLine};

/// Must be set together with `header_read_timeout`, whose value it ignores.
pub(super) struct HeadTimer {
    head: Duration,
    idle: Duration,
    line: RequestLine,
    /// True until the first head is awaited: no idle time precedes it.
    first: AtomicBool,
}

impl HeadTimer {
    /// `line` reports when bytes of a request arrive.
    pub(super) fn new(listen: &Listen, line: RequestLine) -> Arc<Self> {
        Arc::new(Self {
            head: listen.head_timeout,
            idle: listen.idle_timeout,
            line,
            first: AtomicBool::new(true),
        })
    }
}

/// The timer for hyper.
#[derive(Clone)]
pub(super) struct Clock(pub(super) Arc<HeadTimer>);

impl Timer for Clock {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        let first = self.0.first.swap(false, Ordering::Relaxed);
        let limit = if first { self.0.head } else { self.0.idle };
        self.0.line.expect_next();
        Box::pin(HeadSleep {
            timer: Arc::clone(&self.0),
            idle: !first,
            sleep: Box::pin(tokio::time::sleep(limit)),
        })
    }

    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(self.0.head)
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

struct HeadSleep {
    timer: Arc<HeadTimer>,
    /// True while no byte of the head has arrived.
    idle: bool,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.idle && self.timer.line.has_begun() {
            self.idle = false;
            let limit = Instant::now() + self.timer.head;
            self.sleep.as_mut().reset(limit);
        }
        ready!(self.sleep.as_mut().poll(cx));
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::net::Interims;

    fn timer() -> (Arc<HeadTimer>, RequestLine) {
        let line = RequestLine::default();
        let timer = HeadTimer {
            head: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            line: line.clone(),
            first: AtomicBool::new(true),
        };
        (Arc::new(timer), line)
    }

    /// How long a connection stays open that sends `sent` and then nothing.
    async fn lasts(sent: &str, first_answers: usize) -> Duration {
        let (mut client, server) = duplex(4096);
        let (io, _) = Interims::new(server, |_, _| Vec::new());
        let (timer, _) = timer();
        let timer = HeadTimer {
            line: io.request_line(),
            ..Arc::into_inner(timer).unwrap()
        };
        let service = hyper::service::service_fn(|_| async {
            Ok::<_, std::convert::Infallible>(hyper::Response::new(String::new()))
        });
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(Clock(Arc::new(timer)))
            .header_read_timeout(Duration::from_secs(1))
            .serve_connection(hyper_util::rt::TokioIo::new(io), service);
        let begun = Instant::now();
        let talk = async {
            client.write_all(sent.as_bytes()).await.unwrap();
            let mut answers = String::new();
            client.read_to_string(&mut answers).await.unwrap();
            assert_eq!(answers.matches("200 OK").count(), first_answers);
        };
        let (_, ()) = tokio::join!(serving, talk);
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_client_has_idle_timeout_and_one_within_a_head_has_head_timeout() {
        const WHOLE: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let near = |got: Duration, limit: u64| {
            assert!(
                got.abs_diff(Duration::from_secs(limit)) < Duration::from_secs(1),
                "{got:?} and not {limit} s"
            );
        };
        near(lasts("", 0).await, 30);
        near(lasts("GET / HT", 0).await, 30);
        near(lasts(WHOLE, 1).await, 300);
    }

    #[tokio::test(start_paused = true)]
    async fn head_timeout_starts_with_the_first_byte_of_a_head() {
        let (timer, line) = timer();
        let clock = Clock(timer);
        clock.sleep(Duration::ZERO).await;
        let begun = Instant::now();
        let sleep = clock.sleep(Duration::ZERO);
        tokio::pin!(sleep);
        assert!(
            tokio::time::timeout(Duration::from_secs(200), &mut sleep)
                .await
                .is_err()
        );
        line.record(b"GET / HT");
        sleep.await;
        assert_eq!(begun.elapsed().as_secs(), 230);
    }
}
