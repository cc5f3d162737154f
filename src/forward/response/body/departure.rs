//! A client that closes its connection after the head of a response, because the head is all that it needs.
//!
//! git-lfs reads only the status of `verify` and closes the connection (`tq/verify.go`), curl reads no error page with `--fail`, and reqwest
//! drops what its caller did not ask for. Where the body arrives in a second packet, its rest is then still on its way.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::BodyExt as _;
use hyper::{
    Method, StatusCode,
    body::{Body, Frame, SizeHint},
    http::request::Parts,
};
use tokio_util::bytes::Bytes;

use super::OriginBody;
use crate::{
    forward::{forwarder::Forwarder, response::batch::is_batch},
    model::fault::BoxError,
};

/// How long the rest may take to arrive: a lost packet on a slow path is sent again within this time.
const REST_TIMEOUT: Duration = Duration::from_secs(5);

/// An origin's response for a client that may need only its head. Where the client leaves after the head, the rest is read in its place: the
/// transfer is answered, and the origin's connection can carry the next request.
pub(crate) struct ClientBody {
    /// `None` only while it is dropped.
    body: Option<OriginBody>,
    head_suffices: bool,
}

impl ClientBody {
    pub(crate) fn new(body: OriginBody, head_suffices: bool) -> Self {
        Self {
            body: Some(body),
            head_suffices,
        }
    }
}

/// True where a client may need no more than the head of the response to `request`. Where it needs the body, its disconnect is an abort.
pub(crate) fn head_suffices(request: &Parts, status: StatusCode) -> bool {
    let path = request.uri.path();
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&request.method)
        || is_batch(&request.method, &request.uri)
        || path.ends_with("/git-upload-pack")
        || path.ends_with("/git-receive-pack");
    !status.is_success() || !reads
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if self.head_suffices
            && let Some(mut body) = self.body.take()
            && let Some(forwarder) = body.forwarder()
            && body.is_small()
            && let Ok(place) = Arc::clone(&forwarder.shared.rests).try_acquire_owned()
        {
            body.release_upload();
            let tasks = forwarder.shared.tasks.clone();
            tasks.spawn(async move {
                read_rest(body, &forwarder).await;
                drop(place);
            });
        }
    }
}

/// Reads the rest of a response whose client has left. The transfer ends as answered with the last byte, otherwise as left by the client.
async fn read_rest(mut body: OriginBody, forwarder: &Forwarder) {
    let reading = async { while body.is_small() && matches!(body.frame().await, Some(Ok(_))) {} };
    tokio::select! {
        () = reading => {}
        () = tokio::time::sleep(REST_TIMEOUT) => {}
        () = forwarder.shared.shutdown.ended() => {}
    }
}
