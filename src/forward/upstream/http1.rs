//! One HTTP/1 connection to an origin: its sender and its driver.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use hyper::{
    Request, Response,
    body::{Body, Bytes, Frame, Incoming},
    client::conn::{TrySendError, http1::SendRequest},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::forward::{request::body::RequestBody, upstream::driver::Driver};
use crate::rt::{Shutdown, Tasks};

/// A connection that carries one request at a time.
pub(crate) struct Http1 {
    sender: SendRequest<RequestBody>,
    driver: DrivenBy,
}

enum DrivenBy {
    /// The task that uses the connection.
    User(Driver),
    /// A task of its own, which the token ends.
    Task(CancellationToken),
}

impl Http1 {
    /// A connection driven by the task that uses it.
    pub(crate) fn new(
        sender: SendRequest<RequestBody>,
        connection: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            sender,
            driver: DrivenBy::User(Driver::new(connection)),
        }
    }

    /// From here on a task drives it.
    pub(crate) fn spawn_driver(&mut self, tasks: &Tasks, shutdown: &Shutdown) {
        if let DrivenBy::User(driver) = &mut self.driver {
            self.driver = DrivenBy::Task(driver.spawn(tasks, shutdown));
        }
    }

    /// True once it can carry the next request; false where it is closed.
    pub(crate) async fn ready(&mut self) -> bool {
        self.poll_idle();
        poll_fn(|cx| {
            let sender = &mut self.sender;
            drive(&mut self.driver, cx, |cx| sender.poll_ready(cx))
        })
        .await
        .is_ok()
    }

    /// Lets it notice that its peer closed it while it was idle.
    pub(crate) fn poll_idle(&mut self) {
        if let DrivenBy::User(driver) = &mut self.driver {
            driver.poll_idle();
        }
    }

    /// True once it is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
            || matches!(&self.driver, DrivenBy::User(driver) if driver.is_over())
    }

    /// Sends the request and waits for the response's head. Without one, the connection is over: a task that cannot write the rest of the body,
    /// because the path is dead, would keep the body, and the client's connection would wait for its end.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let cut = match &mut self.driver {
            DrivenBy::User(driver) => {
                driver.expect_poll();
                None
            }
            DrivenBy::Task(cut) => Some(cut.clone().drop_guard()),
        };
        let mut sending = pin!(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        let sent = poll_fn(|cx| drive(driver, cx, |cx| sending.as_mut().poll(cx))).await;
        if sent.is_ok() {
            cut.map(DropGuard::disarm);
        }
        sent
    }

    /// The next part of a response's body.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Incoming,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        drive(&mut self.driver, cx, |cx| {
            Pin::new(&mut *body).poll_frame(cx)
        })
    }
}

fn drive<T>(
    driver: &mut DrivenBy,
    cx: &mut Context<'_>,
    mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    match driver {
        DrivenBy::User(driver) => driver.poll(cx, work),
        DrivenBy::Task(_) => work(cx),
    }
}
