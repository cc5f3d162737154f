//! Uploads that can be repeated: the client's body is read once into a buffer, and every attempt has its own reader.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{Arc, MutexGuard},
    task::{Context, Poll, ready},
};

use hyper::{
    Method,
    body::{Body, Frame, Incoming, SizeHint},
    header::CONTENT_LENGTH,
    http::request::Parts,
};
use tokio_util::bytes::Bytes;

use crate::forward::{
    headers,
    request::spool::{Budget, ReplayBuffer, ReplayLoss},
};
use crate::{
    config::{HttpVersion, Route},
    model::fault::BoxError,
    sync::Mutex,
    track::TransferHandle,
};

/// True where a body is recorded so that the request can be repeated in mid-upload; only this function decides it.
///
/// Only where a repetition is harmless (RFC 9110, section 9.2.2: PUT replaces), the client declared the length, and the route permits it.
/// A small body of another method is recorded where HTTP/2 is offered: it is sent again only where the origin states that it did not process
/// the request (RFC 9113, section 8.7). Otherwise the origin may have acted on a part of it, as git's receive-pack does.
pub(crate) fn may_replay(head: &Parts, route: &Route) -> bool {
    let length = headers::text(&head.headers, &CONTENT_LENGTH);
    let length = length.and_then(|length| length.parse::<u64>().ok());
    let small = |length: u64| length <= MAX_SMALL && route.http == HttpVersion::Http2;
    length.is_some_and(|length| route.replay && head.method == Method::PUT || small(length))
}

/// The largest body that is recorded for any method.
const MAX_SMALL: u64 = 64 * 1024;

/// A client's body and the record of what was received.
pub(crate) struct Upload<B = Incoming>(Arc<Mutex<UploadState<B>>>);

struct UploadState<B> {
    client: B,
    total: SizeHint,
    /// Bytes received from the client.
    received: u64,
    ended: bool,
    replay_buffer: Option<ReplayBuffer>,
    transfer: TransferHandle,
}

/// The reader of one attempt.
pub(crate) struct ReplayReader<B = Incoming> {
    upload: Upload<B>,
    at: u64,
}

/// The source of a reader's frame.
pub(crate) enum FrameOrigin {
    /// The client.
    Client(Frame<Bytes>),
    /// The record.
    Record(Frame<Bytes>),
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B>
where
    B::Error: Into<BoxError>,
{
    /// An upload of which nothing is received yet.
    pub(crate) fn new(client: B, budget: Arc<Budget>, transfer: TransferHandle) -> Self {
        let total = client.size_hint();
        let size = total.exact().unwrap_or(u64::MAX);
        Self(Arc::new(Mutex::new(UploadState {
            total,
            client,
            received: 0,
            ended: false,
            replay_buffer: Some(ReplayBuffer::new(budget, size)),
            transfer,
        })))
    }

    /// True as long as an attempt can start from the first byte.
    pub(crate) fn is_whole(&self) -> bool {
        self.shared().replay_buffer.is_some()
    }

    /// A reader from the first byte; the earlier reader must not be used any more.
    pub(crate) fn reader(&self) -> ReplayReader<B> {
        if let Some(replay_buffer) = &mut self.shared().replay_buffer {
            replay_buffer.rewind();
        }
        ReplayReader {
            upload: Self(Arc::clone(&self.0)),
            at: 0,
        }
    }
}

impl<B> Upload<B> {
    fn shared(&self) -> MutexGuard<'_, UploadState<B>> {
        self.0.lock()
    }
}

impl<B: Body<Data = Bytes> + Unpin> ReplayReader<B>
where
    B::Error: Into<BoxError>,
{
    /// The next frame: first from the record, then from the client.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<FrameOrigin, ReplayError>>> {
        let mut shared = self.upload.shared();
        let shared = &mut *shared;
        loop {
            if let Some(replay_buffer) = &mut shared.replay_buffer {
                if let Err(lost) = ready!(replay_buffer.poll_ready(cx)) {
                    shared.drop_buffer(&lost);
                    continue;
                }
                if self.at < replay_buffer.length() {
                    let Ok(bytes) = ready!(replay_buffer.poll_read(self.at, cx)) else {
                        return Poll::Ready(Some(Err(ReplayError::ReplayBuffer)));
                    };
                    self.at += bytes.len() as u64;
                    return Poll::Ready(Some(Ok(FrameOrigin::Record(Frame::data(bytes)))));
                }
            } else if self.at < shared.received {
                return Poll::Ready(Some(Err(ReplayError::ReplayBuffer)));
            }
            if shared.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut shared.client).poll_frame(cx)) {
                None => shared.ended = true,
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(ReplayError::Client(error.into()))));
                }
                Some(Ok(frame)) => return Poll::Ready(Some(Ok(shared.take(frame, &mut self.at)))),
            }
        }
    }

    /// True where nothing is left to read.
    pub(crate) fn is_end(&self) -> bool {
        let shared = self.upload.shared();
        (shared.ended || shared.client.is_end_stream()) && self.at == shared.received
    }

    /// The number of remaining bytes.
    pub(crate) fn size_hint(&self) -> SizeHint {
        let shared = self.upload.shared();
        match shared.total.exact() {
            Some(total) => SizeHint::with_exact(total.saturating_sub(self.at)),
            None => SizeHint::default(),
        }
    }
}

impl<B> UploadState<B> {
    /// Records a frame from the client and passes it on.
    fn take(&mut self, frame: Frame<Bytes>, at: &mut u64) -> FrameOrigin {
        match frame.data_ref() {
            Some(bytes) => {
                let size = bytes.len() as u64;
                let kept = self
                    .replay_buffer
                    .as_mut()
                    .map(|replay_buffer| replay_buffer.append(bytes.clone()));
                self.received += size;
                *at += size;
                if let Some(Err(lost)) = kept {
                    self.drop_buffer(&lost);
                }
            }
            // Trailers are not recorded; known clients upload without them.
            None => self.replay_buffer = None,
        }
        FrameOrigin::Client(frame)
    }

    fn drop_buffer(&mut self, lost: &ReplayLoss) {
        self.replay_buffer = None;
        self.transfer.report_replay_given_up(&lost.to_string());
    }
}

/// Why a reader cannot go on.
#[derive(Debug)]
pub(crate) enum ReplayError {
    /// The client aborted.
    Client(BoxError),
    /// The recorded bytes are no longer available.
    ReplayBuffer,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client(_) => "the client aborted its upload",
            Self::ReplayBuffer => "the first part of the upload is no longer kept",
        })
    }
}

impl Error for ReplayError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Client(error) => Some(&**error),
            Self::ReplayBuffer => None,
        }
    }
}
