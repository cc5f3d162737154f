//! Taking a body in whole, within limits; where that fails, it still gives every byte, and every error, as it came.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use crate::forward::{
    limits::{LargePlace, RewriteLimits},
    request::body::AnswerBody,
};
use crate::{mirror::Coding, model::fault::BoxError};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use tokio_util::bytes::Bytes;

/// What counts as larger.
const SMALL: u64 = 64 * 1024;

/// Said where none became free.
const NO_PLACE: &str = "too many large bodies are being rewritten";
/// How long one that has its place may say nothing.
const PIECE: Duration = Duration::from_secs(20);

/// The body whole, with its place until it is done with; or why not, and a body that still gives every byte, and every error, as it came.
pub(crate) async fn take_in(
    body: AnswerBody,
    coding: Coding,
    limits: &RewriteLimits,
) -> Result<(Bytes, LargePlace), (String, AnswerBody)> {
    let hint = body.size_hint();
    let over = || {
        format!(
            "the body is larger than `max_body` of [rewrite], {} bytes",
            limits.max_body
        )
    };
    if hint.lower() > limits.max_body as u64 {
        return Err((over(), body));
    }
    let mut place = None;
    let mut rest = body;
    let mut taken = Vec::new();
    let (why, then) = loop {
        let large = taken.len() as u64 > SMALL;
        if large && place.is_none() {
            place = limits.place().await;
            if place.is_none() {
                break (NO_PLACE.into(), None);
            }
        }
        match next_of(&mut rest, large).await {
            BodyEvent::Data(data) if taken.len() + data.len() <= limits.max_body => {
                taken.extend_from_slice(&data);
            }
            BodyEvent::Data(data) => break (over(), Some(Ok(Frame::data(data)))),
            BodyEvent::Left(why) => break (why, None),
            BodyEvent::Broken(error) => {
                break (format!("the body ended early: {error}"), Some(Err(error)));
            }
            BodyEvent::All if coding == Coding::Identity || place.is_some() => {
                return Ok((taken.into(), place));
            }
            BodyEvent::All => {
                // A few bytes may stand for many.
                place = limits.place().await;
                if place.is_none() {
                    break (NO_PLACE.into(), None);
                }
                return Ok((taken.into(), place));
            }
        }
    };
    let first = Some(Ok(Frame::data(taken.into())));
    let frames = first.into_iter().chain(then).collect();
    let resumed = BufferedBody {
        frames,
        rest,
        flushed: false,
    };
    Err((why, resumed.boxed_unsync()))
}

/// What a body did next.
enum BodyEvent {
    Data(Bytes),
    All,
    Left(String),
    Broken(BoxError),
}

/// The next piece; one of a larger body, which others wait for, must not take too long.
async fn next_of(body: &mut AnswerBody, large: bool) -> BodyEvent {
    loop {
        let frame = match large {
            true => match tokio::time::timeout(PIECE, body.frame()).await {
                Ok(frame) => frame,
                Err(_) => {
                    return BodyEvent::Left(format!("no part of the body came within {PIECE:?}"));
                }
            },
            false => body.frame().await,
        };
        match frame {
            None => return BodyEvent::All,
            Some(Err(error)) => return BodyEvent::Broken(error),
            // Trailers end a body; what is rewritten has a length instead.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return BodyEvent::Data(data);
                }
            }
        }
    }
}

/// What was taken in, and then the rest as it comes.
struct BufferedBody {
    frames: VecDeque<Result<Frame<Bytes>, BoxError>>,
    rest: AnswerBody,
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
            // hyper throws away what it has not written when a body fails; while it waits, it writes.
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
        // The head says what it said: a length, or chunks.
        SizeHint::default()
    }
}
