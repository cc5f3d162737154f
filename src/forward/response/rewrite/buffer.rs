//! Buffers a body within limits; where that fails, every byte and error is still passed on.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use crate::forward::{
    limits::{LargePlace, RewriteLimits},
    request::body::ResponseBody,
};
use crate::{mirror::Coding, model::fault::BoxError};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use tokio_util::bytes::Bytes;

/// The largest body that needs no place.
const MAX_SMALL: u64 = 64 * 1024;

/// The reason where no place became free.
const NO_PLACE: &str = "too many large bodies are being rewritten";
/// How long a body that holds a place may be silent.
const FRAME_TIMEOUT: Duration = Duration::from_secs(20);

/// Reads the whole body and returns it with its place. Fails with the reason, and with a body that still returns every byte and error.
pub(crate) async fn buffer_body(
    body: ResponseBody,
    coding: Coding,
    limits: &RewriteLimits,
) -> Result<(Bytes, LargePlace), (String, ResponseBody)> {
    let hint = body.size_hint();
    let over = || {
        format!(
            "the body is larger than `max_body` of `[rewrite]`, {} bytes",
            limits.max_body
        )
    };
    if hint.lower() > limits.max_body as u64 {
        return Err((over(), body));
    }
    let mut place = None;
    let mut rest = body;
    let mut buffered = Vec::new();
    let (why, then) = loop {
        let large = buffered.len() as u64 > MAX_SMALL;
        if large && place.is_none() {
            place = limits.place().await;
            if place.is_none() {
                break (NO_PLACE.into(), None);
            }
        }
        match next_piece(&mut rest, large).await {
            BodyEvent::Data(data) if buffered.len() + data.len() <= limits.max_body => {
                buffered.extend_from_slice(&data);
            }
            BodyEvent::Data(data) => break (over(), Some(Ok(Frame::data(data)))),
            BodyEvent::TimedOut(why) => break (why, None),
            BodyEvent::Broken(error) => {
                break (format!("the body ended early: {error}"), Some(Err(error)));
            }
            BodyEvent::End if coding == Coding::Identity || place.is_some() => {
                return Ok((buffered.into(), place));
            }
            BodyEvent::End => {
                // A few compressed bytes may expand to many.
                place = limits.place().await;
                if place.is_none() {
                    break (NO_PLACE.into(), None);
                }
                return Ok((buffered.into(), place));
            }
        }
    };
    let first = Some(Ok(Frame::data(buffered.into())));
    let frames = first.into_iter().chain(then).collect();
    let resumed = BufferedBody {
        frames,
        rest,
        flushed: false,
    };
    Err((why, resumed.boxed_unsync()))
}

/// The result of reading from a body.
enum BodyEvent {
    Data(Bytes),
    End,
    TimedOut(String),
    Broken(BoxError),
}

/// The next piece. A large body must not be silent too long, because others wait for its place.
async fn next_piece(body: &mut ResponseBody, large: bool) -> BodyEvent {
    loop {
        let frame = match large {
            true => match tokio::time::timeout(FRAME_TIMEOUT, body.frame()).await {
                Ok(frame) => frame,
                Err(_) => {
                    return BodyEvent::TimedOut(format!(
                        "no part of the body came within {FRAME_TIMEOUT:?}"
                    ));
                }
            },
            false => body.frame().await,
        };
        match frame {
            None => return BodyEvent::End,
            Some(Err(error)) => return BodyEvent::Broken(error),
            // Trailers end a body; the rewritten body has a length and none.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return BodyEvent::Data(data);
                }
            }
        }
    }
}

/// The buffered bytes, then the rest as it arrives.
struct BufferedBody {
    frames: VecDeque<Result<Frame<Bytes>, BoxError>>,
    rest: ResponseBody,
    flushed: bool,
}

impl Body for BufferedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if matches!(self.frames.front(), Some(Err(_))) && !self.flushed {
            // hyper drops unwritten data when a body fails, but writes it while the body is pending.
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // The head's framing stays: a length, or chunks.
        SizeHint::default()
    }
}
