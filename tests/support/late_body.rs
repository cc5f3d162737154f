//! A response whose body leaves in a packet of its own, after its head.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http_body_util::BodyExt as _;
use hyper::{
    Response,
    body::{Body as HttpBody, Frame, SizeHint},
};
use tokio::time::{Sleep, sleep};
use tokio_util::bytes::Bytes;

use super::lfs::Body;

/// Far more than a client needs that has read the head and closes its connection.
const LATE: Duration = Duration::from_millis(300);

/// The same response; its body follows later.
pub(super) fn late(response: Response<Body>) -> Response<Body> {
    response.map(|body| {
        let wait = Box::pin(sleep(LATE));
        LateBody { wait, body }.boxed()
    })
}

struct LateBody {
    wait: Pin<Box<Sleep>>,
    body: Body,
}

impl HttpBody for LateBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.wait.is_elapsed() {
            ready!(self.wait.as_mut().poll(cx));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
